package yubikey

import (
	"context"
	"fmt"
)

// ChangePIN asks for the PIN and for a new one, and changes it. The factory's
// PIN is taken here: this is how to be rid of it.
func (st *Stick) ChangePIN(ctx context.Context) error {
	_, err := withTurn(ctx, st, func(t *talk) (none, error) {
		s, err := t.status(ctx)
		if err != nil {
			return none{}, err
		}
		pin, err := t.currentPIN(ctx, s.PIN.Left)
		if err != nil {
			return none{}, err
		}
		defer clear(pin)
		next, err := t.askNew(ctx, NewPIN)
		if err != nil {
			return none{}, err
		}
		defer clear(next)
		return none{}, t.change(ctx, insChange, PIN, pin, next)
	})
	return err
}

// ChangePUK asks for the PUK and for a new one, and changes it.
func (st *Stick) ChangePUK(ctx context.Context) error {
	_, err := withTurn(ctx, st, func(t *talk) (none, error) {
		puk, err := t.currentPUK(ctx)
		if err != nil {
			return none{}, err
		}
		defer clear(puk)
		next, err := t.askNew(ctx, NewPUK)
		if err != nil {
			return none{}, err
		}
		defer clear(next)
		pin := t.memory.right()
		defer clear(pin)
		if err := checkApart(pin, next); err != nil {
			return none{}, err
		}
		return none{}, t.change(ctx, insChange, PUK, puk, next)
	})
	return err
}

// Unblock asks for the PUK and sets a new PIN, whether the old one is blocked or
// only forgotten.
func (st *Stick) Unblock(ctx context.Context) error {
	_, err := withTurn(ctx, st, func(t *talk) (none, error) {
		puk, err := t.currentPUK(ctx)
		if err != nil {
			return none{}, err
		}
		defer clear(puk)
		next, err := t.askNew(ctx, NewPIN)
		if err != nil {
			return none{}, err
		}
		defer clear(next)
		if err := checkApart(next, puk); err != nil {
			return none{}, err
		}
		return none{}, t.change(ctx, insUnblock, PUK, puk, next)
	})
	return err
}

type none struct{}

// currentPIN returns the PIN that the session knows, or asks for it.
func (t *talk) currentPIN(ctx context.Context, left int) ([]byte, error) {
	if pin := t.memory.right(); pin != nil && left != 0 {
		return pin, nil
	}
	pin, err := t.askOld(ctx, PIN, left)
	if err != nil {
		return nil, err
	}
	if left, again := t.memory.refused(pin); again {
		clear(pin)
		return nil, &PINError{Serial: t.info.Serial, Left: left, Again: true}
	}
	return pin, nil
}

func (t *talk) currentPUK(ctx context.Context) ([]byte, error) {
	s, err := t.status(ctx)
	if err != nil {
		return nil, err
	}
	puk, err := t.askOld(ctx, PUK, s.PUK.Left)
	if err != nil {
		return nil, err
	}
	if left, again := t.memory.refusedPUK(puk); again {
		clear(puk)
		return nil, &PINError{Serial: t.info.Serial, PUK: true, Left: left, Again: true}
	}
	return puk, nil
}

// change shows the card a secret and has it take a new one.
func (t *talk) change(ctx context.Context, ins byte, shown string, old, next []byte) error {
	reference := byte(refPIN)
	if ins == insChange && shown == PUK {
		reference = refPUK
	}
	data := sideBySide(old, next)
	_, err := raw(ctx, t, func(w wire) (none, error) {
		defer clear(data)
		if err := w.choose(aidPIV); err != nil {
			return none{}, err
		}
		_, err := w.send(ins, 0, reference, data...)
		return none{}, err
	})
	if t.abandoned == nil { // else the request is still at it, and overwrites it itself
		clear(data)
	}
	left, wrong := pinTries(err)
	switch {
	case wrong:
		if shown == PIN {
			t.memory.refuse(old, left)
		} else {
			t.memory.refusePUK(old, left)
		}
		return &PINError{Serial: t.info.Serial, PUK: shown == PUK, Left: left}
	case status(err) == swConditions:
		return fmt.Errorf("%w: the stick demands more of it (%w)", ErrNewSecret, err)
	case err == nil && reference == refPIN:
		t.memory.learn(next)
	case err == nil:
		t.memory.refusePUK(nil, 0)
	}
	return err
}
