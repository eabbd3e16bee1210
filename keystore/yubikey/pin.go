package yubikey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
)

// A memory is what a session knows of one stick's PIN and PUK. It outlives the
// connection: a stick may be pulled out and come back.
type memory struct {
	mu      sync.Mutex
	pin     []byte // the right one
	wrong   []byte // the one that was wrong
	left    int    // tries after that
	puk     []byte // the PUK that was wrong
	pukLeft int
	closed  bool
}

// right returns a copy of the PIN that was right, or nil.
func (m *memory) right() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.pin)
}

// learn remembers that a PIN was right.
func (m *memory) learn(pin []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.pin)
	clear(m.wrong)
	m.pin, m.wrong = nil, nil
	if !m.closed {
		m.pin = bytes.Clone(pin)
	}
}

// refuse remembers that a PIN was wrong.
func (m *memory) refuse(pin []byte, left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.pin)
	clear(m.wrong)
	m.pin, m.wrong, m.left = nil, nil, left
	if !m.closed {
		m.wrong = bytes.Clone(pin)
	}
}

// refused tells whether a PIN was wrong before, and the tries left then.
func (m *memory) refused(pin []byte) (left int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left, m.wrong != nil && bytes.Equal(m.wrong, pin)
}

// refusePUK remembers that a PUK was wrong; nil, that none is known to be.
func (m *memory) refusePUK(puk []byte, left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.puk)
	m.puk, m.pukLeft = nil, left
	if !m.closed {
		m.puk = bytes.Clone(puk)
	}
}

// refusedPUK tells whether a PUK was wrong before, and the tries left then.
func (m *memory) refusedPUK(puk []byte) (left int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pukLeft, m.puk != nil && bytes.Equal(m.puk, puk)
}

// forget overwrites what is remembered, for ever.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, secret := range [][]byte{m.pin, m.wrong, m.puk} {
		clear(secret)
	}
	m.pin, m.wrong, m.puk, m.closed = nil, nil, nil, true
}

// wantsPIN tells whether the card wants the PIN now, by the policy.
func (t *talk) wantsPIN(policy string) bool {
	return policy != Never && (policy != Once || !t.verified)
}

// unlock shows the card the PIN, if the policy wants it. The person is asked for
// it once in the life of the session.
func (t *talk) unlock(ctx context.Context, policy string) error {
	if !t.wantsPIN(policy) {
		return nil
	}
	pin := t.memory.right()
	fresh := pin == nil
	if fresh {
		var err error
		if pin, err = t.askPIN(ctx); err != nil {
			return err
		}
	}
	defer clear(pin)
	text := string(pin) // a request that was abandoned may use it after pin is overwritten
	_, err := ask(ctx, t, func(c card) (none, error) {
		if err := c.VerifyPIN(text); err != nil {
			return none{}, &verifyError{err}
		}
		return none{}, nil
	})
	if err := t.learned(pin, err); err != nil {
		return err
	}
	if fresh && text == factoryPIN {
		t.asker().Notice(fmt.Sprintf("warning: %s still has the PIN that it was sold with; anyone who finds it can sign", t))
	}
	return nil
}

// A verifyError is trouble with the PIN, not with what was to be done with it.
type verifyError struct{ error }

func (e *verifyError) Error() string { return "verify PIN: " + e.error.Error() }
func (e *verifyError) Unwrap() error { return e.error }

// learned takes note of what the card made of a PIN.
func (t *talk) learned(pin []byte, err error) error {
	_, ofPIN := errors.AsType[*verifyError](err)
	left, wrong := pinTries(err)
	switch {
	case ofPIN && wrong:
		t.memory.refuse(pin, left)
		t.verified = false
		return &PINError{Serial: t.info.Serial, Left: left}
	case err == nil:
		t.memory.learn(pin)
		t.verified = true
	case !ofPIN:
		t.verified = status(err) != 0 // the PIN was taken, if there was an answer
	}
	return err
}

// askPIN asks for the PIN and refuses, before the card counts a try, what cannot
// be it or should not.
func (t *talk) askPIN(ctx context.Context) ([]byte, error) {
	left, err := ask(ctx, t, card.Retries)
	if err != nil && fatal(ctx, err) {
		return nil, err
	}
	if err != nil { // the card will say when it sees the PIN
		left = -1
	}
	pin, err := t.askOld(ctx, PIN, left)
	if err != nil {
		return nil, err
	}
	if string(pin) == factoryPIN && !t.session.config.AllowFactoryPIN {
		clear(pin)
		return nil, fmt.Errorf("%s: %w", t, ErrFactoryPIN)
	}
	if left, again := t.memory.refused(pin); again {
		clear(pin)
		return nil, &PINError{Serial: t.info.Serial, Left: left, Again: true}
	}
	return pin, nil
}
