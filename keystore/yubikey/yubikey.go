// Package yubikey makes and uses keys on YubiKeys, by their PIV applet.
//
//	session := yubikey.NewSession(yubikey.Config{Asker: asker})
//	defer session.Close()
//	stick, err := session.Open(ctx, 0)            // the one that is plugged in
//	made, err := stick.Generate(ctx, yubikey.Request{Role: "root"})
//	key, err := session.Find(ctx, made.Key.ID())  // a tuf.Signer
//	sig, err := key.Sign(keystore.WithReason(ctx, "root version 1 of ..."), msg)
//
// A session belongs to one command. It holds each stick that it opened until it
// is closed, and other programs wait that long; within it a PIN is asked for
// once a stick, however many signatures follow, and is overwritten at its end
// (the copies that the card library makes are the garbage collector's). A PIN
// or PUK that was wrong is not tried again, so that one from a file costs one try.
//
// What a signature is for is shown before the touch is waited for. The wait
// ends with its context, although a card cannot be interrupted: the answer to
// an abandoned request is thrown away.
//
// Nothing that a card says is believed: each signature is checked against the
// public key before it is handed out.
//
// This is the only package that needs cgo, for libpcsclite. Built without it,
// everything is there and every call that needs a card returns ErrNoSupport.
package yubikey

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/signet-trust/signet/tuf"
)

// A Version is a stick's firmware version.
type Version struct{ Major, Minor, Patch int }

// String returns the version as in "5.7.4".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast tells whether v is major.minor or newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// An Info says which stick is plugged in where.
type Info struct {
	Reader   string
	Serial   uint32 // 0 when Err is set
	Firmware Version
	Err      error // why it could not be asked: ErrBusy, mostly
}

// A Slot is a place for a key, by its PIV number.
type Slot byte

// Signature is the slot that PIV means for signing; it is a root key's first
// choice. The twenty retired slots are alike and follow.
const (
	Signature    Slot = 0x9c
	firstRetired Slot = 0x82
	lastRetired  Slot = 0x95
)

// ParseSlot reads "9c" or "82" to "95", and the slots that signet only shows.
func ParseSlot(s string) (Slot, error) {
	n, err := strconv.ParseUint(s, 16, 8)
	if slot := Slot(n); err == nil && slices.Contains(allSlots(), slot) {
		return slot, nil
	}
	return 0, fmt.Errorf("slot %.8q: expected 9c, or 82 to 95", s)
}

// String returns the slot as in "9c".
func (s Slot) String() string { return strconv.FormatUint(uint64(s), 16) }

// Signs tells whether signet makes and uses keys in the slot. Those of
// authentication (9a, 9e) and decryption (9d) belong to other programs.
func (s Slot) Signs() bool { return s == Signature || s >= firstRetired && s <= lastRetired }

// object is the tag of the data object for the slot's certificate.
func (s Slot) object() [3]byte {
	if s >= firstRetired && s <= lastRetired {
		return [3]byte{0x5f, 0xc1, 0x0d + byte(s-firstRetired)}
	}
	return [3]byte{0x5f, 0xc1, map[Slot]byte{0x9a: 0x05, Signature: 0x0a, 0x9d: 0x0b, 0x9e: 0x01}[s]}
}

// slotsFor is the order in which a key for role looks for a free slot.
func slotsFor(role string) []Slot {
	var slots []Slot
	if role == tuf.RoleRoot {
		slots = append(slots, Signature)
	}
	for s := firstRetired; s <= lastRetired; s++ {
		slots = append(slots, s)
	}
	return slots
}

func allSlots() []Slot {
	return append([]Slot{0x9a, Signature, 0x9d, 0x9e}, slotsFor("")...)
}

// When a card wants its PIN, and when a touch.
const (
	Never  = "never"
	Once   = "once"   // PIN: once after plugging in
	Always = "always" // before each signature
	Cached = "cached" // touch: within 15 seconds of the last one

	fingerprint = "fingerprint" // of a YubiKey Bio
)

// How a key came to be on its stick.
const (
	Generated = "generated" // made there, and never elsewhere
	Imported  = "imported"  // there may be copies
)

// A SlotInfo says what is in a slot. What the firmware does not tell is "".
type SlotInfo struct {
	Serial      uint32
	Slot        Slot
	Key         *tuf.Key // nil when signet has no use for such a key
	Algorithm   string   // as tuf.Key names it, or "rsa2048", "x25519", "unreadable"
	PIN         string   // Never, Once, Always, or "fingerprint"
	Touch       string   // Never, Always, Cached
	Origin      string   // Generated, Imported
	Certificate string   // the name in the slot's certificate
	Garbled     bool     // the slot's certificate cannot be read
}
