package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-trust/signet/test/yubikey"
	"github.com/signet-trust/signet/test/yubikey/card"
)

// PIN and PUK of scripts' sticks, unless they say otherwise.
const (
	stickPIN = "864209"
	stickPUK = "97531086"
)

// sticks are a script's virtual YubiKeys.
type sticks struct {
	bench    *yubikey.Bench
	scdaemon io.WriteCloser // its standard input
}

// plugIn plugs YubiKeys in, each as SERIAL[:OPTION,...]. It sets $PIN and $PUK to
// files with what they were set up with, and $STICK_CA to one with who vouches
// for them. The options:
//
//	factory        as sold: PIN 123456, PUK 12345678
//	pin=PIN        another PIN
//	firmware=5.4.3 another firmware than 5.7.4
//	absent         not plugged in yet: stick SERIAL insert
//	blinks=2s      how long it waits for a touch
//	foreign        vouched for by somebody who is not in $STICK_CA
//	expired        vouched for by somebody in $STICK_CA, until yesterday
func plugIn(ts *testscript.TestScript, s *scene, args []string) error {
	var config yubikey.Config
	for _, arg := range args {
		stick, err := readStick(arg)
		if err != nil {
			return err
		}
		config.Sticks = append(config.Sticks, stick)
	}
	bench, err := yubikey.Start(config)
	if err != nil {
		return err
	}
	ts.Defer(func() { ts.Check(bench.Close()) })
	s.sticks = &sticks{bench: bench}
	ts.Setenv("PCSCLITE_CSOCK_NAME", bench.Socket())
	authorities := string(bench.Maker().AuthorityPEM())
	for i, stick := range config.Sticks {
		if strings.HasSuffix(args[i], "expired") {
			authorities += string(stick.Maker.AuthorityPEM())
		}
	}
	for name, data := range map[string]string{
		"PIN": stickPIN + "\n", "PUK": stickPUK + "\n", "STICK_CA": authorities,
	} {
		path := filepath.Join(ts.Getenv("WORK"), ".stick-"+strings.ToLower(name))
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			return err
		}
		ts.Setenv(name, path)
	}
	return nil
}

// readStick reads SERIAL[:OPTION,...].
func readStick(arg string) (yubikey.StickConfig, error) {
	number, options, _ := strings.Cut(arg, ":")
	serial, err := strconv.ParseUint(number, 10, 32)
	stick := yubikey.StickConfig{Serial: uint32(serial), PIN: stickPIN, PUK: stickPUK}
	for _, option := range strings.FieldsFunc(options, func(r rune) bool { return r == ',' }) {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "factory":
			stick.PIN, stick.PUK = "", ""
		case "pin":
			stick.PIN = value
		case "firmware":
			stick.Firmware = value
		case "absent":
			stick.Absent = true
		case "blinks":
			stick.TouchLimit, err = time.ParseDuration(value)
		case "foreign":
			stick.Maker, err = card.NewMaker()
		case "expired":
			stick.Maker, err = card.NewMaker(card.SticksUntil(time.Now().AddDate(0, 0, -1)))
		default:
			err = fmt.Errorf("%s: unknown option %q", arg, option)
		}
		if err != nil {
			return stick, err
		}
	}
	return stick, err
}

// stopDaemon ends the smart card service.
func stopDaemon(_ *testscript.TestScript, s *scene, _ []string) error { return s.sticks.bench.Close() }

// stickCommand does something to one YubiKey.
func stickCommand(_ *testscript.TestScript, s *scene, args []string) error {
	serial, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	stick := s.sticks.bench.Stick(uint32(serial))
	if stick == nil {
		return fmt.Errorf("no YubiKey %d", serial)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	arg := ""
	if len(args) > 2 {
		arg = args[2]
	}
	switch args[1] {
	case "touch":
		mode, ok := map[string]yubikey.TouchMode{"auto": yubikey.Auto, "refuse": yubikey.Refuse, "manual": yubikey.Manual}[arg]
		if !ok {
			return fmt.Errorf("touch %s: expected auto, refuse or manual", arg)
		}
		stick.SetTouch(mode)
		return nil
	case "asked":
		return stick.TouchAsked(ctx)
	case "release":
		return stick.Release(ctx)
	case "remove":
		return stick.Remove()
	case "insert":
		return stick.Insert()
	case "reset":
		return stick.Reset()
	case "empty":
		slot, err := strconv.ParseUint(arg, 16, 8)
		return errors.Join(err, stick.DeleteKey(byte(slot)))
	case "garble": // the certificate of slot 9c
		return stick.SetObject(0x5fc10a, []byte("\x70\x82\xff\xffnonsense"))
	case "signatures":
		return expect("signatures", stick.Signatures(), arg)
	case "tries":
		return expect("tries of the PIN", stick.PINTries(), arg)
	case "puk-tries":
		return expect("tries of the PUK", stick.PUKTries(), arg)
	}
	return fmt.Errorf("stick %s: unknown", args[1])
}

func expect(what string, got int, want string) error {
	if strconv.Itoa(got) != want {
		return fmt.Errorf("%d %s, expected %s", got, what, want)
	}
	return nil
}

// stranger runs a program as somebody whom the smart card service does not let at
// cards, and demands its exit status.
func stranger(ts *testscript.TestScript, s *scene, args []string) error {
	if os.Geteuid() == 0 {
		other := append([]string{args[0], "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, args[1:]...)
		return exits(ts, s, other)
	}
	socket := s.sticks.bench.Socket()
	if err := os.Chmod(socket, 0); err != nil {
		return err
	}
	return errors.Join(exits(ts, s, args), os.Chmod(socket, 0o666))
}

// scdaemonCommand starts GnuPG's own smart card daemon, which takes a stick as on
// the machine of everybody who signs commits, and ends it.
func scdaemonCommand(ts *testscript.TestScript, s *scene, args []string) error {
	if args[0] == "stop" {
		return s.endScdaemon()
	}
	home := filepath.Join(ts.Getenv("WORK"), "gnupg")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	cmd := exec.Command("/usr/lib/gnupg/scdaemon", "--homedir", home, "--server", "--disable-ccid", "--pcsc-driver", "libpcsclite.so.1")
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+ts.Getenv("PCSCLITE_CSOCK_NAME"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w (Debian package: scdaemon)", err)
	}
	// The virtual stick has no OpenPGP application; any will do to hold it.
	_, err = io.WriteString(stdin, "SERIALNO undefined\n")
	for lines := bufio.NewScanner(stdout); err == nil && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ERR") {
			err = errors.New(lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "S SERIALNO") {
			break
		}
	}
	p := &process{cmd: cmd, output: &lockedBuffer{}, ended: make(chan error, 1)}
	go func() {
		_, _ = io.Copy(p.output, stdout)
		p.ended <- cmd.Wait()
	}()
	s.processes["scdaemon"], s.sticks.scdaemon = p, stdin
	ts.Defer(func() {
		if s.processes["scdaemon"] == p {
			ts.Check(s.endScdaemon())
		}
	})
	return err
}

// endScdaemon ends it as gpgconf --kill scdaemon does: a signal alone it ignores
// while it has somebody to talk to.
func (s *scene) endScdaemon() error {
	_, err := io.WriteString(s.sticks.scdaemon, "KILLSCD\nBYE\n")
	closing := s.sticks.scdaemon.Close()
	if errors.Is(closing, os.ErrClosed) { // it ended first, and its end was seen
		closing = nil
	}
	return errors.Join(err, closing, s.stop("scdaemon", syscall.SIGTERM))
}
