package main

import (
	"context"
	"maps"
	"slices"

	"github.com/signet-trust/signet/client"
)

// rotateMany changes the keys of one role in all repositories that fit a pattern.
func (a *app) rotateMany(ctx context.Context, pattern, role string, f rotateFlags) error {
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	trusted, err := f.roots.load()
	if err != nil {
		return err
	}
	return a.run(ctx, pattern, errand{what: "rotate", role: role, life: life, keys: f.keys, dryRun: f.dryRun, wanted: true,
		prepare: func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error) {
			p.DryRun = f.dryRun
			r, coming, err := ring.keyChanges(ctx, p, name, role, f)
			if err != nil {
				return nil, nil, err
			}
			r.Attestations = maps.Clone(r.Attestations)
			if err := a.inHardware(p, name, role, r.Add, r.Attestations); err != nil {
				return nil, nil, err
			}
			roles, err := p.Roles(ctx, name)
			if err != nil {
				return nil, nil, err
			}
			if i := slices.IndexFunc(roles, func(is client.SigningRole) bool { return is.Name == role }); i >= 0 && isDone(roles[i], r) {
				return &client.Prepared{Repository: name}, hand, nil
			}
			hand = unique(append(hand, coming...))
			r.Signers = ring.lazy(presentFirst(hand))
			step, err := p.PrepareChangeKeys(ctx, r)
			if err == nil {
				ring.warnOnce(trusted, role, r.Add, r.Attestations)
			}
			return step, hand, err
		}})
}
