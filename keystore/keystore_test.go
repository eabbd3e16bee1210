package keystore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

const passphrase = "correct horse battery"

// typing answers each question with the next of its lines, the last one for
// ever, and remembers what it handed out and what it was shown.
type typing struct {
	lines   []string
	asked   []string
	given   [][]byte
	notices []string
}

func types(lines ...string) *typing { return &typing{lines: lines} }

func (p *typing) Secret(_ context.Context, prompt string) ([]byte, error) {
	p.asked = append(p.asked, prompt)
	if len(p.lines) == 0 {
		return nil, errors.New("nobody at the keyboard")
	}
	line := []byte(p.lines[0])
	if len(p.lines) > 1 {
		p.lines = p.lines[1:]
	}
	p.given = append(p.given, line)
	return line, nil
}

func (p *typing) Notice(text string) { p.notices = append(p.notices, text) }

// people makes the keys of alice and bob once: each costs scrypt's time.
var people = sync.OnceValues(func() (files map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "keystore-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files = map[string][]byte{}
	for name, algorithm := range map[string]string{"alice": keystore.P256, "bob": keystore.Ed25519} {
		e, err := keystore.Store{Dir: dir}.Generate(context.Background(), keystore.Spec{Algorithm: algorithm, Name: name, Role: "root"}, types(passphrase))
		if err != nil {
			return nil, err
		}
		if files[name], err = os.ReadFile(e.Path); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// storeOf returns a store that holds the keys of these people.
func storeOf(t *testing.T, names ...string) (store keystore.Store, entries []keystore.Entry) {
	t.Helper()
	files, err := people()
	if err != nil {
		t.Fatal(err)
	}
	store = newStore(t)
	if err := os.MkdirAll(store.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var id struct{ KeyID string }
		if err := json.Unmarshal(files[name], &id); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(store.Dir, id.KeyID+".json")
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := store.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return store, entries
}

func newStore(t *testing.T) keystore.Store {
	return keystore.Store{Dir: filepath.Join(t.TempDir(), "signet", "keys")}
}

func TestGeneratedKeySigns(t *testing.T) {
	for _, algorithm := range []string{"", keystore.P384, keystore.Ed25519} {
		t.Run("algorithm "+algorithm, func(t *testing.T) {
			store := newStore(t)
			made, err := store.Generate(t.Context(), keystore.Spec{Algorithm: algorithm, Name: "alice", Role: "root"}, types(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			checkModes(t, store, made)
			found, err := store.Find("alice")
			if err != nil {
				t.Fatal(err)
			}
			if found.Key.ID() != made.Key.ID() || found.Role != "root" || !found.HasPrivate() || found.Created.IsZero() {
				t.Fatalf("found %+v, made %+v", found, made)
			}
			alice := types(passphrase)
			key, err := found.Unlock(t.Context(), alice)
			if err != nil {
				t.Fatal(err)
			}
			msg := []byte("targets version 2")
			sig, err := key.Sign(t.Context(), msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := made.Key.Verify(msg, sig); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(alice.given[0], make([]byte, len(passphrase))) {
				t.Error("the passphrase was not overwritten after use")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := key.Sign(ctx, msg); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			key.Close()
			if _, err := key.Sign(t.Context(), msg); !errors.Is(err, keystore.ErrClosed) {
				t.Errorf("closed key: %v", err)
			}
		})
	}
}

func TestGenerateRefuses(t *testing.T) {
	store, _ := storeOf(t, "alice")
	for _, test := range []struct {
		claim string
		spec  keystore.Spec
		typed []string
		want  error // nil: any
	}{
		{"short passphrase", keystore.Spec{}, []string{"eleven char"}, keystore.ErrWeak},
		{"short in characters, long in bytes", keystore.Spec{}, []string{"żżżżżżżżżżż"}, keystore.ErrWeak},
		{"second passphrase differs", keystore.Spec{}, []string{passphrase, passphrase + "!"}, nil},
		{"nobody answers", keystore.Spec{}, nil, nil},
		{"name taken", keystore.Spec{Name: "alice"}, []string{passphrase}, keystore.ErrExists},
		{"name like a key ID", keystore.Spec{Name: "abcdef"}, []string{passphrase}, nil},
		{"name with a path", keystore.Spec{Name: "a/b"}, []string{passphrase}, nil},
		{"name with a control character", keystore.Spec{Name: "a\x1b[2J"}, []string{passphrase}, nil},
		{"unknown algorithm", keystore.Spec{Algorithm: "rsa"}, []string{passphrase}, nil},
	} {
		t.Run(test.claim, func(t *testing.T) {
			_, err := store.Generate(t.Context(), test.spec, types(test.typed...))
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if entries, err := store.List(); len(entries) != 1 || err != nil {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
	if files, _ := os.ReadDir(store.Dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestWrongPassphraseSaysSo(t *testing.T) {
	_, made := storeOf(t, "alice")
	_, err := made[0].Unlock(t.Context(), types("incorrect horse battery"))
	if !errors.Is(err, keystore.ErrPassphrase) {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "horse") {
		t.Errorf("the error tells what was typed: %v", err)
	}
}

func checkModes(t *testing.T, store keystore.Store, e keystore.Entry) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // rights are not in the mode there
	}
	for path, want := range map[string]os.FileMode{e.Path: 0o600, store.Dir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}

func TestFilesOpenToOthersAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are not in the mode there")
	}
	store, made := storeOf(t, "alice")
	e := made[0]
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(e.Path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := store.Find(e.Path)
		if !errors.Is(err, keystore.ErrPermissions) || !strings.Contains(err.Error(), "chmod 600 '"+e.Path+"'") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(e.Path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Find(e.Path); err != nil {
		t.Errorf("mode 400: %v", err)
	}
}

func TestFind(t *testing.T) {
	store, made := storeOf(t, "alice", "bob")
	alice, bob := made[0], made[1]
	elsewhere := filepath.Join(t.TempDir(), "backup")
	copyFile(t, bob.Path, elsewhere)
	for _, test := range []struct {
		claim, what string
		want        string
		err         error
	}{
		{"by name", "alice", alice.Key.ID(), nil},
		{"by key ID", bob.Key.ID(), bob.Key.ID(), nil},
		{"by six digits", alice.Key.ID()[:6], alice.Key.ID(), nil},
		{"in upper case", strings.ToUpper(alice.Key.ID()[:10]), alice.Key.ID(), nil},
		{"by path", elsewhere, bob.Key.ID(), nil},
		{"five digits are too few", alice.Key.ID()[:5], "", keystore.ErrNotFound},
		{"a stranger", "eve", "", keystore.ErrNotFound},
		{"nothing", "", "", keystore.ErrNotFound},
		{"a path to nothing", "./eve.json", "", os.ErrNotExist},
		{"a folder", store.Dir, "", nil},
	} {
		t.Run(test.claim, func(t *testing.T) {
			e, err := store.Find(test.what)
			if test.want != "" && (err != nil || e.Key.ID() != test.want) {
				t.Errorf("got %v, %v", e, err)
			}
			if test.want == "" && (err == nil || test.err != nil && !errors.Is(err, test.err)) {
				t.Errorf("got %v, want %v", err, test.err)
			}
		})
	}
	copyFile(t, alice.Path, filepath.Join(store.Dir, "copy.json"))
	if _, err := store.Find("alice"); err != nil {
		t.Errorf("a stray copy beside it: %v", err)
	}
	if entries, err := store.List(); len(entries) != 2 || !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("list: %v, %v", entries, err)
	}
}

func TestKeysElsewhere(t *testing.T) {
	store := newStore(t)
	_, made := storeOf(t, "alice")
	key := made[0].Key
	stick := &keystore.OnStick{Serial: 12345678, Slot: "9c", Attestation: [][]byte{{0x30, 0}, {0x30, 0}}}
	if _, err := store.Add(keystore.Entry{Key: key, Name: "root-1", Stick: stick}); err != nil {
		t.Fatal(err)
	}
	e, err := store.Find(key.ID()[:8])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stick, e.Stick); diff != "" {
		t.Error(diff)
	}
	if _, err := e.Unlock(t.Context(), types(passphrase)); !errors.Is(err, keystore.ErrNotHere) || !strings.Contains(err.Error(), "YubiKey 12345678, slot 9c") {
		t.Errorf("unlock: %v", err)
	}
	if _, err := store.Add(keystore.Entry{Key: key}); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if _, err := store.Add(keystore.Entry{Key: key, Stick: &keystore.OnStick{Slot: "9z"}}); err == nil {
		t.Error("slot 9z was taken")
	}
}

func TestPublicKeys(t *testing.T) {
	dir := t.TempDir()
	store, made := storeOf(t, "alice")
	alice := made[0]
	path := filepath.Join(dir, "alice.pem")
	if err := keystore.WritePublic(path, alice.Key); err != nil {
		t.Fatal(err)
	}
	if err := keystore.WritePublic(path, alice.Key); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("written over: %v", err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, what := range []string{"alice", alice.Key.ID()[:6], alice.Path, path} {
		if key, err := store.Public(what); err != nil || !key.Equal(alice.Key) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := store.Public("eve"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("eve: %v", err)
	}
	secret := filepath.Join(dir, "oops.pem")
	if err := os.WriteFile(secret, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Public(secret); err == nil || strings.Contains(err.Error(), "AAAA") {
		t.Errorf("private key in the clear: %v", err)
	}
}

func TestReason(t *testing.T) {
	if got := keystore.Reason(t.Context()); got != "" {
		t.Errorf("got %q", got)
	}
	if got := keystore.Reason(keystore.WithReason(t.Context(), "root version 1")); got != "root version 1" {
		t.Errorf("got %q", got)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

var _ tuf.Signer = (*keystore.FileKey)(nil)
