package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

func TestSQLiteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a b?c=d&mode=memory%41#é.db")
	db := open(t, path) // a plain path is SQLite's, too
	if _, err := db.Publish(t.Context(), publication(0)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, expected 600", entry.Name(), info.Mode().Perm())
		}
		found = found || entry.Name() == filepath.Base(path)
	}
	if !found {
		t.Errorf("%v does not list %s", entries, filepath.Base(path))
	}

	// Restored from a backup with everybody's rights, it is closed to others.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o after opening, expected 600", info.Mode().Perm())
	}
}

// Settings that durability and integrity hang on are those of every connection.
func TestSQLiteSettings(t *testing.T) {
	db := open(t, sqliteURL(t))
	for _, pool := range []*sql.DB{store.Reader(db), store.Writer(db)} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
			var got string
			if err := pool.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, %v, expected %q", pragma, got, err, want)
			}
		}
	}
	if _, err := store.Reader(db).Exec("DELETE FROM head"); err == nil {
		t.Error("the readers' connections can write")
	}
}

func TestSchema(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			db := open(t, url)
			kept, err := store.Options{KeepSchema: true}.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			kept.Close()

			for _, test := range []struct {
				statement string
				keep      bool
				want      string
			}{
				{"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, '1')", false, "made by a newer release"},
				{"DELETE FROM goose_db_version", true, "migrate it first"},
			} {
				if _, err := store.Writer(db).Exec(test.statement); err != nil {
					t.Fatal(err)
				}
				_, err = store.Options{KeepSchema: test.keep}.Open(t.Context(), url)
				if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, expected %v: %s", err, store.ErrSchema, test.want)
				}
			}
		})
	}
}

func TestSQLiteNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signet.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), path)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "its file is not an SQLite database") || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

func TestSQLiteCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signet.db")
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Publish(t.Context(), publication(0)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := range b[page:] { // all but the first page, which lists the tables
		b[page+i] = 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err = store.Open(t.Context(), path)
	if err == nil {
		_, err = db.File(t.Context(), "registry.example/app", tuf.RoleTimestamp, 0)
		db.Close()
	}
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "its file is corrupt") {
		t.Error(err)
	}
}

// A full disk stops publishing with a clear word and harms nothing: reads go
// on, and so does publishing once there is room.
func TestSQLiteFull(t *testing.T) {
	db := open(t, sqliteURL(t))
	if _, err := db.Publish(t.Context(), publication(0)); err != nil {
		t.Fatal(err)
	}
	limit := func(pages string) {
		var n int
		if err := store.Writer(db).QueryRow("PRAGMA max_page_count = " + pages).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite answers with the pages that there are
	large := publication(1)
	large.Files[1].Bytes = bytes.Repeat([]byte("x"), 1<<20)
	_, err := db.Publish(t.Context(), large)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "its disk is full") {
		t.Errorf("%v, expected that the disk is full", err)
	}
	head, err := db.Head(t.Context(), "registry.example/app")
	if err != nil || head.Generation != 1 {
		t.Errorf("%+v, %v, expected generation 1", head, err)
	}
	limit("1000000")
	if _, err := db.Publish(t.Context(), large); err != nil {
		t.Error(err)
	}
}

// A folder that may not be written to is named, with the reason.
func TestSQLiteReadOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders are not made read-only by their mode")
	}
	dir, err := os.MkdirTemp("", "signet-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(filepath.Join(dir, "locked"), 0o700)
		os.RemoveAll(dir)
	})
	folder := filepath.Join(dir, "locked")
	program := filepath.Join(dir, "test") // where an unprivileged user can run it
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(program, self, 0o755),
		os.Mkdir(folder, 0o700),
		os.Chmod(dir, 0o755),
		os.Chmod(folder, 0o555),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), openVariable+"="+filepath.Join(folder, "signet.db"))
	cmd.Dir = dir
	unprivileged(t, cmd)
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"its file cannot be opened", folder, "permission denied"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, expected %q in:\n%s", err, want, out)
		}
	}
}
