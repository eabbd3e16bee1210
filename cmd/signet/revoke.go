package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

func newRevoke(a *app) *cobra.Command {
	var keys []string
	var role string
	var expires lifeFlag
	cmd := &cobra.Command{
		Use:   "revoke IMAGE:TAG[@DIGEST]",
		Short: "Withdraw a tag, or one digest under it",
		Long: `Withdraw a tag and every digest that was ever signed under it, or, with a digest,
that digest alone. Whoever verifies refuses it from the next question on; who
cannot reach the server, at the latest when the timestamp expires.

` + keyHelp,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand that the role lists)")
	flags.StringVar(&role, "role", "", "revoke what this role signed: targets, or a signer's name (default: every role that lists the tag)")
	expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		image, err := image(args[0])
		if err != nil {
			return err
		}
		if image.Tag == "" {
			return advise(usagef("%s has no tag: say which one is to be revoked", image), "signet list %s shows what is signed", image.Repository)
		}
		life, err := expires.life()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		request := client.RevokeRequest{Repository: image.Repository, Tag: image.Tag, Digest: image.Digest, Role: role}
		step, err := a.prepareRevoke(ctx, ring, request, keys, life)
		if tuf.RuleOf(err) == tuf.RuleAbsent {
			err = advise(err, "nobody's verify takes it; signet list %s shows what is signed", image.Repository)
		}
		if err != nil {
			return err
		}
		return a.publishOne(ctx, ring, step, func(*client.Published) string { return fmt.Sprintf("revoked %s", image) })
	})
	return cmd
}

func (a *app) prepareRevoke(ctx context.Context, ring *keyring, request client.RevokeRequest, keys []string, life map[string]time.Duration) (*client.Prepared, error) {
	publisher, err := a.publisher(ctx, request.Repository, ring, life)
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, publisher, request.Repository, api.ScopePublish); err != nil {
		return nil, err
	}
	hand, err := ring.atHand(ctx, keys)
	if err != nil {
		return nil, err
	}
	roles, err := publisher.Roles(ctx, request.Repository)
	if err != nil {
		return nil, err
	}
	_, chosen, err := a.choose(request.Repository, roles, hand, true, func(r client.SigningRole) bool {
		return r.Tags[request.Tag] && (request.Role == "" || r.Name == request.Role)
	})
	if err != nil {
		return nil, err
	}
	request.Signers = ring.lazy(chosen) // none, when nothing is signed: that is what is said then
	return publisher.PrepareRevoke(ctx, request)
}
