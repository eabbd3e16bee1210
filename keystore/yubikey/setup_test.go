//go:build linux && cgo

package yubikey_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
)

// all are the firmware versions that differ.
var all = map[string]uint32{"5.7": alice, "5.4": bob, "5.2": carol}

func status(left, of int, factory yubikey.Answer) yubikey.SecretStatus {
	return yubikey.SecretStatus{Left: left, Max: of, Factory: factory}
}

func TestStatus(t *testing.T) {
	const unknown, yes, no = yubikey.Unknown, yubikey.Yes, yubikey.No
	aes := yubikey.ManagementStatus{Algorithm: "aes192", Factory: yes, UnderPIN: no, Touch: yubikey.Never}
	des := yubikey.ManagementStatus{Algorithm: "3des", Factory: yes, UnderPIN: no, Touch: yubikey.Never}
	untold := yubikey.ManagementStatus{Algorithm: "3des", Factory: yes, UnderPIN: no}
	for _, test := range []struct {
		claim      string
		serial     uint32
		do         func(*virtual.Stick) error
		pin, puk   yubikey.SecretStatus
		management yubikey.ManagementStatus
	}{
		{"new", alice, nil, status(3, 3, yes), status(3, 3, yes), aes},
		{"firmware 5.4", bob, nil, status(3, 3, yes), status(3, 3, yes), des},
		{"firmware 5.2", carol, nil, status(3, -1, unknown), status(-1, -1, unknown), untold},
		{"secrets of its own", alice, func(s *virtual.Stick) error {
			return errors.Join(s.SetPIN(rightPIN), s.SetPUK(rightPUK), s.SetManagementKey(bytes.Repeat([]byte{7}, 24)))
		}, status(3, 3, no), status(3, 3, no), yubikey.ManagementStatus{Algorithm: "aes192", Factory: no, UnderPIN: no, Touch: yubikey.Never}},
		{"management key of its own, 5.2", carol, func(s *virtual.Stick) error {
			return s.SetManagementKey(bytes.Repeat([]byte{7}, 24))
		}, status(3, -1, unknown), status(-1, -1, unknown), yubikey.ManagementStatus{Algorithm: "3des", Factory: no, UnderPIN: no}},
	} {
		t.Run(test.claim, func(t *testing.T) {
			hardware := insert(t, test.serial)
			if test.do != nil {
				if err := test.do(hardware); err != nil {
					t.Fatal(err)
				}
			}
			p := types()
			stick := open(t, p, 0)
			got, err := stick.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := yubikey.Status{Info: stick.Info(), FormFactor: got.FormFactor, PIN: test.pin, PUK: test.puk, Management: test.management}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(got.FormFactor, "USB-") || len(p.asked) != 0 {
				t.Errorf("form factor %q, asked %q", got.FormFactor, p.asked)
			}
		})
	}
}

func TestStatusWithBlockedSecrets(t *testing.T) {
	for name, serial := range all {
		t.Run(name, func(t *testing.T) {
			hardware := plug(t, serial)
			session := newSession(t, types())
			stick, err := session.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			makeKey(t, stick, yubikey.Request{Slot: 0x85})
			session.Close()
			block(t, hardware, yubikey.PIN)
			block(t, hardware, yubikey.PUK)
			stick = open(t, types(), 0)
			s, err := stick.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s.PIN.Left != 0 || s.PUK.Left != 0 && name != "5.2" || hardware.PINTries() != 0 || hardware.PUKTries() != 0 {
				t.Errorf("%+v %+v", s.PIN, s.PUK)
			}
			if len(s.Slots) != 1 || s.Slots[0].Slot != 0x85 {
				t.Errorf("slots %+v", s.Slots)
			}
		})
	}
}

func TestStatusKeepsTheSessionGoing(t *testing.T) {
	plug(t, alice)
	p := types(rightPIN)
	stick := open(t, p, 0)
	once := makeKey(t, stick, yubikey.Request{PIN: yubikey.Once})
	for range 2 {
		if err := sign(t, once); err != nil {
			t.Fatal(err)
		}
		// The PIN was shown to the card; its tries are told nevertheless.
		if s, err := stick.Status(t.Context()); err != nil || s.PIN.Left != 3 {
			t.Fatalf("%+v, %v", s.PIN, err)
		}
	}
	if len(p.asked) != 1 {
		t.Errorf("asked %q", p.asked)
	}
}

func TestSetup(t *testing.T) {
	for name, serial := range all {
		t.Run(name, func(t *testing.T) {
			hardware := insert(t, serial)
			p := types(rightPIN, rightPIN, rightPUK, rightPUK)
			session := newSession(t, p)
			stick, err := session.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			done, err := stick.Setup(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			session.Close()
			if want := (yubikey.Setup{PIN: yubikey.Changed, PUK: yubikey.Changed, Management: yubikey.Changed}); done != want {
				t.Errorf("did %+v", done)
			}
			var asked []string
			for _, q := range p.questions {
				asked = append(asked, q.Secret)
				if q.Serial != serial || q.Left != -1 {
					t.Errorf("asked %+v", q)
				}
			}
			if diff := cmp.Diff([]string{yubikey.NewPIN, yubikey.NewPIN, yubikey.NewPUK, yubikey.NewPUK}, asked); diff != "" {
				t.Error(diff)
			}
			checkSetUp(t, hardware, name)

			// Again: nothing is left to do, and nothing is lost.
			p = types()
			done, err = open(t, p, 0).Setup(t.Context())
			want := yubikey.Setup{PIN: yubikey.Kept, PUK: yubikey.Kept, Management: yubikey.Kept}
			if name == "5.2" {
				want.PUK = yubikey.Untold
			}
			if err != nil || done != want || len(p.asked) != 0 || hardware.PUKTries() != 3 {
				t.Errorf("again: %+v, %v, asked %q, %d tries for the PUK", done, err, p.asked, hardware.PUKTries())
			}
			if name != "5.2" && hardware.PINTries() != 3 {
				t.Errorf("%d tries for the PIN", hardware.PINTries())
			}
		})
	}
}

// checkSetUp tells whether everything is replaced, and the management key is
// there for who knows the PIN.
func checkSetUp(t *testing.T, hardware *virtual.Stick, firmware string) {
	t.Helper()
	p := types(rightPIN)
	session := newSession(t, p)
	defer session.Close()
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stick.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	algorithm := "aes192"
	if firmware == "5.2" {
		algorithm = "3des"
	}
	want := yubikey.ManagementStatus{Algorithm: algorithm, Factory: yubikey.No, UnderPIN: yubikey.Yes}
	if diff := cmp.Diff(want, s.Management, cmpopts.IgnoreFields(want, "Touch")); diff != "" {
		t.Error(diff)
	}
	if s.PIN.Factory == yubikey.Yes || s.PUK.Factory == yubikey.Yes {
		t.Errorf("%+v %+v", s.PIN, s.PUK)
	}
	if err := sign(t, makeKey(t, stick, yubikey.Request{Slot: 0x95, Overwrite: true})); err != nil || len(p.asked) != 1 {
		t.Errorf("%v, asked %q", err, p.asked)
	}
	for _, n := range p.notices {
		if strings.Contains(n, "sold with") {
			t.Error(n)
		}
	}
	session.Close()
	direct(t, hardware, func(card *piv.YubiKey) error {
		return errors.Join(card.SetPUK(rightPUK, rightPUK), card.VerifyPIN(rightPIN))
	})
}

// TestSetupCutOff pulls the stick out after each of the commands that change
// something. Whatever the moment, setup run again finishes.
func TestSetupCutOff(t *testing.T) {
	for name, serial := range all {
		t.Run(name, func(t *testing.T) {
			for commands, whole := 0, false; !whole; commands++ {
				hardware := insert(t, serial)
				session := newSession(t, types(rightPIN, rightPIN, rightPUK, rightPUK))
				sent := session.PullAfter(commands)
				stick, err := session.Open(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = stick.Setup(t.Context())
				session.Close()
				if whole = err == nil; !whole && !errors.Is(err, yubikey.ErrRemoved) || len(*sent) != min(commands, 5) {
					t.Fatalf("after %d commands (%x): %v", commands, *sent, err)
				}
				// The person types what is asked for; what was set before is not.
				again := newSession(t, &person{answers: map[string]string{yubikey.NewPIN: rightPIN, yubikey.NewPUK: rightPUK}})
				if stick, err = again.Open(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				if done, err := stick.Setup(t.Context()); err != nil {
					t.Errorf("cut off after %d commands (%x), run again: %+v, %v", commands, *sent, done, err)
				}
				again.Close()
				checkSetUp(t, hardware, name)
			}
		})
	}
}

// TestSetupIsUnderstoodByOthers has Yubico's own program use the management key
// that setup left on the stick.
func TestSetupIsUnderstoodByOthers(t *testing.T) {
	for _, serial := range []uint32{alice, bob} {
		insert(t, serial)
		session := newSession(t, types(rightPIN, rightPIN, rightPUK, rightPUK))
		stick, err := session.Open(t.Context(), serial)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stick.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		session.Close()
		out, err := exec.CommandContext(t.Context(), "ykman", "--device", fmt.Sprint(serial), "piv", "info").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "protected by PIN") {
			t.Errorf("%v: %s", err, out)
		}
		out, err = exec.CommandContext(t.Context(), "ykman", "--device", fmt.Sprint(serial), "piv", "keys", "generate", "--algorithm", "ECCP256", "--pin", rightPIN, "9a", "-").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PUBLIC KEY") {
			t.Errorf("%v: %s", err, out)
		}
		pullOut(t, bench.Stick(serial))
	}
}

func TestSetupRefuses(t *testing.T) {
	for _, test := range []struct {
		claim string
		typed []string
		want  error
	}{
		{"the factory's PIN", []string{factoryPIN}, yubikey.ErrNewSecret},
		{"the factory's PUK as the PIN", []string{factoryPUK}, yubikey.ErrNewSecret},
		{"a short PIN", []string{"12345"}, yubikey.ErrNewSecret},
		{"a long PIN", []string{"123456789"}, yubikey.ErrNewSecret},
		{"a PIN that not every keyboard has", []string{"päßwö"}, yubikey.ErrNewSecret},
		{"a slip of the finger", []string{rightPIN, wrongPIN}, yubikey.ErrNewSecret},
		{"the factory's PUK", []string{rightPIN, rightPIN, factoryPUK}, yubikey.ErrNewSecret},
		{"a PUK that is the PIN", []string{rightPIN}, yubikey.ErrNewSecret},
	} {
		t.Run(test.claim, func(t *testing.T) {
			hardware := insert(t, alice)
			p := types(test.typed...)
			stick := open(t, p, 0)
			done, err := stick.Setup(t.Context())
			for _, secret := range p.given {
				if strings.Trim(string(secret), "\x00") != "" {
					t.Errorf("%q was not overwritten", secret)
				}
			}
			if !errors.Is(err, test.want) || done != (yubikey.Setup{}) || !strings.Contains(err.Error(), "11111111") {
				t.Errorf("%+v, %v", done, err)
			}
			for _, secret := range test.typed {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("shown: %v", err)
				}
			}
			s, err := stick.Status(t.Context())
			if err != nil || s.PIN.Factory != yubikey.Yes || s.PUK.Factory != yubikey.Yes || s.Management.Factory != yubikey.Yes || hardware.PINTries() != 3 {
				t.Errorf("afterwards: %+v, %v", s, err)
			}
		})
	}
}

func TestSetupLeavesWhatIsNotTheFactorys(t *testing.T) {
	hardware := insert(t, alice)
	theirs := bytes.Repeat([]byte{9}, 24)
	if err := errors.Join(hardware.SetPUK(rightPUK), hardware.SetManagementKey(theirs)); err != nil {
		t.Fatal(err)
	}
	stick := open(t, types(rightPIN), 0)
	done, err := stick.Setup(t.Context())
	if want := (yubikey.Setup{PIN: yubikey.Changed, PUK: yubikey.Kept, Management: yubikey.Kept}); err != nil || done != want {
		t.Errorf("did %+v, %v", done, err)
	}
	if _, err := stick.Generate(t.Context(), yubikey.Request{ManagementKey: theirs}); err != nil {
		t.Error(err)
	}
}

func TestSetupOfBlockedSticks(t *testing.T) {
	hardware := insert(t, alice)
	block(t, hardware, yubikey.PUK)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	done, err := stick.Setup(t.Context())
	if want := (yubikey.Setup{PIN: yubikey.Changed, PUK: yubikey.Blocked, Management: yubikey.Changed}); err != nil || done != want {
		t.Errorf("PUK blocked: %+v, %v", done, err)
	}
	session.Close()
	block(t, hardware, yubikey.PIN)
	stick = open(t, types(), 0)
	if _, err := stick.Setup(t.Context()); !errors.Is(err, yubikey.ErrBlocked) {
		t.Errorf("PIN blocked: %v", err)
	}
}

// TestSetupSparesTheLastTry: firmware that does not tell of the factory's PIN is
// asked by a try, but not by the last one.
func TestSetupSparesTheLastTry(t *testing.T) {
	hardware := plug(t, carol)
	direct(t, hardware, func(card *piv.YubiKey) error {
		card.VerifyPIN(wrongPIN)
		card.VerifyPIN(wrongPIN)
		return nil
	})
	done, err := open(t, types(), 0).Setup(t.Context())
	if want := (yubikey.Setup{PIN: yubikey.Untold, PUK: yubikey.Untold, Management: yubikey.Changed}); err != nil || done != want {
		t.Errorf("did %+v, %v", done, err)
	}
	if hardware.PINTries() != 1 {
		t.Errorf("%d tries left", hardware.PINTries())
	}
}
