//go:build linux && cgo

package yubikey_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
)

// A badDay is what goes wrong between a stick with a key in slot 82 and a
// signature by it.
type badDay struct {
	claim    string
	firmware string // 5.7 when empty
	pin      string // what is typed; the right one when empty
	do       func(*testing.T, *virtual.Stick, *yubikey.Key) error
	want     error
	words    string // what, and which
}

var badDays = []badDay{
	{"wrong PIN", "", wrongPIN, nil, yubikey.ErrPIN, "2 tries left"},
	{"last try", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		for _, pin := range []string{"111111", "222222", "333333"} {
			other := yubikey.NewSession(yubikey.Config{Asker: types(pin), Wait: -1})
			key, err := other.Find(t.Context(), k.Key().ID())
			if err != nil {
				t.Fatal(err)
			}
			if err = sign(t, key); s.PINTries() == 0 {
				return errors.Join(err, other.Close())
			}
			other.Close()
		}
		return nil
	}, yubikey.ErrBlocked, "the PIN of YubiKey 11111111 is blocked"},
	{"PIN blocked", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		block(t, s, yubikey.PIN)
		return signAnew(t, k)
	}, yubikey.ErrBlocked, "the PIN of YubiKey 11111111 is blocked"},
	{"PUK blocked", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		block(t, s, yubikey.PUK)
		return briefly(types(rightPUK), func(session *yubikey.Session) error {
			stick, err := session.Open(t.Context(), 0)
			if err != nil {
				return err
			}
			return stick.Unblock(t.Context())
		})
	}, yubikey.ErrPUKBlocked, "the PUK of YubiKey 11111111 is blocked"},
	{"touch refused", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		s.SetTouch(virtual.Refuse)
		return signAnew(t, k)
	}, yubikey.ErrTouch, "not touched in time"},
	{"touch timed out", "5.4", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		s.SetTouch(virtual.Manual)
		return signAnew(t, k)
	}, yubikey.ErrTouch, "not touched in time"},
	{"slot empty", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		if err := s.DeleteKey(0x82); err != nil {
			t.Fatal(err)
		}
		return signAnew(t, k)
	}, yubikey.ErrSlotEmpty, "deleted"},
	{"slot holds another key", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		session := newSession(t, types())
		stick, err := session.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		makeKey(t, stick, yubikey.Request{Slot: 0x82, Overwrite: true})
		session.Close()
		return signAnew(t, k)
	}, yubikey.ErrOtherKey, "overwritten"},
	{"firmware too old", "5.4", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		return briefly(types(), func(session *yubikey.Session) error {
			stick, err := session.Open(t.Context(), 0)
			if err == nil {
				_, err = stick.Generate(t.Context(), yubikey.Request{Algorithm: keystore.Ed25519})
			}
			return err
		})
	}, yubikey.ErrFirmware, "Ed25519 needs 5.7, this stick has 5.4.3"},
	{"stick reset", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		return signAnew(t, k)
	}, yubikey.ErrSlotEmpty, "reset"},
	{"certificate garbled, firmware 5.2, imported key", "5.2", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		session := newSession(t, types(rightPIN))
		stick, err := session.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		made, err := stick.Import(t.Context(), yubikey.Request{Slot: 0x83}, newPrivate(t, keystore.P256))
		if err != nil {
			t.Fatal(err)
		}
		session.Close()
		if err := s.SetObject(0x5fc10e, []byte("noise")); err != nil {
			t.Fatal(err)
		}
		return briefly(types(), func(session *yubikey.Session) error {
			_, err := session.Key(t.Context(), made.Serial, 0x83, made.Key)
			return err
		})
	}, yubikey.ErrOtherKey, "slot 83 cannot be read"},
	{"pulled out before", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		pullOut(t, s)
		defer pushIn(t, s)
		return signAnew(t, k)
	}, yubikey.ErrAbsent, "not plugged in"},
	{"pulled out during", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		s.SetTouch(virtual.Manual)
		signed := make(chan error)
		go func() { signed <- signAnew(t, k) }()
		if err := s.TouchAsked(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		pullOut(t, s)
		defer pushIn(t, s)
		return <-signed
	}, yubikey.ErrRemoved, "pulled out"},
	{"several and none chosen", "", "", func(t *testing.T, s *virtual.Stick, k *yubikey.Key) error {
		pushIn(t, bench.Stick(bob))
		_, err := newSession(t, types()).Open(t.Context(), 0)
		return err
	}, nil, "11111111, 22222222"},
}

// briefly is one command.
func briefly(p *person, command func(*yubikey.Session) error) error {
	session := yubikey.NewSession(yubikey.Config{Asker: p, Wait: -1})
	defer session.Close()
	return command(session)
}

// signAnew signs as a command does that knows where the key should be.
func signAnew(t *testing.T, k *yubikey.Key) error {
	return briefly(types(rightPIN), func(session *yubikey.Session) error {
		key, err := session.Key(t.Context(), k.Info().Serial, k.Info().Slot, k.Key())
		if err != nil {
			return err
		}
		return sign(t, key)
	})
}

func TestBadDays(t *testing.T) {
	for _, day := range badDays {
		t.Run(day.claim, func(t *testing.T) {
			serial := uint32(alice)
			if day.firmware != "" {
				serial = all[day.firmware]
			}
			hardware := plug(t, serial)
			session := newSession(t, types(day.pin))
			stick, err := session.Open(t.Context(), serial)
			if err != nil {
				t.Fatal(err)
			}
			key := makeKey(t, stick, yubikey.Request{Slot: 0x82})
			signatures := hardware.Signatures()
			if day.do == nil {
				err = sign(t, key)
			} else {
				session.Close()
				err = day.do(t, hardware, key)
			}
			if err == nil || day.want != nil && !errors.Is(err, day.want) || !strings.Contains(err.Error(), day.words) {
				t.Errorf("got %v", err)
			}
			if hardware.Signatures() != signatures {
				t.Error("something was signed")
			}
			// Another program has the stick, once the command is over.
			session.Close()
			t.Run("lets go", func(t *testing.T) { otherProgram(t, hardware) })
		})
	}
}

// TestPulledOutAfterwards takes the stick away when all is signed: nobody minds.
func TestPulledOutAfterwards(t *testing.T) {
	hardware := plug(t, alice)
	session := newSession(t, types(rightPIN))
	stick, err := session.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	key := makeKey(t, stick, yubikey.Request{})
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	pullOut(t, hardware)
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	pushIn(t, hardware)
	otherProgram(t, hardware)
}

// A gnupg is GnuPG's smart card daemon, the real one, with a card in use.
type gnupg struct {
	process int
	stop    func() // as gpgconf --kill scdaemon does
}

func startGnuPG(t *testing.T) gnupg {
	t.Helper()
	cmd := exec.Command("/usr/lib/gnupg/scdaemon", "--homedir", t.TempDir(), "--server", "--disable-ccid", "--pcsc-driver", "libpcsclite.so.1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (Debian package: scdaemon)", err)
	}
	stop := sync.OnceFunc(func() {
		io.WriteString(in, "KILLSCD\nBYE\n")
		in.Close()
		cmd.Wait()
	})
	t.Cleanup(stop)
	// The virtual stick has no OpenPGP application; any will do to hold it.
	io.WriteString(in, "SERIALNO undefined\n")
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "S SERIALNO") {
			go io.Copy(io.Discard, out)
			return gnupg{cmd.Process.Pid, stop}
		}
		if strings.HasPrefix(lines.Text(), "ERR") {
			t.Fatal(lines.Text())
		}
	}
	t.Fatal("scdaemon says no more")
	return gnupg{}
}

func TestHeldByGnuPG(t *testing.T) {
	plug(t, alice)
	holder := startGnuPG(t)
	_, err := newSession(t, types()).Open(t.Context(), alice)
	busy, ok := errors.AsType[*yubikey.BusyError](err)
	if !ok || !errors.Is(err, yubikey.ErrBusy) || len(busy.Holders) == 0 || busy.Holders[0] != (yubikey.Holder{Process: holder.process, Program: "scdaemon"}) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("scdaemon, process %d", holder.process)) || !strings.Contains(err.Error(), "gpgconf --kill scdaemon") {
		t.Errorf("words: %v", err)
	}
	list, err := newSession(t, types()).List(t.Context())
	if err != nil || len(list) != 1 || !strings.Contains(fmt.Sprint(list[0].Err), "scdaemon") {
		t.Errorf("listed %+v, %v", list, err)
	}
	// Whoever does as it says while the session waits goes on.
	p := types(rightPIN)
	p.noticed = func(text string) {
		if strings.Contains(text, "gpgconf --kill scdaemon") {
			holder.stop()
		}
	}
	patient := yubikey.NewSession(yubikey.Config{Asker: p, Wait: time.Minute})
	defer patient.Close()
	stick, err := patient.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t, makeKey(t, stick, yubikey.Request{})); err != nil {
		t.Error(err)
	}
}

// TestWaitingForGnuPGEnds keeps to the limit.
func TestWaitingForGnuPGEnds(t *testing.T) {
	plug(t, alice)
	startGnuPG(t)
	p := types()
	session := yubikey.NewSession(yubikey.Config{Asker: p, Wait: 3 * time.Second})
	defer session.Close()
	begin := time.Now()
	_, err := session.Open(t.Context(), alice)
	if took := time.Since(begin); !errors.Is(err, yubikey.ErrBusy) || took < 2*time.Second || took > 30*time.Second || len(p.notices) != 1 {
		t.Errorf("%v after %s, said %q", err, took, p.notices)
	}
}

// TestAnotherProgramStepsIn has one that asks for the stick all the time while
// ours hands it from one connection to the other.
func TestAnotherProgramStepsIn(t *testing.T) {
	hardware := plug(t, alice)
	stick := open(t, types(), alice)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNET_TEST_SNATCH="+hardware.Reader())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	for range 20 {
		if _, err := stick.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
