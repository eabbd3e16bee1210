package yubikey

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

// maxEd25519 is the longest message that a card takes: it signs the message
// itself, out of a buffer of 3072 bytes, where ECDSA keys sign its hash.
const maxEd25519 = 3072 - 16

// A Key is a key in a slot, ready to sign. It is a tuf.Signer, safe for
// concurrent use, and lives as long as its session: the stick may be pulled out
// and come back.
type Key struct {
	stick atomic.Pointer[Stick]
	info  SlotInfo
}

// Key returns the public key.
func (k *Key) Key() *tuf.Key { return k.info.Key }

// Info returns where the key is and what it demands.
func (k *Key) Info() SlotInfo { return k.info }

// Close does nothing: the session holds the stick.
func (k *Key) Close() error { return nil }

// Sign asks for the PIN if this session has not, says what for and which stick
// (see keystore.WithReason and keystore.WithTouch), and waits for the touch.
func (k *Key) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	stick := k.stick.Load()
	sig, err := k.sign(ctx, stick, msg)
	if errors.Is(err, ErrRemoved) && ctx.Err() == nil {
		// It may have been pulled out before, and be there again.
		again, backErr := stick.session.Key(ctx, k.info.Serial, k.info.Slot, k.info.Key)
		switch {
		case backErr == nil:
			stick = again.stick.Load()
			if again.info.Slot == k.info.Slot {
				k.stick.Store(stick)
			}
			sig, err = again.sign(ctx, stick, msg)
		case backErr != nil && !errors.Is(backErr, ErrAbsent):
			err = backErr
		}
	}
	if err != nil {
		return nil, err
	}
	if err := k.info.Key.Verify(msg, sig); err != nil {
		return nil, fmt.Errorf("%s, slot %s: %w: %w", stick, k.info.Slot, ErrCard, err)
	}
	return sig, nil
}

func (k *Key) sign(ctx context.Context, stick *Stick, msg []byte) ([]byte, error) {
	if k.info.Algorithm == keystore.Ed25519 && len(msg) > maxEd25519 {
		return nil, fmt.Errorf("%s: an Ed25519 key on a stick signs up to %d bytes, not %d; a P-256 key has no such limit", stick, maxEd25519, len(msg))
	}
	sig, err := withTurn(ctx, stick, func(t *talk) ([]byte, error) {
		pin := t.memory.right()
		defer clear(pin)
		if pin == nil { // only what is known to be right goes along with the request
			if err := t.unlock(ctx, k.info.PIN); err != nil {
				return nil, err
			}
		}
		known, shown := string(pin), pin == nil || !t.wantsPIN(k.info.PIN)
		t.asker().Notice(k.notice(ctx))
		sig, err := ask(ctx, t, func(c card) ([]byte, error) {
			if !shown {
				if err := c.VerifyPIN(known); err != nil {
					return nil, &verifyError{err}
				}
			}
			private, err := c.Signer(k.info.Slot, k.info.Key.Public())
			if err != nil {
				return nil, err
			}
			return tuf.SignWith(k.info.Key, private, msg)
		})
		if !shown {
			err = t.learned(pin, err)
		}
		return sig, err
	})
	switch {
	case err == nil:
		return sig, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, fmt.Errorf("cancelled, nothing was signed: %w", err)
	case status(err) == swSecurity && k.info.Touch != Never: // the PIN was taken just before
		return nil, fmt.Errorf("YubiKey %d, slot %s: %w, nothing was signed", k.info.Serial, k.info.Slot, ErrTouch)
	}
	return nil, err
}

func (k *Key) notice(ctx context.Context) string {
	reason := keystore.Reason(ctx)
	if reason != "" {
		reason = " " + reason
	}
	n, of := keystore.Touch(ctx)
	switch {
	case k.info.Touch == Never:
		return fmt.Sprintf("YubiKey %d (slot %s) signs%s", k.info.Serial, k.info.Slot, reason)
	case of > 1:
		return fmt.Sprintf("touch %d of %d: YubiKey %d (slot %s) to sign%s", n, of, k.info.Serial, k.info.Slot, reason)
	}
	return fmt.Sprintf("touch YubiKey %d (slot %s) to sign%s", k.info.Serial, k.info.Slot, reason)
}
