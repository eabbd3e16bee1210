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
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

func newTrustNotice(a *app) *cobra.Command {
	var incoming, keys []string
	var threshold int
	var reason, out string
	cmd := &cobra.Command{
		Use:   "notice PATTERN --new-root-key KEY... --key KEY... --reason TEXT --out FILE",
		Short: "Write a notice that root goes on under other keys, signed by what is left",
		Long: `Write a notice for all who trust a name: its root keys can sign no next root any
more, and it goes on under others. The keys that are left sign it: root keys below
the threshold, targets keys. It is for people to decide by, with signet trust
replace; nothing follows it by itself.

` + keyHelp,
		Example: `  signet trust notice registry.example.com/team/app --new-root-key new-root --key old-root-2 --key targets --reason "two of three root keys were lost in a fire" --out notice.json`,
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&incoming, "new-root-key", nil, "a root `KEY` that comes (may be given several times)")
	flags.IntVar(&threshold, "threshold", 0, "how many of the new root keys must sign (default: all)")
	flags.StringArrayVar(&keys, "key", nil, "sign with this `KEY` (may be given several times)")
	flags.StringVar(&reason, "reason", "", "what happened, in a sentence or two")
	flags.StringVar(&out, "out", "", "the `file` to write")
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		pattern, err := patternArg(args[0])
		if err != nil {
			return err
		}
		if len(incoming) == 0 || len(keys) == 0 || reason == "" || out == "" {
			return usagef("a notice takes --new-root-key, --key, --reason and --out")
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		notice := client.Notice{Pattern: pattern, Threshold: threshold, Reason: reason, Time: a.now()}
		if notice.Old, err = a.pinned(pattern); err != nil {
			return err
		}
		for _, what := range incoming {
			key, err := ring.public(ctx, what)
			if err != nil {
				return fmt.Errorf("--new-root-key: %w", err)
			}
			notice.New = append(notice.New, key)
		}
		if threshold == 0 {
			notice.Threshold = len(notice.New)
		}
		hand, err := ring.atHand(ctx, keys)
		if err != nil {
			return err
		}
		printNotice(a.stderr, &notice)
		if err := a.confirm(ctx, fmt.Sprintf("Sign this notice with %s?", plural(len(hand), "key"))); err != nil {
			return err
		}
		file, err := client.SignNotice(keystore.WithReason(ctx, "a notice about "+pattern), notice, ring.lazy(hand))
		if err != nil {
			return err
		}
		if err := program.WriteFile(out, append(file, '\n'), 0o600); err != nil {
			return err
		}
		return a.print(notice, func(w io.Writer) { fmt.Fprintf(w, "%s: signed by %s\n", out, plural(len(hand), "key")) })
	})
	return cmd
}

// pinned returns the root keys that the anchor for just this pattern pins.
func (a *app) pinned(pattern string) ([]string, error) {
	anchors, err := a.anchors()
	if err != nil {
		return nil, err
	}
	for _, anchor := range anchors {
		if anchor.Pattern == pattern {
			return anchor.RootKeys, nil
		}
	}
	return nil, advise(fmt.Errorf("there is no trust anchor for just %s: %w", pattern, tuf.ErrNotFound), "signet trust list shows the anchors")
}

func printNotice(w io.Writer, n *client.Notice) {
	fmt.Fprintf(w, "notice of %s about %s\n  %s\n", stamp(n.Time), n.Pattern, clip(n.Reason, maxSentence))
	for _, id := range n.Old {
		fmt.Fprintf(w, "  - root key %s\n", id)
	}
	for _, key := range n.New {
		fmt.Fprintf(w, "  + root key %s\n", key.ID())
	}
	fmt.Fprintf(w, "  root takes %d of them\n", n.Threshold)
}

// A replaced is what trust replace prints.
type replaced struct {
	Anchor    client.Anchor         `json:"anchor"`
	Before    client.Anchor         `json:"before"`
	Notice    *client.Notice        `json:"notice,omitempty"`
	SignedBy  []string              `json:"signedBy,omitempty"` // IDs of keys that this machine trusted before and that signed the notice
	Forgotten []*client.Replacement `json:"forgotten"`          // what was remembered of repositories, and is given up

	root, roots int // how many root keys signed the notice, and of how many
}

func newTrustReplace(a *app) *cobra.Command {
	var rootKeys []string
	var threshold int
	var noticeFile string
	cmd := &cobra.Command{
		Use:   "replace PATTERN",
		Short: "Trust other root keys in place of those that can sign no more",
		Long: `Trust other root keys for a name whose own can sign no next root any more: too many
were lost or stolen. There is no magic in it. Nothing that this machine could check
leads from the old keys to the new ones; you decide, and should have the new key IDs
from people you know, over a way that the attacker has not.

A notice helps: it names the new keys and is signed by keys that are left, which is
shown. One that no root key has signed says who comes only beside --root-key: whoever
stole a targets key could make it, too.

Servers, CA, demands and required voices of the anchor stay. What was verified under
the old keys is forgotten; its versions stay as the lowest that are accepted.`,
		Example: `  signet trust replace registry.example.com/team/app --notice notice.json
  signet trust replace 'registry.example.com/team/*' --root-key new1.pem --root-key new2.pem --threshold 1`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&rootKeys, "root-key", nil, "a root `key` to trust: key ID, PEM file or PEM (may be given several times; default: those of the notice)")
	flags.IntVar(&threshold, "threshold", 0, "how many of the root keys must have signed (default: the notice's, or all)")
	flags.StringVar(&noticeFile, "notice", "", "a `file` that signet trust notice wrote")
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		pattern, err := patternArg(args[0])
		if err != nil {
			return err
		}
		if len(rootKeys) == 0 && noticeFile == "" {
			return usagef("say which root keys come: --root-key or --notice")
		}
		r := &replaced{Forgotten: []*client.Replacement{}}
		if r.Before, err = a.anchorOf(pattern); err != nil {
			return err
		}
		r.Anchor = r.Before
		r.Anchor.RootKeys, r.Anchor.RootSHA256, r.Anchor.Threshold = nil, "", threshold
		for _, key := range rootKeys {
			id, err := rootKeyID(key)
			if err != nil {
				return err
			}
			r.Anchor.RootKeys = append(r.Anchor.RootKeys, id)
		}
		verifier, err := a.verifier()
		if err != nil {
			return err
		}
		if err := a.remembered(ctx, verifier, r); err != nil {
			return err
		}
		if noticeFile != "" {
			if err := a.heed(ctx, r, noticeFile, len(rootKeys) > 0); err != nil {
				return err
			}
		}
		if err := r.Anchor.Check(); err != nil {
			return &usageError{plain(err)}
		}
		return a.replaceAnchor(ctx, verifier, r)
	})
	return cmd
}

// anchorOf returns the anchor for just this pattern.
func (a *app) anchorOf(pattern string) (client.Anchor, error) {
	anchors, err := a.anchors()
	if err != nil {
		return client.Anchor{}, err
	}
	i := slices.IndexFunc(anchors, func(anchor client.Anchor) bool { return anchor.Pattern == pattern })
	if i < 0 {
		return client.Anchor{}, advise(fmt.Errorf("there is no trust anchor for just %s to replace: %w", pattern, tuf.ErrNotFound), "signet trust list shows the anchors, signet trust add makes one")
	}
	return anchors[i], nil
}

// remembered finds what this machine has verified under the anchor. Its versions are
// the lowest that are accepted from now on; an anchor for one name says so itself.
func (a *app) remembered(ctx context.Context, verifier *client.Client, r *replaced) error {
	anchors, err := a.anchors()
	if err != nil {
		return err
	}
	uses, err := verifier.KeyUses(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, list := range uses {
		for _, use := range list {
			// A more specific anchor's repositories are none of this one's business.
			if anchor, err := anchors.For(use.Repository); seen[use.Repository] || err != nil || anchor.Pattern != r.Before.Pattern {
				continue
			}
			seen[use.Repository] = true
			known, err := verifier.Known(use.Repository)
			if err != nil {
				return err
			}
			if known != nil {
				r.Forgotten = append(r.Forgotten, known)
			}
		}
	}
	slices.SortFunc(r.Forgotten, func(x, y *client.Replacement) int { return strings.Compare(x.Repository, y.Repository) })
	if len(r.Forgotten) == 1 && r.Forgotten[0].Repository == r.Before.Pattern {
		root, targets := r.Forgotten[0].Lowest()
		r.Anchor.MinRoot, r.Anchor.MinTargets = max(r.Anchor.MinRoot, root), max(r.Anchor.MinTargets, targets)
	}
	return nil
}

// heed reads a notice and refuses one that does not hold, or that is about something
// else than is asked for.
func (a *app) heed(ctx context.Context, r *replaced, file string, given bool) error {
	data, err := readCarried(ctx, file, 1<<20)
	if err != nil {
		return err
	}
	notice, signers, err := client.ReadNotice(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", file, client.ErrNotice, fmt.Sprintf(format, args...))
	}
	var ids []string
	for _, key := range notice.New {
		ids = append(ids, key.ID())
	}
	switch {
	case notice.Pattern != r.Before.Pattern:
		return wrong("it is about %s, not about %s", notice.Pattern, r.Before.Pattern)
	case notice.Time.After(a.now().Add(time.Hour)):
		return wrong("it is of %s, which is yet to come", stamp(notice.Time))
	case given && (len(ids) != len(r.Anchor.RootKeys) || slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(r.Anchor.RootKeys, id) })):
		return wrong("it names other root keys than --root-key does")
	case r.Anchor.Threshold != 0 && r.Anchor.Threshold != notice.Threshold:
		return wrong("it says that %d of the new keys must sign, and --threshold says %d", notice.Threshold, r.Anchor.Threshold)
	}
	r.Anchor.RootKeys, r.Anchor.Threshold, r.Notice = ids, notice.Threshold, notice
	roots := r.rootKeys()
	r.roots = len(roots)
	for _, key := range signers {
		isRoot := slices.Contains(roots, key.ID())
		isTargets := slices.ContainsFunc(r.Forgotten, func(f *client.Replacement) bool { return slices.ContainsFunc(f.TargetsKeys, key.Equal) })
		if isRoot {
			r.root++
		}
		if isRoot || isTargets {
			r.SignedBy = append(r.SignedBy, key.ID())
		}
	}
	switch {
	case len(r.SignedBy) == 0:
		return wrong("none of the %d keys that signed it is one that this machine trusted", len(signers))
	case r.root == 0 && !given:
		return advise(wrong("no root key that this machine trusts has signed it, and whoever has a targets key cannot say which root keys come"),
			"ask people you know for the new root keys, and give them by --root-key beside --notice")
	}
	return nil
}

// rootKeys lists the IDs of the root keys that are trusted by now: of a repository that
// was verified here those that its newest root lists, and else the pinned ones. Of a
// pattern's pinned keys, one counts that no repository has taken away.
func (r *replaced) rootKeys() []string {
	var ids []string
	if len(r.Forgotten) == 1 && r.Forgotten[0].Repository == r.Before.Pattern {
		for _, key := range r.Forgotten[0].RootKeys {
			ids = append(ids, key.ID())
		}
		return ids
	}
	for _, id := range r.Before.RootKeys {
		if !slices.ContainsFunc(r.Forgotten, func(f *client.Replacement) bool {
			return !slices.ContainsFunc(f.RootKeys, func(key *tuf.Key) bool { return key.ID() == id })
		}) {
			ids = append(ids, id)
		}
	}
	return ids
}

// replaceAnchor shows what is given up, asks, and does it: first what was verified is
// forgotten, then the new keys are pinned, so that a run that is cut off in between
// leaves a machine that trusts nothing under the name rather than half of each.
func (a *app) replaceAnchor(ctx context.Context, verifier *client.Client, r *replaced) error {
	w := a.stderr
	if r.Notice != nil {
		printNotice(w, r.Notice)
		fmt.Fprintf(w, "  signed by %d of the %d root keys that are trusted here, and by %d targets keys\n", r.root, r.roots, len(r.SignedBy)-r.root)
	}
	fmt.Fprintf(w, "now:  %s\nthen: %s\n", pins(r.Before), pins(r.Anchor))
	for _, f := range r.Forgotten {
		root, targets := f.Lowest()
		fmt.Fprintf(w, "forgotten: what was verified for %s (root %d, targets %d)\n", f.Repository, f.Root, f.Targets)
		fmt.Fprintf(w, "kept: nothing below root %d and targets %d is accepted\n", max(root, r.Anchor.MinRoot), max(targets, r.Anchor.MinTargets))
	}
	a.note("nothing that can be checked leads from the old keys to the new ones: you vouch for them")
	if err := a.confirm(ctx, fmt.Sprintf("Trust these root keys for %s from now on?", r.Before.Pattern)); err != nil {
		return err
	}
	for _, f := range r.Forgotten {
		if err := verifier.Restart(ctx, f); err != nil {
			return err
		}
	}
	if err := a.saveAnchor(r.Anchor, true); err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) { fmt.Fprintf(w, "trusted for %s: %s\n", r.Anchor.Pattern, pins(r.Anchor)) })
}
