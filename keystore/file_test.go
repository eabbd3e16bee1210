package keystore

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/tuf"
)

type fixed string

func (p fixed) Secret(context.Context, string) ([]byte, error) { return []byte(p), nil }
func (p fixed) Notice(string)                                  {}

const testPassphrase = "correct horse battery"

// example is a key file as signet writes it, made once: it costs scrypt's time.
func example(t testing.TB) (raw []byte, e Entry) {
	t.Helper()
	raw, err := exampleFile()
	if err == nil {
		e, err = decodeEntry(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(raw), e
}

var exampleFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keystore-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	e, err := Store{Dir: dir}.Generate(context.Background(), Spec{Name: "alice", Role: "root"}, fixed(testPassphrase))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(e.Path)
})

func newPublic(t *testing.T) *tuf.Key {
	t.Helper()
	private, err := newPrivate(P256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestDamagedFilesAreNamed(t *testing.T) {
	raw, _ := example(t)
	other := newPublic(t)
	otherKey, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) func([]byte) []byte {
		return func(raw []byte) []byte {
			if !bytes.Contains(raw, []byte(old)) {
				t.Fatalf("%q is not in %s", old, raw)
			}
			return bytes.Replace(raw, []byte(old), []byte(new), 1)
		}
	}
	for _, test := range []struct {
		claim  string
		change func([]byte) []byte
		says   string
	}{
		{"empty", func([]byte) []byte { return nil }, ""},
		{"cut short", func(raw []byte) []byte { return raw[:len(raw)/2] }, ""},
		{"too large", func(raw []byte) []byte { return append(raw, bytes.Repeat([]byte(" "), maxFile)...) }, "larger"},
		{"two objects", func(raw []byte) []byte { return append(raw, raw...) }, ""},
		{"null", func([]byte) []byte { return []byte("null") }, ""},
		{"no key", func([]byte) []byte { return []byte(`{"keyid":"","key":null,"created":"2026-01-01T00:00:00Z"}`) }, "no key"},
		{"unknown member", replace(`"keyid"`, `"comment":"", "keyid"`), "does not write"},
		{"member twice", replace(`"name": "alice"`, `"name":"eve", "name": "alice"`), "does not write"},
		{"member in another case", replace(`"name"`, `"Name"`), "does not write"},
		{"other key ID", replace(`"keyid": "`, `"keyid": "ff`), "key ID"},
		{"more memory", replace(`131072`, `1048576`), "scrypt N=1048576"},
		{"weaker", replace(`131072`, `2`), "scrypt N=2 "},
		{"more parallel", replace(`"p": 1`, `"p": 9`), "p=9"},
		{"other cipher", replace(`nacl/secretbox`, `rot13`), "rot13"},
		{"short nonce", replace(`"nonce": "`, `"nonce": "","x": "`), "does not write"},
		{"name with an escape", replace(`alice`, `\u001b[2Jalice`), "name"},
		{"here and on a stick", replace(`"encrypted": {`, `"yubikey":{"serial":1,"slot":"9c"},"encrypted": {`), ""},
	} {
		t.Run(test.claim, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "alice.json")
			if err := os.WriteFile(path, test.change(bytes.Clone(raw)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Store{}.Find(path)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to name the file and say %q", err, test.says)
			}
		})
	}
	t.Run("public key swapped", func(t *testing.T) {
		var d map[string]json.RawMessage
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		e, err := decodeEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		swapped := replace(string(d["key"]), string(otherKey))(bytes.Clone(raw))
		swapped = bytes.Replace(swapped, []byte(e.Key.ID()), []byte(other.ID()), 1)
		path := filepath.Join(t.TempDir(), "alice.json")
		if err := os.WriteFile(path, swapped, 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err = (Store{}).Find(path); err != nil {
			t.Fatal(err) // it can be noticed only once the private key is there
		}
		if _, err = e.Unlock(t.Context(), fixed(testPassphrase)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), other.ID()) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSealedThingsThatAreNoKey(t *testing.T) {
	_, e := example(t)
	private, err := newPrivate(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if e.sealed, err = seal(foreign, []byte(testPassphrase)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Unlock(t.Context(), fixed(testPassphrase)); !errors.Is(err, ErrDamaged) {
		t.Errorf("another key: %v", err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(exchange)
	if err != nil {
		t.Fatal(err)
	}
	for claim, plain := range map[string][]byte{"nothing": nil, "not PKCS#8": []byte("hello"), "no signing key": other} {
		if _, err := parsePrivate(plain); err == nil || strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: %v", claim, err)
		}
	}
}

func TestWhiteSpaceIsFree(t *testing.T) {
	raw, e := example(t)
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	got, err := decodeEntry(compact.Bytes())
	if err != nil || got.Key.ID() != e.Key.ID() {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWriteNewNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.json")
	if err := writeNew(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("second"), 0o600); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	if raw, err := os.ReadFile(path); string(raw) != "first" || err != nil {
		t.Errorf("%q, %v", raw, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

// FuzzKeyFile checks that whatever is read from a key file names the key that is
// in it, is all that the file says (so that written again it reads the same),
// and would open with the one set of scrypt parameters that we know: a hostile
// file can neither hide something nor ask for memory.
func FuzzKeyFile(f *testing.F) {
	raw, e := example(f)
	f.Add(raw)
	e.sealed, e.Stick = nil, &OnStick{Serial: 1, Slot: "9c", Attestation: [][]byte{{1}}}
	if raw, err := encodeEntry(e); err == nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := decodeEntry(in)
		if err != nil {
			return // refusing is fine; panicking is not
		}
		if key, err := tuf.NewKey(e.Key.Public()); err != nil || key.ID() != e.Key.ID() {
			t.Fatalf("took a key under a foreign ID %s: %v", e.Key.ID(), err)
		}
		if e.HasPrivate() && !bytes.Contains(e.sealed, []byte("131072")) {
			t.Fatalf("took other scrypt parameters: %s", e.sealed)
		}
		again, err := encodeEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeEntry(again)
		if err != nil {
			t.Fatalf("took %q, wrote %q, which it does not take: %v", in, again, err)
		}
		same := cmp.Options{cmpopts.IgnoreUnexported(Entry{}), cmp.Comparer((*tuf.Key).Equal), cmp.Comparer(time.Time.Equal)}
		if diff := cmp.Diff(e, back, same); diff != "" {
			t.Fatalf("read back differently:\n%s", diff)
		}
	})
}
