package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// A lazySigner is a key that is opened when it first signs: a passphrase or PIN
// is asked for after the person has agreed to what is to be signed.
type lazySigner struct {
	ring *keyring
	key  foundKey
}

func (s lazySigner) Key() *tuf.Key { return s.key.Key }

func (s lazySigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	signer, err := s.ring.signer(ctx, s.key)
	if err != nil {
		return nil, err
	}
	return signer.Sign(ctx, msg)
}

func (r *keyring) lazy(keys []foundKey) []tuf.Signer {
	signers := make([]tuf.Signer, len(keys))
	for i, key := range keys {
		r.known[key.ID()] = key
		signers[i] = lazySigner{r, key}
	}
	return signers
}

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
		keys = append(keys, key)
	}
	if len(names) == 0 {
		var err error
		if keys, err = r.all(ctx); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(keys, func(key foundKey) bool {
		again := seen[key.ID()] // a file's note of a key on a connected YubiKey, or one given twice
		seen[key.ID()] = true
		return again
	}), nil
}

// all lists the keys that could sign.
func (r *keyring) all(ctx context.Context) ([]foundKey, error) {
	entries, err := r.store.List()
	if err != nil {
		r.app.note("%v", err)
	}
	slots, err := r.slots(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && !errors.Is(err, yubikey.ErrNoSupport) && !errors.Is(err, yubikey.ErrNoDaemon) {
		r.app.note("%v", err)
	}
	var found, files, elsewhere []foundKey
	for _, slot := range slots {
		if slot.Key != nil && slot.Slot.Signs() {
			found = append(found, foundKey{Key: slot.Key, slot: &slot})
		}
	}
	for _, entry := range entries {
		switch {
		case entry.HasPrivate():
			files = append(files, foundKey{Key: entry.Key, entry: &entry})
		case entry.Stick != nil:
			elsewhere = append(elsewhere, foundKey{Key: entry.Key, entry: &entry})
		}
	}
	return slices.Concat(found, files, elsewhere), nil
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

// tooFew says which keys a role wants, and what is at hand.
func tooFew(repository string, role client.SigningRole, keys []foundKey) error {
	chosen, _ := pick(keys, role)
	wanted := make([]string, len(role.Keys))
	for i, key := range role.Keys {
		wanted[i] = key.ID()[:12]
	}
	err := fmt.Errorf("%s of %s takes %s by %s, and %d of these keys is at hand: %w", role.Name, repository,
		plural(role.Threshold, "signature"), strings.Join(wanted, ", "), len(chosen), client.ErrKeys)
	if elsewhere := sticksElsewhere(keys); elsewhere != "" {
		return advise(err, "%s: plug it in", elsewhere)
	}
	return err
}

// choose finds the roles to sign among those for which want is true, and the keys
// for them. Without a role's name it takes every role that it has the keys for,
// or the first only.
func choose(repository string, roles []client.SigningRole, keys []foundKey, first bool, want func(client.SigningRole) bool) (names []string, chosen []foundKey, err error) {
	var lacking error
	for _, role := range roles {
		if !want(role) {
			continue
		}
		own, ok := pick(keys, role)
		if !ok {
			if lacking == nil {
				lacking = tooFew(repository, role, keys)
			}
			continue
		}
		names, chosen = append(names, role.Name), append(chosen, own...)
		if first {
			break
		}
	}
	if len(names) == 0 {
		return nil, nil, lacking
	}
	seen := map[string]bool{}
	return names, slices.DeleteFunc(chosen, func(key foundKey) bool {
		again := seen[key.ID()]
		seen[key.ID()] = true
		return again
	}), nil
}

// attestation returns the certificates by which a YubiKey vouches that a key was
// made on it, in PEM, leaf first; none when there are none.
func (r *keyring) attestation(ctx context.Context, key foundKey) ([]string, error) {
	var chain [][]byte
	if key.entry == nil {
		if entry, err := r.store.Find(key.ID()); err == nil {
			key.entry = &entry
		}
	}
	switch {
	case key.entry != nil && key.entry.Stick != nil:
		chain = key.entry.Stick.Attestation
	case key.slot != nil && key.slot.Origin != yubikey.Imported:
		stick, err := r.session.Open(ctx, key.slot.Serial)
		if err != nil {
			return nil, err
		}
		if chain, err = stick.Attestation(ctx, key.slot.Slot); err != nil {
			r.app.note("%v; the root goes without an attestation of this key", err)
			return nil, nil
		}
	}
	var list []string
	for _, der := range chain {
		list = append(list, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	return list, nil
}
