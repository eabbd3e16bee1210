package yubikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Config says how a session deals with people and with other programs.
type Config struct {
	Asker Asker
	// Wait is how long to wait for a stick that another program holds; 20
	// seconds when it is zero, not at all when it is negative.
	Wait time.Duration
	// AllowFactoryPIN lets a session sign with the PIN that sticks are sold with.
	AllowFactoryPIN bool
}

// touchLimit is how long a stick waits for a touch. Nothing ends that earlier: a
// command that was stopped meanwhile leaves its stick busy for the rest of it.
const touchLimit = 15 * time.Second

// pause is the time between two attempts to open a stick that is held.
const pause = 200 * time.Millisecond

// A Session is one command's use of the sticks that are plugged in. It is safe
// for concurrent use.
type Session struct {
	config Config
	driver driver

	mu       sync.Mutex
	open     map[string]*Stick  // by reader
	memories map[uint32]*memory // by serial number, of the sticks that were handed out
	closed   bool
}

// NewSession opens nothing yet.
func NewSession(config Config) *Session {
	if config.Wait == 0 {
		config.Wait = touchLimit + 5*time.Second
	}
	if config.Asker == nil {
		config.Asker = nobody{}
	}
	return &Session{config: config, driver: newDriver(), open: map[string]*Stick{}, memories: map[uint32]*memory{}}
}

// Close lets go of all sticks and overwrites their PINs. A stick that is still
// busy with an abandoned request is let go when it is done.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for reader, stick := range s.open {
		stick.close()
		delete(s.open, reader)
	}
	for _, memory := range s.memories {
		memory.forget()
	}
	return nil
}

// List returns the sticks that are plugged in, without waiting for those that
// another program holds: they are there with an Err. The sticks stay open for the
// next call, which lets go of those that it does not pick.
func (s *Session) List(ctx context.Context) ([]Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, others, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	return named(infos(found, others)), nil
}

// Open returns the stick with the serial number, or, for 0, the only one that
// is plugged in. It waits for a stick that another program holds.
func (s *Session) Open(ctx context.Context, serial uint32) (*Stick, error) {
	if stick := s.inUse(ctx, serial); stick != nil {
		return stick, nil
	}
	return s.pick(ctx, func(found []*Stick, others []Info) (*Stick, error) {
		return choose(serial, found, others)
	})
}

// inUse returns the stick with the serial number if it was handed out before and is
// still there, which costs one command rather than a look at every reader.
func (s *Session) inUse(ctx context.Context, serial uint32) *Stick {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stick := range s.open {
		if stick.used && stick.info.Serial == serial && stick.alive(ctx) {
			return stick
		}
	}
	return nil
}

// Find returns the key with the ID, on whichever stick it is. It waits for a
// stick that another program holds if no other has the key. Who has a note of
// stick and slot is faster with Open and Stick.Key.
func (s *Session) Find(ctx context.Context, keyID string) (key *Key, err error) {
	_, err = s.pick(ctx, func(found []*Stick, others []Info) (*Stick, error) {
		for _, stick := range found {
			if key, err = stick.Find(ctx, keyID); !errors.Is(err, ErrSlotEmpty) {
				return stick, err
			}
		}
		if len(found) == 0 && len(others) == 0 {
			return nil, fmt.Errorf("key %.12s: %w", keyID, absent(0, nil))
		}
		err := fmt.Errorf("key %.12s: %w: plugged in: %s", keyID, ErrSlotEmpty, names(infos(found, others)))
		for _, other := range others {
			err = errors.Join(err, other.Err)
		}
		return nil, err
	})
	return key, err
}

// Key returns the key that is known to be in a slot of a stick, ready to sign. A
// slot that is empty now (ErrSlotEmpty) or holds another key (ErrOtherKey) is
// never signed with. It asks for no PIN, and waits for a stick that another
// program holds.
func (s *Session) Key(ctx context.Context, serial uint32, slot Slot, want *tuf.Key) (*Key, error) {
	stick, err := s.Open(ctx, serial)
	if err != nil {
		return nil, err
	}
	return stick.holding(ctx, slot, want)
}

// Await waits up to limit until the stick with the serial number is plugged in
// or, for 0, one that this session has not handed out yet. It is ErrAbsent when
// none came. When another program holds it, that is waited for too, and so is an
// error that may pass, since sticks that are being changed answer oddly.
func (s *Session) Await(ctx context.Context, serial uint32, limit time.Duration) (*Stick, error) {
	const anyhow = 5 // pauses without any change after which to look all the same
	end := time.Now().Add(limit)
	var seen string
	var last error
	for quiet, told := anyhow, false; ; quiet++ {
		now, _, err := await(ctx, s.driver.watch, nil)
		if err != nil {
			return nil, err
		}
		if unchanged := now == seen; !unchanged || quiet >= anyhow {
			seen, quiet = now, 0
			stick, err := s.attempt(ctx, func(found []*Stick, others []Info) (*Stick, error) {
				return s.further(serial, found, others)
			})
			if err == nil || lasting(err) || ctx.Err() != nil {
				return stick, err
			}
			last = err
			absent := errors.Is(err, ErrAbsent) || errors.Is(err, ErrRemoved)
			if !told && (errors.Is(err, ErrBusy) || unchanged && !absent) {
				told = true
				s.config.Asker.Notice(fmt.Sprintf("waiting: %v", held(err)))
			}
		}
		if !time.Now().Add(pause).Before(end) {
			return nil, held(last)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", last, ctx.Err())
		}
	}
}

// lasting tells whether an error stays however sticks are changed.
func lasting(err error) bool {
	if _, several := errors.AsType[*SeveralError](err); several {
		return true
	}
	return slices.ContainsFunc([]error{ErrClosed, ErrNoDaemon, ErrNotAllowed, ErrNoSupport}, func(end error) bool {
		return errors.Is(err, end)
	})
}

// further picks the stick with the serial number or, for 0, the only one that
// was not handed out before.
func (s *Session) further(serial uint32, found []*Stick, others []Info) (*Stick, error) {
	if serial != 0 {
		return choose(serial, found, others)
	}
	var fresh []*Stick
	for _, stick := range found {
		if s.memories[stick.info.Serial] == nil {
			fresh = append(fresh, stick)
		}
	}
	stick, err := choose(0, fresh, others)
	if errors.Is(err, ErrAbsent) && len(found) > 0 {
		err = &wordedError{fmt.Sprintf("no further YubiKey is plugged in, there is %s", names(infos(found, nil))), []error{ErrAbsent}}
	}
	return stick, err
}

// attempt opens what is plugged in, lets choose have one, and lets the others go.
func (s *Session) attempt(ctx context.Context, choose func([]*Stick, []Info) (*Stick, error)) (*Stick, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, others, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	var stick *Stick
	if err = twins(found); err == nil {
		stick, err = choose(found, others)
	}
	if err == nil {
		stick.used = true
		s.memories[stick.info.Serial] = stick.memory
	}
	for _, other := range found {
		s.drop(other)
	}
	if err != nil {
		return nil, err
	}
	return stick, nil
}

// pick attempts again as long as the answer is ErrBusy, within the session's
// limit.
func (s *Session) pick(ctx context.Context, choose func([]*Stick, []Info) (*Stick, error)) (*Stick, error) {
	limit := time.Now().Add(s.config.Wait)
	for told := false; ; told = true {
		stick, err := s.attempt(ctx, choose)
		if err == nil {
			return stick, nil
		}
		if !errors.Is(err, ErrBusy) || !time.Now().Add(pause).Before(limit) {
			return nil, held(err)
		}
		if !told {
			s.config.Asker.Notice(fmt.Sprintf("waiting up to %s: %v", s.config.Wait, held(err)))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// twins refuses two sticks of one serial number. Yubico gives each once: one of them
// says what another is, perhaps to be told that one's PIN.
func twins(found []*Stick) error {
	for i, stick := range found {
		for _, other := range found[:i] {
			if stick.info.Serial == other.info.Serial {
				return fmt.Errorf("readers %q and %q: %w: %d", other.info.Reader, stick.info.Reader, ErrTwins, stick.info.Serial)
			}
		}
	}
	return nil
}

// choose picks the stick that was asked for. It is ErrBusy if one that could not
// be asked may be it.
func choose(serial uint32, found []*Stick, others []Info) (*Stick, error) {
	for _, stick := range found {
		if serial == stick.info.Serial {
			return stick, nil
		}
	}
	all := infos(found, others)
	switch {
	case serial == 0 && len(all) > 1:
		return nil, &SeveralError{all}
	case serial == 0 && len(found) == 1:
		return found[0], nil
	case len(others) > 0:
		err := others[0].Err
		for _, other := range others[1:] {
			if errors.Is(other.Err, ErrBusy) {
				err = other.Err
			}
		}
		return nil, err
	}
	return nil, absent(serial, all)
}

func infos(found []*Stick, others []Info) []Info {
	var all []Info
	for _, stick := range found {
		all = append(all, stick.info)
	}
	return append(all, others...)
}

// look opens every stick that is plugged in, and returns those that it could not
// open with the reason.
func (s *Session) look(ctx context.Context) (found []*Stick, others []Info, err error) {
	if s.closed {
		return nil, nil, ErrClosed
	}
	readers, _, err := await(ctx, s.driver.readers, nil)
	if errors.Is(err, ErrRemoved) { // so says Windows of no reader at all
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for reader, stick := range s.open { // a reader that went with its stick
		if !slices.Contains(readers, reader) {
			stick.lost.Store(true)
			stick.close()
			delete(s.open, reader)
		}
	}
	for _, reader := range readers {
		// Others are not opened: on a card without PIV the library would keep
		// the card to itself until the process ends.
		if !strings.Contains(strings.ToLower(reader), "yubikey") {
			continue
		}
		if stick := s.open[reader]; stick != nil && stick.alive(ctx) {
			found = append(found, stick)
			continue
		} else if stick != nil {
			stick.close()
			delete(s.open, reader)
		}
		stick, err := s.openReader(ctx, reader)
		switch {
		case err == nil:
			found = append(found, stick)
		case errors.Is(err, ErrNoDaemon) || errors.Is(err, ErrNotAllowed) || ctx.Err() != nil:
			for _, stick := range found {
				s.drop(stick)
			}
			return nil, nil, err
		case !errors.Is(err, ErrRemoved): // a reader without a card is no stick
			others = append(others, Info{Reader: reader, Err: fmt.Errorf("reader %q: %w", reader, err)})
		}
	}
	return found, others, nil
}

func (s *Session) openReader(ctx context.Context, reader string) (*Stick, error) {
	stick, _, err := await(ctx, func() (*Stick, error) {
		card, err := s.driver.open(reader)
		if err != nil {
			return nil, err
		}
		serial, err := card.Serial()
		if err != nil {
			card.Close()
			return nil, err
		}
		info := Info{Reader: reader, Serial: serial, Firmware: card.Version()}
		return &Stick{info: info, card: card, session: s, turn: make(chan struct{}, 1)}, nil
	}, (*Stick).close)
	if err != nil {
		return nil, err
	}
	if stick.memory = s.memories[stick.info.Serial]; stick.memory == nil {
		stick.memory = &memory{}
	}
	s.open[reader] = stick
	return stick, nil
}

// alive tells whether the stick is still the one that was opened. One that is
// busy is.
func (st *Stick) alive(ctx context.Context) bool {
	if st.lost.Load() {
		return false
	}
	select {
	case st.turn <- struct{}{}:
	default:
		return true
	}
	defer func() { <-st.turn }()
	serial, _, err := await(ctx, st.card.Serial, nil)
	if err != nil || serial != st.info.Serial {
		st.lost.Store(true)
	}
	return !st.lost.Load()
}

// drop lets go of a stick that was only looked at.
func (s *Session) drop(stick *Stick) {
	if stick.used {
		return
	}
	stick.close()
	delete(s.open, stick.info.Reader)
}
