//go:build linux && cgo

package yubikey_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

// awaiting has a session wait for a stick in the background.
func awaiting(t *testing.T, session *yubikey.Session, serial uint32) <-chan awaited {
	got := make(chan awaited, 1)
	go func() {
		stick, err := session.Await(t.Context(), serial, time.Minute)
		got <- awaited{stick, err}
	}()
	return got
}

type awaited struct {
	stick *yubikey.Stick
	err   error
}

func TestAwait(t *testing.T) {
	t.Run("a stick that is there", func(t *testing.T) {
		plug(t, alice)
		stick, err := newSession(t, types()).Await(t.Context(), alice, 0)
		if err != nil || stick.Info().Serial != alice {
			t.Errorf("%v, %v", stick, err)
		}
	})
	t.Run("one that comes", func(t *testing.T) {
		insert(t)
		got := awaiting(t, newSession(t, types()), alice)
		plug(t, alice)
		if a := <-got; a.err != nil || a.stick.Info().Serial != alice {
			t.Errorf("%v, %v", a.stick, a.err)
		}
	})
	t.Run("not another one", func(t *testing.T) {
		plug(t, bob)
		got := awaiting(t, newSession(t, types()), alice)
		plug(t, bob, alice)
		if a := <-got; a.err != nil || a.stick.Info().Serial != alice {
			t.Errorf("%v, %v", a.stick, a.err)
		}
	})
	t.Run("any further one", func(t *testing.T) {
		plug(t, alice)
		session := newSession(t, types())
		first, err := session.Await(t.Context(), 0, 0)
		if err != nil || first.Info().Serial != alice {
			t.Fatalf("%v, %v", first, err)
		}
		if _, err := session.Await(t.Context(), 0, 0); !errors.Is(err, yubikey.ErrAbsent) || !strings.Contains(err.Error(), "further") {
			t.Errorf("the same one: %v", err)
		}
		got := awaiting(t, session, 0)
		plug(t, bob)
		if a := <-got; a.err != nil || a.stick.Info().Serial != bob {
			t.Errorf("%v, %v", a.stick, a.err)
		}
	})
	t.Run("several that are new", func(t *testing.T) {
		plug(t, alice, bob)
		_, err := newSession(t, types()).Await(t.Context(), 0, time.Minute)
		if _, ok := errors.AsType[*yubikey.SeveralError](err); !ok {
			t.Errorf("got %v", err)
		}
	})
	t.Run("within the limit", func(t *testing.T) {
		plug(t, bob)
		session := newSession(t, types())
		if _, err := session.Await(t.Context(), alice, time.Second); !errors.Is(err, yubikey.ErrAbsent) || !strings.Contains(err.Error(), "11111111") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("until it is cancelled", func(t *testing.T) {
		insert(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := newSession(t, types()).Await(ctx, alice, time.Hour); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, yubikey.ErrAbsent) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("until another program lets go", func(t *testing.T) {
		release := otherProgram(t, plug(t, alice))
		p := types()
		p.noticed = func(string) { release() }
		if stick, err := newSession(t, p).Await(t.Context(), alice, time.Minute); err != nil || stick.Info().Serial != alice || len(p.notices) != 1 {
			t.Errorf("%v, %v, said %q", stick, err, p.notices)
		}
	})
	t.Run("a session that is closed", func(t *testing.T) {
		insert(t)
		session := newSession(t, types())
		got := awaiting(t, session, alice)
		session.Close()
		if a := <-got; !errors.Is(a.err, yubikey.ErrClosed) {
			t.Errorf("%v, %v", a.stick, a.err)
		}
	})
}

// TestSticksChangedOneAfterTheOther is a ceremony of three keys at one port.
func TestSticksChangedOneAfterTheOther(t *testing.T) {
	p := types(rightPIN)
	session := newSession(t, p)
	serials := []uint32{alice, bob, carol}
	var keys []*yubikey.Key
	plug(t, alice)
	for i, serial := range serials {
		if i > 0 {
			pullOut(t, bench.Stick(serials[i-1]))
		}
		got := awaiting(t, session, serial)
		if i > 0 {
			hardware := bench.Stick(serial)
			if err := errors.Join(hardware.Reset(), hardware.SetPIN(rightPIN)); err != nil {
				t.Fatal(err)
			}
			pushIn(t, hardware)
		}
		a := <-got
		if a.err != nil {
			t.Fatal(a.err)
		}
		key := makeKey(t, a.stick, yubikey.Request{Slot: 0x82, Touch: yubikey.Never})
		if err := sign(t, key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if len(p.asked) != 3 {
		t.Errorf("asked %q", p.asked)
	}
	// The first comes back: its key goes on, and its PIN is known.
	pullOut(t, bench.Stick(carol))
	if err := sign(t, keys[0]); !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("while it is away: %v", err)
	}
	pushIn(t, bench.Stick(alice))
	if err := sign(t, keys[0]); err != nil {
		t.Errorf("back again: %v", err)
	}
	if len(p.asked) != 3 {
		t.Errorf("asked again: %q", p.asked)
	}
}

// TestAnotherStickInItsPlace: on a real port both have the same reader's name.
func TestAnotherStickInItsPlace(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{Touch: yubikey.Never})
	pullOut(t, hardware)
	pushIn(t, hardware)
	if _, err := session.Open(t.Context(), bob); !errors.Is(err, yubikey.ErrAbsent) {
		t.Errorf("opened: %v", err)
	}
	again, err := session.Open(t.Context(), alice)
	if err != nil || again == stick {
		t.Errorf("the connection that is dead was handed out: %v", err)
	}
	if err := sign(t, key); err != nil {
		t.Error(err)
	}
	// With another PIN now, the one we know costs one try and is not used again.
	pullOut(t, hardware)
	if err := hardware.SetPIN(newPIN); err != nil {
		t.Fatal(err)
	}
	pushIn(t, hardware)
	if err := sign(t, key); !errors.Is(err, yubikey.ErrPIN) {
		t.Errorf("another PIN: %v", err)
	}
	if err := sign(t, key); !errors.Is(err, yubikey.ErrPIN) || hardware.PINTries() != 2 {
		t.Errorf("again: %v, %d tries left", err, hardware.PINTries())
	}
}

func TestKeyThatIsExpected(t *testing.T) {
	hardware := plug(t, alice)
	p := types(rightPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{Slot: 0x82})
	other := makeKey(t, stick, yubikey.Request{Slot: 0x83})
	got, err := session.Key(t.Context(), alice, 0x82, key.Key())
	if err != nil || len(p.asked) != 0 || got.Info().Touch != yubikey.Always {
		t.Fatalf("%v, asked %q", err, p.asked)
	}
	if got, err = session.Key(t.Context(), alice, 0x83, key.Key()); err != nil || got.Info().Slot != 0x82 {
		t.Errorf("in another slot: %v", err)
	}
	signatures := hardware.Signatures()
	if err := hardware.DeleteKey(0x82); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Key(t.Context(), alice, 0x82, key.Key()); !errors.Is(err, yubikey.ErrSlotEmpty) || !strings.Contains(err.Error(), "reset") || !strings.Contains(err.Error(), key.Key().ID()[:12]) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := session.Key(t.Context(), alice, 0x83, key.Key()); !errors.Is(err, yubikey.ErrOtherKey) || !strings.Contains(err.Error(), other.Key().ID()[:12]) {
		t.Errorf("another key: %v", err)
	}
	if _, err := session.Key(t.Context(), bob, 0x82, key.Key()); !errors.Is(err, yubikey.ErrAbsent) {
		t.Errorf("another stick: %v", err)
	}
	if hardware.Signatures() != signatures {
		t.Error("something was signed")
	}
}

// TestResetStick: the key that a command has in hand is gone when its stick
// comes back.
func TestResetStick(t *testing.T) {
	hardware := plug(t, alice)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{Slot: 0x82})
	for _, test := range []struct {
		claim string
		after func() error
		want  error
	}{
		{"reset", hardware.Reset, yubikey.ErrSlotEmpty},
		{"set up anew", func() error {
			stick, err := session.Open(t.Context(), 0)
			if err == nil {
				_, err = stick.Generate(t.Context(), yubikey.Request{Slot: 0x82})
			}
			return err
		}, yubikey.ErrOtherKey},
	} {
		pullOut(t, hardware)
		pushIn(t, hardware)
		if err := test.after(); err != nil {
			t.Fatal(err)
		}
		signatures := hardware.Signatures()
		if err := sign(t, key); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.claim, err)
		}
		if hardware.Signatures() != signatures {
			t.Errorf("%s: signed with another key", test.claim)
		}
	}
}

func TestTouchesAreCounted(t *testing.T) {
	plug(t, alice)
	p := types(rightPIN)
	stick := open(t, p, 0)
	key := makeKey(t, stick, yubikey.Request{})
	for i := range 3 {
		ctx := keystore.WithTouch(keystore.WithReason(t.Context(), "targets version 7 of example.com/app"), i+1, 3)
		if _, err := key.Sign(ctx, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"touch 1 of 3: YubiKey 11111111 (slot 82) to sign targets version 7 of example.com/app",
		"touch 2 of 3: YubiKey 11111111 (slot 82) to sign targets version 7 of example.com/app",
		"touch 3 of 3: YubiKey 11111111 (slot 82) to sign targets version 7 of example.com/app",
	}
	if got := p.notices[1:]; !slices.Equal(got, want) {
		t.Errorf("said %q", got)
	}
}

// TestStickSwappedWhileLent keeps a stick from passing for another one that was
// in its reader a moment ago.
func TestStickSwappedWhileLent(t *testing.T) {
	plug(t, alice, bob)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := stick.SwapWhileLent(bench.Stick(bob).Reader()); !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("got %v", err)
	}
}

// TestStickSwappedBeforeLent keeps one stick's secrets from another one, which
// would count a wrong try.
func TestStickSwappedBeforeLent(t *testing.T) {
	plug(t, alice, bob)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	used, err := stick.SwapBeforeLent(bench.Stick(bob).Reader())
	if used || !errors.Is(err, yubikey.ErrRemoved) {
		t.Errorf("another stick was talked to: %t; got %v", used, err)
	}
}

func TestPINsAreOverwritten(t *testing.T) {
	plug(t, alice)
	p := types(wrongPIN, rightPIN)
	session := newSession(t, p)
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	if err := sign(t, key); !errors.Is(err, yubikey.ErrPIN) {
		t.Fatal(err)
	}
	wrong := session.Retained()
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	right := session.Retained()
	session.Close()
	for _, secret := range slices.Concat(wrong, right, p.given) {
		if strings.Trim(string(secret), "\x00") != "" {
			t.Errorf("%q was not overwritten", secret)
		}
	}
	if len(wrong) == 0 || len(wrong[1]) == 0 || len(right) == 0 || len(right[0]) == 0 {
		t.Error("nothing was looked at")
	}
}
