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
	serial uint32
	reader string
	bench  *Bench
	card   *card.Card
	socket *socket
	touch  *finger
}

func newStick(b *Bench, config StickConfig, all Config) (*Stick, error) {
	firmware, err := card.ParseFirmware(cmp.Or(config.Firmware, "5.7.4"))
	if err != nil {
		return nil, err
	}
	s := &Stick{
		serial: config.Serial,
		reader: friendlyName(len(b.sticks)) + " 00 00",
		bench:  b,
		touch:  newFinger(config.Serial, all.OnTouch),
	}
	settings := card.Config{
		Serial: config.Serial, Firmware: firmware, Maker: b.maker, Touch: s.touch.wait, Delay: config.Delay,
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

// Reader is the name under which PC/SC lists the stick.
func (s *Stick) Reader() string { return s.reader }

// Signatures is how often one of the stick's private keys was used.
func (s *Stick) Signatures() int { return s.card.Signatures() }

// PINTries is how many wrong PINs the stick still takes.
func (s *Stick) PINTries() int {
	pin, _ := s.card.Tries()
	return pin
}

// Reset puts the stick back to the factory's state.
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
