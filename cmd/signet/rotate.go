package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func newRotate(a *app) *cobra.Command {
	var keys []string
	var in, out string
	var expires lifeFlag
	cmd := &cobra.Command{
		Use:   "rotate REPO root --old KEY --new KEY",
		Short: "Put a new root key in the place of an old one",
		Long: `Put a new root key in the place of an old one. The new root is signed by the old
keys and by the new one, so everybody who trusts the old keys follows by
themselves.

` + keyHelp,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "old", "", "the root `KEY` that goes")
	flags.StringVar(&in, "new", "", "the root `KEY` that comes")
	flags.StringArrayVar(&keys, "key", nil, "sign with this `KEY` beside the new one (may be given several times; default: those at hand that root lists)")
	expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		if args[1] != tuf.RoleRoot {
			return usagef("rotate %s: root keys are what this version of signet rotates", args[1])
		}
		if in == "" || out == "" {
			return usagef("say which key goes (--old KEY) and which one comes (--new KEY)")
		}
		return a.publishOne(ctx, name, expires, func(p *client.Publisher, ring *keyring) (*client.Published, error) {
			coming, err := ring.find(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("--new: %w", err)
			}
			ring.known[coming.ID()] = coming
			request := client.RotateRequest{Repository: name, In: lazySigner{ring, coming}}
			roles, err := p.Roles(ctx, name)
			if err != nil {
				return nil, err
			}
			root := roles[0]
			if request.Out, err = oldKey(ctx, ring, root, out); err != nil {
				return nil, fmt.Errorf("--old: %w", err)
			}
			if request.Attestation, err = ring.attestation(ctx, coming); err != nil {
				return nil, err
			}
			hand, err := ring.atHand(ctx, keys)
			if err != nil {
				return nil, err
			}
			// The old keys that stay count for both roots, so they come first.
			slices.SortStableFunc(hand, func(x, y foundKey) int {
				return cmp.Compare(btoi(x.ID() == request.Out), btoi(y.ID() == request.Out))
			})
			chosen, ok := pick(hand, root)
			if !ok {
				return nil, tooFew(name, root, hand)
			}
			request.Signers = ring.lazy(chosen)
			return p.RotateRoot(ctx, request)
		}, fmt.Sprintf("rotated the root key of %s", name))
	})
	return cmd
}

// oldKey tells the ID of the key that goes. It may be lost, so the start of its
// ID is looked for in the root itself, too.
func oldKey(ctx context.Context, ring *keyring, root client.SigningRole, what string) (string, error) {
	if isHex(what) && len(what) >= 8 {
		for _, key := range root.Keys {
			if strings.HasPrefix(key.ID(), strings.ToLower(what)) {
				return key.ID(), nil
			}
		}
	}
	key, err := ring.find(ctx, what)
	if err != nil {
		return "", err
	}
	return key.ID(), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
