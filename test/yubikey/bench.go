// Package yubikey puts virtual YubiKeys behind a pcscd of their own, so that tests
// drive them as they would the real ones: through PC/SC, with piv-go or with any
// other program. Nothing but tests and demonstrations may use it.
//
//	bench, err := yubikey.Start(yubikey.Config{
//		Sticks: []yubikey.StickConfig{{Serial: 12345678, Firmware: "5.7.4"}},
//		Dir:    t.TempDir(),
//	})
//	defer bench.Close()
//	cmd.Env = append(os.Environ(), bench.Env()...)
//
// The chain is: program, libpcsclite, pcscd, vsmartcard's driver libifdvpcd, a
// socket on the loopback interface, this package, and package card, which is the
// applet. It needs Linux and the Debian packages pcscd and vsmartcard-vpcd.
//
// The system's own pcscd is never touched: ours has its own socket, which clients
// find by PCSCLITE_CSOCK_NAME. libpcsclite reads that variable once in a process.
// A test that calls piv-go itself therefore chooses one path for all its benches,
// sets the variable before the first use, and starts them one after the other:
//
//	func TestMain(m *testing.M) {
//		dir, err := os.MkdirTemp("", "")
//		...
//		os.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(dir, "pcscd.comm"))
//		...
//	}
//
//	bench, err := yubikey.Start(yubikey.Config{Socket: os.Getenv("PCSCLITE_CSOCK_NAME"), ...})
//
// Each process has its benches to itself: any number of test programs run side by side.
package yubikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/signet-trust/signet/test/yubikey/card"
)

// Config says what is plugged in.
type Config struct {
	Sticks []StickConfig
	// Dir takes the daemon's files. Without it, or when pcscd could not read its
	// name, they lie in a temporary folder, which Close removes.
	Dir string
	// Socket is the path at which clients find pcscd. Without it each bench has one of
	// its own.
	Socket string
	// StateDir keeps the sticks from one run to the next. Without it each start has
	// new sticks.
	StateDir string
	// Maker attests the sticks' attestation keys. Without it the bench has one of its
	// own, kept in StateDir if there is one.
	Maker *card.Maker
	// OnTouch is told of each touch request and, later, how it ended. Several sticks
	// may tell at once.
	OnTouch func(Touch)
}

// StickConfig describes one virtual YubiKey.
type StickConfig struct {
	Serial uint32
	// Firmware is a version such as "5.2.7", or one of "5.2", "5.4" and "5.7". The
	// default is 5.7.4.
	Firmware string
	// PIN, PUK and ManagementKey are those of a new stick, the factory's where they
	// are not given. A reset puts the factory's back.
	PIN, PUK      string
	ManagementKey []byte
	// Maker attests the stick's attestation key, the bench's maker when nil.
	Maker *card.Maker
	// Delay is how long each use of a private key takes; a real stick needs some 100 ms.
	Delay time.Duration
	// TouchLimit is how long the stick waits for a touch, 15 seconds when zero.
	TouchLimit time.Duration
	// Absent leaves the stick out until Insert.
	Absent bool
}

// maxSticks is as many as pcscd has room for: each has a reader with two slots.
const maxSticks = maxReaders / 2

// startLimit is how long pcscd may take until it shows all readers.
const startLimit = 20 * time.Second

// A Bench is a set of virtual YubiKeys behind one pcscd.
type Bench struct {
	sticks []*Stick
	maker  *card.Maker
	daemon *daemon
	socket string
	remove []string // what goes when the bench goes
}

// Start plugs the sticks in, starts pcscd, and returns when it shows all of them.
func Start(config Config) (*Bench, error) {
	if len(config.Sticks) == 0 || len(config.Sticks) > maxSticks {
		return nil, fmt.Errorf("%d virtual YubiKeys: want 1 to %d", len(config.Sticks), maxSticks)
	}
	b := &Bench{}
	if err := b.start(config); err != nil {
		b.Close()
		return nil, fmt.Errorf("start virtual YubiKeys: %w", err)
	}
	return b, nil
}

func (b *Bench) start(config Config) error {
	dir, err := b.folders(config)
	if err != nil {
		return err
	}
	switch {
	case config.Maker != nil:
		b.maker = config.Maker
	case config.StateDir == "":
		b.maker, err = card.NewMaker()
	default:
		b.maker, err = card.LoadMaker(config.StateDir)
	}
	if err != nil {
		return err
	}
	for _, stick := range config.Sticks {
		if b.Stick(stick.Serial) != nil {
			return fmt.Errorf("two sticks with serial %d", stick.Serial)
		}
		s, err := newStick(b, stick, config)
		if err != nil {
			return err
		}
		b.sticks = append(b.sticks, s)
	}
	if b.daemon, err = startDaemon(dir, b.socket, len(b.sticks)); err != nil {
		return err
	}
	b.remove = append(b.remove, b.socket)
	return b.plugIn(config.Sticks)
}

// folders decides where the daemon's files and its socket lie.
func (b *Bench) folders(config Config) (dir string, err error) {
	const longest = 90 // the path of a unix socket is short, that of a test's folder often is not
	dir = config.Dir
	// pcscd reads few characters in the paths of its configuration.
	odd := strings.ContainsFunc(dir, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/-_.", r)
	})
	if dir == "" || odd || len(dir) > longest {
		if dir, err = os.MkdirTemp("", "yubikey-"); err != nil {
			return "", err
		}
		b.remove = append(b.remove, dir)
	}
	b.socket = cmp.Or(config.Socket, filepath.Join(dir, "pcscd.comm"))
	return dir, nil
}

// plugIn waits for the readers, puts the sticks in, and waits until they are seen.
func (b *Bench) plugIn(sticks []StickConfig) error {
	strange := ""
	err := b.await(startLimit, func(table []readerState) bool {
		ours := make(map[string]bool)
		for _, r := range table {
			name := r.name()
			switch {
			case !ours[name] && slices.ContainsFunc(b.sticks, func(s *Stick) bool { return name == s.reader }):
				ours[name] = true
			case strings.HasSuffix(name, " 01"): // the second slot of a reader of ours
			case strings.Contains(strings.ToLower(name), "yubikey"):
				strange = name
			}
		}
		return len(ours) == len(b.sticks)
	})
	if err != nil {
		return err
	}
	if strange != "" {
		return fmt.Errorf("pcscd also shows %q: unplug it, so that no test can write to a real YubiKey", strange)
	}
	for i, s := range b.sticks {
		port := b.daemon.ports[i]
		s.socket.dial = func() (*net.TCPConn, error) { return b.daemon.room.dial(port) }
		if !sticks[i].Absent {
			if err := s.socket.insert(); err != nil {
				return err
			}
		}
	}
	return b.await(startLimit, func(table []readerState) bool {
		return !slices.ContainsFunc(b.sticks, func(s *Stick) bool {
			return s.socket.inserted() && !slices.ContainsFunc(table, func(r readerState) bool {
				return r.name() == s.reader && r.ready()
			})
		})
	})
}

// await watches pcscd's readers until done, for no longer than limit.
func (b *Bench) await(limit time.Duration, done func([]readerState) bool) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("pcscd does not show it within %s", limit))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-b.daemon.ended:
			end(errors.New("pcscd ended"))
		case <-ctx.Done():
		}
	}()
	if err := watch(ctx, b.socket, done); err != nil {
		return fmt.Errorf("%w\n%s", err, b.daemon.said())
	}
	return nil
}

// Env is what a PC/SC client needs in its environment to find the sticks.
func (b *Bench) Env() []string {
	return []string{"PCSCLITE_CSOCK_NAME=" + b.socket}
}

// Socket is the path of pcscd's client socket.
func (b *Bench) Socket() string { return b.socket }

// Sticks are the virtual YubiKeys, in the order of the configuration.
func (b *Bench) Sticks() []*Stick { return slices.Clone(b.sticks) }

// Stick is the virtual YubiKey with this serial, nil when there is none.
func (b *Bench) Stick(serial uint32) *Stick {
	for _, s := range b.sticks {
		if s.Serial() == serial {
			return s
		}
	}
	return nil
}

// Maker is the authority that attested the sticks' attestation keys.
func (b *Bench) Maker() *card.Maker { return b.maker }

// Ended is closed when pcscd ends, be it by itself.
func (b *Bench) Ended() <-chan struct{} { return b.daemon.ended }

// Close ends pcscd, then the sticks. It may be called twice.
func (b *Bench) Close() error {
	for _, s := range b.sticks {
		s.touch.end()
	}
	if b.daemon != nil {
		b.daemon.stop()
	}
	for _, s := range b.sticks {
		s.socket.remove()
	}
	var err error
	for _, path := range b.remove {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
