package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

func encodePKCS8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestParsePrivate(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edward, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	for _, test := range []struct {
		claim string
		in    []byte
		says  string // "": taken
	}{
		{"PKCS#8", encodePKCS8(t, p256), ""},
		{"PKCS#8, Ed25519", encodePKCS8(t, edward), ""},
		{"SEC 1", block("EC PRIVATE KEY", sec1), ""},
		{"SEC 1 after its parameters, as openssl writes it", append(block("EC PARAMETERS", []byte{6, 0}), block("EC PRIVATE KEY", sec1)...), ""},
		{"with remarks before it", append([]byte("of 2019\n"), encodePKCS8(t, p256)...), ""},
		{"RSA", encodePKCS8(t, large), "does not sign with"},
		{"RSA, PKCS#1", block("RSA PRIVATE KEY", []byte("hunter2")), "RSA key"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("hunter2")), "is encrypted"},
		{"garbled", block("PRIVATE KEY", []byte("hunter2")), "cannot be read"},
		{"cut short", encodePKCS8(t, p256)[:100], "no private key"},
		{"a public key", block("PUBLIC KEY", []byte("hunter2")), "no private key"},
		{"nothing", nil, "no private key"},
	} {
		t.Run(test.claim, func(t *testing.T) {
			private, err := parsePrivate(test.in)
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				wipe(private)
				if own, ok := private.(ed25519.PrivateKey); ok && !bytes.Equal(own, make([]byte, len(own))) {
					t.Error("not wiped")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

// A key that was noted as imported stays so, whatever a stick says later.
func TestImportedForEver(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	info := entryInfo(keystore.Entry{Key: key, Stick: &keystore.OnStick{Serial: 7, Slot: "9c", Imported: true}})
	info.connect(yubikey.SlotInfo{Serial: 7, Slot: yubikey.Signature, Key: key, Algorithm: "p256", Origin: yubikey.Generated}, yubikey.Version{Major: 5, Minor: 7})
	info.chain = []string{"an attestation"}
	info.vouch(attestation.Yubico(), time.Now())
	if info.birth() != "imported" || info.Attested != nil || info.Doubt == nil || info.Doubt.Rule != tuf.RuleNotAttested {
		t.Errorf("got %s, attested %v, %v", info.birth(), info.Attested, info.Doubt)
	}
}

func TestEnumerate(t *testing.T) {
	for want, list := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := enumerate(list); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Every bad day of a YubiKey ends with something to do, in one line, and with
// nothing that the sentence before it has said.
func TestHintsForKeys(t *testing.T) {
	for _, err := range []error{
		&yubikey.PINError{Serial: 7, Left: 2}, &yubikey.PINError{Serial: 7}, &yubikey.PINError{Serial: 7, PUK: true, Left: 1},
		&yubikey.PINError{Serial: 7, PUK: true}, &yubikey.PINError{Serial: 7, Left: 1, Again: true},
		yubikey.ErrPIN, yubikey.ErrPUK, yubikey.ErrFactoryPIN, yubikey.ErrNewSecret, yubikey.ErrManagementKey,
		&yubikey.SeveralError{Sticks: []yubikey.Info{{Serial: 1}, {Serial: 2}}},
		yubikey.ErrTouch, yubikey.ErrRemoved, yubikey.ErrAbsent, yubikey.ErrBusy, yubikey.ErrTwins, yubikey.ErrNoDaemon, yubikey.ErrNotAllowed,
		yubikey.ErrNoSupport, yubikey.ErrFirmware, yubikey.ErrSlotTaken, yubikey.ErrSlotEmpty, yubikey.ErrOtherKey, yubikey.ErrChooseSlot,
		keystore.ErrPassphrase, keystore.ErrWeak, keystore.ErrNotFound, keystore.ErrAmbiguous, keystore.ErrNotHere,
		errEncryptedHint(),
	} {
		text := hint(err)
		if text == "" || strings.Contains(text, "\n") || strings.Contains(err.Error(), text) {
			t.Errorf("%v: hint %q", err, text)
		}
	}
	if text := hintKeys(errors.New("something else")); text != "" {
		t.Errorf("a hint was made up: %q", text)
	}
}

func errEncryptedHint() error {
	_, err := parsePrivate(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY"}))
	return err
}
