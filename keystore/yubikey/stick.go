package yubikey

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/signet-trust/signet/tuf"
)

// A Stick is an open YubiKey. It lives until it is pulled out, or its session
// is closed.
type Stick struct {
	info    Info
	card    card
	session *Session
	memory  *memory     // of its PIN
	used    bool        // handed out by the session
	lost    atomic.Bool // the connection is dead for good
	closed  atomic.Bool

	// turn is held by whoever talks to the card. The field below belongs to that
	// one.
	turn     chan struct{}
	verified bool // the card has seen the right PIN
}

func (st *Stick) asker() Asker { return st.session.config.Asker }

// Info tells which stick it is.
func (st *Stick) Info() Info { return st.info }

// String names the stick as people know it.
func (st *Stick) String() string { return fmt.Sprintf("YubiKey %d", st.info.Serial) }

// close lets go of the card, once nobody talks to it.
func (st *Stick) close() {
	st.closed.Store(true)
	end := func() {
		st.card.Close()
		<-st.turn
	}
	select {
	case st.turn <- struct{}{}:
		end()
	default:
		go func() {
			st.turn <- struct{}{}
			end()
		}()
	}
}

// A talk is one caller's turn with a stick.
type talk struct {
	*Stick
	abandoned <-chan struct{} // closed when the request that was given up is over
}

// withTurn runs body while nobody else talks to the stick. A request that was
// abandoned in it keeps the turn until the card is done with it.
func withTurn[T any](ctx context.Context, st *Stick, body func(*talk) (T, error)) (T, error) {
	var zero T
	select {
	case st.turn <- struct{}{}:
	case <-ctx.Done():
		return zero, fmt.Errorf("%s is busy: %w", st, ctx.Err())
	}
	t := &talk{Stick: st}
	defer func() {
		if t.abandoned == nil {
			<-st.turn
			return
		}
		go func() {
			<-t.abandoned
			<-st.turn
		}()
	}()
	switch {
	case st.closed.Load() && st.lost.Load():
		return zero, fmt.Errorf("%s: %w", st, ErrRemoved)
	case st.closed.Load():
		return zero, fmt.Errorf("%s: %w", st, ErrClosed)
	}
	v, err := body(t)
	if errors.Is(err, ErrRemoved) || errors.Is(err, ErrNoDaemon) || errors.Is(err, errLost) {
		st.lost.Store(true)
	}
	if err != nil && !strings.Contains(err.Error(), st.String()) {
		err = fmt.Errorf("%s: %w", st, err)
	}
	return v, err
}

// ask makes one request to the card. After one was abandoned there are no more.
func ask[T any](ctx context.Context, t *talk, f func(card) (T, error)) (v T, err error) {
	if t.abandoned != nil {
		return v, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return v, err
	}
	v, t.abandoned, err = await(ctx, func() (T, error) { return f(t.card) }, nil)
	return v, err
}

// slot returns what is in a slot, or isAbsent. Before firmware 5.3 the card is
// silent on a key that was imported. The certificate, which anyone with the
// management key can write, is all there is then, and shows nothing better than
// an imported key.
func (t *talk) slot(ctx context.Context, slot Slot) (SlotInfo, error) {
	type answer struct {
		info   SlotInfo
		public crypto.PublicKey
	}
	a, err := ask(ctx, t, func(c card) (a answer, err error) {
		a.info, a.public, err = c.Slot(slot)
		return a, err
	})
	if isAbsent(err) && !t.info.Firmware.hasMetadata() {
		cert, certErr := t.certificate(ctx, slot)
		if certErr != nil && (isAbsent(certErr) || fatal(ctx, certErr)) {
			return SlotInfo{}, certErr
		}
		a.info, err = SlotInfo{Slot: slot, Origin: Imported}, certErr
		if cert != nil {
			a.public = cert.PublicKey
		}
	}
	if err != nil {
		return SlotInfo{}, err
	}
	a.info.Serial = t.info.Serial
	if key, err := tuf.NewKey(a.public); err == nil {
		a.info.Key, a.info.Algorithm = key, key.Algorithm()
	}
	return a.info, nil
}

// certificate returns the certificate in a slot, or isAbsent. The library reads
// none that are compressed.
func (t *talk) certificate(ctx context.Context, slot Slot) (*x509.Certificate, error) {
	cert, err := ask(ctx, t, func(c card) (*x509.Certificate, error) { return c.Certificate(slot) })
	if err == nil || status(err) != 0 || isAbsent(err) || fatal(ctx, err) {
		return cert, err
	}
	return raw(ctx, t, func(w wire) (*x509.Certificate, error) {
		if err := w.choose(aidPIV); err != nil {
			return nil, err
		}
		object, err := w.object(slot.object())
		if err != nil {
			return nil, err
		}
		return readCertificate(object)
	})
}

// fatal tells an error that ends a walk over the slots from one that is about a
// single slot.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrRemoved) || errors.Is(err, ErrNoDaemon) || errors.Is(err, errLost)
}

// Keys returns what is in the stick's slots, empty ones left out.
func (st *Stick) Keys(ctx context.Context) ([]SlotInfo, error) {
	return withTurn(ctx, st, func(t *talk) ([]SlotInfo, error) { return t.keys(ctx) })
}

func (t *talk) keys(ctx context.Context) ([]SlotInfo, error) {
	var keys []SlotInfo
	for _, slot := range allSlots() {
		info, err := t.slot(ctx, slot)
		switch {
		case isAbsent(err):
			continue
		case err != nil && fatal(ctx, err):
			return nil, err
		case err != nil:
			info = SlotInfo{Serial: t.info.Serial, Slot: slot, Algorithm: "unreadable"}
		}
		cert, err := t.certificate(ctx, slot)
		switch {
		case err == nil:
			info.Certificate = cert.Subject.CommonName
		case fatal(ctx, err):
			return nil, err
		default: // about the certificate alone
			info.Garbled = !isAbsent(err)
		}
		keys = append(keys, info)
	}
	return keys, nil
}

// Key returns the key in a slot, ready to sign.
func (st *Stick) Key(ctx context.Context, slot Slot) (*Key, error) {
	return withTurn(ctx, st, func(t *talk) (*Key, error) {
		info, err := t.slot(ctx, slot)
		if isAbsent(err) {
			return nil, fmt.Errorf("slot %s: %w", slot, ErrSlotEmpty)
		}
		if err != nil {
			return nil, err
		}
		return t.key(info)
	})
}

// Find returns the key with the ID, ready to sign.
func (st *Stick) Find(ctx context.Context, keyID string) (*Key, error) {
	return withTurn(ctx, st, func(t *talk) (*Key, error) { return t.find(ctx, keyID) })
}

func (t *talk) find(ctx context.Context, keyID string) (*Key, error) {
	for _, slot := range slotsFor(tuf.RoleRoot) {
		info, err := t.slot(ctx, slot)
		if err == nil && info.Key != nil && info.Key.ID() == keyID {
			return t.key(info)
		}
		if err != nil && fatal(ctx, err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("key %.12s: %w", keyID, ErrSlotEmpty)
}

// holding returns the key that is expected in a slot, be it in another slot of
// the stick now, or says what is there instead.
func (st *Stick) holding(ctx context.Context, slot Slot, want *tuf.Key) (*Key, error) {
	return withTurn(ctx, st, func(t *talk) (*Key, error) {
		info, err := t.slot(ctx, slot)
		var instead error
		switch {
		case err == nil && info.Key != nil && info.Key.Equal(want):
			return t.key(info)
		case isAbsent(err):
			instead = fmt.Errorf("slot %s is empty, where key %.12s was: the stick was reset, or the key deleted: %w", slot, want.ID(), ErrSlotEmpty)
		case err != nil && fatal(ctx, err):
			return nil, err
		case err != nil:
			instead = fmt.Errorf("slot %s cannot be read, where key %.12s was: %w: %w", slot, want.ID(), ErrOtherKey, err)
		case info.Key != nil:
			instead = fmt.Errorf("slot %s holds key %.12s, where key %.12s was: it was overwritten, or the stick reset and set up anew: %w", slot, info.Key.ID(), want.ID(), ErrOtherKey)
		default:
			instead = fmt.Errorf("slot %s holds a key (%s) that signet does not sign with, where key %.12s was: %w", slot, info.Algorithm, want.ID(), ErrOtherKey)
		}
		key, err := t.find(ctx, want.ID())
		if errors.Is(err, ErrSlotEmpty) {
			return nil, instead
		}
		return key, err
	})
}

func (t *talk) key(info SlotInfo) (*Key, error) {
	switch {
	case !info.Slot.Signs():
		return nil, fmt.Errorf("slot %s is not for signing: expected 9c, or 82 to 95", info.Slot)
	case info.Key == nil:
		return nil, fmt.Errorf("slot %s holds a key (%s) that signet does not sign with", info.Slot, info.Algorithm)
	case info.PIN == fingerprint:
		return nil, fmt.Errorf("the key in slot %s wants a fingerprint, which signet does not ask for", info.Slot)
	}
	key := &Key{info: info}
	key.stick.Store(t.Stick)
	return key, nil
}

// Attestation returns the certificate by which the stick vouches that the key in
// a slot was made on it, and the certificate of the key that it vouches with,
// both in DER. It says nothing of whether they are Yubico's.
func (st *Stick) Attestation(ctx context.Context, slot Slot) ([][]byte, error) {
	return withTurn(ctx, st, func(t *talk) ([][]byte, error) { return t.attestation(ctx, slot) })
}

func (t *talk) attestation(ctx context.Context, slot Slot) ([][]byte, error) {
	return ask(ctx, t, func(c card) ([][]byte, error) {
		leaf, err := c.Attest(slot)
		if isAbsent(err) {
			return nil, fmt.Errorf("slot %s: %w that was made on the stick", slot, ErrSlotEmpty)
		}
		if err != nil {
			return nil, err
		}
		issuer, err := c.AttestationCertificate()
		if err != nil {
			return nil, fmt.Errorf("certificate of the attestation key: %w", err)
		}
		return [][]byte{leaf.Raw, issuer.Raw}, nil
	})
}
