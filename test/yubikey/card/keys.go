package card

import "bytes"

const (
	slotAttestation = 0xF9
	slotManagement  = 0x9B
	slotSignature   = 0x9C
	slotCardAuth    = 0x9E

	pinNever  = 1
	pinOnce   = 2
	pinAlways = 3

	touchNever  = 1
	touchAlways = 2
	touchCached = 3

	originGenerated = 1
	originImported  = 2
)

// A slotKey is a private key with the rules for its use.
type slotKey struct {
	key    privateKey
	PIN    byte
	Touch  byte
	Origin byte
}

// isKeySlot tells whether a person can keep a key in slot.
func isKeySlot(slot byte) bool {
	switch slot {
	case 0x9A, slotSignature, 0x9D, slotCardAuth:
		return true
	}
	return 0x82 <= slot && slot <= 0x95 // retired key management
}

// The objects inside GENERATE's template, and after the key in IMPORT.
const (
	tagGenerate    = 0xAC
	tagAlgorithm   = 0x80
	tagPINPolicy   = 0xAA
	tagTouchPolicy = 0xAB
)

// generate is GENERATE ASYMMETRIC KEY PAIR (3.3.2). It answers with the public key.
func (c *Card) generate(cmd Command) ([]byte, error) {
	if !c.session.managed {
		return nil, StatusSecurity
	}
	if cmd.P1 != 0 || (!isKeySlot(cmd.P2) && cmd.P2 != slotAttestation) {
		return nil, StatusWrongParameters
	}
	inner, err := unwrap(tagGenerate, cmd.Data)
	if err != nil {
		return nil, err
	}
	template, err := readAll(inner)
	if err != nil {
		return nil, err
	}
	if len(template[tagAlgorithm]) != 1 {
		return nil, StatusWrongData
	}
	slot, err := rules(cmd.P2, template)
	if err != nil {
		return nil, err
	}
	algorithm, err := c.algorithm(template[tagAlgorithm][0])
	if err != nil {
		return nil, err
	}
	if slot.key, err = algorithm.generate(); err != nil {
		return nil, err
	}
	slot.Origin = originGenerated
	c.changed = true
	c.state.keys[cmd.P2] = slot
	public := slot.key.public()
	return append([]byte{0x7F}, tlv(0x49, public...)...), nil
}

// importKey is Yubico's IMPORT ASYMMETRIC KEY.
func (c *Card) importKey(cmd Command) ([]byte, error) {
	if !c.session.managed {
		return nil, StatusSecurity
	}
	if !isKeySlot(cmd.P2) && cmd.P2 != slotAttestation {
		return nil, StatusWrongParameters
	}
	template, err := readAll(cmd.Data)
	if err != nil {
		return nil, err
	}
	slot, err := rules(cmd.P2, template)
	if err != nil {
		return nil, err
	}
	algorithm, err := c.algorithm(cmd.P1)
	if err != nil {
		return nil, err
	}
	if slot.key, err = algorithm.read(template); err != nil {
		return nil, StatusWrongData
	}
	slot.Origin = originImported
	c.changed = true
	c.state.keys[cmd.P2] = slot
	return nil, nil
}

// rules reads the PIN and touch policy. What is not said is the slot's default:
// 9C asks for the PIN always, 9E never, the others once.
func rules(slot byte, template map[byte][]byte) (*slotKey, error) {
	policy := func(tag byte, unsaid byte) (byte, error) {
		value, ok := template[tag]
		switch {
		case !ok || bytes.Equal(value, []byte{0}):
			return unsaid, nil
		case len(value) != 1 || value[0] > 3:
			return 0, StatusWrongData
		}
		return value[0], nil
	}
	unsaid := byte(pinOnce)
	switch slot {
	case slotSignature:
		unsaid = pinAlways
	case slotCardAuth:
		unsaid = pinNever
	}
	pin, err := policy(tagPINPolicy, unsaid)
	if err != nil {
		return nil, err
	}
	touch, err := policy(tagTouchPolicy, touchNever)
	if err != nil {
		return nil, err
	}
	return &slotKey{PIN: pin, Touch: touch}, nil
}

// move is MOVE KEY (5.7): to another slot that is empty, or to FF, which deletes.
func (c *Card) move(cmd Command) ([]byte, error) {
	to, from := cmd.P1, cmd.P2
	switch {
	case !c.firmware.has57():
		return nil, StatusInstruction
	case !c.session.managed:
		return nil, StatusSecurity
	case !isKeySlot(from) && !(from == slotAttestation && to == 0xFF):
		return nil, StatusWrongParameters
	case to != 0xFF && !isKeySlot(to):
		return nil, StatusWrongParameters
	case c.state.keys[from] == nil:
		return nil, StatusReferenceMissing
	case to != 0xFF && c.state.keys[to] != nil:
		return nil, StatusConditions
	}
	c.changed = true
	if to != 0xFF {
		c.state.keys[to] = c.state.keys[from]
	}
	delete(c.state.keys, from)
	return nil, nil
}
