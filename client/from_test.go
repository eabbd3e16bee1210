package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// afar returns a verifier without a network, whose anchor takes what expired so long ago.
func (s *story) afar(stale time.Duration) *client.Client {
	anchor := *s.p.Anchor
	anchor.MaxStale = client.Duration(stale)
	return client.New(client.Config{StateDir: s.t.TempDir(), Now: s.h.Clock.Now, Anchors: client.Anchors{anchor}})
}

func (s *story) export(dir string) {
	s.t.Helper()
	out, err := s.p.Client.Export(s.t.Context(), storyName, dir, client.Options{Anchor: s.p.Anchor})
	if err != nil {
		s.t.Fatal(err)
	}
	if out.Files < 5 || len(out.Missing) > 0 || out.Versions["targets"] < 2 {
		s.t.Errorf("%+v", out)
	}
}

var storyImage = tuf.Image{Repository: storyName, Tag: "1.0"}

func ask(c *client.Client, dir string) (*client.Decision, error) {
	return c.Verify(context.Background(), storyImage, client.Options{From: dir})
}

func TestExport(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	before := t.TempDir()
	s.export(before)
	dir := t.TempDir()
	s.sign("1.0", 2, "targets", s.alice)
	s.sign("v1", 3, "release", s.r)
	s.do(s.p.Renew(t.Context(), client.RenewRequest{Repository: storyName, Roles: []string{"root"}, Signers: []tuf.Signer{s.root}}))
	s.export(dir)
	s.export(dir) // again, over what is there

	verifier := s.afar(0)
	decision, err := ask(verifier, dir)
	if err != nil || decision.Digest != storyDigest(2) || decision.From != dir {
		t.Fatalf("%+v, %v", decision, err)
	}
	if d, err := verifier.Verify(t.Context(), tuf.Image{Repository: storyName, Tag: "v1"}, client.Options{From: dir}); err != nil || d.Digest != storyDigest(3) {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := ask(verifier, before); tuf.RuleOf(err) != tuf.RuleRollback {
		t.Errorf("an older folder after a newer one: %v", err)
	}
	// What was read is remembered.
	if d, err := verifier.Verify(t.Context(), storyImage, client.Options{Offline: true}); err != nil || d.Digest != storyDigest(2) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := ask(s.afar(0), t.TempDir()); err == nil || tuf.IsRefusal(err) || d.Trusted {
		t.Errorf("an empty folder: %+v, %v", d, err)
	}

	// Any web server is a mirror with it, and go-tuf reads it as it is.
	web := httptest.NewServer(http.StripPrefix("/tuf/", http.FileServer(http.Dir(dir))))
	defer web.Close()
	anchor := *s.p.Anchor
	anchor.Servers, anchor.CA = []string{web.URL}, ""
	mirrored := client.New(client.Config{StateDir: t.TempDir(), Now: s.h.Clock.Now, Anchors: client.Anchors{anchor}})
	if d, err := mirrored.Verify(t.Context(), storyImage, client.Options{}); err != nil || d.Digest != storyDigest(2) {
		t.Errorf("%+v, %v", d, err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, storyName, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	set, err := trustedmetadata.New(read("1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	set.RefTime = s.h.Clock.Now()
	if _, err := set.UpdateRoot(read("2.root.json")); err != nil {
		t.Fatal(err)
	}
	timestamp, err := set.UpdateTimestamp(read("timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := set.UpdateSnapshot(read(fmt.Sprintf("%d.snapshot.json", timestamp.Signed.Meta["snapshot.json"].Version)), false)
	if err != nil {
		t.Fatal(err)
	}
	targets, err := set.UpdateTargets(read(fmt.Sprintf("%d.targets.json", snapshot.Signed.Meta["targets.json"].Version)))
	if err != nil {
		t.Fatal(err)
	}
	if sum := targets.Signed.Targets[tuf.TagPath(storyName, "1.0")].Hashes["sha256"].String(); "sha256:"+sum != storyDigest(2) {
		t.Errorf("go-tuf reads %s", sum)
	}
	if _, err := set.UpdateDelegatedTargets(read(fmt.Sprintf("%d.release.json", snapshot.Signed.Meta["release.json"].Version)), "release", "targets"); err != nil {
		t.Error(err)
	}
}

func TestStale(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	dir := t.TempDir()
	s.export(dir)
	strict, lenient := s.afar(0), s.afar(30*24*time.Hour)
	for _, c := range []*client.Client{strict, lenient} {
		if d, err := ask(c, dir); err != nil || d.Stale != 0 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	s.h.Clock.Advance(20 * 24 * time.Hour) // timestamp and snapshot are past
	for _, options := range []client.Options{{From: dir}, {Offline: true}} {
		if _, err := strict.Verify(t.Context(), storyImage, options); tuf.RuleOf(err) != tuf.RuleExpired {
			t.Errorf("%+v: %v", options, err)
		}
		d, err := lenient.Verify(t.Context(), storyImage, options)
		if err != nil || d.Digest != storyDigest(1) || time.Duration(d.Stale) < 18*24*time.Hour {
			t.Errorf("%+v: %+v, %v", options, d, err)
		}
	}
	// It is for those without a network only.
	online := s.afar(30 * 24 * time.Hour)
	web := httptest.NewServer(http.StripPrefix("/tuf/", http.FileServer(http.Dir(dir))))
	defer web.Close()
	anchor := *s.p.Anchor
	anchor.Servers, anchor.CA, anchor.MaxStale = []string{web.URL}, "", client.Duration(30*24*time.Hour)
	if _, err := online.Verify(t.Context(), storyImage, client.Options{Anchor: &anchor}); tuf.RuleOf(err) != tuf.RuleExpired {
		t.Errorf("a server that serves what has expired: %v", err)
	}
	s.h.Clock.Advance(12 * 24 * time.Hour)
	if _, err := ask(lenient, dir); tuf.RuleOf(err) != tuf.RuleExpired || !strings.Contains(err.Error(), "720h") {
		t.Errorf("beyond what the anchor takes: %v", err)
	}
	// root, targets and signers have to be in date, whatever the anchor says.
	ages := s.afar(3 * 365 * 24 * time.Hour)
	s.h.Clock.Advance(200 * 24 * time.Hour)
	if _, err := ask(ages, dir); tuf.RuleOf(err) != tuf.RuleExpired || !strings.Contains(err.Error(), "targets") {
		t.Errorf("targets that have expired: %v", err)
	}
}

func TestHostileFolder(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	for name, hurt := range map[string]func(path string) error{
		"a pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":       func(path string) error { return os.Mkdir(path, 0o700) },
		"a link outside": func(path string) error { return os.Symlink("/etc/hostname", path) },
		"nothing":        func(string) error { return nil },
		"endless": func(path string) error {
			return os.Symlink("/dev/zero", path)
		},
		"too large": func(path string) error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(1 << 40)
		},
		"garbage": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s.export(dir)
			path := filepath.Join(dir, storyName, "timestamp.json")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := hurt(path); err != nil {
				t.Fatal(err)
			}
			if d, err := ask(s.afar(0), dir); err == nil || d.Trusted {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// TestFolderNamedTuf reads folders by the names that a web server's are likely to have.
func TestFolderNamedTuf(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	for _, name := range []string{"tuf", "tuf/mirror", "a?b#c%20d"} {
		dir := filepath.Join(t.TempDir(), filepath.FromSlash(name))
		s.export(dir)
		if d, err := ask(s.afar(0), dir); err != nil || d.Digest != storyDigest(1) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
