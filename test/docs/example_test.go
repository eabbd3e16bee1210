package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples builds every Go program that a paper shows.
func TestExamples(t *testing.T) {
	built := 0
	for _, p := range papers(t) {
		for _, b := range p.blocks() {
			if b.language != "go" || !strings.HasPrefix(b.text, "package main") {
				continue
			}
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "build", "-o", os.DevNull, file)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s shows a program that does not build: %v\n%s", p.path, err, out)
			}
			built++
		}
	}
	if built == 0 {
		t.Error("no paper shows a Go program")
	}
}
