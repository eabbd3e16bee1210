package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// TestExportForConformance reads an export with the program that the TUF project's
// conformance suite drives.
func TestExportForConformance(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	dir, bin, state := t.TempDir(), t.TempDir(), t.TempDir()
	s.export(dir)
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer web.Close()
	program := filepath.Join(bin, "conformance")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../test/conformance").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	date := fmt.Sprintf("#!/bin/sh\nexec /bin/date -u -d @%d \"$@\"\n", s.h.Clock.Now().Unix())
	if err := os.WriteFile(filepath.Join(bin, "date"), []byte(date), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--metadata-dir", state}, args...)...)
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := run("init", filepath.Join(dir, storyName, "1.root.json")); err != nil {
		t.Fatal(err)
	}
	if err := run("--metadata-url", web.URL+"/"+storyName, "refresh"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(state, "targets.json")); err != nil {
		t.Error(err)
	}
	// It reads what is there: without one of the files, it refuses.
	if err := os.Remove(filepath.Join(dir, storyName, "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	if err := run("--metadata-url", web.URL+"/"+storyName, "refresh"); err == nil {
		t.Error("read an export without a timestamp")
	}
}

// TestExportHalfWritten stops an export at each of its files. Whoever reads then gets
// the answer before; where the keys of targets changed, perhaps none; never another.
func TestExportHalfWritten(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	stops := func(before string, digest string, refusals bool) {
		after := t.TempDir()
		s.export(after)
		names, err := filepath.Glob(filepath.Join(after, storyName, "*.json"))
		if err != nil || len(names) < 5 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			name = filepath.Base(name)
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(before)); err != nil {
				t.Fatal(err)
			}
			blocked := filepath.Join(dir, storyName, "."+name+".new")
			if err := os.MkdirAll(blocked, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := s.p.Client.Export(t.Context(), storyName, dir, client.Options{Anchor: s.p.Anchor}); err == nil {
				t.Fatalf("wrote over a folder at %s", name)
			}
			d, err := ask(s.afar(0), dir)
			switch {
			case err == nil && d.Digest != digest, err != nil && d.Trusted, err != nil && !refusals:
				t.Errorf("stopped at %s: %+v, %v", name, d, err)
			}
			if err := os.RemoveAll(blocked); err != nil {
				t.Fatal(err)
			}
			s.export(dir) // done again
			if d, err := ask(s.afar(0), dir); err != nil || d.Digest != storyDigest(2) {
				t.Errorf("stopped at %s, then done again: %+v, %v", name, d, err)
			}
		}
	}
	first, second := t.TempDir(), t.TempDir()
	s.export(first)
	s.sign("1.0", 2, "targets", s.alice)
	stops(first, storyDigest(1), false)
	s.export(second)
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: "targets", Remove: []string{s.alice.Key().ID()}, Signers: []tuf.Signer{s.root, s.bob}}))
	stops(second, storyDigest(2), true)
}

// TestExportIntoHostileFolder puts links where an export writes: it replaces them, and
// what they lead to stays as it was.
func TestExportIntoHostileFolder(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.export(dir)
	for _, name := range []string{"timestamp.json", ".timestamp.json.new"} {
		path := filepath.Join(dir, storyName, name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, path); err != nil {
			t.Fatal(err)
		}
	}
	s.export(dir)
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
	if d, err := ask(s.afar(0), dir); err != nil || d.Digest != storyDigest(1) {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestFolderStaysInside gives the true files behind a link that leads out of the folder.
func TestFolderStaysInside(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	real, dir := t.TempDir(), t.TempDir()
	s.export(real)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, storyName)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(real, storyName), filepath.Join(dir, storyName)); err != nil {
		t.Fatal(err)
	}
	if d, err := ask(s.afar(0), dir); err == nil || d.Trusted {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestExportThroughLinkedFolder has a folder, and the lock, lead out of where an export
// is to go: whoever prepared a stick could have it written anywhere.
func TestExportThroughLinkedFolder(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	for name, link := range map[string]func(dir, outside string) error{
		"host": func(dir, outside string) error {
			return os.Symlink(outside, filepath.Join(dir, "registry.example.com"))
		},
		"repository": func(dir, outside string) error {
			parent := filepath.Join(dir, "registry.example.com", "team")
			return errors.Join(os.MkdirAll(parent, 0o700), os.Symlink(outside, filepath.Join(parent, "app")))
		},
		"lock": func(dir, outside string) error {
			folder := filepath.Join(dir, storyName)
			return errors.Join(os.MkdirAll(folder, 0o700), os.Symlink(filepath.Join(outside, "made"), filepath.Join(folder, ".lock")))
		},
	} {
		dir, outside := t.TempDir(), t.TempDir()
		if err := link(dir, outside); err != nil {
			t.Fatal(err)
		}
		_, err := s.p.Client.Export(t.Context(), storyName, dir, client.Options{Anchor: s.p.Anchor})
		if err == nil {
			t.Errorf("%s: exported", name)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v outside", name, left, err)
		}
	}
	// A link that whoever exports named themselves is theirs to name.
	real, dir := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, dir); err != nil {
		t.Fatal(err)
	}
	s.export(dir)
	if d, err := ask(s.afar(0), real); err != nil || d.Digest != storyDigest(1) {
		t.Errorf("%+v, %v", d, err)
	}
}
