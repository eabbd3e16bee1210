//go:build linux && cgo

package yubikey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

func TestGenerate(t *testing.T) {
	for _, test := range []struct {
		claim   string
		serial  uint32
		request yubikey.Request
		slot    string
	}{
		{"safe by default", alice, yubikey.Request{}, "82"},
		{"root has the signature slot", alice, yubikey.Request{Role: "root"}, "9c"},
		{"others do not", alice, yubikey.Request{Role: "targets"}, "82"},
		{"a slot of one's choice", alice, yubikey.Request{Slot: 0x95}, "95"},
		{"P-384", alice, yubikey.Request{Algorithm: keystore.P384}, "82"},
		{"Ed25519", alice, yubikey.Request{Algorithm: keystore.Ed25519}, "82"},
		{"firmware 5.4", bob, yubikey.Request{Role: "root"}, "9c"},
		{"firmware without metadata", carol, yubikey.Request{Algorithm: keystore.P384, Slot: 0x83}, "83"},
	} {
		t.Run(test.claim, func(t *testing.T) {
			plug(t, test.serial)
			p := types(rightPIN)
			stick := open(t, p, 0)
			made, err := stick.Generate(t.Context(), test.request)
			if err != nil {
				t.Fatal(err)
			}
			label := strings.Join(strings.Fields("signet "+test.request.Role+" "+made.Key.ID()[:12]), " ")
			algorithm := test.request.Algorithm
			if algorithm == "" {
				algorithm = keystore.P256
			}
			want := yubikey.SlotInfo{
				Serial: test.serial, Slot: made.Slot, Key: made.Key, Algorithm: algorithm,
				PIN: yubikey.Always, Touch: yubikey.Always, Origin: yubikey.Generated, Certificate: label,
			}
			if diff := cmp.Diff(want, made.SlotInfo, cmpopts.EquateComparable(want)); diff != "" {
				t.Error(diff)
			}
			if made.Slot.String() != test.slot {
				t.Errorf("slot %s", made.Slot)
			}
			if !p.heard(made.Key.ID()) || len(p.asked) != 0 {
				t.Errorf("said %q, asked %q", p.notices, p.asked)
			}
			checkAttestation(t, made)
			keys, err := stick.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) != 1 || keys[0].Key.ID() != made.Key.ID() || keys[0].Certificate != label || keys[0].PIN != yubikey.Always {
				t.Errorf("listed: %+v", keys)
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

// checkAttestation asks piv-go, below the root of whoever made our sticks.
func checkAttestation(t *testing.T, made yubikey.Made) {
	t.Helper()
	if len(made.Attestation) != 2 {
		t.Fatalf("%d certificates", len(made.Attestation))
	}
	leaf, err := x509.ParseCertificate(made.Attestation[0])
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(made.Attestation[1])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(bench.Maker().Root())
	verifier := piv.Verifier{Roots: roots}
	a, err := verifier.Verify(issuer, leaf)
	if err != nil {
		t.Fatal(err)
	}
	if a.Serial != made.Serial || a.Slot.Key != uint32(made.Slot) || a.TouchPolicy != piv.TouchPolicyAlways || a.PINPolicy != piv.PINPolicyAlways {
		t.Errorf("attested: %+v", a)
	}
}

func TestSlotsAreNotOverwritten(t *testing.T) {
	plug(t, alice)
	stick := open(t, types(rightPIN), 0)
	first := makeKey(t, stick, yubikey.Request{Role: "root"})
	if next := makeKey(t, stick, yubikey.Request{Role: "root"}); next.Info().Slot.String() != "82" {
		t.Errorf("the second root key went to %s", next.Info().Slot)
	}
	_, err := stick.Generate(t.Context(), yubikey.Request{Slot: yubikey.Signature})
	if !errors.Is(err, yubikey.ErrSlotTaken) || !strings.Contains(err.Error(), first.Key().ID()) {
		t.Errorf("taken: %v", err)
	}
	if err := sign(t, first); err != nil {
		t.Errorf("the first key: %v", err)
	}
	over := makeKey(t, stick, yubikey.Request{Slot: yubikey.Signature, Overwrite: true})
	if over.Key().ID() == first.Key().ID() {
		t.Error("not overwritten")
	}
	// The object that stood for the first key now signs with another one.
	if err := sign(t, first); !errors.Is(err, yubikey.ErrCard) {
		t.Errorf("the key that is gone: %v", err)
	}
}

func TestCertificateAloneTakesASlot(t *testing.T) {
	hardware := plug(t, alice)
	direct(t, hardware, func(card *piv.YubiKey) error {
		cert, err := x509.ParseCertificate(someCertificate(t))
		if err != nil {
			return err
		}
		return card.SetCertificate(piv.DefaultManagementKey, piv.SlotSignature, cert)
	})
	stick := open(t, types(), 0)
	if _, err := stick.Generate(t.Context(), yubikey.Request{Slot: yubikey.Signature}); !errors.Is(err, yubikey.ErrSlotTaken) {
		t.Errorf("got %v", err)
	}
}

func someCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: bench.Maker().Root().SerialNumber}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAllSlotsTaken(t *testing.T) {
	plug(t, alice)
	stick := open(t, types(), 0)
	for range 20 {
		if _, err := stick.Generate(t.Context(), yubikey.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stick.Generate(t.Context(), yubikey.Request{}); !errors.Is(err, yubikey.ErrSlotTaken) {
		t.Errorf("got %v", err)
	}
	if keys, err := stick.Keys(t.Context()); err != nil || len(keys) != 20 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestGenerateRefuses(t *testing.T) {
	plug(t, bob)
	stick := open(t, types(), 0)
	for _, test := range []struct {
		claim   string
		request yubikey.Request
		want    error
	}{
		{"Ed25519 before 5.7", yubikey.Request{Algorithm: keystore.Ed25519}, yubikey.ErrFirmware},
		{"RSA", yubikey.Request{Algorithm: "rsa2048"}, nil},
		{"another program's slot", yubikey.Request{Slot: 0x9a}, nil},
		{"a PIN policy that is not one", yubikey.Request{PIN: "sometimes"}, nil},
		{"a touch policy that is not one", yubikey.Request{Touch: "once"}, nil},
	} {
		t.Run(test.claim, func(t *testing.T) {
			_, err := stick.Generate(t.Context(), test.request)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), "YubiKey 22222222") {
				t.Errorf("got %v", err)
			}
		})
	}
	if keys, err := stick.Keys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("left behind: %v, %v", keys, err)
	}
}

func TestManagementKey(t *testing.T) {
	secret := bytes.Repeat([]byte{0x5a}, 24)
	hardware := plug(t, alice)
	direct(t, hardware, func(card *piv.YubiKey) error { return card.SetManagementKey(piv.DefaultManagementKey, secret) })

	t.Run("given", func(t *testing.T) {
		p := types()
		if _, err := open(t, p, 0).Generate(t.Context(), yubikey.Request{ManagementKey: secret}); err != nil || len(p.asked) != 0 {
			t.Errorf("%v, asked %q", err, p.asked)
		}
		if secret[0] != 0x5a {
			t.Error("the caller's key was overwritten")
		}
	})
	t.Run("given wrongly", func(t *testing.T) {
		stick := open(t, types(rightPIN), 0)
		for _, wrong := range [][]byte{bytes.Repeat([]byte{1}, 24), {1, 2, 3}} {
			_, err := stick.Generate(t.Context(), yubikey.Request{ManagementKey: wrong})
			if !errors.Is(err, yubikey.ErrManagementKey) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := open(t, types(rightPIN), 0).Generate(t.Context(), yubikey.Request{})
		if !errors.Is(err, yubikey.ErrManagementKey) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("under the PIN", func(t *testing.T) {
		direct(t, hardware, func(card *piv.YubiKey) error { return card.SetMetadata(secret, &piv.Metadata{ManagementKey: &secret}) })
		p := types(wrongPIN, rightPIN)
		stick := open(t, p, 0)
		if _, err := stick.Generate(t.Context(), yubikey.Request{}); !errors.Is(err, yubikey.ErrPIN) {
			t.Errorf("wrong PIN: %v", err)
		}
		if err := sign(t, makeKey(t, stick, yubikey.Request{})); err != nil || len(p.asked) != 2 {
			t.Errorf("%v, asked %q", err, p.asked)
		}
	})
}

func TestForeignKeysAreShownOnly(t *testing.T) {
	hardware := plug(t, alice)
	imported, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	direct(t, hardware, func(card *piv.YubiKey) error {
		policy := piv.Key{PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyCached}
		retired, _ := piv.RetiredKeyManagementSlot(0x83)
		policy.Algorithm = piv.AlgorithmEC256
		_, err := card.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, policy)
		return errors.Join(err, card.SetPrivateKeyInsecure(piv.DefaultManagementKey, retired, imported, policy))
	})
	p := types(rightPIN)
	stick := open(t, p, 0)
	keys, err := stick.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("%+v, %v", keys, err)
	}
	if k := keys[1]; k.Origin != yubikey.Imported || k.PIN != yubikey.Once || k.Touch != yubikey.Cached || k.Slot.String() != "83" {
		t.Errorf("imported: %+v", k)
	}
	if _, err := stick.Attestation(t.Context(), keys[1].Slot); !errors.Is(err, yubikey.ErrSlotEmpty) {
		t.Errorf("attestation of an imported key: %v", err)
	}
	if _, err := stick.Key(t.Context(), keys[0].Slot); err == nil {
		t.Error("slot 9a signs")
	}
	if _, err := stick.Key(t.Context(), yubikey.Signature); !errors.Is(err, yubikey.ErrSlotEmpty) {
		t.Errorf("empty slot: %v", err)
	}
	key, err := stick.Key(t.Context(), keys[1].Slot)
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t, key); err != nil {
		t.Error(err)
	}
}
