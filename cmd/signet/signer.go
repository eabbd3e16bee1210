package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

func newSigner(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "signer",
		Short: "Say who else may sign which tags of a repository",
		Long: `A signer is a person, a team or a pipeline that may sign some of a repository's
tags, with keys and a threshold of its own. Who holds the targets keys says who the
signers are, and need not be there when one of them signs: signet sign --as NAME.`,
	}, a)
	cmd.AddCommand(newSignerAdd(a), newSignerList(a), newSignerRemove(a))
	return cmd
}

func newSignerAdd(a *app) *cobra.Command {
	var keys, tags, targetsKeys []string
	var threshold int
	var terminating bool
	var expires lifeFlag
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "add REPO NAME --key KEY...",
		Short: "Let somebody else sign some of the tags",
		Long: `Let somebody else sign some of the tags. The targets keys sign that, and the
signer's own keys its first, empty file, so both are needed. The signer comes after
those that are there: what targets, or an earlier signer, says of a tag goes first.

` + keyHelp,
		Example: `  signet signer add registry.example.com/team/app release --key yubikey:12345678/83 --tags 'v*' --tags stable
  signet sign registry.example.com/team/app:v1.2 --as release`,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&keys, "key", nil, "a `KEY` of the signer (may be given several times)")
	flags.IntVar(&threshold, "threshold", 1, "how many of its keys must sign")
	flags.StringArrayVar(&tags, "tags", nil, "a `pattern` of the tags that it may sign, in which '*' stands for any characters (may be given several times; default: all tags)")
	flags.BoolVar(&terminating, "terminating", false, "ask no signer after it for these tags")
	flags.StringArrayVar(&targetsKeys, "targets-key", nil, "sign with this targets `KEY` (may be given several times; default: those at hand)")
	expires.add(cmd)
	roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
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
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		return a.changeSigner(ctx, name, args[1], targetsKeys, expires, func(ring *keyring, p *client.Publisher, hand []foundKey) (*client.Prepared, []foundKey, error) {
			request := client.AddSignerRequest{Repository: name, Name: args[1], Tags: tags, Terminating: terminating, Attestations: map[string][]string{}}
			var err error
			if request.Keys, err = ring.roleKeys(ctx, "--key", keys, threshold, request.Attestations); err != nil {
				return nil, nil, err
			}
			if err := a.inHardware(p, name, args[1], request.Keys.Keys, request.Attestations); err != nil {
				return nil, nil, err
			}
			own, err := ring.atHand(ctx, keys)
			if err != nil {
				return nil, nil, err
			}
			hand = unique(append(hand, own...))
			request.Signers = ring.lazy(presentFirst(hand))
			step, err := p.PrepareAddSigner(ctx, request)
			if err == nil {
				ring.warnOfKeys(trusted, args[1], request.Keys.Keys, request.Attestations)
			}
			return step, hand, err
		})
	})
	return cmd
}

func newSignerRemove(a *app) *cobra.Command {
	var keys []string
	var expires lifeFlag
	cmd := &cobra.Command{
		Use:   "remove REPO NAME",
		Short: "Take a signer's right to sign away",
		Long: `Take a signer's right to sign away. What it alone signed is trusted no more; those
tags are listed before anything is signed.

` + keyHelp,
		Args: cobra.ExactArgs(2),
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "sign with this targets `KEY` (may be given several times; default: those at hand)")
	expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		return a.changeSigner(ctx, name, args[1], keys, expires, func(ring *keyring, p *client.Publisher, hand []foundKey) (*client.Prepared, []foundKey, error) {
			step, err := p.PrepareRemoveSigner(ctx, client.RemoveSignerRequest{Repository: name, Name: args[1], Signers: ring.lazy(presentFirst(hand))})
			return step, hand, err
		})
	})
	return cmd
}

// changeSigner publishes what prepare makes of a repository's signers.
func (a *app) changeSigner(ctx context.Context, name, signer string, keys []string, expires lifeFlag,
	prepare func(*keyring, *client.Publisher, []foundKey) (*client.Prepared, []foundKey, error)) error {
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
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return err
	}
	hand, err := ring.atHand(ctx, keys)
	if err != nil {
		return err
	}
	step, hand, err := prepare(ring, publisher, hand)
	if err != nil {
		return lackOf(err, hand)
	}
	return a.publishRotation(ctx, ring, step, signer)
}

// signerInfo is one line of signer list.
type signerInfo struct {
	Name        string    `json:"name"`
	Delegator   string    `json:"delegator"`
	Keys        []string  `json:"keys"`
	Threshold   int       `json:"threshold"`
	Tags        []string  `json:"tags"`            // patterns
	Paths       []string  `json:"paths,omitempty"` // target paths that are no tags of the repository
	Terminating bool      `json:"terminating,omitempty"`
	Version     int64     `json:"version"`
	Expires     time.Time `json:"expires"`
	Targets     int       `json:"targets"`
}

func newSignerList(a *app) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "list REPO",
		Short: "List the signers, in the order in which they are asked",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "answer from what was verified before")
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		v := struct {
			Repository string       `json:"repository"`
			Signers    []signerInfo `json:"signers"`
		}{view.Repository, []signerInfo{}}
		for _, role := range view.Roles {
			if !tuf.IsTopLevel(role.Name) {
				v.Signers = append(v.Signers, newSignerInfo(view.Repository, role))
			}
		}
		if len(v.Signers) == 0 && a.output == outputText {
			a.note("%s has no signers: the targets keys sign all tags", view.Repository)
			return nil
		}
		return a.print(v, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "SIGNER\tTAGS\tTHRESHOLD\tKEYS\tEXPIRES")
				for _, s := range v.Signers {
					var ids []string
					for _, id := range s.Keys {
						ids = append(ids, id[:min(12, len(id))])
					}
					fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s (%s)\n", clip(s.Name, 100), s.tags(), s.Threshold, len(s.Keys), strings.Join(ids, " "), stamp(s.Expires), until(a.now(), s.Expires))
				}
			})
		})
	})
	return cmd
}

// newSignerInfo reads a signer's paths as tags: signet writes two for each pattern,
// that of the tag and that of its records.
func newSignerInfo(repository string, role client.RoleView) signerInfo {
	s := signerInfo{Name: role.Name, Delegator: role.Delegator, Keys: []string{}, Threshold: role.Threshold, Tags: []string{},
		Version: role.Version, Expires: role.Expires, Targets: role.Targets}
	for _, key := range role.Keys {
		s.Keys = append(s.Keys, key.ID)
	}
	return s.of(repository, role.Paths, role.Terminating)
}

// of reads paths into s.
func (s signerInfo) of(repository string, paths []string, terminating bool) signerInfo {
	s.Terminating = terminating
	for _, path := range paths {
		tag, ours := strings.CutPrefix(path, repository+":")
		switch {
		case !ours:
			s.Paths = append(s.Paths, path)
		case slices.Contains(paths, strings.TrimSuffix(path, "@sha256:*")) && strings.HasSuffix(path, "@sha256:*"): // the records under a tag
		default:
			s.Tags = append(s.Tags, tag)
		}
	}
	return s
}

// tags says what a signer may sign.
func (s signerInfo) tags() string {
	list := s.Tags
	if len(s.Paths) > 0 {
		list = append(slices.Clone(list), "and paths "+strings.Join(s.Paths, " "))
	}
	text := clip(strings.Join(list, " "), 300)
	if s.Terminating {
		text += " (nobody after it)"
	}
	return text
}
