package main

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

func newSignerUpdate(a *app) *cobra.Command {
	var f rotateFlags
	var tags []string
	var terminating bool
	var life string
	var request client.UpdateSignerRequest
	cmd := &cobra.Command{
		Use:   "update REPO|PATTERN NAME",
		Short: "Change a signer's tags, keys, threshold, place or life",
		Long: `Change a signer's tags, keys, threshold, place among the others, or how long its
own file lives. What is not named stays. The targets keys sign that, or those of the
signer above it. The signer's own keys are needed for --life, when too few of the
keys that stay have signed its file, and when it lists tags that it may not sign any
more. Tags that mean nothing, or something else, afterwards are listed before
anything is signed.

` + manyHelp + `

` + keyHelp + ` A key that is
lost is told by the start of its ID, which signet signer list shows.`,
		Example: `  signet signer update registry.example.com/team/app release --tags 'v*' --tags stable
  signet signer update 'registry.example.com/team/*' ci --add ci-2 --remove ci-1
  signet signer update registry.example.com/team/app security --before release --terminating=false
  signet signer update registry.example.com/team/app nightly --life 30d`,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&tags, "tags", nil, "a `pattern` of the tags that it may sign from now on, in place of those before (may be given several times)")
	flags.StringArrayVar(&f.add, "add", nil, "a `KEY` that comes (may be given several times)")
	flags.StringArrayVar(&f.remove, "remove", nil, "a `KEY` that goes (may be given several times)")
	flags.IntVar(&f.threshold, "threshold", 0, "how many of its keys must sign from now on (default: as many as before)")
	flags.BoolVar(&terminating, "terminating", false, "ask no signer after it for these tags; --terminating=false: ask them again")
	flags.StringVar(&request.Before, "before", "", "the `signer` that it is asked just ahead of from now on")
	flags.BoolVar(&request.Last, "last", false, "it is asked after all others from now on")
	flags.StringVar(&life, "life", "", "how long the signer's own file lives from now on, such as `90d`")
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY`, beside those that come (may be given several times; default: those at hand)")
	f.expires.add(cmd)
	f.roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		changed := slices.ContainsFunc([]string{"tags", "add", "remove", "threshold", "terminating", "before", "last", "life"}, flags.Changed)
		if !changed {
			return usagef("say what is to change: --tags, --add, --remove, --threshold, --terminating, --before, --last or --life")
		}
		if f.threshold < 0 || flags.Changed("threshold") && f.threshold == 0 {
			return usagef("--threshold %d: expected 1 or more", f.threshold)
		}
		if request.Before != "" && request.Last {
			return usagef("--before and --last cannot both be")
		}
		if flags.Changed("tags") {
			if err := client.CheckTags(tags); err != nil {
				return usagef("--tags: %v", err)
			}
		}
		if flags.Changed("terminating") {
			request.Terminating = &terminating
		}
		var err error
		if life != "" {
			if request.Life, err = parseLife(life); err != nil {
				return usagef("--life: %v", err)
			}
		}
		lives, err := f.expires.life()
		if err != nil {
			return err
		}
		trusted, err := f.roots.load()
		if err != nil {
			return err
		}
		request.Name, request.Tags = args[1], tags
		return a.run(ctx, args[0], errand{what: "signer update", role: args[1], life: lives, keys: f.keys, wanted: true,
			prepare: func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error) {
				keys, coming, err := ring.keyChanges(ctx, p, name, args[1], f)
				if err != nil {
					return nil, nil, err
				}
				r := request
				r.Repository, r.Add, r.Remove, r.Threshold, r.Attestations = name, keys.Add, keys.Remove, keys.Threshold, maps.Clone(keys.Attestations)
				if err := a.inHardware(p, name, r.Name, r.Add, r.Attestations); err != nil {
					return nil, nil, err
				}
				hand = unique(append(hand, coming...))
				r.Signers = ring.lazy(presentFirst(hand))
				step, err := p.PrepareUpdateSigner(ctx, r)
				if err == nil {
					ring.warnOnce(trusted, r.Name, r.Add, r.Attestations)
				}
				return step, hand, err
			}})
	})
	return cmd
}

// keyChanges finds the keys that come to and go from a role of a repository. What
// comes is found once for all repositories.
func (r *keyring) keyChanges(ctx context.Context, p *client.Publisher, name, role string, f rotateFlags) (client.ChangeKeysRequest, []foundKey, error) {
	now := client.SigningRole{Name: role}
	if len(f.remove) > 0 { // the start of an ID is looked for in the role itself
		roles, err := p.Roles(ctx, name)
		if err != nil {
			return client.ChangeKeysRequest{}, nil, err
		}
		if i := slices.IndexFunc(roles, func(is client.SigningRole) bool { return is.Name == role }); i >= 0 {
			now = roles[i]
		}
	}
	if r.coming == nil {
		come := rotateFlags{add: f.add}
		r.coming = &client.ChangeKeysRequest{Attestations: map[string][]string{}}
		keys, err := r.changes(ctx, now, come, r.coming)
		if err != nil {
			r.coming = nil
			return client.ChangeKeysRequest{}, nil, err
		}
		r.comingKeys = keys
	}
	request := client.ChangeKeysRequest{Repository: name, Role: role, Add: r.coming.Add, Attestations: r.coming.Attestations, Threshold: f.threshold}
	_, err := r.changes(ctx, now, rotateFlags{remove: f.remove}, &request)
	return request, r.comingKeys, err
}
