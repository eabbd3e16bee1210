package yubikey

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/signet-trust/signet/test/yubikey/card"
)

// noticeLimit is how long pcscd may take to notice a stick that comes or goes. It
// looks every 0.4 seconds.
const noticeLimit = 10 * time.Second

// A Stick is one virtual YubiKey.
type Stick struct {
	serial   uint32
	firmware card.Firmware
	reader   string
	bench    *Bench
	card     *card.Card
	socket   *socket
	touch    *finger
}

func newStick(b *Bench, config StickConfig, all Config) (*Stick, error) {
	firmware, err := card.ParseFirmware(cmp.Or(config.Firmware, "5.7.4"))
	if err != nil {
		return nil, err
	}
	s := &Stick{
		serial:   config.Serial,
		firmware: firmware,
		reader:   friendlyName(len(b.sticks)) + " 00 00",
		bench:    b,
		touch:    newFinger(config.Serial, cmp.Or(config.TouchLimit, touchLimit), all.OnTouch),
	}
	settings := card.Config{
		Serial: config.Serial, Firmware: firmware, Maker: cmp.Or(config.Maker, b.maker),
		Touch: s.touch.wait, Delay: config.Delay,
		PIN: config.PIN, PUK: config.PUK, ManagementKey: config.ManagementKey,
	}
	if all.StateDir != "" {
		settings.StateFile = filepath.Join(all.StateDir, fmt.Sprintf("%d.json", config.Serial))
	}
	if s.card, err = card.New(settings); err != nil {
		return nil, err
	}
	s.socket = &socket{card: s.card}
	return s, nil
}

// Serial is the number that is printed on the stick.
func (s *Stick) Serial() uint32 { return s.serial }

// Firmware is the stick's version, such as "5.7.4".
func (s *Stick) Firmware() string { return s.firmware.String() }

// Reader is the name under which PC/SC lists the stick.
func (s *Stick) Reader() string { return s.reader }

// Signatures is how often one of the stick's private keys was used.
func (s *Stick) Signatures() int { return s.card.Signatures() }

// PINTries is how many wrong PINs the stick still takes.
func (s *Stick) PINTries() int {
	pin, _ := s.card.Tries()
	return pin
}

// PUKTries is how many wrong PUKs the stick still takes.
func (s *Stick) PUKTries() int {
	_, puk := s.card.Tries()
	return puk
}

// APDUs is how many command APDUs the stick has answered, the links of a chain and
// GET RESPONSE counted one by one.
func (s *Stick) APDUs() int { return s.card.APDUs() }

// SetPIN replaces the PIN, with all tries left.
func (s *Stick) SetPIN(pin string) error { return s.card.SetPIN(pin) }

// SetPUK replaces the PUK, with all tries left.
func (s *Stick) SetPUK(puk string) error { return s.card.SetPUK(puk) }

// SetManagementKey replaces the management key. Its length decides the algorithm:
// 16 bytes are for AES-128, 32 for AES-256, and 24 for what the firmware's factory
// uses, 3DES before 5.7 and AES-192 from then on.
func (s *Stick) SetManagementKey(key []byte) error { return s.card.SetManagementKey(key) }

// Object is what stands under a tag such as 0x5FC10A, nil when there is nothing.
func (s *Stick) Object(tag uint32) []byte { return s.card.Object(tag) }

// SetObject replaces what stands under a tag, whatever its form: a garbled
// certificate, another attestation certificate (0x5FFF01). Nothing deletes it.
func (s *Stick) SetObject(tag uint32, value []byte) error { return s.card.SetObject(tag, value) }

// SetAttestation makes the stick attest a slot with this certificate from now on,
// instead of the truth. Nothing brings the truth back.
func (s *Stick) SetAttestation(slot byte, der []byte) { s.card.SetAttestation(slot, der) }

// DeleteKey empties a slot; the certificate of that slot stays.
func (s *Stick) DeleteKey(slot byte) error { return s.card.DeleteKey(slot) }

// Advance sets the stick's clock forward: a touch counts for 15 seconds of it where
// the policy is "cached".
func (s *Stick) Advance(d time.Duration) { s.card.Advance(d) }

// Reset puts the stick back to the factory's state. What SetAttestation said is
// forgotten.
func (s *Stick) Reset() error { return s.card.Reset() }

// SetTouch says how touches are given from now on.
func (s *Stick) SetTouch(mode TouchMode) { s.touch.set(mode) }

// Release gives the touch that the stick waits for, or waits until one is asked
// for and gives that. It is for the mode Manual.
func (s *Stick) Release(ctx context.Context) error { return s.touch.release(ctx) }

// TouchAsked waits until the stick waits for a touch.
func (s *Stick) TouchAsked(ctx context.Context) error { return s.touch.asked(ctx) }

// Remove pulls the stick out, even in the middle of a command, and returns when
// pcscd has noticed.
func (s *Stick) Remove() error {
	s.socket.remove()
	return s.await("the removal", func(r readerState) bool { return r.absent() })
}

// Insert plugs the stick in again, and returns when pcscd shows it.
func (s *Stick) Insert() error {
	if err := s.socket.insert(); err != nil {
		return fmt.Errorf("insert stick %d: %w", s.serial, err)
	}
	return s.await("the insertion", func(r readerState) bool { return r.ready() })
}

func (s *Stick) await(what string, done func(readerState) bool) error {
	err := s.bench.await(noticeLimit, func(table []readerState) bool {
		return slices.ContainsFunc(table, func(r readerState) bool {
			return r.name() == s.reader && done(r)
		})
	})
	if err != nil {
		return fmt.Errorf("%s of stick %d: %w", what, s.serial, err)
	}
	return nil
}
