package yubikey_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// TestWithoutCgo builds what a static signet is built from, and has it say that
// it has no YubiKey support.
func TestWithoutCgo(t *testing.T) {
	for _, platform := range []string{"linux", "darwin", "windows"} {
		t.Run("vet "+platform, func(t *testing.T) {
			goTool(t, "GOOS="+platform, "vet", "../...")
		})
	}
	t.Run("says so", func(t *testing.T) {
		out := goTool(t, "GOOS=linux", "test", "-count=1", "-v", "-run", "TestNoSupport", ".")
		if !strings.Contains(out, "PASS: TestNoSupport") {
			t.Error(out)
		}
	})
}

func goTool(t *testing.T, env string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestSlotNames(t *testing.T) {
	for _, name := range []string{"9a", "9c", "9d", "9e", "82", "8f", "95"} {
		slot, err := yubikey.ParseSlot(name)
		if err != nil || slot.String() != name {
			t.Errorf("%s: %s, %v", name, slot, err)
		}
		if want := name[:2] != "9a" && name != "9d" && name != "9e"; slot.Signs() != want {
			t.Errorf("%s signs: %v", name, slot.Signs())
		}
	}
	for _, name := range []string{"", "9b", "f9", "80", "96", "9c9c", "-1", "slot"} {
		if slot, err := yubikey.ParseSlot(name); err == nil {
			t.Errorf("%q is %s", name, slot)
		}
	}
}
