package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
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
		return a.publishOne(ctx, image.Repository, expires, func(p *client.Publisher, ring *keyring) (*client.Published, error) {
			request := client.RevokeRequest{Repository: image.Repository, Tag: image.Tag, Digest: image.Digest, Role: role}
			hand, err := ring.atHand(ctx, keys)
			if err != nil {
				return nil, err
			}
			roles, err := p.Roles(ctx, image.Repository)
			if err != nil {
				return nil, err
			}
			_, chosen, err := choose(image.Repository, roles, hand, false, func(r client.SigningRole) bool {
				return r.Tags[image.Tag] && (role == "" || r.Name == role)
			})
			if err != nil {
				return nil, err
			}
			request.Signers = ring.lazy(chosen) // none, when nothing is signed: Revoke says so
			published, err := p.Revoke(ctx, request)
			if tuf.RuleOf(err) == tuf.RuleAbsent {
				err = advise(err, "nobody's verify takes it; signet list %s shows what is signed", image.Repository)
			}
			return published, err
		}, fmt.Sprintf("revoked %s", image))
	})
	return cmd
}

// publishOne runs one publish of one repository, with its keyring, and prints
// what came of it.
func (a *app) publishOne(ctx context.Context, name string, expires lifeFlag, do func(*client.Publisher, *keyring) (*client.Published, error), done string) error {
	life, err := expires.life()
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
	published, err := do(publisher, ring)
	if err != nil {
		return err
	}
	if published.Change == nil {
		a.note("%s: all of this is so already, so nothing was published", name)
	}
	return a.print(published, func(w io.Writer) { fmt.Fprintln(w, done) })
}
