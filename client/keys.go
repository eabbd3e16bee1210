package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// ErrKeys says that the keys given are not those that a step needs.
var ErrKeys = errors.New("the keys given do not fit")

// ErrRoleKeys says that a role is to get keys with which it could never sign.
var ErrRoleKeys = errors.New("no role can have such keys")

// A KeysError says whose signatures a step lacks. It is an ErrKeys.
type KeysError struct {
	Repository string
	Role       string     // in words: "targets", "the old root", a signer's name
	Keys       []*tuf.Key // those that may sign
	Threshold  int        // how many of them must
	Given      []*tuf.Key // those of them that were given
}

// Error names the keys that could sign.
func (e *KeysError) Error() string {
	var ids []string
	for _, key := range e.Keys {
		if !slices.ContainsFunc(e.Given, key.Equal) && len(ids) < 8 {
			ids = append(ids, key.ID()[:min(12, len(key.ID()))])
		}
	}
	return fmt.Sprintf("%s of %s needs the signatures of %d of its %d keys, and %d of the keys given are among them; it lacks %d of %s: %v",
		e.Role, e.Repository, e.Threshold, len(e.Keys), len(e.Given), e.Threshold-len(e.Given), strings.Join(ids, ", "), ErrKeys)
}

// Unwrap returns ErrKeys.
func (e *KeysError) Unwrap() error { return ErrKeys }

// signersOf picks those of signers that are keys of the role.
func signersOf(keys tuf.RoleKeys, signers []tuf.Signer) []tuf.Signer {
	var own []tuf.Signer
	for _, signer := range signers {
		if slices.ContainsFunc(keys.Keys, signer.Key().Equal) && !holds(own, signer.Key()) {
			own = append(own, signer)
		}
	}
	return own
}

func holds(signers []tuf.Signer, key *tuf.Key) bool {
	return slices.ContainsFunc(signers, func(s tuf.Signer) bool { return s.Key().Equal(key) })
}

// pick takes as many of signers as the role needs, in their order, and no more:
// each may cost a touch.
func pick(keys tuf.RoleKeys, signers []tuf.Signer) []tuf.Signer {
	own := signersOf(keys, signers)
	return own[:min(len(own), max(1, keys.Threshold))]
}

// pickBoth takes as many of signers as a root needs that is signed by old and new
// keys (§5.3.4). Keys that are both count for both, so they come first.
func pickBoth(old, new tuf.RoleKeys, signers []tuf.Signer) []tuf.Signer {
	var picked []tuf.Signer
	lacks := func(keys tuf.RoleKeys) bool { return len(signersOf(keys, picked)) < keys.Threshold }
	take := func(want func(isOld, isNew bool) bool) {
		for _, signer := range signers {
			isOld, isNew := slices.ContainsFunc(old.Keys, signer.Key().Equal), slices.ContainsFunc(new.Keys, signer.Key().Equal)
			if !holds(picked, signer.Key()) && want(isOld, isNew) {
				picked = append(picked, signer)
			}
		}
	}
	take(func(isOld, isNew bool) bool { return isOld && isNew && (lacks(old) || lacks(new)) })
	take(func(isOld, _ bool) bool { return isOld && lacks(old) })
	take(func(_, isNew bool) bool { return isNew && lacks(new) })
	return picked
}

// enough refuses a draft whose signers do not meet a role's threshold. A dry run
// only notes it, and so does a change that is to be proposed.
func (p *Publisher) enough(d *draft, role, repository string, keys tuf.RoleKeys) error {
	own := signersOf(keys, d.signers)
	if len(own) >= keys.Threshold {
		return nil
	}
	e := &KeysError{Repository: repository, Role: role, Keys: keys.Keys, Threshold: keys.Threshold}
	for _, signer := range own {
		e.Given = append(e.Given, signer.Key())
	}
	if p.DryRun || p.Partial {
		d.missing = append(d.missing, e)
		return nil
	}
	return e
}

// possible refuses keys and a threshold that no role can have.
func possible(role string, keys tuf.RoleKeys) error {
	for i, key := range keys.Keys {
		if slices.ContainsFunc(keys.Keys[:i], key.Equal) {
			return fmt.Errorf("%s: key %s is given twice, and a key counts once: %w", role, key.ID(), ErrRoleKeys)
		}
	}
	switch {
	case len(keys.Keys) == 0:
		return fmt.Errorf("%s would have no key left, so that nobody could ever sign as %s again: %w", role, role, ErrRoleKeys)
	case keys.Threshold < 1:
		return fmt.Errorf("%s: a threshold of %d; at least one key must sign: %w", role, keys.Threshold, ErrRoleKeys)
	case keys.Threshold > len(keys.Keys):
		return fmt.Errorf("%s: %d signatures of %d keys can never be made; add keys, or lower the threshold: %w", role, keys.Threshold, len(keys.Keys), ErrRoleKeys)
	}
	return nil
}

// loneRootKey warns of a root that hangs on one key.
func loneRootKey(root tuf.RoleKeys) []string {
	if len(root.Keys) > 1 {
		return nil
	}
	return []string{"root has one key only: if it is lost, nobody can ever change a key of this repository again, and everybody has to trust another one by hand"}
}

// sameKeys tells whether two roles have the same keys and threshold.
func sameKeys(a, b tuf.RoleKeys) bool {
	return a.Threshold == b.Threshold && len(a.Keys) == len(b.Keys) &&
		!slices.ContainsFunc(a.Keys, func(key *tuf.Key) bool { return !slices.ContainsFunc(b.Keys, key.Equal) })
}

// use picks those of signers that sign for a role: all that may, since they were
// given for it, or as many as it needs when the change is to be proposed.
func (p *Publisher) use(keys tuf.RoleKeys, signers []tuf.Signer) []tuf.Signer {
	if p.Partial {
		return pick(keys, signers)
	}
	return signersOf(keys, signers)
}

// allUsed refuses keys that have no part in a step: somebody thought they had. What
// is to be proposed is signed by whichever can.
func (p *Publisher) allUsed(what string, used, given []tuf.Signer) error {
	if p.Partial {
		return nil
	}
	for _, signer := range given {
		if !slices.ContainsFunc(used, func(s tuf.Signer) bool { return s.Key().Equal(signer.Key()) }) {
			return fmt.Errorf("key %s is not a key of %s: %w", signer.Key().ID(), what, ErrKeys)
		}
	}
	return nil
}
