package yubikey_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNoShippedProgramHasAVirtualKey keeps the virtual key, whose keys are copied
// at will, out of what people run.
func TestNoShippedProgramHasAVirtualKey(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(output)) {
		if strings.Contains(path, "/signet/test/") {
			t.Errorf("a program in cmd links %s", path)
		}
	}
}
