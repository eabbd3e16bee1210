package yubikey

import (
	"context"
	"errors"
	"fmt"
)

// What Setup did to a secret.
const (
	Changed = "changed" // it was the factory's
	Kept    = "kept"    // it was not the factory's, and was left alone
	Untold  = "unknown" // the firmware does not tell whether it is the factory's, and it was left alone
	Blocked = "blocked" // nothing could be done
)

// A Setup says what was done to a stick: Changed, Kept, Untold or Blocked.
type Setup struct {
	PIN        string
	PUK        string
	Management string
}

// Setup replaces what is still the factory's: PIN and PUK by what the Asker
// says, the management key by a random one that the stick keeps under its PIN.
// All is asked before anything is changed. A setup that was cut off leaves a
// stick that Setup, run again, finishes.
//
// Firmware before 5.3 does not tell whether PIN and PUK are the factory's. There
// the factory's PIN is tried, if that cannot be the last try, and the PUK is
// taken for the factory's if the PIN was.
func (st *Stick) Setup(ctx context.Context) (Setup, error) {
	return withTurn(ctx, st, func(t *talk) (Setup, error) { return t.setup(ctx) })
}

func (t *talk) setup(ctx context.Context) (Setup, error) {
	s, err := t.status(ctx)
	if err != nil {
		return Setup{}, err
	}
	if s.PIN.Left == 0 {
		return Setup{}, &PINError{Serial: t.info.Serial}
	}
	if err := t.tryFactory(ctx, &s); err != nil {
		return Setup{}, err
	}
	done := Setup{PIN: Kept, PUK: Kept, Management: Kept}
	if s.PIN.Factory == Unknown {
		done.PIN = Untold
	}
	switch {
	case s.PUK.Left == 0:
		done.PUK = Blocked
	case s.PUK.Factory == Unknown:
		done.PUK = Untold
	}
	pin, puk, err := t.askSetup(ctx, s)
	if err != nil {
		return Setup{}, err
	}
	defer clear(pin)
	defer clear(puk)
	// The PUK first: where the firmware does not tell, a PIN that is still the
	// factory's says that this was not finished.
	if puk != nil {
		if done.PUK, err = t.setupPUK(ctx, puk, s); err != nil {
			return done, fmt.Errorf("change the PUK: %w", err)
		}
	}
	if pin != nil {
		if err := t.change(ctx, insChange, PIN, []byte(factoryPIN), pin); err != nil {
			return done, fmt.Errorf("change the PIN: %w", err)
		}
		done.PIN = Changed
	}
	if s.Management.Factory == Yes {
		_, err := raw(ctx, t, func(w wire) (none, error) {
			if err := w.choose(aidPIV); err != nil {
				return none{}, err
			}
			return none{}, w.replaceManagementKey(t.info.Firmware)
		})
		if err != nil {
			return done, fmt.Errorf("replace the management key: %w", err)
		}
		done.Management = Changed
	}
	return done, nil
}

// tryFactory finds out what firmware before 5.3 does not tell.
func (t *talk) tryFactory(ctx context.Context, s *Status) error {
	if s.PIN.Factory != Unknown || s.PIN.Left == 1 {
		return nil
	}
	_, err := ask(ctx, t, func(c card) (none, error) { return none{}, c.VerifyPIN(factoryPIN) })
	_, wrong := pinTries(err)
	if err != nil && !wrong {
		return err
	}
	s.PIN.Factory = answer(err == nil)
	if err == nil {
		s.PUK.Factory = Yes
		return nil
	}
	// The right PIN gives the try back.
	if known := t.memory.right(); known != nil {
		clear(known)
		return t.unlock(ctx, Always)
	}
	t.asker().Notice(fmt.Sprintf("one of the tries of %s for its PIN was spent to see whether it is the factory's; the right PIN gives it back", t))
	return nil
}

// askSetup asks for what is to be set, nil for what stays.
func (t *talk) askSetup(ctx context.Context, s Status) (pin, puk []byte, err error) {
	if s.PIN.Factory == Yes {
		if pin, err = t.askNew(ctx, NewPIN); err != nil {
			return nil, nil, err
		}
	}
	if s.PUK.Factory == Yes && s.PUK.Left != 0 {
		if puk, err = t.askNew(ctx, NewPUK); err == nil {
			err = checkApart(pin, puk)
		}
	}
	if err != nil {
		clear(pin)
		clear(puk)
		return nil, nil, err
	}
	return pin, puk, nil
}

// setupPUK changes the factory's PUK.
func (t *talk) setupPUK(ctx context.Context, puk []byte, s Status) (string, error) {
	err := t.change(ctx, insChange, PUK, []byte(factoryPUK), puk)
	switch {
	case err == nil:
		return Changed, nil
	case !t.info.Firmware.hasMetadata() && errors.Is(err, ErrPUK):
		return Kept, nil // it was only taken for the factory's
	case errors.Is(err, ErrPUKBlocked):
		return Blocked, nil
	}
	return Untold, err
}
