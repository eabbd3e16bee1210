package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// prepareChangeKeys implements PrepareChangeKeys.
func (p *Publisher) prepareChangeKeys(ctx context.Context, r ChangeKeysRequest) (*Prepared, error) {
	if r.Role == tuf.RoleSnapshot || r.Role == tuf.RoleTimestamp {
		return nil, fmt.Errorf("the %s key of %s is the server's signer's; its operator rotates it, and the next root lists the new one: %w", r.Role, r.Repository, ErrRoleKeys)
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	built := false
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
		before, err := cur.keysOf(r.Role)
		if err != nil {
			return nil, err
		}
		after, err := r.apply(before, built)
		if err != nil {
			return nil, err
		}
		built = true
		if r.Role == tuf.RoleRoot || r.Role == tuf.RoleTargets {
			return p.changeByRoot(ctx, cur, r, before, after)
		}
		return p.changeByDelegator(ctx, cur, r, before, after)
	}
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

// apply returns the role's keys after the change. again says that this is not the
// first time: keys that were to go may be gone by now.
func (r *ChangeKeysRequest) apply(before tuf.RoleKeys, again bool) (tuf.RoleKeys, error) {
	after := tuf.RoleKeys{Threshold: before.Threshold}
	if r.Threshold != 0 {
		after.Threshold = r.Threshold
	}
	for _, key := range before.Keys {
		if !slices.Contains(r.Remove, key.ID()) {
			after.Keys = append(after.Keys, key)
		}
	}
	added := false
	for _, key := range r.Add {
		if slices.Contains(r.Remove, key.ID()) {
			return after, fmt.Errorf("key %s is both to come and to go: %w", key.ID(), ErrKeys)
		}
		if !slices.ContainsFunc(after.Keys, key.Equal) {
			after.Keys, added = append(after.Keys, key), true
		}
	}
	done := len(r.Add) > 0 && !added // as after an answer that got lost
	for _, id := range r.Remove {
		if !slices.ContainsFunc(before.Keys, func(k *tuf.Key) bool { return k.ID() == id }) && !done && !again {
			return after, fmt.Errorf("key %s is not a key of %s of %s: %w", id, r.Role, r.Repository, ErrKeys)
		}
	}
	return after, possible(r.Role, after)
}

// changeByRoot makes a new root that gives root or targets other keys.
func (p *Publisher) changeByRoot(ctx context.Context, cur *current, r ChangeKeysRequest, before, after tuf.RoleKeys) ([]*draft, error) {
	chains := tuf.Attestations(cur.root)
	attested := attest(chains, r.Attestations, after)
	if sameKeys(before, after) && !attested {
		return nil, nil
	}
	rootBefore := tuf.RoleKeysOf(cur.root, tuf.RoleRoot)
	rootAfter := rootBefore
	if r.Role == tuf.RoleRoot {
		rootAfter = after
	}
	d, err := p.next(ctx, cur, tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if err := tuf.SetRoleKeys(d.root, r.Role, after); err != nil {
		return nil, err
	}
	tuf.SetAttestations(d.root, chains)
	d.warnings = loneRootKey(rootAfter)
	d.signers = pickBoth(rootBefore, rootAfter, r.Signers)
	if r.Role == tuf.RoleRoot {
		return []*draft{d}, errors.Join(
			p.enough(d, "the old root", r.Repository, rootBefore),
			p.enough(d, "the new root", r.Repository, rootAfter))
	}
	if err := p.enough(d, tuf.RoleRoot, r.Repository, rootBefore); err != nil {
		return nil, err
	}
	again, err := p.signAnew(ctx, cur, tuf.RoleTargets, after, r.Signers)
	if err != nil {
		return nil, err
	}
	return append([]*draft{d}, again...), nil
}

// changeByDelegator makes a new file of whoever delegates to a signer.
func (p *Publisher) changeByDelegator(ctx context.Context, cur *current, r ChangeKeysRequest, before, after tuf.RoleKeys) ([]*draft, error) {
	delegator := cur.roles[r.Role].delegator
	d, err := p.next(ctx, cur, delegator)
	if err != nil {
		return nil, err
	}
	list := d.targets.Signed.Delegations.Roles
	i := slices.IndexFunc(list, func(role metadata.DelegatedRole) bool { return role.Name == r.Role })
	if i < 0 {
		return nil, fmt.Errorf("%s of %s is one of the hash bins of %s, whose keys are not changed one by one: %w", r.Role, r.Repository, delegator, ErrRoleKeys)
	}
	chains := tuf.TargetsAttestations(d.targets)
	if attested := attest(chains, r.Attestations, after); sameKeys(before, after) && !attested {
		return nil, nil
	}
	list[i] = delegatedTo(d.targets, list[i], after)
	dropUnusedKeys(d.targets, chains)
	keys := cur.roles[delegator].keys
	d.signers = pick(keys, r.Signers)
	if err := p.enough(d, delegator, r.Repository, keys); err != nil {
		return nil, err
	}
	again, err := p.signAnew(ctx, cur, r.Role, after, r.Signers)
	if err != nil {
		return nil, err
	}
	return append([]*draft{d}, again...), nil
}

// signAnew returns the next file of a role, without other changes, when too few of
// keys have signed the current one; else none.
func (p *Publisher) signAnew(ctx context.Context, cur *current, role string, keys tuf.RoleKeys, signers []tuf.Signer) ([]*draft, error) {
	signed, err := tuf.ReadTargets(cur.roles[role].bytes)
	if err != nil {
		return nil, err
	}
	if meets(keys, signed) {
		return nil, nil
	}
	d, err := p.next(ctx, cur, role)
	if err != nil {
		return nil, err
	}
	d.signers = pick(keys, signers)
	if err := p.enough(d, role, cur.repository, keys); err != nil {
		return nil, fmt.Errorf("the file of %s has to be signed anew, since too few of the keys that are left have signed it: %w", role, err)
	}
	return []*draft{d}, nil
}

// meets tells whether enough of keys have signed a file (§5.6.3).
func meets(keys tuf.RoleKeys, file *tuf.Targets) bool {
	payload, err := tuf.Payload(file)
	if err != nil {
		return false
	}
	n := 0
	for _, key := range keys.Keys {
		if slices.ContainsFunc(file.Signatures, func(s metadata.Signature) bool {
			return s.KeyID == key.ID() && key.Verify(payload, s.Signature) == nil
		}) {
			n++
		}
	}
	return n >= keys.Threshold
}

// attest puts the chains given for keys among those that are there, and tells
// whether that changed any. Chains of other keys are left out.
func attest(chains, given map[string][]string, keys tuf.RoleKeys) (changed bool) {
	for _, key := range keys.Keys {
		chain := given[key.ID()]
		if len(chain) > 0 && !slices.Equal(chain, chains[key.ID()]) {
			chains[key.ID()], changed = chain, true
		}
	}
	return changed
}
