// Package card is a YubiKey 5's PIV applet as a program: command APDUs go in,
// answers come out, keys stay inside. It is for tests and demonstrations: the
// keys lie in memory, or in a file in the clear.
//
// Sections are those of NIST SP 800-73-4 part 2; what Yubico adds is described in
// its "PIV extensions" and "PIV attestation".
//
//	ISO 7816-4 5.1   command forms, chaining, GET RESPONSE   apdu.go, card.go
//	3.1              SELECT, GET DATA                        card.go, objects.go
//	3.2.1-3.2.3      PIN and PUK                             pin.go
//	3.2.4            GENERAL AUTHENTICATE                    management.go, sign.go
//	3.3              PUT DATA, GENERATE, import, move        objects.go, keys.go
//	Yubico           metadata, attestation                   metadata.go, attest.go
//
// Whoever holds the state file holds the keys; nothing that is worth anything may
// ever be signed with them.
package card

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Config says which YubiKey a Card plays.
type Config struct {
	Serial   uint32
	Firmware Firmware
	// FormFactor is 1 (USB-A keychain) when zero.
	FormFactor byte
	// Maker signs the attestation certificate of a new card.
	Maker *Maker
	// StateFile keeps the card's state from one run to the next. Without it the
	// state is gone with the process.
	StateFile string
	// Touch waits for a person and tells whether the card was touched. Without it
	// every touch is given at once. The context ends when the card loses power.
	Touch func(ctx context.Context, slot byte) bool
	// Delay is how long each use of a private key takes.
	Delay time.Duration
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// PIN, PUK and ManagementKey are those of a new card, the factory's where they
	// are not given. RESET puts the factory's back.
	PIN, PUK      string
	ManagementKey []byte
}

// A Card is one YubiKey. Its methods may be called from several goroutines, but
// as on a real one, commands are taken one after the other.
type Card struct {
	serial     uint32
	firmware   Firmware
	formFactor byte
	stateFile  string
	touch      func(ctx context.Context, slot byte) bool
	delay      time.Duration
	now        func() time.Time

	mu           sync.Mutex
	state        state
	changed      bool // state differs from what is on disk
	session      session
	signatures   int
	apdus        int
	ahead        time.Duration   // of the clock
	attestations map[byte][]byte // that are told instead of the truth, by slot
}

// A session is what the card forgets when it loses power.
type session struct {
	applet     applet
	pin        bool // PIN was right
	pinJustNow bool // and no other command came since
	managed    bool
	question   *question
	chain      []byte   // data of a half-done command
	chainOf    *[3]byte // its INS, P1 and P2
	unread     []byte   // what GET RESPONSE will fetch
	touches    map[byte]time.Time
}

type applet int

const (
	appletNone applet = iota
	appletPIV
	appletManagement
)

// maxCommand is the most data that a chained command may carry.
const maxCommand = 3072

// New makes a card, from its state file if there is one.
func New(config Config) (*Card, error) {
	c := &Card{
		serial: config.Serial, firmware: config.Firmware, formFactor: config.FormFactor,
		stateFile: config.StateFile, touch: config.Touch, delay: config.Delay, now: config.Now,
	}
	if c.formFactor == 0 {
		c.formFactor = 1
	}
	if c.now == nil {
		c.now = time.Now
	}
	found, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("card %d: %w", c.serial, err)
	}
	if found {
		return c, nil
	}
	c.wipe()
	if config.Maker != nil {
		if err := c.equip(config.Maker); err != nil {
			return nil, fmt.Errorf("card %d: %w", c.serial, err)
		}
	}
	if err := c.personalise(config); err != nil {
		return nil, err
	}
	return c, c.save()
}

// personalise gives a new card the secrets that the configuration names.
func (c *Card) personalise(config Config) error {
	if config.PIN != "" {
		if err := c.SetPIN(config.PIN); err != nil {
			return err
		}
	}
	if config.PUK != "" {
		if err := c.SetPUK(config.PUK); err != nil {
			return err
		}
	}
	if config.ManagementKey != nil {
		return c.SetManagementKey(config.ManagementKey)
	}
	return nil
}

// ATR is the card's answer to reset: a YubiKey 5 over USB, which speaks T=1.
func (c *Card) ATR() []byte {
	return []byte("\x3B\xFD\x13\x00\x00\x81\x31\xFE\x15\x80\x73\xC0\x21\xC0\x57\x59\x75\x62\x69\x4B\x65\x79\x40")
}

// Power is a cold or warm reset, or the loss of power: the card forgets its session.
func (c *Card) Power() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = session{}
}

// Signatures is how often a private key was used since the card was made.
func (c *Card) Signatures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signatures
}

// Tries is how many wrong PINs and PUKs the card still takes.
func (c *Card) Tries() (pin, puk int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.PIN.Left, c.state.PUK.Left
}

// Reset puts the card back to the factory's state, as RESET does, with no need to
// block PIN and PUK first. What SetAttestation said is forgotten.
func (c *Card) Reset() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipe()
	c.session = session{}
	c.attestations = nil
	return c.save()
}

// Transmit answers one command APDU. It never fails: trouble is a status word.
// It blocks while the card waits for a touch, until ctx ends.
func (c *Card) Transmit(ctx context.Context, apdu []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apdus++
	cmd, err := ParseCommand(apdu)
	if err != nil {
		return statusOf(err).bytes(nil)
	}
	if cmd.Instruction == insGetResponse && cmd.Class == 0 {
		return c.getResponse(cmd)
	}
	c.session.unread = nil
	data, done, err := c.link(cmd)
	if err != nil || !done {
		return statusOf(err).bytes(nil)
	}
	cmd.Data = data

	direct := c.session.pinJustNow
	c.session.pinJustNow = false
	answer, err := c.dispatch(ctx, cmd, direct)
	if saveErr := c.save(); saveErr != nil {
		return StatusTrouble.bytes(nil)
	}
	if err != nil {
		return statusOf(err).bytes(nil)
	}
	c.session.unread = answer
	return c.next(cmd)
}

// link puts a chained command together (ISO 7816-4, 5.1.1.1). All links carry the
// same INS, P1 and P2; any other command ends a chain that was not finished.
func (c *Card) link(cmd Command) (data []byte, done bool, err error) {
	const more = 0x10
	if cmd.Class&^more != 0 {
		return nil, false, StatusClass
	}
	of := [3]byte{cmd.Instruction, cmd.P1, cmd.P2}
	if c.session.chainOf != nil && *c.session.chainOf != of {
		c.session.chain, c.session.chainOf = nil, nil
	}
	if len(c.session.chain)+len(cmd.Data) > maxCommand {
		c.session.chain, c.session.chainOf = nil, nil
		return nil, false, StatusWrongLength
	}
	data = append(c.session.chain, cmd.Data...)
	if cmd.Class&more != 0 {
		c.session.chain, c.session.chainOf = data, &of
		return nil, false, nil
	}
	c.session.chain, c.session.chainOf = nil, nil
	return data, true, nil
}

// getResponse is GET RESPONSE: the next part of a long answer.
func (c *Card) getResponse(cmd Command) []byte {
	if len(c.session.unread) == 0 {
		return StatusWrongData.bytes(nil)
	}
	return c.next(cmd)
}

// next hands out as much of the answer as the sender has room for.
func (c *Card) next(cmd Command) []byte {
	room := orMax(cmd.Le, 256)
	if cmd.Extended {
		room = 65533 // with its status word it fits the reader's frame
	}
	unread := c.session.unread
	if len(unread) <= room {
		c.session.unread = nil
		return StatusOK.bytes(unread)
	}
	c.session.unread = unread[room:]
	return statusMore(len(c.session.unread)).bytes(unread[:room])
}

func statusOf(err error) Status {
	if err == nil {
		return StatusOK
	}
	if status, ok := err.(Status); ok {
		return status
	}
	return StatusTrouble
}
