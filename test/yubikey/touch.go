package yubikey

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A TouchMode says what happens when a stick asks for a touch.
type TouchMode int

const (
	// Auto gives every touch at once.
	Auto TouchMode = iota
	// Refuse gives none, and does not make the test wait for the stick's time-out.
	Refuse
	// Manual waits for Release, as long as a real stick waits for a finger.
	Manual
)

// touchLimit is how long a stick blinks until it gives up.
const touchLimit = 15 * time.Second

// A Touch is one request for a touch.
type Touch struct {
	Serial uint32
	Slot   byte
	// Ended says whether this is news of its end; Given is then how it ended.
	Ended, Given bool
}

// A finger is what touches one stick.
type finger struct {
	serial uint32
	limit  time.Duration
	tell   func(Touch)

	mu      sync.Mutex
	mode    TouchMode
	over    bool
	pending *pendingTouch
	changed chan struct{} // closed and made anew whenever something above changes
}

type pendingTouch struct {
	settled bool
	given   bool
}

func newFinger(serial uint32, limit time.Duration, tell func(Touch)) *finger {
	if tell == nil {
		tell = func(Touch) {}
	}
	return &finger{serial: serial, limit: limit, tell: tell, changed: make(chan struct{})}
}

// wait is called by the card.
func (f *finger) wait(ctx context.Context, slot byte) (given bool) {
	f.tell(Touch{Serial: f.serial, Slot: slot})
	defer func() { f.tell(Touch{Serial: f.serial, Slot: slot, Ended: true, Given: given}) }()
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()

	mine := &pendingTouch{}
	f.update(func() { f.pending = mine })
	defer f.update(func() { f.pending = nil })
	err := f.until(ctx, func() bool {
		switch {
		case mine.settled:
		case f.over, f.mode == Refuse:
			mine.settled = true
		case f.mode == Auto:
			mine.settled, mine.given = true, true
		}
		return mine.settled
	})
	return err == nil && mine.given
}

func (f *finger) set(mode TouchMode) { f.update(func() { f.mode = mode }) }

func (f *finger) end() { f.update(func() { f.over = true }) }

func (f *finger) asked(ctx context.Context) error {
	return f.until(ctx, func() bool { return f.pending != nil && !f.pending.settled })
}

func (f *finger) release(ctx context.Context) error {
	return f.until(ctx, func() bool {
		if f.pending == nil || f.pending.settled {
			return false
		}
		f.pending.settled, f.pending.given = true, true
		f.wake()
		return true
	})
}

func (f *finger) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.wake()
}

func (f *finger) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits, with the lock held at each look, until done.
func (f *finger) until(ctx context.Context, done func() bool) error {
	for {
		f.mu.Lock()
		if done() {
			f.mu.Unlock()
			return nil
		}
		changed, over := f.changed, f.over
		f.mu.Unlock()
		if over {
			return errors.New("the virtual YubiKeys are closed")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
