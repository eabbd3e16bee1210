package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// setupResult is what setup prints.
type setupResult struct {
	Serial     uint32 `json:"serial"`
	Firmware   string `json:"firmware"`
	PIN        string `json:"pin"` // "changed", "kept", "unknown" or "blocked"
	PUK        string `json:"puk"`
	Management string `json:"managementKey"`
}

func newYubiKeySetup(a *app) *cobra.Command {
	var serial uint32
	var makePUK bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set a new YubiKey up: a PIN, a PUK and a management key of its own",
		Long: `Set a new YubiKey up. Every YubiKey is sold with the same PIN (123456), PUK (12345678)
and management key; this replaces those that are still there, and no others:

  PIN             6 to 8 characters that you choose. It is asked for when the stick
                  signs; three wrong ones in a row block it.
  PUK             6 to 8 characters that you choose, or, when you just press Enter, 8
                  digits that are made and shown. It sets a new PIN when that one is
                  blocked: write it down, and keep it apart from the stick.
  management key  random, and kept on the stick, readable with the PIN. You never see
                  it; signet and ykman find it there.

Everything is asked before anything is changed. When it is interrupted, run it again:
it does what is left. Keys on the stick stay. Without a terminal, give the new PIN and
PUK by --new-pin-file and --new-puk-file.`,
		Example: `  signet yubikey setup
  signet yubikey setup --serial 12345678 --new-pin-file pin --new-puk-file puk`,
		Args: cobra.NoArgs,
	}
	serialFlag(cmd, &serial)
	cmd.Flags().BoolVar(&makePUK, "generate-puk", false, "make a random PUK, and show it at the terminal")
	a.stickFlags(cmd, yubikey.NewPIN, yubikey.NewPUK)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		return a.withStick(ctx, serial, func(ring *keyring, stick *yubikey.Stick) error {
			return a.setUp(ctx, ring, stick, makePUK)
		})
	})
	return cmd
}

// setUp explains, sets the stick up, and tells what it did.
func (a *app) setUp(ctx context.Context, ring *keyring, stick *yubikey.Stick, makePUK bool) error {
	before, err := stick.Status(ctx)
	if err != nil {
		return err
	}
	a.explainSetup(stick, before)
	if makePUK && ring.asker.lookup(yubikey.NewPUK, before.Serial) != nil {
		return usagef("--generate-puk with a new PUK that is given: which one?")
	}
	ring.asker.puks = &pukMaker{always: makePUK}
	var done yubikey.Setup
	err = ring.retry(func() (err error) {
		done, err = stick.Setup(ctx)
		return err
	})
	if err != nil {
		if done != (yubikey.Setup{}) {
			a.note("so far: PIN %s, PUK %s, management key %s", done.PIN, done.PUK, done.Management)
			return advise(err, "signet yubikey setup --serial %d, run again, does what is left", before.Serial)
		}
		return err
	}
	result := setupResult{before.Serial, before.Firmware.String(), done.PIN, done.PUK, done.Management}
	a.noteSetup(ctx, stick, result)
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s is set up: PIN %s, PUK %s, management key %s\n", stick, done.PIN, done.PUK, done.Management)
	})
}

// explainSetup says what is about to happen.
func (a *app) explainSetup(stick *yubikey.Stick, s yubikey.Status) {
	still := factoryList(s)
	switch {
	case still != "":
		a.note("%s (firmware %s) still has the %s that all YubiKeys are sold with; this replaces them", stick, s.Firmware, still)
	case s.PIN.Factory == yubikey.Unknown:
		a.note("%s (firmware %s) does not tell whether PIN and PUK are those that all YubiKeys are sold with; it is tried", stick, s.Firmware)
	default:
		a.note("%s (firmware %s) has a PIN, a PUK and a management key of its own already", stick, s.Firmware)
		return
	}
	a.note("PIN: 6 to 8 characters, asked for when the stick signs; PUK: 6 to 8 characters, sets a new PIN when three wrong ones blocked it")
}

// noteSetup says what to do next.
func (a *app) noteSetup(ctx context.Context, stick *yubikey.Stick, r setupResult) {
	switch r.PUK {
	case yubikey.Changed:
		a.note("write the PUK down, and keep it apart from the stick: without it a blocked PIN stays blocked")
	case yubikey.Blocked:
		a.note("warning: the PUK of %s is blocked: should its PIN get blocked, too, only a reset is left, which destroys its keys", stick)
	case yubikey.Untold:
		a.note("the PUK was left alone, since this firmware does not tell whether it is as sold; if it may be, change it: signet yubikey change-puk --serial %d", r.Serial)
	}
	if r.Management == yubikey.Changed {
		a.note("the management key is random now, and kept on the stick, readable with its PIN")
	}
	if keys, err := stick.Keys(ctx); err == nil && len(usable(keys)) == 0 {
		a.note("next, make a key on it: signet key generate --yubikey --serial %d --role root (or targets, or signer)", r.Serial)
	}
}

// A pukMaker makes a PUK for who does not want to choose one.
type pukMaker struct {
	always bool // nobody is asked
	made   []byte
}

// answers tells whether a question is not for a person.
func (m *pukMaker) answers(q yubikey.Question) bool {
	return q.Secret == yubikey.NewPUK && (m.always || q.Again && m.made != nil)
}

// puk returns a random PUK, which it shows at the terminal first, the same one
// when it is asked for again.
func (m *pukMaker) puk(serial uint32) ([]byte, error) {
	if m.made == nil {
		puk, err := randomPUK()
		if err != nil {
			return nil, err
		}
		if err := showSecret(fmt.Sprintf("The new PUK of YubiKey %d: %s   (write it down now: it is not shown again)", serial, puk)); err != nil {
			clear(puk)
			return nil, err
		}
		m.made = puk
	}
	return bytes.Clone(m.made), nil
}

// randomPUK is 8 digits, and not those that sticks are sold with.
func randomPUK() ([]byte, error) {
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
		if err != nil {
			return nil, err
		}
		if puk := fmt.Appendf(nil, "%08d", n); string(puk) != "12345678" {
			return puk, nil
		}
	}
}

// showSecret writes to the terminal itself: what goes to standard output and
// standard error may end in a log.
func showSecret(line string) error {
	name := "/dev/tty"
	if runtime.GOOS == "windows" {
		name = "CONOUT$"
	}
	tty, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return advise(fmt.Errorf("a PUK that is made is shown at a terminal only: %w", errNoTerminal), "choose one: --new-puk-file FILE")
	}
	_, err = fmt.Fprintln(tty, line)
	return errors.Join(err, tty.Close())
}
