package signer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// elsewhere is the signer's configuration on another machine.
func (b *bench) elsewhere() Config {
	c := b.config
	c.Dir = filepath.Join(b.t.TempDir(), "restored")
	return c
}

func (b *bench) mustBackup(withKey bool) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "backup.db")
	report, err := b.Backup(b.t.Context(), path, withKey)
	if err != nil {
		b.t.Fatal(err)
	}
	if report.KeyIncluded != withKey || report.Identity != b.identity.public.ID() {
		b.t.Fatalf("the backup says %+v", report)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.t.Fatal(err)
	}
	if openToOthers(info) {
		b.t.Fatalf("the backup has mode %04o", info.Mode().Perm())
	}
	return path
}

// An old backup does not know which versions were given out after it; none of
// them is signed again, and what it does know still does not step back.
func TestRestoredSignerSignsNoNumberTwice(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	seen := contents{}
	seen.add(t, b.mustSign(r))
	r.Roles[0] = alice.targetsFile(2, "two", nil)
	seen.add(t, b.mustSign(r))
	backup := b.mustBackup(true)
	r.Roles[0] = alice.targetsFile(3, "three", nil)
	lost := b.mustSign(r)
	seen.add(t, lost)

	c := b.elsewhere()
	if _, err := Restore(t.Context(), c, backup, 0); err != nil {
		t.Fatal(err)
	}
	restored, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if restored.identity.public.ID() != b.identity.public.ID() {
		t.Fatal("the restored signer has another identity")
	}
	if last, err := restored.Last(t.Context(), app); err != nil || last.Root == nil || last.Snapshot.Bytes != nil || last.Timestamp.Bytes != nil {
		t.Fatalf("Last after a restore: %+v, %v, expected what was accepted alone", last, err)
	}
	if _, err := restored.Refresh(t.Context(), refreshOf(lost)); !errors.Is(err, tuf.ErrNotFound) {
		t.Fatalf("Refresh after a restore: %v, expected not found", err)
	}
	old := alice.request(r.Roots, alice.targetsFile(1, "one", nil))
	if _, err := restored.Sign(t.Context(), old); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("targets from before the backup: %v, expected a conflict", err)
	}
	signed, err := restored.Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkServed(t, r, signed, noon)
	seen.add(t, signed)
	if signed.Snapshot.Version <= lost.Snapshot.Version || signed.Timestamp.Version <= lost.Timestamp.Version {
		t.Fatalf("versions %s after a restore, expected both above %s", versions(signed), versions(lost))
	}
	if _, err := restored.Refresh(t.Context(), refreshOf(signed)); err != nil {
		t.Fatal(err)
	}
	if _, err := restored.VerifyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A signer that was removed after the backup was taken is listed as the server
// has it; nothing else could go on.
func TestRestoredSignerTakesRemovedRoles(t *testing.T) {
	c := newRefusalCase(t)
	backup := c.b.mustBackup(true)
	c.r.Roles = []tuf.File{c.alice.targetsFile(4, "four", c.withBob), signerFile(t, "bob", 2, c.bob)}
	c.b.mustSign(c.r)
	c.r.Roles[0] = c.alice.targetsFile(5, "five", nil)
	c.b.mustSign(c.r)
	config := c.b.elsewhere()
	if _, err := Restore(t.Context(), config, backup, 0); err != nil {
		t.Fatal(err)
	}
	restored, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	signed, err := restored.Sign(t.Context(), c.r)
	if err != nil {
		t.Fatal(err)
	}
	checkServed(t, c.r, signed, noon)
}

func TestRestoreRefusals(t *testing.T) {
	exists := func(err error) bool { return errors.Is(err, fs.ErrExist) }
	says := func(text string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
	}
	tests := []struct {
		name string
		// run prepares c and backup; the signer b goes on meanwhile.
		run  func(t *testing.T, b *bench, c *Config, r api.SignRequest, backup string) error
		want func(error) bool
	}{
		{"over the signer itself", func(t *testing.T, b *bench, c *Config, _ api.SignRequest, _ string) error {
			c.Dir = b.config.Dir
			return nil
		}, exists},
		{"below the signer's own marks", func(t *testing.T, b *bench, c *Config, r api.SignRequest, _ string) error {
			b.mustSign(r)
			c.Dir = b.config.Dir
			return nil
		}, says("is ahead of the backup")},
		{"without the key-encryption key", func(*testing.T, *bench, *Config, api.SignRequest, string) error { return nil }, says("has no key-encryption key")},
		{"beside another key-encryption key", func(t *testing.T, _ *bench, c *Config, _ api.SignRequest, _ string) error {
			return errors.Join(makeDir(c.Dir), createKeyFile(filepath.Join(c.Dir, KeyFileName)))
		}, says(errSealed.Error())},
		{"a truncated file", func(_ *testing.T, _ *bench, _ *Config, _ api.SignRequest, backup string) error {
			return os.Truncate(backup, 8192)
		}, says("")},
		{"an empty file", func(_ *testing.T, _ *bench, _ *Config, _ api.SignRequest, backup string) error {
			return os.Truncate(backup, 0)
		}, says("not a signer's database")},
		{"a signer's database that is no backup", func(t *testing.T, b *bench, c *Config, _ api.SignRequest, backup string) error {
			if err := b.Close(); err != nil {
				return err
			}
			data, err := os.ReadFile(filepath.Join(b.config.Dir, DatabaseName))
			return errors.Join(err, os.WriteFile(backup, data, 0o600))
		}, says("not a signer's backup")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, alice := newBench(t), newPublisher(t)
			r := alice.first(b)
			b.mustSign(r)
			backup := b.mustBackup(false)
			c := b.elsewhere()
			if err := test.run(t, b, &c, r, backup); err != nil {
				t.Fatal(err)
			}
			_, err := Restore(t.Context(), c, backup, 0)
			if err == nil || !test.want(err) {
				t.Fatalf("got %v", err)
			}
			if c.Dir == b.config.Dir {
				b.mustSign(r)
				return
			}
			entries, err := os.ReadDir(c.Dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if entry.Name() != KeyFileName {
					t.Errorf("a refused restore left %s", entry.Name())
				}
			}
		})
	}
}

// The key-encryption key that travels in a backup stays in its own file alone.
func TestRestoreLeavesNoKeyInTheDatabase(t *testing.T) {
	b := newBench(t)
	backup := b.mustBackup(true)
	c := b.elsewhere()
	if _, err := Restore(t.Context(), c, backup, 0); err != nil {
		t.Fatal(err)
	}
	key, err := readPrivate(filepath.Join(c.Dir, KeyFileName))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{backup: true, filepath.Join(c.Dir, DatabaseName): false} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(data), string(key)); got != want {
			t.Errorf("%s holds the key-encryption key: %v, expected %v", path, got, want)
		}
	}
	if _, err := b.Backup(t.Context(), backup, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over another: %v, expected %v", err, fs.ErrExist)
	}
}
