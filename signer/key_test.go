package signer

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

func TestOnlineKeysAreTheSignersWord(t *testing.T) {
	b := newBench(t)
	identity, err := b.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := b.OnlineKeys(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0].Role != tuf.RoleSnapshot || keys[1].Role != tuf.RoleTimestamp || keys[0].Key.Equal(keys[1].Key) {
		t.Fatalf("got %+v, expected one key for snapshot and another for timestamp", keys)
	}
	b.restart()
	again, err := b.OnlineKeys(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if again[i].Key.ID() != key.Key.ID() {
			t.Errorf("%s has another key after a restart", key.Role)
		}
		if err := key.Verify(identity.Key, app, key.Role); err != nil {
			t.Error(err)
		}
		swapped, elsewhere, replaced := key, key, key
		swapped.Role = keys[1-i].Role
		elsewhere.Repository = "registry.example/team/other"
		replaced.Key = newSigner(t).Key()
		for name, forged := range map[string]api.OnlineKey{"another role": swapped, "another repository": elsewhere, "another key": replaced} {
			if err := forged.Verify(identity.Key, forged.Repository, forged.Role); !errors.Is(err, tuf.RuleOnlineKey) {
				t.Errorf("%s: got %v, expected %v", name, err, tuf.RuleOnlineKey)
			}
		}
		if err := key.Verify(newSigner(t).Key(), app, key.Role); !errors.Is(err, tuf.RuleOnlineKey) {
			t.Errorf("another identity: got %v, expected %v", err, tuf.RuleOnlineKey)
		}
	}
}

// Root decides which of the signer's keys holds; fresh ones take over with it.
func TestRotatedOnlineKeysSignOnceRootListsThem(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	first := b.mustSign(r)
	old, _ := b.onlineKeys(app)
	if _, err := b.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	snapshot, timestamp := b.onlineKeys(app)
	if snapshot.Equal(old) {
		t.Fatal("the online key is the same after rotation")
	}
	before := b.mustSign(r)
	checkServed(t, r, before, noon)
	if !bytes.Equal(before.Snapshot.Bytes, first.Snapshot.Bytes) {
		t.Fatal("the snapshot was signed anew before root changed")
	}
	r.Roots = append(r.Roots, alice.rootFile(2, snapshot, timestamp, nil))
	after := b.mustSign(r)
	checkServed(t, r, after, noon)
	if got := versions(after); got != "2/3" {
		t.Fatalf("versions %s, expected 2/3: a new root ends the old key's snapshot", got)
	}
}

// What a root took out of use is deleted with the signature that it comes with, and not
// a moment before; what waits for the next root stays, and the log tells.
func TestReplacedKeysAreDeleted(t *testing.T) {
	b := newBench(t)
	alice := newPublisher(t)
	r := alice.first(b)
	b.mustSign(r)
	held := func(role string) (ids []string) {
		keys, err := b.Service.db.keys(t.Context(), app, role)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			ids = append(ids, key.public.ID())
		}
		return ids
	}
	if _, err := b.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	snapshot, timestamp := b.onlineKeys(app)
	b.mustSign(r)
	if n := len(held(tuf.RoleSnapshot)); n != 2 {
		t.Fatalf("%d snapshot keys are held before a root lists the fresh one", n)
	}
	r.Roots = append(r.Roots, alice.rootFile(2, snapshot, timestamp, nil))
	b.mustSign(r)
	for role, want := range map[string]*tuf.Key{tuf.RoleSnapshot: snapshot, tuf.RoleTimestamp: timestamp} {
		if ids := held(role); len(ids) != 1 || ids[0] != want.ID() {
			t.Errorf("%s: %v are held, expected %s alone", role, ids, want.ID())
		}
	}
	// Keys that no root lists yet are not taken for old ones.
	if _, err := b.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	r.Roots = append(r.Roots, alice.rootFile(3, snapshot, timestamp, nil))
	b.mustSign(r)
	if ids := held(tuf.RoleSnapshot); len(ids) != 2 || ids[1] != snapshot.ID() {
		t.Errorf("%v are held, expected one more than %s", ids, snapshot.ID())
	}
	counts := map[string]int{}
	if _, err := b.Service.db.verifyLog(t.Context(), func(e Entry) { counts[e.Role]++ }); err != nil {
		t.Fatal(err)
	}
	if counts[logReplaced+tuf.RoleSnapshot] != 1 || counts[logReplaced+tuf.RoleTimestamp] != 1 {
		t.Errorf("the log has %v", counts)
	}
	// The next key goes on counting.
	if _, err := b.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Errorf("rotated once more: %v", err)
	}
}

func TestRepositoriesAreLimited(t *testing.T) {
	b := newBench(t)
	b.Service.config.MaxRepositories = 1
	b.onlineKeys(app)
	if _, err := b.OnlineKeys(t.Context(), "registry.example/team/other"); !errors.Is(err, tuf.RuleLimit) {
		t.Fatalf("got %v, expected %v", err, tuf.RuleLimit)
	}
	b.onlineKeys(app)
}

func TestSealedKeysOpenOnlyWhereTheyBelong(t *testing.T) {
	const other = "registry.example/team/other"
	tests := []struct {
		name   string
		tamper string
	}{
		{"an envelope of another repository", `UPDATE signing_key SET sealed = (SELECT sealed FROM signing_key WHERE repository = '` + other + `' AND role = 'timestamp') WHERE repository = '` + app + `' AND role = 'timestamp'`},
		{"key and envelope of another repository", `UPDATE signing_key SET (public, sealed) = (SELECT public, sealed FROM signing_key WHERE repository = '` + other + `' AND role = 'timestamp') WHERE repository = '` + app + `' AND role = 'timestamp'`},
		{"an envelope of another role", `UPDATE signing_key SET sealed = (SELECT sealed FROM signing_key WHERE repository = '` + app + `' AND role = 'snapshot') WHERE repository = '` + app + `' AND role = 'timestamp'`},
		{"a flipped bit", `UPDATE signing_key SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB) WHERE repository = '` + app + `'`},
		{"an empty envelope", `UPDATE signing_key SET sealed = x'' WHERE repository = '` + app + `'`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, alice := newBench(t), newPublisher(t)
			r := alice.first(b)
			b.onlineKeys(other)
			if _, err := b.db.write.Exec(test.tamper); err != nil {
				t.Fatal(err)
			}
			signed, err := b.Sign(t.Context(), r)
			// A swapped public key is not the one in root; the rest does not open.
			if !errors.Is(err, api.ErrUnavailable) && !errors.Is(err, tuf.RuleOnlineKey) {
				t.Fatalf("got %v, %v, expected a refusal", signed, err)
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	tests := []struct {
		name   string
		change func(path string) error
		want   string
	}{
		{"another key", func(path string) error {
			return errors.Join(os.Remove(path), createKeyFile(path))
		}, errSealed.Error()},
		{"no key for a database that is there", os.Remove, "put back the file that belongs to it"},
		{"an empty file", func(path string) error { return os.WriteFile(path, nil, 0o600) }, "expected a PEM block"},
		{"a short key", func(path string) error {
			return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: keyFileType, Bytes: make([]byte, 16)}), 0o600)
		}, "expected a PEM block"},
		{"a file that others may read", func(path string) error { return os.Chmod(path, 0o640) }, "open to others"},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "not a small file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(test.name, "others") {
				return // rights are not in the mode there
			}
			b := newBench(t)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if err := test.change(filepath.Join(b.config.Dir, KeyFileName)); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), b.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, expected %q", err, test.want)
			}
		})
	}
}

// Neither private keys nor the key-encryption key stand in the database in clear,
// and nobody else may read any of the files.
func TestFilesAreForTheirOwner(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	b.mustSign(alice.first(b))
	var seeds [][]byte
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		keys, err := b.db.keys(t.Context(), app, role)
		if err != nil {
			t.Fatal(err)
		}
		seed, err := b.wrapper.Unwrap(t.Context(), keys[0].sealed, keys[0].associated())
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, seed)
	}
	entries, err := os.ReadDir(b.config.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if openToOthers(info) {
			t.Errorf("%s has mode %04o", entry.Name(), info.Mode().Perm())
		}
		data, err := os.ReadFile(filepath.Join(b.config.Dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, seed := range seeds {
			if bytes.Contains(data, seed) {
				t.Errorf("%s holds a private key in clear", entry.Name())
			}
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	path := filepath.Join(f.TempDir(), KeyFileName)
	if err := createKeyFile(path); err != nil {
		f.Fatal(err)
	}
	key, err := readKeyFile(path)
	if err != nil {
		f.Fatal(err)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	sealed, err := key.Wrap(f.Context(), secret, []byte("alice"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, []byte("alice"))
	f.Add(sealed[:5], []byte("alice"))
	f.Add([]byte{}, []byte{})
	// Only the very envelope, for the very purpose, opens.
	f.Fuzz(func(t *testing.T, in, associated []byte) {
		got, err := key.Unwrap(t.Context(), in, associated)
		same := bytes.Equal(in, sealed) && string(associated) == "alice"
		if same != (err == nil) || same && !bytes.Equal(got, secret) {
			t.Fatalf("envelope %x for %q: %v", in, associated, err)
		}
	})
}

func TestLogIsChained(t *testing.T) {
	tests := []struct {
		name   string
		tamper string
	}{
		{"an entry that was changed", `UPDATE log SET sha256 = hex(zeroblob(32)) WHERE seq = 4`},
		{"an entry that was moved to another time", `UPDATE log SET at = at - 60 WHERE seq = 4`},
		{"an entry that was taken out", `DELETE FROM log WHERE seq = 4`},
		{"an entry in front that was taken out", `DELETE FROM log WHERE seq = 1`},
		{"the end cut off, with the marks left", `UPDATE repository SET timestamp_mark = 1`},
		{"another file kept as the last", `UPDATE role_file SET sha256 = hex(zeroblob(32)) WHERE role = 'snapshot'`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, alice := newBench(t), newPublisher(t)
			r := alice.first(b)
			b.mustSign(r)
			b.mustSign(r)
			report, err := b.VerifyLog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if report.Entries != 6 { // three keys, a snapshot and two timestamps
				t.Fatalf("%d entries, expected 6", report.Entries)
			}
			if _, err := b.db.write.Exec(`UPDATE log SET at = 0`); err == nil {
				t.Fatal("the database let the log be changed")
			}
			if _, err := b.db.write.Exec(`DROP TRIGGER log_keep; DROP TRIGGER log_stay; ` + test.tamper); err != nil {
				t.Fatal(err)
			}
			_, err = b.VerifyLog(t.Context())
			if _, ok := errors.AsType[*LogError](err); !ok {
				t.Fatalf("got %v, expected a *LogError", err)
			}
		})
	}
}

// The table is the last net below the marks.
func TestLogTakesAVersionOnce(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	b.mustSign(r)
	if _, err := b.db.write.Exec(`UPDATE repository SET timestamp_mark = 0`); err != nil {
		t.Fatal(err)
	}
	if signed, err := b.Sign(t.Context(), r); !errors.Is(err, api.ErrUnavailable) {
		t.Fatalf("got %v, %v, expected the database to refuse version 1 a second time", signed, err)
	}
	err := b.db.tx(t.Context(), "look", func(tx *sql.Tx) error {
		head, err := readLogHead(t.Context(), tx)
		if head.seq != 5 {
			t.Errorf("the log has %d entries, expected the 5 from before", head.seq)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
