package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// rotateOnline has a repository's root list fresh keys of the server's signer.
func (a *app) rotateOnline(ctx context.Context, arg string, roles []string, f rotateFlags) error {
	for i, role := range roles {
		if role != tuf.RoleSnapshot && role != tuf.RoleTimestamp || i > 0 && roles[0] == role {
			return usagef("%s: expected snapshot, timestamp or both", strings.Join(roles, " "))
		}
	}
	if len(f.add) > 0 || len(f.remove) > 0 || f.threshold != 0 {
		return usagef("the keys of %s are made by the server's signer: --add, --remove and --threshold are for other roles", strings.Join(roles, " and "))
	}
	if isPattern(arg) {
		return a.rotateOnlineMany(ctx, arg, roles, f)
	}
	name, err := repository(arg)
	if err != nil {
		return err
	}
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	publisher, err := a.publisher(ctx, name, ring, life)
	if err != nil {
		return err
	}
	publisher.DryRun = f.dryRun
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return err
	}
	hand, err := ring.atHand(ctx, f.keys)
	if err != nil {
		return err
	}
	step, err := publisher.PrepareRotateOnline(ctx, client.RotateOnlineRequest{Repository: name, Roles: roles, Signers: ring.lazy(presentFirst(hand))})
	if err != nil {
		return lackOf(err, hand)
	}
	what := strings.Join(roles, " and ")
	if f.dryRun {
		a.note("the signer makes the fresh keys of %s when it is done for good; root would list them in place of those that it has", what)
		return a.printDryRun(ring, step, what)
	}
	return a.publishOne(ctx, ring, step, func(*client.Published) string {
		return fmt.Sprintf("%s of %s: fresh keys of the server's signer", what, name)
	})
}

// rotateOnlineMany does so in all repositories that fit a pattern: whoever had the
// server's keys had those of all of them.
func (a *app) rotateOnlineMany(ctx context.Context, pattern string, roles []string, f rotateFlags) error {
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	what := strings.Join(roles, " and ")
	if f.dryRun {
		a.note("the signer makes the fresh keys of %s when it is done for good; each root would list them in place of those that it has", what)
	}
	return a.run(ctx, pattern, errand{what: "rotate", role: what, life: life, keys: f.keys, dryRun: f.dryRun, adds: true,
		again: "the same command again is safe: it makes fresh keys once more, where it is done already, too",
		prepare: func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error) {
			p.DryRun = f.dryRun
			step, err := p.PrepareRotateOnline(ctx, client.RotateOnlineRequest{Repository: name, Roles: roles, Signers: ring.lazy(presentFirst(hand))})
			return step, hand, err
		}})
}
