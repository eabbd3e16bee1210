package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// stickFlagNames are the stems of the flags that give a YubiKey's secrets:
// --pin-file, --pin-fd and so on.
var stickFlagNames = map[string]string{
	yubikey.PIN: "pin", yubikey.NewPIN: "new-pin", yubikey.PUK: "puk", yubikey.NewPUK: "new-puk",
}

// secretOptions is what a command's flags say of secrets, and of waiting for
// the YubiKey that has them.
type secretOptions struct {
	passphrases     secretSource
	sticks          []*stickSource
	pinentry        string // program, or ""
	allowFactoryPIN bool
	wait            time.Duration // for a YubiKey that is not plugged in; negative: as long as a person may
}

// A stickSource is where one secret of YubiKeys comes from, when not from a
// person.
type stickSource struct {
	secret string // yubikey.PIN and so on
	files  []string
	fds    []string
}

// A stickSecret is a secret that was given: for one YubiKey, or, with serial 0,
// for those that none was given for.
type stickSecret struct {
	secret string
	serial uint32
	value  []byte
}

// source returns the one source of a secret, which all commands' flags share.
func (o *secretOptions) source(secret string) *stickSource {
	for _, s := range o.sticks {
		if s.secret == secret {
			return s
		}
	}
	s := &stickSource{secret: secret}
	o.sticks = append(o.sticks, s)
	return s
}

// secretFlags adds the flags of commands that sign: those of secrets, and what to do
// when another content was signed before.
func (a *app) secretFlags(cmd *cobra.Command) {
	a.unlockFlags(cmd)
	cmd.Flags().BoolVar(&a.signAgain, "sign-again", false, "sign another content for a version that was signed on this machine already: whoever kept that signature may show the first to some and the second to others")
}

// unlockFlags adds the flags of commands that use keys: where PINs and passphrases
// come from, and how long to wait for a YubiKey.
func (a *app) unlockFlags(cmd *cobra.Command) {
	a.pinFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&a.secrets.passphrases.files, "passphrase-file", nil, "read the passphrase of key files from this `file` (may be given several times: each is tried)")
	flags.IntVar(&a.secrets.passphrases.fd, "passphrase-fd", -1, "read the passphrase of key files from this file `descriptor`")
}

// pinFlags adds the flags of commands that need a YubiKey's PIN.
func (a *app) pinFlags(cmd *cobra.Command) {
	a.stickFlags(cmd, yubikey.PIN)
	cmd.Flags().BoolVar(&a.secrets.allowFactoryPIN, "allow-factory-pin", false, "use the PIN 123456, which every YubiKey is sold with: protects nothing, for tests only")
}

// stickFlags adds the flags that give certain secrets of YubiKeys.
func (a *app) stickFlags(cmd *cobra.Command, secrets ...string) {
	flags := cmd.Flags()
	for _, secret := range secrets {
		source := a.secrets.source(secret)
		stem := stickFlagNames[secret]
		flags.StringArrayVar(&source.files, stem+"-file", nil, fmt.Sprintf("read the %s from `[SERIAL=]FILE`, with SERIAL for that YubiKey alone (may be given several times)", secret))
		flags.StringArrayVar(&source.fds, stem+"-fd", nil, fmt.Sprintf("read the %s from the file descriptor `[SERIAL=]N`, with SERIAL for that YubiKey alone (may be given several times)", secret))
	}
	flags.StringVar(&a.secrets.pinentry, "pinentry", "", "have a program of GnuPG's pinentry family ask for secrets, in a window or at the terminal; --pinentry=`PROGRAM` names another one than pinentry")
	flags.Lookup("pinentry").NoOptDefVal = "pinentry"
	a.waitFlag(cmd)
}

// waitFlag adds the flag that says how long to wait for a YubiKey that cannot be
// talked to yet.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.secrets.wait, "wait-for-yubikey", -1, "wait this `long` for a YubiKey that is not plugged in, or that another program holds (default: 2m for one to be plugged in at a terminal, 20s for one that is held)")
	cmd.Flags().Lookup("wait-for-yubikey").DefValue = "0s" // said above
}

// read reads what the flags name. It refuses what could be meant in two ways.
func (s *stickSource) read(open descriptors) (given []stickSecret, err error) {
	seen := map[uint32]bool{}
	add := func(what string, serial uint32, read func() ([]byte, error)) error {
		if seen[serial] {
			whose := "every YubiKey"
			if serial != 0 {
				whose = fmt.Sprintf("YubiKey %d", serial)
			}
			return usagef("the %s of %s is given twice", s.secret, whose)
		}
		seen[serial] = true
		value, err := read()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		given = append(given, stickSecret{s.secret, serial, value})
		return nil
	}
	stem := stickFlagNames[s.secret]
	for _, arg := range s.files {
		serial, path := bySerial(arg)
		if err := add("--"+stem+"-file "+path, serial, func() ([]byte, error) { return readSecretFile(path) }); err != nil {
			return nil, err
		}
	}
	for _, arg := range s.fds {
		serial, number := bySerial(arg)
		fd, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, usagef("--%s-fd: expected the number of a file descriptor, or SERIAL=NUMBER", stem) // what was typed may be the secret
		}
		flag := fmt.Sprintf("--%s-fd %d", stem, fd)
		if err := add(flag, serial, func() ([]byte, error) { return open.read(flag, int(fd)) }); err != nil {
			return nil, err
		}
	}
	return given, nil
}

// bySerial takes "12345678=FILE" apart. What does not begin with a serial number
// and '=' is all FILE.
func bySerial(arg string) (serial uint32, rest string) {
	number, rest, ok := strings.Cut(arg, "=")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n == 0 {
		return 0, arg
	}
	return uint32(n), rest
}

func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, reading(err)
	}
	defer f.Close()
	return readSecret(f)
}

// readNamed reads the whole file that a flag names.
func readNamed(flag, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, path, reading(err))
	}
	return data, nil
}

// reading says what was wrong with a file, without the name that the caller says.
func reading(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		if errors.Is(err, fs.ErrNotExist) {
			return advise(fmt.Errorf("there is no such file (%w)", fs.ErrNotExist), "check the path, and that the file is there for this user")
		}
		return path.Err
	}
	return err
}

// An asker answers a YubiKey's questions: by what the flags gave, a pinentry
// program, or the person at the terminal. It is a yubikey.Asker.
type asker struct {
	app   *app
	given []stickSecret
	open  descriptors // that were read
	typed bool        // the last answer came from a person, who may try again
	puks  *pukMaker   // makes a PUK for who does not want to choose one; or nil
}

// newAsker reads what the flags name, so that a wrong path is told before
// anybody is asked for anything.
func (a *app) newAsker() (*asker, error) {
	if err := a.checkPinentry(); err != nil {
		return nil, err
	}
	k := &asker{app: a, open: descriptors{}}
	for _, source := range a.secrets.sticks {
		given, err := source.read(k.open)
		if err != nil {
			k.forget()
			return nil, err
		}
		k.given = append(k.given, given...)
	}
	return k, nil
}

// forget overwrites the secrets.
func (k *asker) forget() {
	for _, s := range k.given {
		clear(s.value)
	}
	if k.puks != nil {
		clear(k.puks.made)
	}
	k.given, k.puks = nil, nil
}

// lookup returns the secret that was given for a YubiKey, or nil.
func (k *asker) lookup(secret string, serial uint32) []byte {
	var common []byte
	for _, s := range k.given {
		switch {
		case s.secret != secret:
		case s.serial == serial:
			return s.value
		case s.serial == 0:
			common = s.value
		}
	}
	return common
}

// gave tells whether flags gave the secret that was wrong.
func (k *asker) gave(wrong *yubikey.PINError) bool {
	secret := yubikey.PIN
	if wrong.PUK {
		secret = yubikey.PUK
	}
	return k.lookup(secret, wrong.Serial) != nil
}

// StickSecret answers one question.
func (k *asker) StickSecret(ctx context.Context, q yubikey.Question) ([]byte, error) {
	k.typed = false
	if value := k.lookup(q.Secret, q.Serial); value != nil {
		return bytes.Clone(value), nil // whoever asked overwrites it
	}
	if k.puks != nil && k.puks.answers(q) {
		return k.puks.puk(q.Serial)
	}
	prompt := q.Prompt
	if k.puks != nil && q.Secret == yubikey.NewPUK && !q.Again {
		prompt = strings.TrimSuffix(prompt, ": ") + ", or just Enter to have one made and shown: "
	}
	secret, err := k.app.askPerson(ctx, prompt)
	switch {
	case errors.Is(err, errNoTerminal):
		stem := stickFlagNames[q.Secret]
		return nil, advise(fmt.Errorf("%s: %w", strings.TrimSuffix(q.Prompt, ": "), err),
			"give it by --%[1]s-file FILE or --%[1]s-fd N (%[2]d=FILE for this YubiKey alone), or have it asked for by --pinentry", stem, q.Serial)
	case errors.Is(err, errEmptySecret) && k.puks != nil && q.Secret == yubikey.NewPUK && !q.Again:
		return k.puks.puk(q.Serial)
	case errors.Is(err, errEmptySecret):
		return nil, fmt.Errorf("%s: nothing was typed", strings.TrimSuffix(q.Prompt, ": "))
	}
	k.typed = err == nil
	return secret, err
}

// Notice shows one line at once.
func (k *asker) Notice(text string) { k.app.note("%s", text) }

// askPerson asks by the pinentry program, or else at the terminal.
func (a *app) askPerson(ctx context.Context, prompt string) ([]byte, error) {
	if a.secrets.pinentry != "" {
		return a.askPinentry(ctx, prompt)
	}
	return a.askSecret(ctx, prompt)
}

// patience is how long to wait for a YubiKey that is not plugged in.
func (a *app) patience() time.Duration {
	switch {
	case a.secrets.wait >= 0:
		return a.secrets.wait
	case a.interactive():
		return 2 * time.Minute
	}
	return 0
}

// patienceWithHolder is how long to wait for a YubiKey that another program holds, as
// yubikey.Config has it.
func (a *app) patienceWithHolder() time.Duration {
	switch {
	case a.secrets.wait < 0: // not said
		return 0
	case a.secrets.wait == 0:
		return -1
	}
	return a.secrets.wait
}
