//go:build linux && cgo

package yubikey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"
	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/keystore/yubikey"
)

const newPIN, newPUK = "97531abc", "PUK-0815"

// A secretCase is one try to change a secret.
type secretCase struct {
	claim string
	do    func(*yubikey.Stick, *testing.T) error
	typed map[string]string
	want  error
	left  [2]int // tries for the PIN and the PUK afterwards
}

var (
	changePIN = func(s *yubikey.Stick, t *testing.T) error { return s.ChangePIN(t.Context()) }
	changePUK = func(s *yubikey.Stick, t *testing.T) error { return s.ChangePUK(t.Context()) }
	unblock   = func(s *yubikey.Stick, t *testing.T) error { return s.Unblock(t.Context()) }
)

func TestChangeSecrets(t *testing.T) {
	for firmware, serial := range all {
		for _, test := range []secretCase{
			{"PIN", changePIN, map[string]string{yubikey.PIN: rightPIN, yubikey.NewPIN: newPIN}, nil, [2]int{3, 3}},
			{"PUK", changePUK, map[string]string{yubikey.PUK: rightPUK, yubikey.NewPUK: newPUK}, nil, [2]int{3, 3}},
			{"unblock", unblock, map[string]string{yubikey.PUK: rightPUK, yubikey.NewPIN: newPIN}, nil, [2]int{3, 3}},
			{"wrong PIN", changePIN, map[string]string{yubikey.PIN: wrongPIN, yubikey.NewPIN: newPIN}, yubikey.ErrPIN, [2]int{2, 3}},
			{"wrong PUK", changePUK, map[string]string{yubikey.PUK: "00000000", yubikey.NewPUK: newPUK}, yubikey.ErrPUK, [2]int{3, 2}},
			{"unblock with a wrong PUK", unblock, map[string]string{yubikey.PUK: "00000000", yubikey.NewPIN: newPIN}, yubikey.ErrPUK, [2]int{3, 2}},
			{"a PIN that none can be", changePIN, map[string]string{yubikey.PIN: "12345", yubikey.NewPIN: newPIN}, yubikey.ErrPIN, [2]int{3, 3}},
			{"a PUK that none can be", changePUK, map[string]string{yubikey.PUK: "123456789", yubikey.NewPUK: newPUK}, yubikey.ErrPUK, [2]int{3, 3}},
			{"to the factory's PIN", changePIN, map[string]string{yubikey.PIN: rightPIN, yubikey.NewPIN: factoryPIN}, yubikey.ErrNewSecret, [2]int{3, 3}},
			{"to the factory's PUK", changePUK, map[string]string{yubikey.PUK: rightPUK, yubikey.NewPUK: factoryPUK}, yubikey.ErrNewSecret, [2]int{3, 3}},
			{"unblock to the factory's PIN", unblock, map[string]string{yubikey.PUK: rightPUK, yubikey.NewPIN: factoryPIN}, yubikey.ErrNewSecret, [2]int{3, 3}},
			{"unblock to the PUK", unblock, map[string]string{yubikey.PUK: rightPUK, yubikey.NewPIN: rightPUK}, yubikey.ErrNewSecret, [2]int{3, 3}},
		} {
			t.Run(firmware+" "+test.claim, func(t *testing.T) { test.run(t, serial) })
		}
	}
}

func (test secretCase) run(t *testing.T, serial uint32) {
	hardware := plug(t, serial)
	p := &person{answers: test.typed}
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	err = test.do(stick, t)
	if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
		t.Fatalf("got %v, want %v", err, test.want)
	}
	if got := [2]int{hardware.PINTries(), hardware.PUKTries()}; got != test.left {
		t.Errorf("tries left: %v, want %v", got, test.left)
	}
	session.Close()
	for _, secret := range p.given {
		if strings.Trim(string(secret), "\x00") != "" {
			t.Errorf("%q was not overwritten", secret)
		}
	}
	pin, puk := rightPIN, rightPUK
	if err == nil {
		if v := test.typed[yubikey.NewPIN]; v != "" {
			pin = v
		}
		if v := test.typed[yubikey.NewPUK]; v != "" {
			puk = v
		}
	} else {
		for _, secret := range test.typed {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("shown: %v", err)
			}
		}
	}
	direct(t, hardware, func(card *piv.YubiKey) error {
		return errors.Join(card.VerifyPIN(pin), card.SetPUK(puk, puk))
	})
}

func TestChangedPINServesTheSession(t *testing.T) {
	plug(t, alice)
	p := &person{answers: map[string]string{yubikey.PIN: rightPIN, yubikey.NewPIN: newPIN}}
	stick := open(t, p, 0)
	key := makeKey(t, stick, yubikey.Request{})
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	if err := stick.ChangePIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sign(t, key); err != nil {
		t.Error(err)
	}
	var asked []string
	for _, q := range p.questions {
		asked = append(asked, q.Secret)
	}
	if diff := cmp.Diff([]string{yubikey.PIN, yubikey.NewPIN, yubikey.NewPIN}, asked); diff != "" {
		t.Error(diff)
	}
}

// TestFactorySecretsCanBeChanged is how to be rid of them.
func TestFactorySecretsCanBeChanged(t *testing.T) {
	insert(t, alice)
	p := &person{answers: map[string]string{yubikey.PIN: factoryPIN, yubikey.NewPIN: newPIN, yubikey.PUK: factoryPUK, yubikey.NewPUK: newPUK}}
	stick := open(t, p, 0)
	if err := stick.ChangePIN(t.Context()); err != nil {
		t.Error(err)
	}
	if err := stick.ChangePUK(t.Context()); err != nil {
		t.Error(err)
	}
	if err := sign(t, makeKey(t, stick, yubikey.Request{})); err != nil {
		t.Error(err)
	}
}

func TestPINAndPUKStayApart(t *testing.T) {
	plug(t, alice)
	p := &person{answers: map[string]string{yubikey.PIN: rightPIN, yubikey.NewPIN: newPIN, yubikey.PUK: rightPUK, yubikey.NewPUK: newPIN}}
	stick := open(t, p, 0)
	if err := stick.ChangePIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stick.ChangePUK(t.Context()); !errors.Is(err, yubikey.ErrNewSecret) {
		t.Errorf("got %v", err)
	}
}

func TestPUKBlockedIsToldApart(t *testing.T) {
	for firmware, serial := range all {
		t.Run(firmware, func(t *testing.T) {
			hardware := plug(t, serial)
			block(t, hardware, yubikey.PIN)
			p := &person{answers: map[string]string{yubikey.PIN: rightPIN, yubikey.PUK: "00000000", yubikey.NewPIN: newPIN}}
			stick := open(t, p, 0)
			if err := stick.ChangePIN(t.Context()); !errors.Is(err, yubikey.ErrBlocked) || errors.Is(err, yubikey.ErrPUKBlocked) || len(p.asked) != 0 {
				t.Errorf("PIN blocked: %v, asked %q", err, p.asked)
			}
			for left := 2; left >= 0; left-- {
				p.answers[yubikey.PUK] = fmt.Sprintf("0000000%d", left)
				err := stick.Unblock(t.Context())
				wrong, ok := errors.AsType[*yubikey.PINError](err)
				if !ok || !wrong.PUK || wrong.Left != left || errors.Is(err, yubikey.ErrPUKBlocked) != (left == 0) {
					t.Errorf("%d left: %v", left, err)
				}
			}
			asked := len(p.asked)
			if err := stick.Unblock(t.Context()); !errors.Is(err, yubikey.ErrPUKBlocked) || errors.Is(err, yubikey.ErrBlocked) || !strings.Contains(err.Error(), "PUK") {
				t.Errorf("PUK blocked: %v", err)
			}
			if firmware != "5.2" && len(p.asked) != asked { // before 5.3 only a try tells
				t.Errorf("asked in vain: %q", p.asked[asked:])
			}
		})
	}
}

// TestLastTryIsWarnedAbout holds the warning to coming before the question.
func TestLastTryIsWarnedAbout(t *testing.T) {
	for _, test := range []struct {
		secret string
		serial uint32
		do     func(*yubikey.Stick, *testing.T) error
	}{
		{yubikey.PIN, alice, changePIN}, {yubikey.PIN, carol, changePIN},
		{yubikey.PUK, alice, changePUK}, {yubikey.PUK, bob, unblock},
	} {
		hardware := plug(t, test.serial)
		direct(t, hardware, func(card *piv.YubiKey) error {
			for range 2 {
				card.VerifyPIN(wrongPIN)
				card.SetPUK("00000000", "00000000")
			}
			return nil
		})
		p := types()
		session := newSession(t, p)
		stick, err := session.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := test.do(stick, t); err == nil {
			t.Error("changed without an answer")
		}
		if len(p.questions) != 1 || p.questions[0].Left != 1 || p.questions[0].Secret != test.secret ||
			!strings.Contains(p.asked[0], "last try") || !p.heard("one try left for its "+test.secret) {
			t.Errorf("%s: asked %+v, said %q", test.secret, p.questions, p.notices)
		}
		if hardware.PINTries() != 1 || hardware.PUKTries() != 1 {
			t.Errorf("a try was spent")
		}
		session.Close()
	}
}

func TestWrongPINIsNotTriedAgainByChange(t *testing.T) {
	hardware := plug(t, alice)
	p := &person{answers: map[string]string{yubikey.PIN: wrongPIN, yubikey.NewPIN: newPIN}}
	stick := open(t, p, 0)
	for range 3 {
		if err := stick.ChangePIN(t.Context()); !errors.Is(err, yubikey.ErrPIN) {
			t.Errorf("got %v", err)
		}
	}
	if hardware.PINTries() != 2 {
		t.Errorf("%d tries left", hardware.PINTries())
	}
}

// TestWrongPUKIsNotTriedAgain holds a PUK that a file gives to one try: three spend it
// for good, and a blocked PIN with it.
func TestWrongPUKIsNotTriedAgain(t *testing.T) {
	for firmware, serial := range all {
		for name, do := range map[string]func(*yubikey.Stick, *testing.T) error{"change": changePUK, "unblock": unblock} {
			t.Run(firmware+" "+name, func(t *testing.T) {
				hardware := plug(t, serial)
				p := &person{answers: map[string]string{yubikey.PUK: "00000000", yubikey.NewPUK: newPUK, yubikey.NewPIN: newPIN}}
				stick := open(t, p, 0)
				for round := range 3 {
					err := do(stick, t)
					wrong, ok := errors.AsType[*yubikey.PINError](err)
					if !ok || !wrong.PUK || wrong.Left != 2 || wrong.Again != (round > 0) || !errors.Is(err, yubikey.ErrPUK) {
						t.Errorf("round %d: %v", round, err)
					}
				}
				if hardware.PUKTries() != 2 || len(p.asked) != 5 { // the PUK, the new one twice, and the PUK twice again
					t.Errorf("%d tries left, asked %q", hardware.PUKTries(), p.asked)
				}
				p.answers[yubikey.PUK] = rightPUK
				if err := do(stick, t); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestNewPUKMayBeOneThatWasWrong tells a PUK that was wrong from one that is.
func TestNewPUKMayBeOneThatWasWrong(t *testing.T) {
	plug(t, alice)
	p := &person{answers: map[string]string{yubikey.PUK: newPUK, yubikey.NewPUK: newPUK, yubikey.NewPIN: newPIN}}
	stick := open(t, p, 0)
	if err := stick.Unblock(t.Context()); !errors.Is(err, yubikey.ErrPUK) {
		t.Fatalf("got %v", err)
	}
	p.answers[yubikey.PUK] = rightPUK
	if err := stick.ChangePUK(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.answers[yubikey.PUK] = newPUK
	if err := stick.Unblock(t.Context()); err != nil {
		t.Error(err)
	}
}
