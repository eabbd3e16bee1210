package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/imagefile"
)

// pinned reads files, has change do something to them, and pins them.
func pinned(t *testing.T, dir string, names []string, change func()) (stdout string, err error) {
	t.Helper()
	t.Chdir(dir)
	var out bytes.Buffer
	stdin, err := os.Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	a := &app{stdin: stdin, stdout: &out, stderr: &bytes.Buffer{}}
	var files []*imagefile.File
	var subjects []*subject
	var answers []*answer
	for _, name := range names {
		file, err := a.readFile(name, imagefile.Options{Format: imagefile.FormatList})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		for _, s := range a.subjects(file) {
			subjects = append(subjects, s)
			answers = append(answers, &answer{decision: &client.Decision{Trusted: true, Digest: "sha256:" + strings.Repeat("1", 64)}})
		}
	}
	change()
	err = a.pinFiles(files, names, subjects, answers)
	return out.String(), err
}

func writeLists(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("registry.example.com/team/app:1.0\n"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPinKeepsOthersWork has somebody write to a file between reading and pinning: no
// file may lose what they wrote, nor be pinned beside it.
func TestPinKeepsOthersWork(t *testing.T) {
	dir := writeLists(t, "a.txt", "b.txt")
	_, err := pinned(t, dir, []string{"a.txt", "b.txt"}, func() {
		if err := os.WriteFile(filepath.Join(dir, "b.txt"), []byte("registry.example.com/team/other:2.0\n"), 0o640); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "b.txt was changed") {
		t.Errorf("got %v", err)
	}
	if got := content(t, filepath.Join(dir, "b.txt")); !strings.Contains(got, "other:2.0") {
		t.Errorf("what somebody wrote was lost: %q", got)
	}
	if got := content(t, filepath.Join(dir, "a.txt")); strings.Contains(got, "@sha256") {
		t.Errorf("one of two was pinned: %q", got)
	}
}

// TestPinInPlace pins a file that is given by two names, through a link, and one that
// is called as standard input is in messages.
func TestPinInPlace(t *testing.T) {
	dir := writeLists(t, "a.txt", "stdin")
	if err := os.Symlink("a.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	out, err := pinned(t, dir, []string{"a.txt", "link.txt", "stdin", "-"}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	const want = "registry.example.com/team/app:1.0@sha256:1"
	for _, name := range []string{"a.txt", "link.txt", "stdin"} {
		if got := content(t, filepath.Join(dir, name)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if info, err := os.Lstat(filepath.Join(dir, "link.txt")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a.txt")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode: %v, %v", info, err)
	}
	if strings.Count(out, want) != 1 {
		t.Errorf("standard output got %q", out)
	}
}
