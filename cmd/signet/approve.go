package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// approveFlags are approve's own flags.
type approveFlags struct {
	keys  []string
	out   string
	apart apartFlags
	roots attestationRoots
}

func newApprove(a *app) *cobra.Command {
	var f approveFlags
	cmd := &cobra.Command{
		Use:   "approve REPO ID | FILE",
		Short: "Look at what somebody proposes, and sign it",
		Long: `Look at what somebody proposes, and sign it. What is shown was decoded from the very
bytes that would be signed, and compared with what this machine has verified itself:
what the server, the file or its note say of it counts for nothing. The last
signature publishes.

Of a file, the signed one takes its place, or goes to --out and nothing is
published. A machine without a network compares with a folder that signet export
wrote (--from) or with what it remembers (--offline), and says how old that is.

What was signed on this machine stands in a journal. Another content for the same
version is refused, unless --sign-again asks for it.

` + keyHelp,
		Example: `  signet approve registry.example.com/team/app 5f0c81d2a4b7
  signet approve release.proposal --from /media/usb/metadata --key yk2`,
		Args: cobra.RangeArgs(1, 2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand that are lacking)")
	flags.StringVar(&f.out, "out", "", "write the signed proposal to this `file`, and publish nothing")
	f.apart.add(cmd)
	f.roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		return a.approve(ctx, args, f)
	})
	return cmd
}

// approval is what approve, and propose publish, print.
type approval struct {
	Repository string            `json:"repository"`
	ID         string            `json:"id"`
	State      string            `json:"state"`
	Signed     []string          `json:"signed"`            // IDs of the keys that signed now
	Missing    []string          `json:"missing,omitempty"` // signatures that are yet to come
	File       string            `json:"file,omitempty"`
	Published  *client.Published `json:"published,omitempty"`
}

// A heard proposal is one that somebody sent: from a server, or in a file.
type heard struct {
	*api.Proposal
	file string // "": from the server
}

// approve reviews, asks, signs and hands on.
func (a *app) approve(ctx context.Context, args []string, f approveFlags) error {
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	if ring.vouchers, err = f.roots.load(); err != nil {
		return err
	}
	proposal, publisher, err := a.hear(ctx, ring, args, f.apart)
	if err != nil {
		return err
	}
	review, err := publisher.Review(ctx, proposal.Proposal)
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
	if review.State == client.StateComplete {
		if f.out != "" || f.apart.are() {
			return a.handOn(ctx, publisher, proposal, review, nil, f)
		}
		return a.publishApproved(ctx, ring, proposal, review, nil)
	}
	a.propose = &proposing{} // keys that are elsewhere are not waited for
	hand, err := ring.atHand(ctx, f.keys)
	if err != nil {
		return err
	}
	err = review.Choose(ring.lazy(presentFirst(hand)))
	a.propose = nil
	if err != nil {
		return signedAlready(err, review, proposal, hand)
	}
	if err := ring.agree(ctx, []*client.Change{review.Change}); err != nil {
		return err
	}
	var signed []string
	for _, file := range review.Change.Files {
		signed = append(signed, file.SignedBy...)
	}
	slices.Sort(signed)
	signed = slices.Compact(signed)
	if err := review.Approve(ctx); err != nil {
		return err
	}
	return a.handOn(ctx, publisher, proposal, review, signed, f)
}

// signedAlready says so to who has, and lacks nothing but the others. err is another
// error, or that none of the keys at hand can sign what is lacking.
func signedAlready(err error, review *client.Review, proposal heard, hand []foundKey) error {
	if _, ok := errors.AsType[*client.KeysError](err); !ok {
		return err
	}
	var own, missing []string
	for _, file := range review.Files {
		for _, need := range file.Needs {
			for _, key := range hand {
				signed := slices.ContainsFunc(need.Signed, key.Equal)
				if signed && !slices.Contains(own, key.ID()[:12]) {
					own = append(own, key.ID()[:12])
				}
				if need.Lacks() > 0 && !signed && slices.ContainsFunc(need.Keys, key.Equal) {
					return lackOf(err, hand) // one of theirs is lacking, which is not plugged in
				}
			}
		}
	}
	if len(own) == 0 {
		return lackOf(err, hand)
	}
	for _, lack := range review.Missing() {
		missing = append(missing, lacks(lack))
	}
	return advise(fmt.Errorf("you have signed this already, by key %s; still missing: %s", strings.Join(own, ", "), strings.Join(missing, "; ")),
		"each of the others runs: signet approve %s", proposal.word())
}

// handOn writes or sends what was signed, and publishes what is complete.
func (a *app) handOn(ctx context.Context, publisher *client.Publisher, proposal heard, review *client.Review, signed []string, f approveFlags) error {
	switch {
	case f.out != "" || f.apart.are() || proposal.file != "" && review.State != client.StateComplete:
		path := f.out
		if path == "" {
			path = proposal.file
		}
		if err := writeProposal(path, review.Proposal, path == proposal.file); err != nil {
			return err
		}
		proposal.file = path
		return a.printApproval(proposal, review, signed, nil)
	case proposal.file == "":
		kept, err := publisher.SendProposal(ctx, review.Proposal)
		if err != nil {
			return err
		}
		if review.State != client.StateComplete { // somebody else may have signed meanwhile
			again, err := publisher.Review(ctx, kept)
			if err != nil {
				return err
			}
			if again.State == client.StateComplete {
				review = again
			}
		}
	}
	if review.State != client.StateComplete {
		return a.printApproval(proposal, review, signed, nil)
	}
	return a.publishReviewed(ctx, publisher, proposal, review, signed)
}

// publishApproved asks, and publishes what all have signed.
func (a *app) publishApproved(ctx context.Context, ring *keyring, proposal heard, review *client.Review, signed []string) error {
	a.showChange(review.Change, ring)
	if err := a.confirm(ctx, "All have signed. Publish this?"); err != nil {
		return err
	}
	publisher, err := a.publisher(ctx, review.Proposal.Repository, ring, nil)
	if err != nil {
		return err
	}
	return a.publishReviewed(ctx, publisher, proposal, review, signed)
}

func (a *app) publishReviewed(ctx context.Context, publisher *client.Publisher, proposal heard, review *client.Review, signed []string) error {
	published, err := review.Publish(ctx)
	if errors.Is(err, tuf.ErrConflict) {
		return advise(err, "%s", rebaseAdvice(proposal))
	}
	if err != nil {
		return err
	}
	if published.Anchor != nil {
		if err := a.pinCreated(published, publisher); err != nil {
			return err
		}
	}
	return a.printApproval(proposal, review, signed, published)
}

// pinCreated makes this machine trust what a proposal created, where somebody signed
// it here, and says by what command others do. Who only passed it on may have been
// handed anybody's keys.
func (a *app) pinCreated(published *client.Published, publisher *client.Publisher) error {
	anchor := *published.Anchor
	anchors, err := a.anchors()
	if err != nil {
		return err
	}
	journal, err := publisher.Client.Journal(published.Repository)
	if err != nil {
		return err
	}
	signed := slices.ContainsFunc(published.Change.Files, func(file client.FileChange) bool {
		return slices.ContainsFunc(journal, func(e client.JournalEntry) bool {
			return e.Role == file.Role && e.Version == file.Version && e.SHA256 == file.SHA256
		})
	})
	_, err = anchors.For(published.Repository)
	switch {
	case err == nil:
	case !signed:
		a.note("this machine does not trust it yet: nothing of it was signed here")
	default:
		if err := a.saveAnchor(anchor, false); err != nil {
			return fmt.Errorf("%s was created, but could not be pinned on this machine: %w", published.Repository, err)
		}
		a.note("this machine trusts it from now on: %s", pins(anchor))
	}
	a.note("others trust it by: %s", trustCommandOf(anchor, publisher.Server))
	return nil
}

func trustCommandOf(anchor client.Anchor, server client.Server) string {
	command := "signet trust add " + anchor.Pattern
	for _, id := range anchor.RootKeys {
		command += " --root-key " + id
	}
	if anchor.Threshold < len(anchor.RootKeys) {
		command += fmt.Sprintf(" --threshold %d", anchor.Threshold)
	}
	command += " --server " + server.URL
	if server.CA != "" {
		command += " --ca FILE"
	}
	return command
}

func (a *app) printApproval(proposal heard, review *client.Review, signed []string, published *client.Published) error {
	result := approval{Repository: review.Proposal.Repository, ID: review.Proposal.ID, State: review.State, Signed: signed, File: proposal.file, Published: published}
	if result.Signed == nil {
		result.Signed = []string{}
	}
	for _, lack := range review.Missing() {
		result.Missing = append(result.Missing, lacks(lack))
	}
	return a.print(result, func(w io.Writer) {
		switch {
		case published != nil:
			fmt.Fprintf(w, "published %s: %s\n", result.Repository, filesIn(review))
		case review.State == client.StatePublished:
			fmt.Fprintf(w, "nothing to do: %s has this already\n", result.Repository)
		case len(result.Missing) == 0:
			fmt.Fprintf(w, "approved %s %s\n  all have signed\nnext: signet propose publish %s\n", result.Repository, result.ID, proposal.word())
		default:
			fmt.Fprintf(w, "approved %s %s\n", result.Repository, result.ID)
			for _, missing := range result.Missing {
				fmt.Fprintf(w, "  %s\n", missing)
			}
			fmt.Fprintf(w, "next: signet approve %s\n", proposal.word())
		}
	})
}

// word is how a command names the proposal.
func (h heard) word() string {
	if h.file != "" {
		return word(h.file)
	}
	return h.Repository + " " + h.ID[:idDigits]
}

// filesIn lists the files of a proposal, as in "root version 2, targets version 8".
func filesIn(review *client.Review) string {
	var list []string
	for _, file := range review.Proposal.Files {
		list = append(list, fmt.Sprintf("%s version %d", clip(file.Role, 100), file.Version))
	}
	return clip(strings.Join(list, ", "), 300)
}

// publishable refuses a proposal that nobody can publish any more.
func publishable(review *client.Review) error {
	h := heard{Proposal: review.Proposal}
	switch review.State {
	case client.StatePublished:
		if review.Superseded {
			return advise(fmt.Errorf("the proposal was published before, it says, and %s is there now: %w", versionsOf(review), tuf.ErrConflict), "signet inspect %s shows what is there", review.Proposal.Repository)
		}
	case client.StateStale:
		return advise(fmt.Errorf("the proposal is stale: it is for %s, and %s is there: %w", filesIn(review), versionsOf(review), tuf.ErrConflict), "%s", rebaseAdvice(h))
	case client.StateWithdrawn:
		return advise(fmt.Errorf("the proposal was withdrawn, the server says"), "ask who withdrew it; if it is wanted after all: signet propose rebase %s", h.word())
	}
	return nil
}

func rebaseAdvice(h heard) string {
	return "somebody published first; build it anew on what is there now: signet propose rebase " + h.word()
}

// versionsOf tells what is there of the roles that a proposal is for.
func versionsOf(review *client.Review) string {
	var list []string
	for _, file := range review.Proposal.Files {
		list = append(list, fmt.Sprintf("%s version %d", clip(file.Role, 100), review.Compared.Versions[file.Role]))
	}
	return clip(strings.Join(list, ", "), 300)
}

// apartFlags say what a machine without a network compares with.
type apartFlags struct {
	offline bool
	from    string
}

func (f *apartFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false, "compare with what was verified before, without asking a server")
	cmd.Flags().StringVar(&f.from, "from", "", "compare with the `folder` that signet export wrote, without asking a server")
}

// are tells whether no server is asked.
func (f apartFlags) are() bool { return f.offline || f.from != "" }

// apartPublisher reads what this machine remembers, or a folder, and asks no server.
func (a *app) apartPublisher(f apartFlags) (*client.Publisher, error) {
	anchors, err := a.anchors()
	if err != nil {
		return nil, err
	}
	return &client.Publisher{Client: client.New(a.clientConfig(anchors, client.Servers{})), WithReason: keystore.WithReason,
		Offline: f.offline, From: f.from, SignAgain: a.signAgain}, nil
}
