package house

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDirectModulesAreTold holds go.mod to what is imported: a module stands as direct
// if and only if some package, program or test of ours imports it.
func TestDirectModulesAreTold(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for text := range strings.Lines(string(data)) {
		fields := strings.Fields(strings.TrimPrefix(text, "require "))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") {
			direct[fields[0]] = !strings.Contains(text, "// indirect")
		}
	}
	cmd := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`, "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOFLAGS=-tags=deploy") // or some files are left out
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		for of := path; of != ""; of = parent(of) {
			if _, ok := direct[of]; ok {
				imported[of] = true
				break
			}
		}
	}
	for module, is := range direct {
		if is != imported[module] {
			t.Errorf("%s: direct %t, imported %t; go mod tidy sets it right", module, is, imported[module])
		}
	}
}

// parent is the path above one; "" above the first.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}
