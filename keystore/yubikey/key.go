package yubikey

import (
	"context"
	"errors"
	"fmt"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

// maxEd25519 is the longest message that a card takes: it signs the message
// itself, out of a buffer of 3072 bytes, where ECDSA keys sign its hash.
const maxEd25519 = 3072 - 16

// A Key is a key in a slot, ready to sign. It is a tuf.Signer, safe for
// concurrent use, and lives as long as its session.
type Key struct {
	stick *Stick
	info  SlotInfo
}

// Key returns the public key.
func (k *Key) Key() *tuf.Key { return k.info.Key }

// Info returns where the key is and what it demands.
func (k *Key) Info() SlotInfo { return k.info }

// Close does nothing: the session holds the stick.
func (k *Key) Close() error { return nil }

// Sign asks for the PIN if this session has not, says what for and which stick
// (see keystore.WithReason), and waits for the touch.
func (k *Key) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	if k.info.Algorithm == keystore.Ed25519 && len(msg) > maxEd25519 {
		return nil, fmt.Errorf("%s: an Ed25519 key on a stick signs up to %d bytes, not %d; a P-256 key has no such limit", k.stick, maxEd25519, len(msg))
	}
	sig, err := withTurn(ctx, k.stick, func(t *talk) ([]byte, error) {
		if err := t.unlock(ctx, k.info.PIN); err != nil {
			return nil, err
		}
		t.prompter.Notice(k.notice(keystore.Reason(ctx)))
		return ask(ctx, t, func(c card) ([]byte, error) {
			private, err := c.Signer(k.info.Slot, k.info.Key.Public())
			if err != nil {
				return nil, err
			}
			return tuf.SignWith(k.info.Key, private, msg)
		})
	})
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, fmt.Errorf("cancelled, nothing was signed: %w", err)
	case status(err) == swSecurity && k.info.Touch != Never: // the PIN was taken just before
		return nil, fmt.Errorf("YubiKey %d, slot %s: %w, nothing was signed", k.info.Serial, k.info.Slot, ErrTouch)
	default:
		return nil, err
	}
	if err := k.info.Key.Verify(msg, sig); err != nil {
		return nil, fmt.Errorf("%s, slot %s: %w: %w", k.stick, k.info.Slot, ErrCard, err)
	}
	return sig, nil
}

func (k *Key) notice(reason string) string {
	if reason != "" {
		reason = " " + reason
	}
	if k.info.Touch == Never {
		return fmt.Sprintf("YubiKey %d (slot %s) signs%s", k.info.Serial, k.info.Slot, reason)
	}
	return fmt.Sprintf("touch YubiKey %d (slot %s) to sign%s", k.info.Serial, k.info.Slot, reason)
}
