package main

import (
	"context"
	"maps"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// manyHelp says what a pattern in place of REPO means.
const manyHelp = `A pattern in place of REPO stands for all repositories of the server whose names fit
it and that the token covers. All of them are read, what would be signed is shown,
and one yes and one PIN for each YubiKey are enough. What fails in one is told and
the others go on; the same command again leaves alone what is done already. The
report says of each: done, unchanged, failed, or left. One that has no such signer
is unchanged by what changes or removes signers.`

func newSignerAdd(a *app) *cobra.Command {
	var keys, tags, byKeys []string
	var threshold int
	var request client.AddSignerRequest
	var expires lifeFlag
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "add REPO|PATTERN NAME --key KEY...",
		Short: "Let somebody else sign some of the tags",
		Long: `Let somebody else sign some of the tags. The targets keys sign that, and the
signer's own keys its first, empty file, so both are needed. The signer comes after
those that are there: what targets, or an earlier signer, says of a tag goes first.
--before NAME puts it ahead of another.

With --under PARENT the new signer stands below another one, whose keys sign that in
place of the targets keys. It can sign no tag that PARENT may not sign itself.

` + manyHelp + `

` + keyHelp,
		Example: `  signet signer add registry.example.com/team/app release --key yubikey:12345678/83 --tags 'v*' --tags stable
  signet sign registry.example.com/team/app:v1.2 --as release
  signet signer add 'registry.example.com/team/*' security --key security.pem --key sec2 --tags '*'
  signet signer add registry.example.com/team/app nightly --under ci --key bot --tags 'ci-nightly-*'`,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&keys, "key", nil, "a `KEY` of the signer (may be given several times)")
	flags.IntVar(&threshold, "threshold", 1, "how many of its keys must sign")
	flags.StringArrayVar(&tags, "tags", nil, "a `pattern` of the tags that it may sign, in which '*' stands for any characters (may be given several times; default: all tags)")
	flags.BoolVar(&request.Terminating, "terminating", false, "ask no signer after it for these tags")
	flags.StringVar(&request.Parent, "under", "", "the `signer` that delegates to it, in place of targets")
	flags.StringVar(&request.Before, "before", "", "the `signer` that it is asked just ahead of (default: it is asked last)")
	flags.StringArrayVar(&byKeys, "targets-key", nil, "sign with this `KEY` of targets, or of the signer above (may be given several times; default: those at hand)")
	expires.add(cmd)
	roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		if err := tuf.CheckRoleName(args[1]); err != nil {
			return &usageError{plain(err)}
		}
		if len(keys) == 0 {
			return advise(usagef("a signer has at least one --key"), "signet key generate makes keys, signet key list shows them")
		}
		if threshold < 1 || threshold > len(keys) {
			return usagef("--threshold %d with %s: expected 1 to %d", threshold, plural(len(keys), "key"), len(keys))
		}
		if len(tags) == 0 {
			tags = []string{"*"}
			a.note("no --tags is given: %s may sign all tags", args[1])
		}
		if err := client.CheckTags(tags); err != nil {
			return usagef("--tags: %v", err)
		}
		life, err := expires.life()
		if err != nil {
			return err
		}
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		request.Name, request.Tags = args[1], tags
		var own []foundKey
		return a.run(ctx, args[0], errand{what: "signer add", role: args[1], adds: true, life: life, keys: byKeys,
			prepare: func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error) {
				if own == nil { // once for all repositories
					chains := map[string][]string{}
					var err error
					if request.Keys, err = ring.roleKeys(ctx, "--key", keys, threshold, chains); err != nil {
						return nil, nil, err
					}
					if own, err = ring.atHand(ctx, keys); err != nil {
						return nil, nil, err
					}
					request.Attestations = chains
				}
				r := request
				r.Repository, r.Attestations = name, maps.Clone(request.Attestations)
				if err := a.inHardware(p, name, r.Name, r.Keys.Keys, r.Attestations); err != nil {
					return nil, nil, err
				}
				hand = unique(append(hand, own...))
				r.Signers = ring.lazy(presentFirst(hand))
				step, err := p.PrepareAddSigner(ctx, r)
				if err == nil {
					ring.warnOnce(trusted, r.Name, r.Keys.Keys, r.Attestations)
				}
				return step, hand, err
			}})
	})
	return cmd
}

// warnOnce says once what speaks against the keys that a role gets, in however many
// repositories.
func (r *keyring) warnOnce(roots *attestation.Roots, role string, keys []*tuf.Key, attestations map[string][]string) {
	if !r.warned {
		r.warned = true
		r.warnOfKeys(roots, role, keys, attestations)
	}
}
