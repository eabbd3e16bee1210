//go:build cgo && linux

package yubikey_test

import (
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/test/yubikey"
)

func TestTouchThatComesTooLate(t *testing.T) {
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 1, TouchLimit: 20 * time.Millisecond}}})
	stick := bench.Stick(1)
	signer := generate(t, open(t, stick), piv.SlotSignature, always)
	stick.SetTouch(yubikey.Manual)
	if err := sign(signer); status(err) != 0x6982 {
		t.Errorf("no touch: %v, want 6982", err)
	}
	stick.SetTouch(yubikey.Auto)
	if err := sign(signer); err != nil {
		t.Errorf("the next touch: %v", err)
	}
}

func TestCachedTouch(t *testing.T) {
	touches := make(chan yubikey.Touch, 10)
	bench := start(t, yubikey.Config{
		Sticks:  []yubikey.StickConfig{{Serial: 1}},
		OnTouch: func(touch yubikey.Touch) { touches <- touch },
	})
	stick := bench.Stick(1)
	rules := piv.Key{Algorithm: piv.AlgorithmEC256, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyCached}
	signer := generate(t, open(t, stick), piv.SlotAuthentication, rules)
	for range 3 {
		if err := sign(signer); err != nil {
			t.Fatal(err)
		}
	}
	const told = 2 // a touch is told when it is asked for and when it ended
	if n := len(touches); n != told {
		t.Errorf("told %d times of touches, want %d: one touch for three signatures", n, told)
	}
	stick.Advance(15 * time.Second)
	if err := sign(signer); err != nil {
		t.Fatal(err)
	}
	if n := len(touches); n != 2*told {
		t.Errorf("told %d times of touches after 15 seconds, want %d", n, 2*told)
	}
}

func TestSticksWithPINsOfTheirOwn(t *testing.T) {
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 1}, {Serial: 2, PIN: "246813"}}})
	for _, stick := range bench.Sticks() {
		key := open(t, stick)
		err := key.VerifyPIN(piv.DefaultPIN)
		if wrong := stick.Serial() == 2; (err != nil) != wrong {
			t.Errorf("the factory's PIN on stick %d: %v", stick.Serial(), err)
		}
	}
	if n := bench.Stick(2).PINTries(); n != 2 {
		t.Errorf("%d tries left, want 2", n)
	}
}
