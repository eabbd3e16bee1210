package yubikey

import (
	"context"
	"errors"
	"fmt"
)

// An Answer is yes, no, or that the firmware does not tell.
type Answer string

// The answers.
const (
	Unknown Answer = ""
	Yes     Answer = "yes"
	No      Answer = "no"
)

func answer(yes bool) Answer {
	if yes {
		return Yes
	}
	return No
}

// A Status says how a stick is set up. Nobody is asked for a secret to find out.
type Status struct {
	Info
	FormFactor string // as in "USB-C keychain"; "" when the stick does not tell
	PIN        SecretStatus
	PUK        SecretStatus
	Management ManagementStatus
	Slots      []SlotInfo
}

// A SecretStatus says how the PIN or the PUK fares.
type SecretStatus struct {
	Left    int    // tries; -1 when the firmware does not tell
	Max     int    // tries after a right one; -1 when the firmware does not tell
	Factory Answer // is it the one that the stick was sold with?
}

// A ManagementStatus says how the management key is kept.
type ManagementStatus struct {
	Algorithm string // "3des", "aes128", "aes192", "aes256"
	Factory   Answer // is it the one that all sticks are sold with?
	// UnderPIN tells whether the stick keeps it readable for who knows the PIN,
	// as far as the note says that programs leave beside it.
	UnderPIN Answer
	Touch    string // Never, Always, Cached; "" when the firmware does not tell
}

// Status asks the stick how it is set up. It works with a blocked PIN too.
func (st *Stick) Status(ctx context.Context) (Status, error) {
	return withTurn(ctx, st, func(t *talk) (Status, error) {
		s, err := t.status(ctx)
		if err != nil {
			return Status{}, err
		}
		s.Slots, err = t.keys(ctx)
		return s, err
	})
}

// status is Status without the slots.
func (t *talk) status(ctx context.Context) (Status, error) {
	s, err := raw(ctx, t, func(w wire) (Status, error) {
		s := Status{Info: t.info}
		s.FormFactor = w.formFactor() // and forget the PIN, so that its tries are told
		if err := w.choose(aidPIV); err != nil {
			return s, err
		}
		return s, w.fill(&s, t.info.Firmware)
	})
	if err != nil {
		return Status{}, fmt.Errorf("ask for the state: %w", err)
	}
	return s, nil
}

func (w wire) fill(s *Status, firmware Version) (err error) {
	if s.PIN, err = w.secretStatus(refPIN, firmware); err != nil {
		return err
	}
	if s.PUK, err = w.secretStatus(refPUK, firmware); err != nil {
		return err
	}
	s.Management, err = w.managementStatus(firmware)
	return err
}

// hasMetadata tells of the firmware that brought the command for it.
func (v Version) hasMetadata() bool { return v.AtLeast(5, 3) }

// metadata asks for what the firmware knows of a secret or key.
func (w wire) metadata(reference byte) (map[byte][]byte, error) {
	raw, err := w.send(insMetadata, 0, reference)
	if err != nil {
		return nil, err
	}
	return readTLVs(raw)
}

// The tags of metadata.
const (
	metaAlgorithm = 0x01
	metaPolicy    = 0x02
	metaFactory   = 0x05
	metaTries     = 0x06
)

func factoryFlag(m map[byte][]byte) Answer {
	if len(m[metaFactory]) != 1 {
		return Unknown
	}
	return answer(m[metaFactory][0] == 1)
}

// secretStatus asks for the PIN's or the PUK's tries. Before firmware 5.3 only
// those of the PIN can be asked for.
func (w wire) secretStatus(reference byte, firmware Version) (SecretStatus, error) {
	s := SecretStatus{Left: -1, Max: -1}
	if firmware.hasMetadata() {
		m, err := w.metadata(reference)
		if err != nil {
			return s, err
		}
		if n := m[metaTries]; len(n) == 2 {
			s.Max, s.Left = int(n[0]), int(n[1])
		}
		s.Factory = factoryFlag(m)
		return s, nil
	}
	if reference != refPIN {
		return s, nil
	}
	_, err := w.send(insVerify, 0, refPIN)
	if left, ok := pinTries(err); ok {
		s.Left = left
	} else if err != nil {
		return s, err
	}
	return s, nil
}

// formFactor asks the management application, and forgets what was proven to
// the PIV application.
func (w wire) formFactor() string {
	if w.choose(aidManagement) != nil {
		return ""
	}
	raw, err := w.send(insDeviceInfo, 0, 0)
	if err != nil || len(raw) == 0 || int(raw[0]) != len(raw)-1 {
		return ""
	}
	const tagFormFactor = 0x04
	m, err := readTLVs(raw[1:])
	if err != nil || len(m[tagFormFactor]) != 1 {
		return ""
	}
	const fips, securityKey = 0x80, 0x40
	form := formFactors[m[tagFormFactor][0]&^(fips|securityKey)]
	if form != "" && m[tagFormFactor][0]&fips != 0 {
		form += ", FIPS"
	}
	return form
}

// formFactors has the words of package attestation.
var formFactors = map[byte]string{
	1: "USB-A keychain", 2: "USB-A nano", 3: "USB-C keychain", 4: "USB-C nano", 5: "USB-C and Lightning",
	6: "USB-A keychain, Bio", 7: "USB-C keychain, Bio",
}

// raw lends f the card for commands that the library does not have. The library
// opens it anew afterwards, so that the PIN must be shown to it again.
func raw[T any](ctx context.Context, t *talk, f func(wire) (T, error)) (T, error) {
	t.verified = false
	return ask(ctx, t, func(c card) (v T, err error) {
		err = c.Raw(func(w wire) error {
			v, err = f(w)
			return err
		})
		return v, err
	})
}

// errLost says that the card could not be opened again.
var errLost = errors.New("the YubiKey could not be opened again")
