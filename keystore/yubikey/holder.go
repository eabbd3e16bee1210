package yubikey

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Holder is a program that may hold a stick.
type Holder struct {
	Process int
	Program string
}

// A BusyError says that another program holds a stick. It is ErrBusy.
type BusyError struct {
	Holders []Holder // those that talk to the smart card service, as far as we can see

	cause error
}

// Error names the programs, and says how they let go.
func (e *BusyError) Error() string {
	var list []string
	for _, h := range e.Holders {
		words := fmt.Sprintf("%s, process %d", h.Program, h.Process)
		if how := letsGo(h.Program); how != "" {
			words += fmt.Sprintf(" (%s)", how)
		}
		list = append(list, words)
	}
	return fmt.Sprintf("%v; by the looks of it %s", e.cause, strings.Join(list, ", or "))
}

// Unwrap returns what was said at first.
func (e *BusyError) Unwrap() error { return e.cause }

// maxHolders keeps the error a sentence.
const maxHolders = 3

// held names the likely holders in an error that is ErrBusy.
func held(err error) error {
	if !errors.Is(err, ErrBusy) {
		return err
	}
	holders := findHolders()
	if len(holders) == 0 {
		return fmt.Errorf("%w; often that is gpg's scdaemon, an ssh agent or a browser; one that still blinks for a command that was stopped is free within %s", err, touchLimit)
	}
	return &BusyError{holders[:min(len(holders), maxHolders)], err}
}

// named does the same for each stick in a list.
func named(list []Info) []Info {
	for i := range list {
		list[i].Err = held(list[i].Err)
	}
	return list
}

// cardPrograms are those that are known to talk to smart cards, by the start of
// their name, with how they let go.
var cardPrograms = []struct{ name, how string }{
	{"scdaemon", "part of GnuPG: gpgconf --kill scdaemon"},
	{"ssh-pkcs11-helpe", "an SSH agent's: ssh-add -e LIBRARY, or end the agent"},
	{"yubikey-agent", "an SSH agent: end it"},
	{"gsd-smartcard", "part of GNOME's session: log out, or end it"},
	{"authenticator", "Yubico Authenticator: close its window"},
	{"yubioath", "Yubico Authenticator: close its window"},
	{"ykman", "wait until it is done"},
	{"yubico-piv-tool", "wait until it is done"},
	{"pkcs11-tool", "wait until it is done"},
	{"pkcs15-tool", "wait until it is done"},
	{"piv-tool", "wait until it is done"},
	{"opensc-tool", "wait until it is done"},
	{"p11tool", "wait until it is done"},
	{"p11-kit-server", "end it"},
	{"age-plugin-yubi", "wait until it is done"},
	{"cosign", "wait until it is done"},
	{"signet", "another signet: wait until it is done"},
	{"firefox", "close it, or take the smart card out of its security devices"},
	{"thunderbird", "close it, or take the smart card out of its security devices"},
	{"chrome", "close it"},
	{"chromium", "close it"},
}

// known returns the place of a program in that list, or -1.
func known(program string) int {
	return slices.IndexFunc(cardPrograms, func(p struct{ name, how string }) bool {
		return program == p.name || strings.HasPrefix(program, p.name) && p.name != "signet" // not its server
	})
}

func letsGo(program string) string {
	if n := known(program); n >= 0 {
		return cardPrograms[n].how
	}
	return ""
}

// rank puts the known ones first, in the order above.
func rank(holders []Holder) []Holder {
	place := func(h Holder) int {
		if n := known(h.Program); n >= 0 {
			return n
		}
		return len(cardPrograms)
	}
	slices.SortStableFunc(holders, func(a, b Holder) int { return place(a) - place(b) })
	return holders
}
