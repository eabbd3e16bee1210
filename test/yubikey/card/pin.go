package card

import (
	"bytes"
	"crypto/subtle"
)

// A secret is the PIN or the PUK, padded to eight bytes, with its retry counter.
type secret struct {
	Value []byte `json:"value"`
	Left  int    `json:"left"`
	Tries int    `json:"tries"`
}

const (
	referencePIN = 0x80
	referencePUK = 0x81

	factoryPIN   = "123456\xff\xff"
	factoryPUK   = "12345678"
	factoryTries = 3
)

func newSecret(value string, tries int) secret {
	return secret{Value: []byte(value), Left: tries, Tries: tries}
}

// check compares and counts. A blocked secret stays blocked, whatever is offered.
func (s *secret) check(offer []byte) error {
	if s.Left == 0 {
		return StatusBlocked
	}
	if subtle.ConstantTimeCompare(s.Value, offer) != 1 {
		s.Left--
		return statusTries(s.Left)
	}
	s.Left = s.Tries
	return nil
}

// set replaces the value, which unblocks it.
func (s *secret) set(value []byte) {
	s.Value, s.Left = bytes.Clone(value), s.Tries
}

// verify is VERIFY: the PIN, a question whether it is needed, or a wish to forget it.
func (c *Card) verify(cmd Command) ([]byte, error) {
	if cmd.P2 != referencePIN {
		return nil, StatusReferenceMissing // 96 is the fingerprint of a YubiKey Bio
	}
	pin := &c.state.PIN
	switch {
	case cmd.P1 == 0xFF && len(cmd.Data) == 0:
		c.session.pin = false
		return nil, nil
	case cmd.P1 != 0:
		return nil, StatusWrongParameters
	case len(cmd.Data) == 0 && c.session.pin:
		return nil, nil
	case len(cmd.Data) == 0 && pin.Left == 0:
		return nil, StatusBlocked
	case len(cmd.Data) == 0:
		return nil, statusTries(pin.Left)
	case len(cmd.Data) != 8:
		return nil, StatusWrongData
	}
	c.changed = true
	err := pin.check(cmd.Data)
	c.session.pin, c.session.pinJustNow = err == nil, err == nil
	return nil, err
}

// changeReference is CHANGE REFERENCE DATA: old PIN or PUK, then the new one.
func (c *Card) changeReference(cmd Command) ([]byte, error) {
	var which *secret
	switch {
	case cmd.P1 == 0 && cmd.P2 == referencePIN:
		which = &c.state.PIN
	case cmd.P1 == 0 && cmd.P2 == referencePUK:
		which = &c.state.PUK
	default:
		return nil, StatusReferenceMissing
	}
	return nil, c.replaceSecret(cmd, which, which)
}

// resetRetry is RESET RETRY COUNTER: the PUK, then a new PIN.
func (c *Card) resetRetry(cmd Command) ([]byte, error) {
	if cmd.P1 != 0 || cmd.P2 != referencePIN {
		return nil, StatusReferenceMissing
	}
	return nil, c.replaceSecret(cmd, &c.state.PUK, &c.state.PIN)
}

func (c *Card) replaceSecret(cmd Command, check, set *secret) error {
	if len(cmd.Data) != 16 {
		return StatusWrongData
	}
	old, value := cmd.Data[:8], cmd.Data[8:]
	c.changed = true
	if err := check.check(old); err != nil {
		if check == &c.state.PIN {
			c.session.pin = false
		}
		return err
	}
	// The new value is looked at last: ykman blocks the PUK with an empty new PIN.
	if !c.acceptable(value, set == &c.state.PUK) {
		return StatusConditions
	}
	set.set(value)
	return nil
}

// acceptable tells whether a new PIN or PUK has six to eight bytes and is then
// padded. Firmware 5.7 wants ASCII for the PUK.
func (c *Card) acceptable(value []byte, puk bool) bool {
	text := bytes.TrimRight(value, "\xff")
	if len(text) < 6 || bytes.IndexByte(text, 0xFF) >= 0 {
		return false
	}
	ascii := bytes.IndexFunc(text, func(r rune) bool { return r > 0x7F }) < 0
	return ascii || !puk || !c.firmware.has57()
}

// setRetries is SET PIN RETRIES, which also puts the factory's PIN and PUK back.
func (c *Card) setRetries(cmd Command) ([]byte, error) {
	if !c.session.managed || !c.session.pin {
		return nil, StatusSecurity
	}
	if cmd.P1 == 0 || cmd.P2 == 0 {
		return nil, StatusWrongData
	}
	c.changed = true
	c.state.PIN = newSecret(factoryPIN, int(cmd.P1))
	c.state.PUK = newSecret(factoryPUK, int(cmd.P2))
	c.session.pin = false
	return nil, nil
}

// reset is RESET: back to the factory's state, once PIN and PUK are both blocked.
func (c *Card) reset() ([]byte, error) {
	if c.state.PIN.Left > 0 || c.state.PUK.Left > 0 {
		return nil, StatusConditions
	}
	c.wipe()
	return nil, nil
}
