package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// A sitting is what the signatures of one command have in common: how many
// touches come, and those signatures that were made ahead of their turn.
type sitting struct {
	of, done int               // touches
	made     map[string][]byte // by key ID and payload
}

// agree shows changes and asks once for all.
func (r *keyring) agree(ctx context.Context, changes []*client.Change) error {
	order, err := r.reach(ctx, changes)
	if err != nil {
		return err
	}
	r.app.showChanges(changes, r)
	r.tellTouches(changes)
	question := "Sign this?"
	if r.app.propose != nil {
		question = r.app.propose.question(changes)
	}
	if len(changes) > 1 {
		question = fmt.Sprintf("Sign all of this, in %d repositories?", len(changes))
	}
	if err := r.app.confirm(ctx, question); err != nil {
		return err
	}
	return r.signAhead(ctx, changes, order)
}

// reach finds each key that is to sign, without any secret, and fails now if one
// cannot. It returns where they are, in the order in which they should sign: what is
// not plugged in comes last.
func (r *keyring) reach(ctx context.Context, changes []*client.Change) (order []string, err error) {
	var later []string
	looked := map[string]bool{}
	for _, signature := range signatures(changes) {
		if looked[signature.key] {
			continue
		}
		looked[signature.key] = true
		key, absent, err := r.reachKey(ctx, r.known[signature.key])
		if err != nil {
			return nil, err
		}
		r.known[signature.key] = key
		switch home := key.home(); {
		case absent && !slices.Contains(later, home):
			later = append(later, home)
		case !absent && !slices.Contains(order, home):
			order = append(order, home)
		}
	}
	return slices.Concat(order, later), nil
}

// A signature is one that a change takes.
type signature struct {
	key     string // ID
	reason  string
	payload []byte
}

// signatures lists what changes take, in the order in which they are asked for.
func signatures(changes []*client.Change) []signature {
	var list []signature
	for _, change := range changes {
		for _, file := range change.Files {
			for _, id := range file.SignedBy {
				list = append(list, signature{id, fmt.Sprintf("%s version %d of %s", file.Role, file.Version, change.Repository), file.Payload})
			}
		}
	}
	return list
}

// tellTouches counts the touches that come, and says so. Those of a change that had
// to be built anew come on top of the others.
func (r *keyring) tellTouches(changes []*client.Change) {
	n, upTo := 0, ""
	var sticks []string
	touches := map[string]int{}
	for _, signature := range signatures(changes) {
		key := r.known[signature.key]
		home, policy := key.home(), key.touch()
		if home == "" || policy == yubikey.Never {
			continue
		}
		if touches[home] == 0 {
			sticks = append(sticks, home)
		}
		touches[home]++
		n++
		if policy != yubikey.Always { // within some seconds of the last one it wants none
			upTo = "up to "
		}
	}
	if n == 0 {
		return
	}
	r.app.sitting.of += n
	var list []string
	for _, stick := range sticks {
		if len(sticks) > 1 {
			stick = fmt.Sprintf("%d of %s", touches[stick], stick)
		}
		list = append(list, stick)
	}
	touch := "1 touch comes"
	if n > 1 {
		touch = fmt.Sprintf("%d touches come", n)
	}
	r.app.note("%s%s: %s", upTo, touch, strings.Join(list, ", "))
}

// signAhead makes all signatures stick by stick when some sticks have to be plugged
// in first: each is then plugged in once, however the files follow each other. What
// is signed are the bytes that were shown; publishing finds the signatures made.
func (r *keyring) signAhead(ctx context.Context, changes []*client.Change, order []string) error {
	list := signatures(changes)
	waits := slices.ContainsFunc(list, func(s signature) bool { return !r.known[s.key].present() })
	if !waits || len(order) < 2 {
		return nil
	}
	for _, home := range order {
		for _, s := range list {
			key := r.known[s.key]
			if key.home() != home {
				continue
			}
			sig, err := tuf.SignPayload(keystore.WithReason(ctx, s.reason), s.payload, lazySigner{r, key})
			if err != nil {
				return fmt.Errorf("sign %s: %w", s.reason, err)
			}
			if r.app.sitting.made == nil {
				r.app.sitting.made = map[string][]byte{}
			}
			r.app.sitting.made[s.key+string(s.payload)] = sig
		}
	}
	return nil
}

// reachKey looks for one key that is to sign. absent says that it is on a YubiKey
// that is not plugged in, and that somebody may plug in when its turn comes.
func (r *keyring) reachKey(ctx context.Context, key foundKey) (found foundKey, absent bool, err error) {
	if key = r.noted(key); key.entry != nil && key.entry.HasPrivate() {
		return key, false, nil
	}
	stick := &stickSigner{ring: r, key: key}
	onStick, err := r.locate(ctx, key)
	switch {
	case err == nil:
		slot := onStick.Info()
		key.slot = &slot
		return key, false, nil
	case r.app.patience() == 0, stick.isGone(err), !errors.Is(err, yubikey.ErrAbsent) && !errors.Is(err, yubikey.ErrSlotEmpty):
		return key, false, stick.explain(ctx, err)
	}
	key.slot = nil
	return key, true, nil
}

// home is where a key signs: a YubiKey, or "" for a file.
func (k foundKey) home() string {
	if k.entry != nil && k.entry.HasPrivate() {
		return ""
	}
	if serial, _, ok := k.place(); ok {
		return fmt.Sprintf("YubiKey %d", serial)
	}
	return "the YubiKey that has key " + k.ID()[:12]
}

// touch is when a key on a YubiKey wants a touch, as far as is known.
func (k foundKey) touch() string {
	switch {
	case k.slot != nil:
		return k.slot.Touch
	case k.entry != nil && k.entry.Stick != nil:
		return k.entry.Stick.Touch
	}
	return ""
}

// A lazySigner is a key that is opened when it first signs: a passphrase or PIN
// is asked for after the person has agreed to what is to be signed.
type lazySigner struct {
	ring *keyring
	key  foundKey
}

// Key returns the public key.
func (s lazySigner) Key() *tuf.Key { return s.key.Key }

// Sign opens the key, says which of how many touches this is, and signs.
func (s lazySigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	id := s.key.ID()
	sitting := &s.ring.app.sitting
	if sig := sitting.made[id+string(msg)]; sig != nil {
		return sig, nil
	}
	key := s.key
	if known, ok := s.ring.known[id]; ok {
		key = known
	}
	signer, err := s.ring.signer(ctx, key)
	if err != nil {
		return nil, err
	}
	if key.home() != "" && key.touch() != yubikey.Never {
		sitting.done++
		ctx = keystore.WithTouch(ctx, sitting.done, max(sitting.of, sitting.done))
	}
	return signer.Sign(ctx, msg)
}

func (r *keyring) lazy(keys []foundKey) []tuf.Signer {
	signers := []tuf.Signer{}
	for _, key := range keys {
		r.known[key.ID()] = key
		if r.app.propose == nil || key.present() { // what is elsewhere signs when it is there
			signers = append(signers, lazySigner{r, key})
		}
	}
	return signers
}
