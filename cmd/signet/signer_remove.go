package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

func newSignerRemove(a *app) *cobra.Command {
	var keys []string
	var expires lifeFlag
	cmd := &cobra.Command{
		Use:   "remove REPO|PATTERN NAME",
		Short: "Take a signer's right to sign away",
		Long: `Take a signer's right to sign away, and with it that of the signers below it. What
it alone signed is trusted no more; those tags are listed before anything is signed.
The targets keys sign that, or those of the signer above it.

` + manyHelp + `

` + keyHelp,
		Example: `  signet signer remove registry.example.com/team/app release
  signet signer remove 'registry.example.com/**' contractor`,
		Args: cobra.ExactArgs(2),
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "sign with this `KEY` of targets, or of the signer above (may be given several times; default: those at hand)")
	expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		life, err := expires.life()
		if err != nil {
			return err
		}
		return a.run(ctx, args[0], errand{what: "signer remove", role: args[1], life: life, keys: keys,
			prepare: func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error) {
				step, err := p.PrepareRemoveSigner(ctx, client.RemoveSignerRequest{Repository: name, Name: args[1], Signers: ring.lazy(presentFirst(hand))})
				return step, hand, err
			}})
	})
	return cmd
}
