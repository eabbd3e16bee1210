//go:build cgo && linux

package yubikey_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"
	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/test/yubikey"
)

// generate makes a key in slot and gives back what signs with it.
func generate(t *testing.T, key *piv.YubiKey, slot piv.Slot, rules piv.Key) crypto.Signer {
	t.Helper()
	public, err := key.GenerateKey(piv.DefaultManagementKey, slot, rules)
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.PrivateKey(slot, public, piv.KeyAuth{PIN: piv.DefaultPIN, PINPolicy: rules.PINPolicy})
	if err != nil {
		t.Fatal(err)
	}
	return private.(crypto.Signer)
}

var always = piv.Key{Algorithm: piv.AlgorithmEC256, PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyAlways}

// sign signs one message and checks the signature.
func sign(signer crypto.Signer) error {
	message := []byte("the words that are signed")
	var signed []byte
	var good func(signature []byte) bool
	switch public := signer.Public().(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		signed = digest[:]
		if public.Curve.Params().BitSize == 384 {
			digest := sha512.Sum384(message)
			signed = digest[:]
		}
		good = func(signature []byte) bool { return ecdsa.VerifyASN1(public, signed, signature) }
	case ed25519.PublicKey:
		signed = message
		good = func(signature []byte) bool { return ed25519.Verify(public, signed, signature) }
	}
	signature, err := signer.Sign(rand.Reader, signed, crypto.Hash(0))
	if err == nil && !good(signature) {
		err = errors.New("wrong signature")
	}
	return err
}

// status is the status word inside a piv-go error.
func status(err error) uint16 {
	var word interface{ Status() uint16 }
	if errors.As(err, &word) {
		return word.Status()
	}
	return 0
}

func TestEveryFirmwareGeneratesSignsAndAttests(t *testing.T) {
	for _, firmware := range []string{"5.2.7", "5.4.3", "5.7.4"} {
		t.Run(firmware, func(t *testing.T) {
			bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 12345678, Firmware: firmware}}})
			stick := bench.Sticks()[0]
			key := open(t, stick)
			signer := generate(t, key, piv.SlotSignature, always)
			if err := sign(signer); err != nil {
				t.Fatal(err)
			}
			if n := stick.Signatures(); n != 1 {
				t.Errorf("%d signatures, want 1", n)
			}
			certificate, err := key.Attest(piv.SlotSignature)
			if err != nil {
				t.Fatal(err)
			}
			issuer, err := key.AttestationCertificate()
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(bench.Maker().Root())
			verifier := piv.Verifier{Roots: roots}
			got, err := verifier.Verify(issuer, certificate)
			if err != nil {
				t.Fatal(err)
			}
			want := &piv.Attestation{
				Version: key.Version(), Serial: 12345678, Formfactor: piv.FormfactorUSBAKeychain,
				PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyAlways, Slot: piv.SlotSignature,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if !signer.Public().(*ecdsa.PublicKey).Equal(certificate.PublicKey) {
				t.Error("the attestation is of another key")
			}
			if _, err := piv.Verify(issuer, certificate); err == nil {
				t.Error("the test's authority passes for Yubico's")
			}
		})
	}
}

func TestEveryKindOfKey(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	for _, c := range []struct {
		name      string
		slot      piv.Slot
		algorithm piv.Algorithm
		rule      piv.PINPolicy
	}{
		{"P-256 in 9a, PIN once", piv.SlotAuthentication, piv.AlgorithmEC256, piv.PINPolicyOnce},
		{"P-384 in 9d, PIN always", piv.SlotKeyManagement, piv.AlgorithmEC384, piv.PINPolicyAlways},
		{"Ed25519 in 9e, no PIN", piv.SlotCardAuthentication, piv.AlgorithmEd25519, piv.PINPolicyNever},
		{"P-256 in the first retired slot", retired(t, 0x82), piv.AlgorithmEC256, piv.PINPolicyAlways},
		{"P-256 in the last retired slot", retired(t, 0x95), piv.AlgorithmEC256, piv.PINPolicyAlways},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := piv.Key{Algorithm: c.algorithm, PINPolicy: c.rule, TouchPolicy: piv.TouchPolicyNever}
			signer := generate(t, key, c.slot, rules)
			if err := sign(signer); err != nil {
				t.Fatal(err)
			}
			got, err := key.KeyInfo(c.slot)
			if err != nil {
				t.Fatal(err)
			}
			want := piv.KeyInfo{
				Algorithm: c.algorithm, PINPolicy: c.rule, TouchPolicy: piv.TouchPolicyNever,
				Origin: piv.OriginGenerated, PublicKey: signer.Public(),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func retired(t *testing.T, number uint32) piv.Slot {
	t.Helper()
	slot, ok := piv.RetiredKeyManagementSlot(number)
	if !ok {
		t.Fatalf("no slot %x", number)
	}
	return slot
}

func TestWrongPINsAreCountedUntilBlocked(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	signer := generate(t, key, piv.SlotSignature, always)
	for _, left := range []int{2, 1, 0} {
		var wrong piv.AuthErr
		if err := key.VerifyPIN("654321"); !errors.As(err, &wrong) || wrong.Retries != left {
			t.Fatalf("wrong PIN: %v, want %d tries left", err, left)
		}
		if n := stick.PINTries(); n != left {
			t.Fatalf("stick has %d tries left, want %d", n, left)
		}
	}
	if err := sign(signer); status(err) != 0x6983 {
		t.Errorf("right PIN when blocked: %v, want 6983", err)
	}
	if err := key.Unblock(piv.DefaultPUK, "123456"); err != nil {
		t.Fatal(err)
	}
	if err := sign(signer); err != nil {
		t.Errorf("after unblocking: %v", err)
	}
	if n := stick.PINTries(); n != 3 {
		t.Errorf("after unblocking %d tries left, want 3", n)
	}
}

func TestTouch(t *testing.T) {
	stick := startOne(t, "5.7.4")
	signer := generate(t, open(t, stick), piv.SlotSignature, always)

	t.Run("refused", func(t *testing.T) {
		stick.SetTouch(yubikey.Refuse)
		if err := sign(signer); status(err) != 0x6982 {
			t.Errorf("%v, want 6982", err)
		}
		if n := stick.Signatures(); n != 0 {
			t.Errorf("%d signatures, want none", n)
		}
	})
	t.Run("late", func(t *testing.T) {
		stick.SetTouch(yubikey.Manual)
		signed := make(chan error, 1)
		go func() { signed <- sign(signer) }()
		if err := stick.TouchAsked(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := stick.Signatures(); n != 0 {
			t.Errorf("%d signatures before the touch", n)
		}
		if err := stick.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-signed; err != nil {
			t.Error(err)
		}
	})
	t.Run("given", func(t *testing.T) {
		stick.SetTouch(yubikey.Auto)
		if err := sign(signer); err != nil {
			t.Error(err)
		}
	})
}

func TestTouchIsReported(t *testing.T) {
	told := make(chan yubikey.Touch, 2)
	bench := start(t, yubikey.Config{
		Sticks:  []yubikey.StickConfig{{Serial: 7}},
		OnTouch: func(touch yubikey.Touch) { told <- touch },
	})
	stick := bench.Stick(7)
	if err := sign(generate(t, open(t, stick), piv.SlotSignature, always)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []yubikey.Touch{{Serial: 7, Slot: 0x9C}, {Serial: 7, Slot: 0x9C, Ended: true, Given: true}} {
		if diff := cmp.Diff(want, <-told); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRemovedInTheMiddleOfASignature(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	signer := generate(t, key, piv.SlotSignature, always)
	stick.SetTouch(yubikey.Manual)
	const rounds = 4
	for range rounds {
		signed := make(chan error, 1)
		go func() { signed <- sign(signer) }()
		if err := stick.TouchAsked(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stick.Remove(); err != nil {
			t.Fatal(err)
		}
		if err := <-signed; err == nil {
			t.Fatal("signed without a stick")
		}
		key.Close()
		if _, err := piv.Open(stick.Reader()); err == nil {
			t.Fatal("a removed stick can be opened")
		}
		if err := stick.Insert(); err != nil {
			t.Fatal(err)
		}
		key = open(t, stick)
		private, err := key.PrivateKey(piv.SlotSignature, signer.Public(), piv.KeyAuth{PIN: piv.DefaultPIN})
		if err != nil {
			t.Fatal(err)
		}
		signer = private.(crypto.Signer)
	}
	stick.SetTouch(yubikey.Auto)
	if err := sign(signer); err != nil {
		t.Errorf("after %d removals: %v", rounds, err)
	}
}

func TestThreeSticksAtOnce(t *testing.T) {
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{
		{Serial: 101, Firmware: "5.2.7"}, {Serial: 102, Firmware: "5.4.3"}, {Serial: 103, Firmware: "5.7.4"},
	}})
	var wg sync.WaitGroup
	for _, stick := range bench.Sticks() {
		key := open(t, stick)
		serial, err := key.Serial()
		if err != nil {
			t.Fatal(err)
		}
		if serial != stick.Serial() {
			t.Errorf("reader %s has stick %d, want %d", stick.Reader(), serial, stick.Serial())
		}
		signer := generate(t, key, piv.SlotSignature, always)
		wg.Go(func() {
			const signatures = 20
			for range signatures {
				if err := sign(signer); err != nil {
					t.Errorf("stick %d: %v", serial, err)
				}
			}
			if n := stick.Signatures(); n != signatures {
				t.Errorf("stick %d made %d signatures, want %d", serial, n, signatures)
			}
		})
	}
	wg.Wait()
}

func TestAWaitingStickHoldsUpNoOther(t *testing.T) {
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 1}, {Serial: 2}}})
	waiting, other := bench.Stick(1), bench.Stick(2)
	blocked := generate(t, open(t, waiting), piv.SlotSignature, always)
	waiting.SetTouch(yubikey.Manual)
	signed := make(chan error, 1)
	go func() { signed <- sign(blocked) }()
	if err := waiting.TouchAsked(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sign(generate(t, open(t, other), piv.SlotSignature, always)); err != nil {
		t.Error(err)
	}
	if err := waiting.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-signed; err != nil {
		t.Error(err)
	}
}

func TestResetByPivGo(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	generate(t, key, piv.SlotSignature, always)
	if err := key.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := key.KeyInfo(piv.SlotSignature); !errors.Is(err, piv.ErrNotFound) {
		t.Errorf("key after reset: %v, want none", err)
	}
	if err := sign(generate(t, key, piv.SlotSignature, always)); err != nil {
		t.Errorf("factory's PIN and management key after reset: %v", err)
	}
}

func TestResetFromOutside(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	generate(t, key, piv.SlotSignature, always)
	if err := key.SetPIN(piv.DefaultPIN, "654321"); err != nil {
		t.Fatal(err)
	}
	if err := stick.Reset(); err != nil {
		t.Fatal(err)
	}
	key.Close()
	key = open(t, stick)
	if _, err := key.KeyInfo(piv.SlotSignature); !errors.Is(err, piv.ErrNotFound) {
		t.Errorf("key after reset: %v, want none", err)
	}
	if err := key.VerifyPIN(piv.DefaultPIN); err != nil {
		t.Error(err)
	}
}

func TestSlowStick(t *testing.T) {
	const delay = 50 * time.Millisecond
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 1, Delay: delay}}})
	signer := generate(t, open(t, bench.Stick(1)), piv.SlotSignature, always)
	began := time.Now()
	if err := sign(signer); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("signed in %s, want at least %s", took, delay)
	}
}

func TestManagementKeyChanges(t *testing.T) {
	for _, firmware := range []string{"5.2.7", "5.4.3", "5.7.4"} {
		t.Run(firmware, func(t *testing.T) {
			key := open(t, startOne(t, firmware))
			fresh := make([]byte, 24)
			rand.Read(fresh)
			if err := key.SetManagementKey(piv.DefaultManagementKey, fresh); err != nil {
				t.Fatal(err)
			}
			if _, err := key.GenerateKey(piv.DefaultManagementKey, piv.SlotSignature, always); err == nil {
				t.Error("the old management key still opens")
			}
			if _, err := key.GenerateKey(fresh, piv.SlotSignature, always); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCertificateIsKept(t *testing.T) {
	stick := startOne(t, "5.7.4")
	key := open(t, stick)
	generate(t, key, piv.SlotSignature, always)
	certificate, err := key.Attest(piv.SlotSignature)
	if err != nil {
		t.Fatal(err)
	}
	// Longer than one APDU either way: chained in, fetched by GET RESPONSE.
	if err := key.SetCertificate(piv.DefaultManagementKey, piv.SlotSignature, certificate); err != nil {
		t.Fatal(err)
	}
	got, err := key.Certificate(piv.SlotSignature)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(certificate) {
		t.Error("got another certificate")
	}
	if _, err := key.Certificate(piv.SlotAuthentication); !errors.Is(err, piv.ErrNotFound) {
		t.Errorf("certificate of an empty slot: %v", err)
	}
}

func TestStickSurvivesRestart(t *testing.T) {
	config := yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 5}}, StateDir: t.TempDir()}
	bench := start(t, config)
	key := open(t, bench.Stick(5))
	public := generate(t, key, piv.SlotSignature, always).Public()
	if err := key.VerifyPIN("000000"); err == nil {
		t.Fatal("wrong PIN taken")
	}
	key.Close()
	if err := bench.Close(); err != nil {
		t.Fatal(err)
	}

	root := bench.Maker().Root()
	bench = start(t, config)
	if !bench.Maker().Root().Equal(root) {
		t.Error("another attestation root after a restart")
	}
	if n := bench.Stick(5).PINTries(); n != 2 {
		t.Errorf("%d PIN tries left, want 2: a restart must not give any back", n)
	}
	private, err := open(t, bench.Stick(5)).PrivateKey(piv.SlotSignature, public, piv.KeyAuth{PIN: piv.DefaultPIN})
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(private.(crypto.Signer)); err != nil {
		t.Error(err)
	}
}

func TestReleaseEndsWithItsContext(t *testing.T) {
	stick := startOne(t, "5.7.4")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stick.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

func BenchmarkSign(b *testing.B) {
	bench, err := yubikey.Start(yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 1}}, Socket: socket()})
	if err != nil {
		b.Fatal(err)
	}
	defer bench.Close()
	key, err := piv.Open(bench.Stick(1).Reader())
	if err != nil {
		b.Fatal(err)
	}
	defer key.Close()
	public, err := key.GenerateKey(piv.DefaultManagementKey, piv.SlotSignature, always)
	if err != nil {
		b.Fatal(err)
	}
	private, err := key.PrivateKey(piv.SlotSignature, public, piv.KeyAuth{PIN: piv.DefaultPIN, PINPolicy: piv.PINPolicyAlways})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := sign(private.(crypto.Signer)); err != nil {
			b.Fatal(err)
		}
	}
}
