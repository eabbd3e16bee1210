//go:build linux && cgo

package yubikey_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
	"github.com/signet-trust/signet/tuf"
)

var _ tuf.Signer = (*yubikey.Key)(nil)

func TestOnePINManySignatures(t *testing.T) {
	plug(t, alice)
	p := types(rightPIN)
	stick := open(t, p, alice)
	root := makeKey(t, stick, yubikey.Request{Role: "root"})
	targets := makeKey(t, stick, yubikey.Request{Role: "targets"})
	for range 3 {
		for _, key := range []*yubikey.Key{root, targets} {
			if err := sign(t, key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(p.asked) != 1 || p.asked[0] != "PIN of YubiKey 11111111: " {
		t.Errorf("asked %q", p.asked)
	}
}

func TestNoticeComesBeforeTheTouch(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	key := makeKey(t, open(t, p, 0), yubikey.Request{Role: "root"})
	hardware.SetTouch(virtual.Manual)
	signed := make(chan error)
	go func() { signed <- sign(t, key) }()
	if err := hardware.TouchAsked(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if !p.heard("touch YubiKey 11111111 (slot 9c) to sign root version 1 of example.com/app") {
		t.Errorf("the stick waits, and all that was said is %q", p.notices)
	}
	if err := hardware.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-signed; err != nil {
		t.Error(err)
	}
}

func TestKeyWithoutPINOrTouchAsksForNeither(t *testing.T) {
	plug(t, alice)
	p := types()
	key := makeKey(t, open(t, p, 0), yubikey.Request{PIN: yubikey.Never, Touch: yubikey.Never})
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	if !p.heard("YubiKey 11111111 (slot 82) signs root version 1 of example.com/app") || p.heard("touch YubiKey") {
		t.Errorf("said %q", p.notices)
	}
}

func TestPINOnce(t *testing.T) {
	plug(t, alice)
	p := types(rightPIN)
	key := makeKey(t, open(t, p, 0), yubikey.Request{PIN: yubikey.Once, Touch: yubikey.Cached})
	for range 2 {
		if err := sign(t, key); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.asked) != 1 {
		t.Errorf("asked %q", p.asked)
	}
}

// TestPINIsForgottenAtTheEnd has another program wait for the stick, and find it as if
// the PIN had never been shown: a card remembers it for as long as it has power.
func TestPINIsForgottenAtTheEnd(t *testing.T) {
	for firmware, serial := range all {
		t.Run(firmware, func(t *testing.T) {
			hardware := plug(t, serial)
			session := newSession(t, types(rightPIN))
			stick, err := session.Open(t.Context(), serial)
			if err != nil {
				t.Fatal(err)
			}
			key := makeKey(t, stick, yubikey.Request{Slot: yubikey.Signature, PIN: yubikey.Once, Touch: yubikey.Never})
			if err := sign(t, key); err != nil {
				t.Fatal(err)
			}
			session.Close()
			direct(t, hardware, func(card *piv.YubiKey) error {
				private, err := card.PrivateKey(piv.SlotSignature, key.Key().Public(), piv.KeyAuth{PINPolicy: piv.PINPolicyNever})
				if err != nil {
					return err
				}
				if _, err := private.(crypto.Signer).Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
					t.Error("it signs without a PIN")
				}
				return nil
			})
		})
	}
}

func TestFactoryPINIsRefused(t *testing.T) {
	hardware := insert(t, alice)
	p := types(factoryPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	signatures := hardware.Signatures()
	for range 2 {
		if err := sign(t, key); !errors.Is(err, yubikey.ErrFactoryPIN) {
			t.Errorf("got %v", err)
		}
	}
	if hardware.Signatures() != signatures || hardware.PINTries() != 3 {
		t.Errorf("%d signatures, %d tries", hardware.Signatures(), hardware.PINTries())
	}
	session.Close()

	// Unless it is allowed in words. Then it is warned about, once.
	allowed := yubikey.NewSession(yubikey.Config{Asker: p, Wait: -1, AllowFactoryPIN: true})
	defer allowed.Close()
	if key, err = allowed.Find(t.Context(), key.Key().ID()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sign(t, key); err != nil {
			t.Fatal(err)
		}
	}
	warnings := 0
	for _, n := range p.notices {
		if strings.Contains(n, "the PIN that it was sold with") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings in %q", warnings, p.notices)
	}
}

func TestWrongPIN(t *testing.T) {
	hardware := plug(t, alice)
	p := types("12345", "123456789", wrongPIN, wrongPIN, rightPIN)
	key := makeKey(t, open(t, p, 0), yubikey.Request{})
	for _, claim := range []string{"too short", "too long"} {
		if err := sign(t, key); !errors.Is(err, yubikey.ErrPIN) || hardware.PINTries() != 3 {
			t.Fatalf("%s: %v, %d tries left", claim, err, hardware.PINTries())
		}
	}
	wrong, ok := errors.AsType[*yubikey.PINError](sign(t, key))
	if !ok || wrong.Left != 2 || wrong.Serial != alice || !errors.Is(wrong, yubikey.ErrPIN) || !strings.Contains(wrong.Error(), "2 tries left") {
		t.Fatalf("wrong PIN: %v", wrong)
	}
	wrong, ok = errors.AsType[*yubikey.PINError](sign(t, key))
	if !ok || !wrong.Again || wrong.Left != 2 || hardware.PINTries() != 2 {
		t.Fatalf("the same again: %v, %d tries left", wrong, hardware.PINTries())
	}
	if p.heard("touch YubiKey") {
		t.Errorf("a touch was announced without a PIN: %q", p.notices)
	}
	if err := sign(t, key); err != nil {
		t.Fatalf("the right one: %v", err)
	}
	if last := p.asked[len(p.asked)-1]; !strings.Contains(last, "2 tries left") {
		t.Errorf("asked %q", last)
	}
}

func TestBlockedPIN(t *testing.T) {
	hardware := plug(t, alice)
	p := types("000000", "111111", "222222")
	key := makeKey(t, open(t, p, 0), yubikey.Request{})
	before := hardware.Signatures()
	for _, left := range []int{2, 1, 0} {
		wrong, ok := errors.AsType[*yubikey.PINError](sign(t, key))
		if !ok || wrong.Left != left || errors.Is(wrong, yubikey.ErrBlocked) != (left == 0) {
			t.Fatalf("%d left: %v", left, wrong)
		}
	}
	if !strings.Contains(p.asked[2], "last try") {
		t.Errorf("the last try was asked for with %q", p.asked[2])
	}
	err := sign(t, key)
	if !errors.Is(err, yubikey.ErrBlocked) || !strings.Contains(err.Error(), "blocked") || len(p.asked) != 3 {
		t.Errorf("blocked: %v after asking %q", err, p.asked)
	}
	if hardware.Signatures() != before {
		t.Error("it signed")
	}
}

func TestTouchNotGiven(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	key := makeKey(t, open(t, p, 0), yubikey.Request{})
	hardware.SetTouch(virtual.Refuse)
	if err := sign(t, key); !errors.Is(err, yubikey.ErrTouch) || !strings.Contains(err.Error(), "YubiKey 11111111, slot 82") {
		t.Fatalf("got %v", err)
	}
	hardware.SetTouch(virtual.Auto)
	if err := sign(t, key); err != nil || len(p.asked) != 1 {
		t.Errorf("the next try: %v, asked %q", err, p.asked)
	}
}

func TestPulledOut(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	hardware.SetTouch(virtual.Manual)
	signed := make(chan error)
	go func() { signed <- sign(t, key) }()
	if err := hardware.TouchAsked(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	pullOut(t, hardware)
	if err := <-signed; !errors.Is(err, yubikey.ErrRemoved) || !strings.Contains(err.Error(), "YubiKey 11111111") {
		t.Fatalf("during the touch: %v", err)
	}
	if err := sign(t, key); !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := session.Find(t.Context(), key.Key().ID()); !errors.Is(err, yubikey.ErrAbsent) {
		t.Errorf("looked for: %v", err)
	}
	hardware.SetTouch(virtual.Auto)
	pushIn(t, hardware)
	again, err := session.Find(t.Context(), key.Key().ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t, again); err != nil {
		t.Errorf("plugged in again: %v", err)
	}
}

func TestPulledOutWhileGenerating(t *testing.T) {
	hardware := plug(t, alice)
	stick := open(t, types(rightPIN), alice)
	pullOut(t, hardware)
	if _, err := stick.Generate(t.Context(), yubikey.Request{}); !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("got %v", err)
	}
	if _, err := stick.Keys(t.Context()); !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("got %v", err)
	}
}

func TestCancelledDuringTheTouch(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	hardware.SetTouch(virtual.Manual)
	before := hardware.Signatures()
	ctx, cancel := context.WithCancel(t.Context())
	signed := make(chan error)
	go func() {
		sig, err := key.Sign(ctx, []byte("x"))
		if sig != nil {
			t.Error("a signature came out")
		}
		signed <- err
	}()
	if err := hardware.TouchAsked(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-signed; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "YubiKey 11111111") {
		t.Fatalf("got %v", err)
	}
	// The stick still waits. Whoever comes next must not be mixed up with that.
	next := make(chan error)
	go func() { next <- sign(t, key) }()
	if err := hardware.Release(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := hardware.Release(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Errorf("the next one: %v", err)
	}
	if got := hardware.Signatures() - before; got != 2 {
		t.Errorf("%d signatures, expected the abandoned one and the next", got)
	}
}

func TestClosedDuringTheTouchLetsGoLater(t *testing.T) {
	hardware := plug(t, alice)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	hardware.SetTouch(virtual.Manual)
	ctx, cancel := context.WithCancel(t.Context())
	signed := make(chan error)
	go func() {
		_, err := key.Sign(ctx, []byte("x"))
		signed <- err
	}()
	if err := hardware.TouchAsked(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-signed
	session.Close() // must not wait for the stick
	if err := hardware.Release(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign(t.Context(), []byte("x")); !errors.Is(err, yubikey.ErrClosed) {
		t.Errorf("signed after close: %v", err)
	}
	next := yubikey.NewSession(yubikey.Config{Asker: types()})
	defer next.Close()
	if _, err := next.Open(t.Context(), alice); err != nil {
		t.Errorf("the stick was not let go: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	plug(t, alice)
	p := types(rightPIN)
	key := makeKey(t, open(t, p, 0), yubikey.Request{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := sign(t, key); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := key.Close(); err != nil {
		t.Error(err)
	}
	if len(p.asked) != 1 {
		t.Errorf("asked %q", p.asked)
	}
}

func TestEd25519MessageLimit(t *testing.T) {
	plug(t, alice)
	key := makeKey(t, open(t, types(rightPIN), 0), yubikey.Request{Algorithm: keystore.Ed25519})
	if _, err := key.Sign(t.Context(), bytes.Repeat([]byte("x"), 3000)); err != nil {
		t.Errorf("3000 bytes: %v", err)
	}
	if _, err := key.Sign(t.Context(), bytes.Repeat([]byte("x"), 4000)); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Errorf("4000 bytes: %v", err)
	}
}
