package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The newest of Debian's versions is taken: 15 before 9, whatever the alphabet
// says.
func TestFindNewest(t *testing.T) {
	debian := t.TempDir()
	for _, version := range []string{"15", "9", "none"} {
		dir := filepath.Join(debian, version, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "postgres"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin, err := find(debian)
	if want := filepath.Join(debian, "15", "bin"); bin != want || err != nil {
		t.Errorf("found %q, %v, expected %q", bin, err, want)
	}
}

// Without Postgres the answer is a sentence with a next step, not a skipped test.
func TestFindNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := find(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("%v, expected how to install postgres", err)
	}
}
