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
		return usagef("online keys are rotated in one repository at a time")
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
