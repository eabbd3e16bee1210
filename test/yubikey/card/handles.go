package card

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"
)

// The methods here are handles for tests. They do from outside what no terminal can
// do with a real card, or only at length.

// APDUs is how many command APDUs the card has answered, the links of a chain and
// GET RESPONSE counted one by one.
func (c *Card) APDUs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apdus
}

// Advance sets the card's clock forward. The 15 seconds for which a touch is
// remembered are measured by it.
func (c *Card) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func (c *Card) time() time.Time { return c.now().Add(c.ahead) }

// SetPIN replaces the PIN, with all tries left.
func (c *Card) SetPIN(pin string) error { return c.setSecret(pin, &c.state.PIN) }

// SetPUK replaces the PUK, with all tries left.
func (c *Card) SetPUK(puk string) error { return c.setSecret(puk, &c.state.PUK) }

func (c *Card) setSecret(text string, which *secret) error {
	value := bytes.Repeat([]byte{0xFF}, 8)
	if copy(value, text) != len(text) || !c.acceptable(value, which == &c.state.PUK) {
		return fmt.Errorf("card %d: want a PIN or PUK of 6 to 8 bytes", c.serial)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	which.set(value)
	return c.keep()
}

// SetManagementKey replaces the management key. Its length decides the algorithm:
// 16 bytes are for AES-128, 32 for AES-256, and 24 for what the firmware's factory
// uses, 3DES before 5.7 and AES-192 from then on.
func (c *Card) SetManagementKey(key []byte) error {
	algorithm := c.firmware.managementAlgorithm()
	switch len(key) {
	case 16:
		algorithm = algorithmAES128
	case 32:
		algorithm = algorithmAES256
	}
	if !c.takes(algorithm, key) {
		return fmt.Errorf("card %d: firmware %s takes no management key of %d bytes", c.serial, c.firmware, len(key))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Management = managementKey{algorithm, bytes.Clone(key), touchNever}
	return c.keep()
}

// Object is what GET DATA would find under a tag such as 0x5FC10A, without its
// wrapper; nil when there is nothing.
func (c *Card) Object(tag uint32) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.state.Objects[objectName(tag)])
}

// SetObject replaces what GET DATA finds under a tag, whatever its size and form.
// Nothing deletes it.
func (c *Card) SetObject(tag uint32, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setObject(objectName(tag), value)
	return c.keep()
}

func objectName(tag uint32) string {
	return hex.EncodeToString([]byte{byte(tag >> 16), byte(tag >> 8), byte(tag)})
}

// SetAttestation makes the card answer ATTEST for a slot with der from now on,
// instead of the truth. Nothing brings the truth back.
func (c *Card) SetAttestation(slot byte, der []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if der == nil {
		delete(c.attestations, slot)
		return
	}
	if c.attestations == nil {
		c.attestations = make(map[byte][]byte)
	}
	c.attestations[slot] = bytes.Clone(der)
}

// DeleteKey empties a slot; the certificate of that slot stays. Firmware before 5.7
// has no command for it.
func (c *Card) DeleteKey(slot byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.state.keys, slot)
	return c.keep()
}

// keep notes the change and writes it down.
func (c *Card) keep() error {
	c.changed = true
	return c.save()
}
