package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// atHand returns the keys that KEY arguments name or, without any, all that could
// sign: on connected YubiKeys first, since somebody plugged them in, then in
// files, and last those known to be on YubiKeys elsewhere, for the error that says
// which one to plug in.
func (r *keyring) atHand(ctx context.Context, names []string) ([]foundKey, error) {
	var keys []foundKey
	for _, what := range names {
		key, err := r.find(ctx, what)
		if err != nil {
			return nil, err
		}
		if r.app.propose != nil && !key.present() {
			// What is elsewhere is not waited for then: so whether it is, counts.
			if onStick, err := r.locate(ctx, key); err == nil {
				slot := onStick.Info()
				key.slot = &slot
			}
		}
		keys = append(keys, key)
	}
	if len(names) == 0 {
		var err error
		if keys, err = r.all(ctx); err != nil {
			return nil, err
		}
	}
	return unique(keys), nil
}

// unique leaves out keys that come a second time: a file's note of a key on a
// connected YubiKey, or one given twice.
func unique(keys []foundKey) []foundKey {
	seen := map[string]bool{}
	return slices.DeleteFunc(keys, func(key foundKey) bool {
		again := seen[key.ID()]
		seen[key.ID()] = true
		return again
	})
}

// presentFirst puts keys that can sign now before those on YubiKeys that have to
// be plugged in.
func presentFirst(keys []foundKey) []foundKey {
	slices.SortStableFunc(keys, func(x, y foundKey) int {
		switch {
		case x.present() == y.present():
			return 0
		case x.present():
			return -1
		}
		return 1
	})
	return keys
}

// all lists the keys that could sign.
func (r *keyring) all(ctx context.Context) ([]foundKey, error) {
	slots, err := r.slots(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && !noSticks(err) {
		r.app.note("%v", err)
	}
	return slices.Concat(inSlots(slots), r.inFiles()), nil
}

// likely lists the keys that could sign, as all does, but of YubiKeys that our
// files have notes on it looks at no other slots than those: reading all of them
// costs a real stick the better part of a second. complete is false when there may
// be further keys.
func (r *keyring) likely(ctx context.Context) (keys []foundKey, complete bool, err error) {
	files := r.inFiles()
	sticks, err := r.session.List(ctx)
	if err != nil {
		keys, err = r.all(ctx)
		return keys, true, err
	}
	complete = true
	for _, info := range sticks {
		var here []foundKey
		for _, key := range files {
			if serial, slot, ok := key.place(); ok && serial == info.Serial && info.Err == nil {
				onStick, err := r.session.Key(ctx, serial, slot, key.Key)
				if ctx.Err() != nil {
					return nil, false, ctx.Err()
				}
				if err == nil {
					found := onStick.Info()
					here = append(here, foundKey{Key: key.Key, entry: key.entry, slot: &found})
				}
			}
		}
		if len(here) == 0 {
			keys, err = r.all(ctx)
			return keys, true, err
		}
		keys, complete = append(keys, here...), false
	}
	return slices.Concat(keys, files), complete, nil
}

func inSlots(slots []yubikey.SlotInfo) (found []foundKey) {
	for _, slot := range usable(slots) {
		found = append(found, foundKey{Key: slot.Key, slot: &slot})
	}
	return found
}

// inFiles lists the keys of our files, last those that are on YubiKeys.
func (r *keyring) inFiles() []foundKey {
	entries, err := r.store.List()
	if err != nil {
		r.app.note("%v", err)
	}
	var files, elsewhere []foundKey
	for _, entry := range entries {
		switch {
		case entry.HasPrivate():
			files = append(files, foundKey{Key: entry.Key, entry: &entry})
		case entry.Stick != nil:
			elsewhere = append(elsewhere, foundKey{Key: entry.Key, entry: &entry})
		}
	}
	return slices.Concat(files, elsewhere)
}

// present tells whether a key can sign now, as far as that is known before.
func (k foundKey) present() bool {
	return k.slot != nil || k.entry != nil && k.entry.HasPrivate()
}

// sticksElsewhere tells on which YubiKeys keys are that cannot sign now.
func sticksElsewhere(keys []foundKey) string {
	var list []string
	for _, key := range keys {
		if !key.present() && key.entry != nil && key.entry.Stick != nil {
			list = append(list, fmt.Sprintf("%s is on YubiKey %d", key.entry, key.entry.Stick.Serial))
		}
	}
	return strings.Join(list, ", ")
}

// pick chooses as many of keys as a role needs, no more: each may cost a touch.
// Keys that can sign now come first. ok is false when there are too few.
func pick(keys []foundKey, role client.SigningRole) (chosen []foundKey, ok bool) {
	for _, now := range []bool{true, false} {
		for _, key := range keys {
			if len(chosen) < role.Threshold && key.present() == now && slices.ContainsFunc(role.Keys, key.Equal) {
				chosen = append(chosen, key)
			}
		}
	}
	return chosen, len(chosen) >= role.Threshold
}

// A fewError says that too few of a role's keys are at hand. It is a client.ErrKeys.
type fewError struct {
	error
	here int // how many are
}

func (e *fewError) Unwrap() error { return e.error }

// tooFew says which keys a role wants, and what is at hand.
func tooFew(repository string, role client.SigningRole, keys []foundKey) error {
	chosen, _ := pick(keys, role)
	wanted := make([]string, len(role.Keys))
	for i, key := range role.Keys {
		wanted[i] = key.ID()[:12]
	}
	err := &fewError{fmt.Errorf("%s of %s takes %s by %s, and %d of these keys is at hand: %w", role.Name, repository,
		plural(role.Threshold, "signature"), strings.Join(wanted, ", "), len(chosen), client.ErrKeys), len(chosen)}
	if elsewhere := sticksElsewhere(keys); elsewhere != "" {
		return advise(err, "%s: plug it in", elsewhere)
	}
	return err
}

// choose finds the roles among those for which want is true that keys are enough
// for, and the keys for them. What is to be proposed takes one key of a role, or,
// where all of them are meant or there is a key of none, no key.
func (a *app) choose(repository string, roles []client.SigningRole, keys []foundKey, all bool, want func(client.SigningRole) bool) (names []string, chosen []foundKey, err error) {
	var lacking error
	all = all || !slices.ContainsFunc(roles, func(role client.SigningRole) bool {
		own, _ := a.pick(keys, role)
		return want(role) && len(own) > 0
	})
	for _, role := range roles {
		if !want(role) {
			continue
		}
		own, ok := a.pick(keys, role)
		if a.propose != nil && !all {
			ok = len(own) > 0
		}
		if !ok {
			if lacking == nil {
				lacking = tooFew(repository, role, keys)
			}
			continue
		}
		names, chosen = append(names, role.Name), append(chosen, own...)
	}
	if len(names) == 0 {
		return nil, nil, lacking
	}
	return names, unique(chosen), nil
}

// attestation returns the certificates by which a YubiKey vouches that a key was
// made on it, in PEM, leaf first; none when there are none.
func (r *keyring) attestation(ctx context.Context, key foundKey) ([]string, error) {
	key = r.noted(key)
	if key.entry != nil && key.entry.Stick != nil && (len(key.entry.Stick.Attestation) > 0 || key.entry.Stick.Imported) {
		return chainPEM(key.entry.Stick.Attestation), nil
	}
	if key.entry != nil && key.entry.HasPrivate() || key.slot == nil && key.entry == nil {
		return nil, nil
	}
	onStick, err := r.locate(ctx, key)
	if errors.Is(err, yubikey.ErrAbsent) || errors.Is(err, yubikey.ErrSlotEmpty) || err == nil && onStick.Info().Origin == yubikey.Imported {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stick, err := r.session.Open(ctx, onStick.Info().Serial)
	if err != nil {
		return nil, err
	}
	chain, err := stick.Attestation(ctx, onStick.Info().Slot)
	if err != nil {
		r.app.note("%v; the key goes without an attestation", err)
		return nil, nil
	}
	return chainPEM(chain), nil
}

// warnOfKeys says of keys that a role gets what speaks against them: nothing proves
// that they are in hardware, or it is hardware with a known weakness. proved says
// that all of them are in hardware.
func (r *keyring) warnOfKeys(roots *attestation.Roots, role string, keys []*tuf.Key, attestations map[string][]string) (proved bool) {
	proved = true
	r.vouchers, r.vouched = roots, nil
	for _, key := range keys {
		name := fmt.Sprintf("%s key %s", role, r.describe(key.ID()))
		proof, err := roots.Check(key, attestations[key.ID()], r.app.now())
		proved = proved && err == nil
		switch {
		case tuf.RuleOf(err) == tuf.RuleNotAttested:
			r.app.note("warning: %s: nothing proves that it was made on a YubiKey; there may be copies of it", name)
		case err != nil:
			r.app.note("warning: %s: its attestation will not be believed: %s", name, sentence(err))
		default:
			if weakness := attestation.Weak(proof, key); weakness != "" {
				r.app.note("warning: %s: %s", name, weakness)
			}
		}
	}
	return proved
}
