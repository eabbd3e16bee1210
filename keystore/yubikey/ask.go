package yubikey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// An Asker is whoever knows the secrets of sticks: the person at the keyboard, or
// files in the person's place.
type Asker interface {
	// StickSecret answers a question without the end of line. Whoever asked
	// overwrites the slice after use.
	StickSecret(ctx context.Context, q Question) ([]byte, error)
	// Notice shows one line that needs no answer, at once.
	Notice(text string)
}

// The secrets of a stick, as a Question names them.
const (
	PIN    = "PIN"
	NewPIN = "new PIN"
	PUK    = "PUK"
	NewPUK = "new PUK"
)

// A Question asks for one secret of one stick.
type Question struct {
	Serial uint32
	Secret string // PIN, NewPIN, PUK or NewPUK
	Left   int    // tries; -1 when the firmware does not tell, and for new secrets
	Again  bool   // a new secret is to be repeated, to catch a slip of the finger
	Prompt string // all of that in words
}

// What every stick is sold with.
const (
	factoryPIN = "123456"
	factoryPUK = "12345678"
)

// askOld puts the question of a secret that is there already. It refuses, before
// the card counts a try, what cannot be it.
func (st *Stick) askOld(ctx context.Context, secret string, left int) ([]byte, error) {
	q := Question{Serial: st.info.Serial, Secret: secret, Left: left, Prompt: fmt.Sprintf("%s of %s: ", secret, st)}
	switch left {
	case 0:
		return nil, &PINError{Serial: st.info.Serial, PUK: secret == PUK}
	case 1:
		q.Prompt = fmt.Sprintf("%s of %s (last try; a wrong one blocks it): ", secret, st)
		st.asker().Notice(fmt.Sprintf("warning: %s has one try left for its %s; a wrong one blocks it", st, secret))
	case 2:
		q.Prompt = fmt.Sprintf("%s of %s (%s left): ", secret, st, tries(left))
	}
	answer, err := st.asker().StickSecret(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(answer) < 6 || len(answer) > 8 {
		defer clear(answer)
		return nil, fmt.Errorf("%w for %s: a %s has 6 to 8 characters, not %d; it was not tried", wrongOf(secret), st, secret, len(answer))
	}
	return answer, nil
}

func wrongOf(secret string) error {
	if secret == PUK {
		return ErrPUK
	}
	return ErrPIN
}

// askNew asks twice for a secret that is to be.
func (st *Stick) askNew(ctx context.Context, secret string) ([]byte, error) {
	q := Question{Serial: st.info.Serial, Secret: secret, Left: -1, Prompt: fmt.Sprintf("%s for %s (6 to 8 characters): ", capital(secret), st)}
	answer, err := st.asker().StickSecret(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := checkNew(secret, answer); err != nil {
		clear(answer)
		return nil, fmt.Errorf("%s: %w", st, err)
	}
	q.Again, q.Prompt = true, fmt.Sprintf("The same %s again for %s: ", secret, st)
	again, err := st.asker().StickSecret(ctx, q)
	if err != nil {
		clear(answer)
		return nil, err
	}
	defer clear(again)
	if !bytes.Equal(answer, again) {
		clear(answer)
		return nil, fmt.Errorf("%s: %w: the %s and its repetition differ; nothing was changed", st, ErrNewSecret, secret)
	}
	return answer, nil
}

func capital(secret string) string {
	if secret[0] == 'n' {
		return "N" + secret[1:]
	}
	return secret
}

// checkNew holds a new PIN or PUK to what all firmware takes, and to what a
// person can type anywhere.
func checkNew(secret string, value []byte) error {
	printable := bytes.IndexFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	switch {
	case len(value) < 6 || len(value) > 8:
		return fmt.Errorf("%w: a %s has 6 to 8 characters, not %d", ErrNewSecret, secret, len(value))
	case !printable:
		return fmt.Errorf("%w: a %s is of letters, digits and signs that every keyboard has, no spaces", ErrNewSecret, secret)
	case string(value) == factoryPIN || string(value) == factoryPUK:
		return fmt.Errorf("%w: a %s must not be one that sticks are sold with", ErrNewSecret, secret)
	}
	return nil
}

// checkApart refuses a PUK that is the PIN: who finds one would have both.
func checkApart(pin, puk []byte) error {
	if pin != nil && bytes.Equal(pin, puk) {
		return fmt.Errorf("%w: PIN and PUK must differ", ErrNewSecret)
	}
	return nil
}

// errNobody answers for a session that was given nobody to ask.
var errNobody = errors.New("there is nobody to ask for it")

type nobody struct{}

func (nobody) StickSecret(_ context.Context, q Question) ([]byte, error) {
	return nil, fmt.Errorf("%s of YubiKey %d: %w", q.Secret, q.Serial, errNobody)
}
func (nobody) Notice(string) {}
