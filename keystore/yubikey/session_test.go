//go:build linux && cgo

package yubikey_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/keystore/yubikey"
)

func TestNoStick(t *testing.T) {
	insert(t)
	session := newSession(t, types())
	if _, err := session.Open(t.Context(), 0); !errors.Is(err, yubikey.ErrAbsent) {
		t.Errorf("open: %v", err)
	}
	if _, err := session.Open(t.Context(), alice); !errors.Is(err, yubikey.ErrAbsent) || !strings.Contains(err.Error(), "11111111") {
		t.Errorf("open by serial: %v", err)
	}
	if _, err := session.Find(t.Context(), "abc"); !errors.Is(err, yubikey.ErrAbsent) {
		t.Errorf("find: %v", err)
	}
	if list, err := session.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
}

func TestSeveralSticks(t *testing.T) {
	plug(t, alice, bob)
	p := types(rightPIN)
	session := newSession(t, p)
	list, err := session.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []yubikey.Info{
		{Reader: bench.Stick(alice).Reader(), Serial: alice, Firmware: yubikey.Version{Major: 5, Minor: 7, Patch: 4}},
		{Reader: bench.Stick(bob).Reader(), Serial: bob, Firmware: yubikey.Version{Major: 5, Minor: 4, Patch: 3}},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	_, err = session.Open(t.Context(), 0)
	if several, ok := errors.AsType[*yubikey.SeveralError](err); !ok || len(several.Sticks) != 2 ||
		!strings.Contains(err.Error(), "(11111111, 22222222)") {
		t.Errorf("none chosen: %v", err)
	}
	if _, err := session.Open(t.Context(), carol); !errors.Is(err, yubikey.ErrAbsent) || !strings.Contains(err.Error(), "11111111, 22222222") {
		t.Errorf("another chosen: %v", err)
	}

	// Both at once in one command, each with its own PIN and keys.
	one, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	two, err := session.Open(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := session.Open(t.Context(), alice); err != nil || again != one {
		t.Errorf("opened again: %v, %v", again, err)
	}
	onBob := makeKey(t, two, yubikey.Request{})
	for _, key := range []*yubikey.Key{makeKey(t, one, yubikey.Request{}), onBob} {
		if err := sign(t, key); err != nil {
			t.Error(err)
		}
	}
	if len(p.asked) != 2 {
		t.Errorf("asked %q", p.asked)
	}
	session.Close()

	found, err := newSession(t, p).Find(t.Context(), onBob.Key().ID())
	if err != nil {
		t.Fatal(err)
	}
	if got := found.Info(); got.Serial != bob || got.Slot.String() != "82" {
		t.Errorf("found %+v", got)
	}
}

func TestFindLeavesOtherSticksAlone(t *testing.T) {
	hardware := plug(t, alice, bob)
	session := newSession(t, types(rightPIN))
	two, err := session.Open(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, two, yubikey.Request{})
	if _, err := session.Find(t.Context(), key.Key().ID()); err != nil {
		t.Fatal(err)
	}
	otherProgram(t, hardware) // fails if the session holds this one too
	if _, err := session.Find(t.Context(), strings.Repeat("ab", 32)); !errors.Is(err, yubikey.ErrSlotEmpty) || !errors.Is(err, yubikey.ErrBusy) {
		t.Errorf("no such key: %v", err)
	}
}

func TestHeldByAnotherProgram(t *testing.T) {
	hardware := plug(t, alice)
	release := otherProgram(t, hardware)
	session := newSession(t, types())
	if _, err := session.Open(t.Context(), 0); !errors.Is(err, yubikey.ErrBusy) {
		t.Errorf("open: %v", err)
	}
	if _, err := session.Open(t.Context(), alice); !errors.Is(err, yubikey.ErrBusy) {
		t.Errorf("open by serial: %v", err)
	}
	list, err := session.List(t.Context())
	if err != nil || len(list) != 1 || !errors.Is(list[0].Err, yubikey.ErrBusy) {
		t.Errorf("list: %v, %v", list, err)
	}

	// A session with patience says so, and gets it.
	p := types()
	p.noticed = func(text string) {
		if strings.Contains(text, "yubikey.test, process ") { // this test's own child
			release()
		}
	}
	patient := yubikey.NewSession(yubikey.Config{Asker: p})
	defer patient.Close()
	if _, err := patient.Open(t.Context(), alice); err != nil {
		t.Errorf("let go after the notice: %v, said %q", err, p.notices)
	}
	if len(p.notices) != 1 {
		t.Errorf("said %q", p.notices)
	}
}

func TestWaitingForAnotherProgramEnds(t *testing.T) {
	otherProgram(t, plug(t, alice))
	ctx, cancel := context.WithCancel(t.Context())
	p := types()
	p.noticed = func(string) { cancel() }
	session := yubikey.NewSession(yubikey.Config{Asker: p, Wait: time.Hour})
	defer session.Close()
	if _, err := session.Open(ctx, 0); !errors.Is(err, context.Canceled) || !errors.Is(err, yubikey.ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestClosedSession(t *testing.T) {
	hardware := plug(t, alice)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	session.Close()
	otherProgram(t, hardware)
	if err := sign(t, key); !errors.Is(err, yubikey.ErrClosed) {
		t.Errorf("sign: %v", err)
	}
	if _, err := session.Open(t.Context(), 0); !errors.Is(err, yubikey.ErrClosed) {
		t.Errorf("open: %v", err)
	}
}

func TestServiceNotRunning(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNET_TEST_LIST=1", "PCSCLITE_CSOCK_NAME="+filepath.Join(t.TempDir(), "none"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "pcscd") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestServiceDoesNotLetUsIn(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "pcscd.comm")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(socket, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNET_TEST_NOBODY=1", "PCSCLITE_CSOCK_NAME="+socket)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), socket) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestServiceDiesInTheMiddle(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNET_TEST_SERVICE_DIES=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWaitOutlastsATouch holds the wait to be longer than a stick blinks: a command
// that was stopped leaves it busy for that long, and the next one should just go on.
func TestWaitOutlastsATouch(t *testing.T) {
	const limit = 15 * time.Second // YubiKey 5
	if wait := yubikey.NewSession(yubikey.Config{}).Waits(); wait < limit+time.Second {
		t.Errorf("waits %s", wait)
	}
}
