package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// noSticks tells the errors that say that this machine has no use for YubiKeys:
// no trouble for who has files only.
func noSticks(err error) bool {
	return errors.Is(err, yubikey.ErrNoSupport) || errors.Is(err, yubikey.ErrNoDaemon)
}

// parseStick reads SERIAL/SLOT, SERIAL or nothing. What is not given is 0.
func parseStick(where string) (serial uint32, slot yubikey.Slot, err error) {
	number, name, cut := strings.Cut(where, "/")
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n == 0 {
			return 0, 0, usagef("%q is no serial number: expected yubikey:SERIAL/SLOT, such as yubikey:12345678/9c", number)
		}
		serial = uint32(n)
	}
	if cut {
		if slot, err = yubikey.ParseSlot(name); err != nil {
			return 0, 0, &usageError{err}
		}
	}
	return serial, slot, nil
}

// onStick returns the key that SERIAL/SLOT, SERIAL or nothing means.
func (r *keyring) onStick(ctx context.Context, where string) (yubikey.SlotInfo, error) {
	serial, slot, err := parseStick(where)
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	stick, err := r.stick(ctx, serial)
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	if slot != 0 {
		key, err := stick.Key(ctx, slot)
		if err != nil {
			return yubikey.SlotInfo{}, err
		}
		return key.Info(), nil
	}
	keys, err := stick.Keys(ctx)
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	keys = usable(keys)
	switch len(keys) {
	case 0:
		return yubikey.SlotInfo{}, fmt.Errorf("%s: %w that signet can sign with", stick, yubikey.ErrSlotEmpty)
	case 1:
		return keys[0], nil
	}
	var names []string
	for _, key := range keys {
		names = append(names, fmt.Sprintf("yubikey:%d/%s", key.Serial, key.Slot))
	}
	return yubikey.SlotInfo{}, fmt.Errorf("%s: %w: %s", stick, keystore.ErrAmbiguous, strings.Join(names, ", "))
}

// stick returns the YubiKey with the serial number or, for 0, the only one. One
// that is not plugged in is waited for, as long as somebody may come with it.
func (r *keyring) stick(ctx context.Context, serial uint32) (*yubikey.Stick, error) {
	stick, err := r.session.Open(ctx, serial)
	limit := r.app.patience()
	if !errors.Is(err, yubikey.ErrAbsent) || limit == 0 {
		return stick, err
	}
	which := "a YubiKey"
	if serial != 0 {
		which = fmt.Sprintf("YubiKey %d", serial)
	}
	r.app.note("plug %s in: waiting up to %s for it", which, spoken(limit))
	return r.session.Await(ctx, serial, limit)
}

// spoken says how long a wait may be.
func spoken(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return plural(int(d/time.Minute), "minute")
	}
	return d.String()
}

// byID looks on every connected YubiKey for the key whose ID starts with prefix.
// It returns a zero SlotInfo when there is none.
func (r *keyring) byID(ctx context.Context, prefix string) (found yubikey.SlotInfo, err error) {
	slots, err := r.slots(ctx)
	for _, slot := range usable(slots) {
		if !strings.HasPrefix(slot.Key.ID(), prefix) {
			continue
		}
		if found.Key != nil && !found.Key.Equal(slot.Key) {
			return yubikey.SlotInfo{}, fmt.Errorf("%q: %w on connected YubiKeys", prefix, keystore.ErrAmbiguous)
		}
		found = slot
	}
	if found.Key != nil {
		return found, nil
	}
	return found, err
}

// slots lists what is on all connected YubiKeys. Those that cannot be asked are
// told of in the error, beside the rest.
func (r *keyring) slots(ctx context.Context) ([]yubikey.SlotInfo, error) {
	sticks, err := r.session.List(ctx)
	if err != nil {
		return nil, err
	}
	var slots []yubikey.SlotInfo
	var bad error
	for _, info := range sticks {
		if info.Err != nil {
			bad = errors.Join(bad, info.Err)
			continue
		}
		stick, err := r.session.Open(ctx, info.Serial)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		keys, err := stick.Keys(ctx)
		bad = errors.Join(bad, err)
		slots = append(slots, keys...)
	}
	return slots, bad
}

// locate returns the key on a connected YubiKey: where it was seen or is noted,
// or wherever it is. It asks for no PIN and waits for no YubiKey.
func (r *keyring) locate(ctx context.Context, key foundKey) (*yubikey.Key, error) {
	key = r.noted(key)
	var noted error // why it is not where it is noted
	if serial, slot, ok := key.place(); ok {
		found, err := r.session.Key(ctx, serial, slot, key.Key)
		gone := errors.Is(err, yubikey.ErrAbsent) || errors.Is(err, yubikey.ErrSlotEmpty) || errors.Is(err, yubikey.ErrOtherKey)
		if !gone {
			return found, err
		}
		noted = err
	}
	// An imported key may be on several YubiKeys, a moved one in another slot.
	found, err := r.session.Find(ctx, key.ID())
	if err != nil && noted != nil {
		return nil, noted
	}
	return found, err
}

// place is where on a YubiKey a key should be.
func (k foundKey) place() (serial uint32, slot yubikey.Slot, ok bool) {
	if k.slot != nil {
		return k.slot.Serial, k.slot.Slot, true
	}
	if k.entry == nil || k.entry.Stick == nil {
		return 0, 0, false
	}
	slot, err := yubikey.ParseSlot(k.entry.Stick.Slot)
	return k.entry.Stick.Serial, slot, err == nil
}

// called is the key's name for people, with its place on a YubiKey.
func (k foundKey) called() string {
	name := "key " + k.ID()[:12]
	if k.entry != nil {
		name = k.entry.String()
	}
	if serial, slot, ok := k.place(); ok {
		name += fmt.Sprintf(", in slot %s of YubiKey %d", slot, serial)
	}
	return name
}

// A stickSigner is a key on a YubiKey that may be plugged in later, pulled out
// in between, and whose PIN a person may mistype. It is a tuf.Signer.
type stickSigner struct {
	ring *keyring
	key  foundKey
	open *yubikey.Key // nil until it was found
}

// Key returns the public key.
func (s *stickSigner) Key() *tuf.Key { return s.key.Key }

// ready finds the key, and waits for its YubiKey as long as somebody may come
// with it.
func (s *stickSigner) ready(ctx context.Context) (*yubikey.Key, error) {
	if s.open != nil {
		return s.open, nil
	}
	r := s.ring
	key, err := r.locate(ctx, s.key)
	limit := r.app.patience()
	if !s.mayCome(err) {
		limit = 0
	}
	if limit > 0 {
		r.app.note("plug in the YubiKey that has %s: waiting up to %s for it", s.key.called(), spoken(limit))
	}
	for end := r.app.now().Add(limit); s.mayCome(err) && r.app.now().Before(end); {
		serial, _, _ := s.key.place() // 0: any that comes
		if _, err := r.session.Await(ctx, serial, end.Sub(r.app.now())); err != nil {
			return nil, s.explain(ctx, err)
		}
		key, err = r.locate(ctx, s.key)
	}
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	s.open = key
	return key, nil
}

// isGone tells whether the YubiKey that should have the key has it no more.
func (s *stickSigner) isGone(err error) bool {
	_, _, noted := s.key.place()
	return noted && (errors.Is(err, yubikey.ErrSlotEmpty) || errors.Is(err, yubikey.ErrOtherKey))
}

// mayCome tells whether waiting for a YubiKey may help against err. A YubiKey that
// is there, and has the key in a way that is of no use, will have it so for ever.
func (s *stickSigner) mayCome(err error) bool {
	return !s.isGone(err) && slices.ContainsFunc([]error{yubikey.ErrAbsent, yubikey.ErrSlotEmpty, yubikey.ErrRemoved},
		func(is error) bool { return errors.Is(err, is) })
}

// explain says of which key an error is, and what puts another in its place.
func (s *stickSigner) explain(ctx context.Context, err error) error {
	if _, _, noted := s.key.place(); !noted && noSticks(err) {
		return s.ring.notHere(s.key, err)
	}
	gone := s.isGone(err)
	err = fmt.Errorf("%s: %w", s.key.called(), err)
	if gone || errors.Is(err, yubikey.ErrAbsent) {
		return s.ring.lost(ctx, s.key, err)
	}
	return err
}

// Sign signs msg. A person who mistyped the PIN is asked again while tries are
// left; a YubiKey that was pulled out is waited for.
func (s *stickSigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	const most = 5 // a YubiKey that comes and goes that often has a loose contact
	for round := 1; ; round++ {
		key, err := s.ready(ctx)
		if err != nil {
			return nil, err
		}
		var sig []byte
		err = s.ring.retry(func() (err error) {
			sig, err = key.Sign(ctx, msg)
			return err
		})
		if !errors.Is(err, yubikey.ErrRemoved) || s.ring.app.patience() == 0 || round == most || ctx.Err() != nil {
			return sig, err
		}
		s.ring.app.note("%v", err)
		s.open = nil
	}
}

// retry does what asks a person for a secret of a YubiKey again when that was
// wrong and tries are left, or was not fit to be one. What a file gave is wrong for
// good, whatever else was typed.
func (r *keyring) retry(do func() error) error {
	for {
		r.asker.typed = false
		err := do()
		wrong, ok := errors.AsType[*yubikey.PINError](err)
		unfit := !ok && (errors.Is(err, yubikey.ErrPIN) || errors.Is(err, yubikey.ErrPUK) || errors.Is(err, yubikey.ErrNewSecret))
		if !r.asker.typed || !unfit && (!ok || wrong.Left == 0 || r.asker.gave(wrong)) {
			return err
		}
		r.app.note("%v; try again", err)
	}
}

// sorted lists sticks by their serial numbers.
func sorted(sticks []yubikey.Info) []yubikey.Info {
	return slices.SortedFunc(slices.Values(sticks), func(a, b yubikey.Info) int { return int(int64(a.Serial) - int64(b.Serial)) })
}
