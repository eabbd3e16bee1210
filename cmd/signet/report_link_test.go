package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReportFollowsNoLink has somebody leave a link where a report is to go, in a
// folder that all may write to.
func TestReportFollowsNoLink(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "report.html")
	for _, link := range []string{path, path + ".new"} {
		if err := os.Symlink(victim, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeCompromisedPage(path, aReport(func(*compromisedResult) {})); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("what the link leads to: %q, %v", data, err)
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), "Report on a compromised key") {
		t.Errorf("%q, %v", data, err)
	}
}
