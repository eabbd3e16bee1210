//go:build linux && cgo

package yubikey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

func newPrivate(t *testing.T, algorithm string) crypto.Signer {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case keystore.P256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keystore.P384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case keystore.Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "p521":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "rsa2048":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func TestImport(t *testing.T) {
	for _, test := range []struct {
		claim     string
		serial    uint32
		algorithm string
		request   yubikey.Request
		slot      string
	}{
		{"P-256", alice, keystore.P256, yubikey.Request{}, "82"},
		{"P-384", alice, keystore.P384, yubikey.Request{Role: "root"}, "9c"},
		{"Ed25519", alice, keystore.Ed25519, yubikey.Request{Touch: yubikey.Cached, PIN: yubikey.Once}, "82"},
		{"firmware 5.4", bob, keystore.P256, yubikey.Request{Slot: 0x90, Algorithm: keystore.P256}, "90"},
		{"firmware without metadata", carol, keystore.P384, yubikey.Request{Slot: 0x90}, "90"},
	} {
		t.Run(test.claim, func(t *testing.T) {
			plug(t, test.serial)
			p := types(rightPIN)
			session := newSession(t, p)
			stick, err := session.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			private := newPrivate(t, test.algorithm)
			made, err := stick.Import(t.Context(), test.request, private)
			if err != nil {
				t.Fatal(err)
			}
			if made.Origin != yubikey.Imported || made.Slot.String() != test.slot || made.Algorithm != test.algorithm ||
				made.Attestation != nil || !strings.Contains(made.Certificate, made.Key.ID()[:12]+" imported") || made.PIN == "" || made.Touch == "" {
				t.Errorf("made %+v", made)
			}
			if len(p.asked) != 0 || !p.heard("imported key "+made.Key.ID()) {
				t.Errorf("asked %q, said %q", p.asked, p.notices)
			}
			session.Close()

			// For ever, as anyone sees who looks later.
			stick = open(t, p, 0)
			keys, err := stick.Keys(t.Context())
			if err != nil || len(keys) != 1 || keys[0].Origin != yubikey.Imported || !keys[0].Key.Equal(made.Key) {
				t.Errorf("listed %+v, %v", keys, err)
			}
			if _, err := stick.Attestation(t.Context(), made.Slot); !errors.Is(err, yubikey.ErrSlotEmpty) {
				t.Errorf("attested: %v", err)
			}
			key, err := stick.Find(t.Context(), made.Key.ID())
			if err != nil {
				t.Fatal(err)
			}
			if err := sign(t, key); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	plug(t, bob)
	stick := open(t, types(), 0)
	for _, test := range []struct {
		claim     string
		algorithm string
		request   yubikey.Request
		want      error
	}{
		{"Ed25519 before 5.7", keystore.Ed25519, yubikey.Request{}, yubikey.ErrFirmware},
		{"P-521", "p521", yubikey.Request{}, nil},
		{"RSA", "rsa2048", yubikey.Request{}, nil},
		{"another algorithm than was said", keystore.P256, yubikey.Request{Algorithm: keystore.P384}, nil},
		{"another program's slot", keystore.P256, yubikey.Request{Slot: 0x9d}, nil},
		{"wrong management key", keystore.P256, yubikey.Request{ManagementKey: make([]byte, 24)}, yubikey.ErrManagementKey},
	} {
		t.Run(test.claim, func(t *testing.T) {
			_, err := stick.Import(t.Context(), test.request, newPrivate(t, test.algorithm))
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), "YubiKey 22222222") {
				t.Errorf("got %v", err)
			}
		})
	}
	if keys, err := stick.Keys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("left behind: %v, %v", keys, err)
	}
}

func TestImportDoesNotOverwrite(t *testing.T) {
	plug(t, alice)
	stick := open(t, types(rightPIN), 0)
	first := makeKey(t, stick, yubikey.Request{Slot: 0x82})
	private := newPrivate(t, keystore.P256)
	if _, err := stick.Import(t.Context(), yubikey.Request{Slot: 0x82}, private); !errors.Is(err, yubikey.ErrSlotTaken) {
		t.Errorf("taken: %v", err)
	}
	if err := sign(t, first); err != nil {
		t.Error(err)
	}
	made, err := stick.Import(t.Context(), yubikey.Request{Slot: 0x82, Overwrite: true}, private)
	if err != nil || made.Origin != yubikey.Imported {
		t.Errorf("in words: %+v, %v", made, err)
	}
	// And a generated key over it is born there again.
	over, err := stick.Generate(t.Context(), yubikey.Request{Slot: 0x82, Overwrite: true})
	if err != nil || over.Origin != yubikey.Generated || strings.Contains(over.Certificate, "imported") {
		t.Errorf("generated over it: %+v, %v", over, err)
	}
}

// TestSlotsThatOnlySeemFree: before firmware 5.3 an imported key without a
// certificate cannot be seen.
func TestSlotsThatOnlySeemFree(t *testing.T) {
	hardware := plug(t, carol)
	hidden := newPrivate(t, keystore.P256)
	direct(t, hardware, func(card *piv.YubiKey) error {
		slot, _ := piv.RetiredKeyManagementSlot(0x82)
		return card.SetPrivateKeyInsecure(piv.DefaultManagementKey, slot, hidden, piv.Key{PINPolicy: piv.PINPolicyNever, TouchPolicy: piv.TouchPolicyNever})
	})
	stick := open(t, types(), 0)
	_, err := stick.Generate(t.Context(), yubikey.Request{})
	if !errors.Is(err, yubikey.ErrChooseSlot) || !strings.Contains(err.Error(), "5.2.7") {
		t.Errorf("generate: %v", err)
	}
	_, err = stick.Import(t.Context(), yubikey.Request{Role: "root"}, newPrivate(t, keystore.P256))
	if !errors.Is(err, yubikey.ErrChooseSlot) {
		t.Errorf("import: %v", err)
	}
	if err := sign(t, makeKey(t, stick, yubikey.Request{Slot: 0x83, PIN: yubikey.Never})); err != nil {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	plug(t, alice, carol)
	p := types(rightPIN)
	session := newSession(t, p)
	for _, serial := range []uint32{alice, carol} {
		stick, err := session.Open(t.Context(), serial)
		if err != nil {
			t.Fatal(err)
		}
		hardware := bench.Stick(serial)
		plain := makeKey(t, stick, yubikey.Request{Slot: 0x82})
		made, err := stick.Import(t.Context(), yubikey.Request{Slot: 0x83, Role: "targets"}, newPrivate(t, keystore.P256))
		if err != nil {
			t.Fatal(err)
		}
		const tag82, tag83, tag84 = 0x5fc10d, 0x5fc10e, 0x5fc10f
		whole := hardware.Object(tag83)
		for _, test := range []struct {
			claim   string
			object  []byte
			garbled bool
		}{
			{"compressed", compressed(t, whole), false},
			{"cut off", whole[:len(whole)/2], true},
			{"a bomb", bomb(t), true},
			{"noise", []byte("this is not a certificate"), true},
			{"nothing in its wrapper", []byte{0x70, 0}, true},
		} {
			for _, tag := range []uint32{tag82, tag83, tag84} {
				if err := hardware.SetObject(tag, test.object); err != nil {
					t.Fatal(err)
				}
			}
			keys, err := stick.Keys(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", test.claim, err)
			}
			at := func(slot yubikey.Slot) yubikey.SlotInfo {
				if n := slices.IndexFunc(keys, func(k yubikey.SlotInfo) bool { return k.Slot == slot }); n >= 0 {
					return keys[n]
				}
				return yubikey.SlotInfo{}
			}
			if k := at(0x82); k.Key == nil || !k.Key.Equal(plain.Key()) || k.Garbled != test.garbled || (k.Certificate == "") != test.garbled {
				t.Errorf("%s: %+v", test.claim, k)
			}
			switch k := at(0x83); {
			case serial == alice || !test.garbled:
				if k.Key == nil || !k.Key.Equal(made.Key) || k.Garbled != test.garbled || k.Origin != yubikey.Imported {
					t.Errorf("%s, imported: %+v", test.claim, k)
				}
			case k.Algorithm != "unreadable": // nothing tells of the key then
				t.Errorf("%s, imported, firmware 5.2: %+v", test.claim, k)
			}
			// The key signs all the same, and the slot is not free.
			if err := sign(t, plain); err != nil {
				t.Errorf("%s: %v", test.claim, err)
			}
			_, err = stick.Generate(t.Context(), yubikey.Request{Slot: 0x84})
			if !errors.Is(err, yubikey.ErrSlotTaken) {
				t.Errorf("%s: made a key where it is: %v", test.claim, err)
			}
		}
	}
}
