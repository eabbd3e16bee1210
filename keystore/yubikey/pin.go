package yubikey

import (
	"bytes"
	"context"
	"fmt"
)

// factoryPIN is what every stick is sold with.
const factoryPIN = "123456"

// unlock shows the card the PIN, if the policy wants it. The person is asked for
// it once in the life of the session.
func (t *talk) unlock(ctx context.Context, policy string) error {
	if policy == Never || policy == Once && t.verified {
		return nil
	}
	pin := t.pin
	if pin == nil {
		var err error
		if pin, err = t.askPIN(ctx); err != nil {
			return err
		}
	}
	text := string(pin) // a request that was abandoned may use it after pin is overwritten
	_, err := ask(ctx, t, func(c card) (struct{}, error) { return struct{}{}, c.VerifyPIN(text) })
	if left, wrong := pinTries(err); wrong {
		t.pin, t.wrong, t.left, t.verified = nil, pin, left, false
		return &PINError{Serial: t.info.Serial, Left: left}
	}
	if err != nil {
		if t.pin == nil {
			clear(pin)
		}
		return fmt.Errorf("verify PIN: %w", err)
	}
	if t.pin == nil && text == factoryPIN {
		t.prompter.Notice(fmt.Sprintf("warning: %s still has the PIN that it was sold with; anyone who finds it can sign (ykman piv access change-pin)", t))
	}
	t.pin, t.verified = pin, true
	return nil
}

// askPIN asks for the PIN and refuses, before the card counts a try, what cannot
// be it.
func (t *talk) askPIN(ctx context.Context) ([]byte, error) {
	prompt := fmt.Sprintf("PIN of %s: ", t)
	left, err := ask(ctx, t, card.Retries)
	switch {
	case err == nil && left == 0:
		return nil, &PINError{Serial: t.info.Serial}
	case err == nil && left == 1:
		prompt = fmt.Sprintf("PIN of %s (last try; a wrong one blocks it): ", t)
	case err == nil && left == 2:
		prompt = fmt.Sprintf("PIN of %s (%s left): ", t, tries(left))
	case err != nil && fatal(ctx, err):
		return nil, err
	} // any other: the card will say when it sees the PIN
	pin, err := t.prompter.Secret(ctx, prompt)
	if err != nil {
		return nil, err
	}
	if len(pin) < 6 || len(pin) > 8 {
		defer clear(pin)
		return nil, fmt.Errorf("%w for %s: a PIN has 6 to 8 characters, not %d; it was not tried", ErrPIN, t, len(pin))
	}
	if bytes.Equal(pin, t.wrong) {
		defer clear(pin)
		return nil, &PINError{Serial: t.info.Serial, Left: t.left, Again: true}
	}
	return pin, nil
}
