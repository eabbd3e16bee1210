package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

func newProposeList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list REPO",
		Short: "List what is proposed, as the server tells it",
		Args:  cobra.ExactArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			name, err := repository(args[0])
			if err != nil {
				return err
			}
			ring, err := a.keyring()
			if err != nil {
				return err
			}
			defer ring.Close()
			publisher, err := a.publisher(ctx, name, ring, nil)
			if err != nil {
				return err
			}
			if err := a.may(ctx, publisher, name, api.ScopePublish, api.ScopeCreate); err != nil {
				return err
			}
			list, err := publisher.Proposals(ctx, name)
			if err != nil {
				return err
			}
			if list == nil {
				list = []api.ProposalSummary{}
			}
			v := struct {
				Repository string                `json:"repository"`
				Proposals  []api.ProposalSummary `json:"proposals"`
			}{name, list}
			if len(list) == 0 && a.output == outputText {
				a.note("nothing is proposed for %s", name)
				return nil
			}
			return a.print(v, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tSTATE\tFILES\tPROPOSED\tNOTE")
					for _, p := range list {
						var files []string
						for _, file := range p.Files {
							files = append(files, fmt.Sprintf("%s %d (%s)", clip(file.Role, 100), file.Version, plural(len(file.Signatures), "signature")))
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", clip(p.ID[:min(len(p.ID), idDigits)], 64), clip(p.State, 20), clip(strings.Join(files, ", "), 300), stamp(p.Created), clip(p.Note, 100))
					}
				})
			})
		}),
	}
}

// shown is what propose show prints.
type shown struct {
	ID         string          `json:"id"`
	Repository string          `json:"repository"`
	State      string          `json:"state"` // as this machine finds it
	Superseded bool            `json:"superseded,omitempty"`
	Note       string          `json:"note,omitempty"`   // nobody has checked it
	Intent     string          `json:"intent"`           // whether the bytes say what it claims to be: agrees, differs, unknown
	IntentSays string          `json:"claims,omitempty"` // what it claims to be
	Compared   client.Compared `json:"compared"`
	Change     *client.Change  `json:"change,omitempty"`
	Signatures []shownNeed     `json:"signatures"`
}

type shownNeed struct {
	Role      string   `json:"role"`
	Version   int64    `json:"version"`
	By        string   `json:"by"`
	Threshold int      `json:"threshold"`
	Signed    []string `json:"signed"` // IDs of the keys that have, validly
	Keys      []string `json:"keys"`   // of those that may
}

func newProposeShow(a *app) *cobra.Command {
	var apart apartFlags
	var out string
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "show REPO ID | FILE",
		Short: "Show what a proposal would change, and who has signed it",
		Long: `Show what a proposal would change, decoded from its bytes and compared with what
this machine has verified, and who has signed it. Nothing is signed. With --out the
proposal goes to a file, for somebody without a network.`,
		Args: cobra.RangeArgs(1, 2),
	}
	apart.add(cmd)
	roots.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write the proposal to this `file`")
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		return a.review(ctx, args, apart, func(ring *keyring, _ *client.Publisher, proposal heard, review *client.Review) error {
			ring.vouchers = trusted
			if out != "" {
				if err := writeProposal(out, review.Proposal, false); err != nil {
					return err
				}
			}
			return a.print(newShown(review), func(w io.Writer) {
				a.showReview(w, review, ring)
				state := review.State
				if review.Superseded {
					state += ", it says; a later version is there now"
				}
				fmt.Fprintf(w, "  state: %s\n", state)
				if review.Change == nil {
					return
				}
				for _, file := range review.Change.Files {
					a.printFile(w, review.Proposal.Repository, file, ring)
				}
				for _, warning := range review.Change.Warnings {
					fmt.Fprintf(w, "warning: %s\n", clip(warning, maxSentence))
				}
			})
		})
	})
	return cmd
}

func newShown(review *client.Review) shown {
	p := review.Proposal
	v := shown{ID: p.ID, Repository: p.Repository, State: review.State, Superseded: review.Superseded, Note: p.Note, Intent: review.Intent, IntentSays: review.IntentSays,
		Compared: review.Compared, Change: review.Change, Signatures: []shownNeed{}}
	for _, file := range review.Files {
		for _, need := range file.Needs {
			n := shownNeed{Role: file.Role, Version: file.Version, By: need.By, Threshold: need.Threshold, Signed: []string{}, Keys: []string{}}
			for _, key := range need.Signed {
				n.Signed = append(n.Signed, key.ID())
			}
			for _, key := range need.Keys {
				n.Keys = append(n.Keys, key.ID())
			}
			v.Signatures = append(v.Signatures, n)
		}
	}
	return v
}

// review reads a proposal and reviews it, for do.
func (a *app) review(ctx context.Context, args []string, apart apartFlags, do func(*keyring, *client.Publisher, heard, *client.Review) error) error {
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	proposal, publisher, err := a.hear(ctx, ring, args, apart)
	if err != nil {
		return err
	}
	review, err := publisher.Review(ctx, proposal.Proposal)
	if err != nil {
		return err
	}
	return do(ring, publisher, proposal, review)
}

func newProposeWithdraw(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "withdraw REPO ID",
		Short: "Take a proposal back",
		Long: `Take a proposal back: the server shows it as withdrawn. What was signed stays signed.
Whoever kept a copy can complete it until its versions are taken by something else,
so publish something else for them where that matters.`,
		Args: cobra.ExactArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			ring, err := a.keyring()
			if err != nil {
				return err
			}
			defer ring.Close()
			proposal, publisher, err := a.hear(ctx, ring, args, apartFlags{})
			if err != nil {
				return err
			}
			if proposal.State == client.StatePublished {
				return tooLate(proposal)
			}
			if err := publisher.Withdraw(ctx, proposal.Repository, proposal.ID); err != nil {
				if now, readErr := publisher.Proposal(ctx, proposal.Repository, proposal.ID); readErr == nil && now.State == client.StatePublished {
					return tooLate(proposal) // meanwhile
				}
				return err
			}
			signed := false
			for _, file := range proposal.Files {
				ids, _ := tuf.SignatureKeys(file.Role, file.Content)
				signed = signed || len(ids) > 0
			}
			if signed {
				a.note("what was signed of it stays signed: whoever kept a copy can complete it until its versions are taken by something else")
			}
			return a.print(approval{Repository: proposal.Repository, ID: proposal.ID, State: client.StateWithdrawn, Signed: []string{}}, func(w io.Writer) {
				fmt.Fprintf(w, "withdrawn %s %s\n", proposal.Repository, proposal.ID)
			})
		}),
	}
}

// tooLate says that a proposal was published: what it brought about is taken back as
// whatever else is published.
func tooLate(h heard) error {
	return advise(fmt.Errorf("proposal %s of %s is published, so there is nothing left to withdraw", h.ID[:idDigits], h.Repository),
		"what is published is changed by publishing anew: signet revoke %s:TAG takes a tag back, signet sign gives it another meaning; signet inspect %s shows what is there", h.Repository, h.Repository)
}

func newProposeRebase(a *app) *cobra.Command {
	p := &proposing{}
	var keys []string
	var expires lifeFlag
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "rebase REPO ID | FILE",
		Short: "Propose anew what went stale",
		Long: `Build what a proposal was to bring about anew, on what is there now, and propose
that in its place. What the new one says is shown first: the old one's intent is a
wish that anybody may have written.

` + keyHelp,
		Args: cobra.RangeArgs(1, 2),
	}
	p.flags(cmd)
	cmd.Flags().StringArrayVar(&keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand)")
	expires.add(cmd)
	roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		life, err := expires.life()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		if ring.vouchers, err = roots.load(); err != nil {
			return err
		}
		proposal, _, err := a.hear(ctx, ring, args, apartFlags{})
		if err != nil {
			return err
		}
		if p.note == "" {
			p.note = proposal.Note
		}
		if proposal.file == "" {
			p.instead = proposal.Proposal
		} else if p.out == "" {
			return usagef("the proposal came in a file: say by --out into which one the new one goes")
		}
		a.propose = p
		publisher, err := a.publisher(ctx, proposal.Repository, ring, life)
		if err != nil {
			return err
		}
		if err := a.may(ctx, publisher, proposal.Repository, api.ScopePublish, api.ScopeCreate); err != nil {
			return err
		}
		hand, err := ring.atHand(ctx, keys)
		if err != nil {
			return err
		}
		step, err := publisher.Rebase(ctx, proposal.Proposal, ring.lazy(presentFirst(hand)))
		if err != nil {
			return err
		}
		b := &batch{ring: ring, steps: []*client.Prepared{step}}
		if err := b.agree(ctx); err != nil {
			return err
		}
		return b.leave(ctx)
	})
	return cmd
}

func newProposePublish(a *app) *cobra.Command {
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "publish REPO ID | FILE...",
		Short: "Publish a proposal that all have signed",
		Long: `Publish a proposal that all have signed. Several files are copies of one proposal
that people signed apart: their signatures are put together. One file and nothing
else may be given, or REPO and ID.`,
		Args: cobra.MinimumNArgs(1),
	}
	roots.add(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		if ring.vouchers, err = roots.load(); err != nil {
			return err
		}
		proposal, review, err := a.gather(ctx, ring, args)
		if err != nil {
			return err
		}
		a.showReview(a.stderr, review, ring)
		if err := publishable(review); err != nil {
			return err
		}
		if review.State == client.StatePublished {
			return a.printApproval(proposal, review, nil, nil)
		}
		if missing := review.Missing(); len(missing) > 0 {
			return advise(missing[0], "each of them runs: signet approve %s", proposal.word())
		}
		return a.publishApproved(ctx, ring, proposal, review, nil)
	})
	return cmd
}

// gather reads a proposal, or several copies of one, and reviews what all of their
// signatures make of it.
func (a *app) gather(ctx context.Context, ring *keyring, args []string) (heard, *client.Review, error) {
	if len(args) == 2 && !isFile(args[0]) {
		proposal, publisher, err := a.hear(ctx, ring, args, apartFlags{})
		if err != nil {
			return heard{}, nil, err
		}
		review, err := publisher.Review(ctx, proposal.Proposal)
		return proposal, review, err
	}
	var first heard
	var all *client.Review
	for _, path := range args {
		proposal, publisher, err := a.hear(ctx, ring, []string{path}, apartFlags{})
		if err != nil {
			return heard{}, nil, err
		}
		// Reviewed one by one, so that a signature that is none hides no other.
		review, err := publisher.Review(ctx, proposal.Proposal)
		if err == nil && all != nil {
			var merged *api.Proposal
			if merged, err = client.MergeProposals(all.Proposal, review.Proposal); err == nil {
				review, err = publisher.Review(ctx, merged)
			}
		} else if err == nil {
			first = proposal
		}
		if err != nil {
			return heard{}, nil, fmt.Errorf("%s: %w", path, err)
		}
		all = review
	}
	return first, all, nil
}

func newProposeSend(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "send FILE...",
		Short: "Put a proposal from a file on the server, or its signatures to the one there",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			ring, err := a.keyring()
			if err != nil {
				return err
			}
			defer ring.Close()
			proposal, review, err := a.gather(ctx, ring, args)
			if err != nil {
				return err
			}
			if err := publishable(review); err != nil {
				return err
			}
			if review.State == client.StatePublished {
				return a.printApproval(proposal, review, nil, nil)
			}
			publisher, err := a.publisher(ctx, proposal.Repository, ring, nil)
			if err != nil {
				return err
			}
			if err := a.may(ctx, publisher, proposal.Repository, api.ScopePublish, api.ScopeCreate); err != nil {
				return err
			}
			kept, err := publisher.SendProposal(ctx, review.Proposal)
			if err != nil {
				return err
			}
			if review, err = publisher.Review(ctx, kept); err != nil {
				return err
			}
			result := proposed{Repository: kept.Repository, ID: kept.ID, Change: review.Change}
			for _, lack := range review.Missing() {
				result.Missing = append(result.Missing, lacks(lack))
			}
			return a.print(result, result.text)
		}),
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
