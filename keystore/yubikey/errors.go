package yubikey

import (
	"errors"
	"fmt"
	"strings"
)

// What callers choose by. Each arrives wrapped in the stick it is about.
var (
	ErrNoSupport     = errors.New("this build of signet has no YubiKey support: it was built without cgo")
	ErrNoDaemon      = errors.New("the smart card service (pcscd) is not running")
	ErrNotAllowed    = errors.New("the smart card service (pcscd) does not let this user at cards")
	ErrAbsent        = errors.New("not plugged in")
	ErrBusy          = errors.New("another program holds the YubiKey")
	ErrTwins         = errors.New("two devices say that they are the same YubiKey, and no two are")
	ErrRemoved       = errors.New("the YubiKey was pulled out")
	ErrTouch         = errors.New("the YubiKey was not touched in time")
	ErrPIN           = errors.New("wrong PIN")
	ErrBlocked       = errors.New("PIN blocked")
	ErrPUK           = errors.New("wrong PUK")
	ErrPUKBlocked    = errors.New("PUK blocked")
	ErrFactoryPIN    = errors.New("the PIN that sticks are sold with is not used, since anyone who finds the stick knows it; it was not tried")
	ErrNewSecret     = errors.New("not taken as a new secret")
	ErrManagementKey = errors.New("wrong management key")
	ErrSlotTaken     = errors.New("slot taken")
	ErrSlotEmpty     = errors.New("no key there")
	ErrOtherKey      = errors.New("another key is there")
	ErrChooseSlot    = errors.New("the slot must be chosen")
	ErrFirmware      = errors.New("firmware too old")
	ErrClosed        = errors.New("session is closed")
	ErrCard          = errors.New("the card answered nonsense")
)

// A PINError says that the PIN, or the PUK, was not taken. It is ErrBlocked or
// ErrPUKBlocked when no tries are left, else ErrPIN or ErrPUK.
type PINError struct {
	Serial uint32
	PUK    bool // it is about the PUK
	Left   int  // tries; -1 when the firmware does not tell
	Again  bool // it is the one that was wrong before; it was not tried again
}

// Error tells how many tries are left.
func (e *PINError) Error() string {
	name := PIN
	if e.PUK {
		name = PUK
	}
	switch {
	case e.Left == 0 && e.PUK:
		return fmt.Sprintf("the PUK of YubiKey %d is blocked after too many wrong tries", e.Serial)
	case e.Left == 0:
		return fmt.Sprintf("the PIN of YubiKey %d is blocked after too many wrong tries", e.Serial)
	case e.Again:
		return fmt.Sprintf("wrong %s for YubiKey %d, the same as before, so it was not tried again: %s left", name, e.Serial, tries(e.Left))
	}
	return fmt.Sprintf("wrong %s for YubiKey %d: %s left", name, e.Serial, tries(e.Left))
}

// Unwrap returns what the error is, for errors.Is.
func (e *PINError) Unwrap() error {
	switch {
	case e.PUK && e.Left == 0:
		return ErrPUKBlocked
	case e.PUK:
		return ErrPUK
	case e.Left == 0:
		return ErrBlocked
	}
	return ErrPIN
}

func tries(n int) string {
	if n < 0 {
		return "an unknown number of tries"
	}
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

// A SeveralError says that several sticks are plugged in and none was chosen.
type SeveralError struct{ Sticks []Info }

// Error lists the sticks.
func (e *SeveralError) Error() string {
	return fmt.Sprintf("%d YubiKeys are plugged in (%s), and none was chosen", len(e.Sticks), names(e.Sticks))
}

func names(sticks []Info) string {
	var list []string
	for _, s := range sticks {
		if s.Err != nil {
			list = append(list, "one that cannot be asked for its serial number now")
		} else {
			list = append(list, fmt.Sprint(s.Serial))
		}
	}
	return strings.Join(list, ", ")
}

// status returns the status word that a card answered with, or 0.
func status(err error) uint16 {
	var answered interface{ Status() uint16 }
	if errors.As(err, &answered) {
		return answered.Status()
	}
	return 0
}

// The status words that we tell apart.
const (
	swSecurity    = 0x6982 // no PIN, no touch, or no management key
	swBlocked     = 0x6983
	swConditions  = 0x6985 // a new PIN or PUK that the card does not take
	swNoObject    = 0x6a82
	swNoKey       = 0x6a88
	swInstruction = 0x6d00
)

// pinTries reads the answer to a PIN that was not taken.
func pinTries(err error) (left int, wrong bool) {
	switch sw := status(err); {
	case sw == swBlocked:
		return 0, true
	case sw&0xff00 == 0x6300: // 63Cx, and 630x from old firmware
		return int(sw & 0x0f), true
	}
	return 0, false
}

// isAbsent tells whether a card or object is not there, rather than in trouble.
func isAbsent(err error) bool {
	sw := status(err)
	return sw == swNoObject || sw == swNoKey || errors.Is(err, errNothing)
}

// errNothing is how a card without a status word for it says "nothing there".
var errNothing = errors.New("nothing there")

// serviceErrors are the PC/SC codes that we tell apart. The card library shows
// them by their text only.
var serviceErrors = []struct {
	text string
	is   error
}{
	{"resource manager is not running", ErrNoDaemon},
	{"resource manager has shut down", ErrNoDaemon},
	{"internal communications error", ErrNoDaemon}, // the service died in mid-word
	{"server application to exit", ErrNoDaemon},
	{"access was denied because of a security violation", ErrNotAllowed},
	{"other connections outstanding", ErrBusy},
	{"has been removed", ErrRemoved},
	{"no Smart Card is currently in the device", ErrRemoved},
	{"cannot find a smart card reader", ErrRemoved},
	{"reader name is not recognized", ErrRemoved},
	{"reader is not currently available", ErrRemoved},
	{"not ready to accept commands", ErrRemoved},
	{"power has been removed", ErrRemoved},
	{"is not responding to a reset", ErrRemoved},
	{"has been reset", ErrRemoved},
	{"supplied handle was invalid", ErrRemoved},
	{"communications error with the smart card", ErrRemoved},
	{"operation has been aborted", ErrRemoved},
	{"non-existent transaction", ErrRemoved},
	{"scard response too short: 0", ErrRemoved}, // no answer at all: pulled out in mid-word
}

// explain says what a PC/SC error means. Errors that the card itself answered
// with, and all others, stay as they are.
func explain(err error) error {
	if err == nil || status(err) != 0 {
		return err
	}
	for _, e := range serviceErrors {
		if strings.Contains(err.Error(), e.text) {
			return &wordedError{e.is.Error(), []error{e.is, err}}
		}
	}
	return err
}

// A wordedError has words of its own for what is in its chain.
type wordedError struct {
	words string
	chain []error
}

func (e *wordedError) Error() string   { return e.words }
func (e *wordedError) Unwrap() []error { return e.chain }

// absent says which stick is not there, and which are.
func absent(serial uint32, there []Info) error {
	words := "no YubiKey is plugged in"
	switch {
	case serial != 0 && len(there) > 0:
		words = fmt.Sprintf("YubiKey %d is not plugged in, there is %s", serial, names(there))
	case serial != 0:
		words = fmt.Sprintf("YubiKey %d is not plugged in, nor is any other", serial)
	}
	return &wordedError{words, []error{ErrAbsent}}
}
