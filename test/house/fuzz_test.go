package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFuzzTestsKeepInputs holds that each fuzz test has inputs that are kept, which
// every run of the tests takes up (KEEP=1 make fuzz keeps more), and that none is kept
// for a fuzz test that is not there.
func TestFuzzTestsKeepInputs(t *testing.T) {
	const root = "../.."
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	want := map[string]bool{}
	kept := map[string]int{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin"):
			return filepath.SkipDir
		case entry.IsDir():
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, name := range declared.FindAllSubmatch(text, -1) {
				want[filepath.Join(filepath.Dir(path), "testdata", "fuzz", string(name[1]))] = true
			}
		case strings.Contains(path, filepath.Join("testdata", "fuzz")+string(filepath.Separator)):
			kept[filepath.Dir(path)]++
		}
		return nil
	})
	if err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	for dir := range want {
		if kept[dir] == 0 {
			t.Errorf("%s keeps no inputs: KEEP=1 scripts/fuzz 3000x", dir)
		}
	}
	for dir := range kept {
		if !want[dir] {
			t.Errorf("%s is kept for no fuzz test", dir)
		}
	}
}
