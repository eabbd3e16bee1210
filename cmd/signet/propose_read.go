package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// idDigits is how much of a proposal's ID is shown where little room is, and the
// least that names one.
const idDigits = 12

// maxProposalFile is how much of a file is read as a proposal.
const maxProposalFile = api.MaxBody + api.MaxSmallBody

// hear reads the proposal that REPO ID, or FILE, names, and returns what reviews it.
func (a *app) hear(ctx context.Context, ring *keyring, args []string, apart apartFlags) (heard, *client.Publisher, error) {
	if len(args) == 1 {
		proposal, err := readProposalFile(ctx, args[0])
		if err != nil {
			return heard{}, nil, err
		}
		publisher, err := a.reader(ctx, ring, proposal.Repository, apart)
		return heard{proposal, args[0]}, publisher, err
	}
	name, err := repository(args[0])
	if err != nil {
		return heard{}, nil, err
	}
	if apart.are() {
		return heard{}, nil, usagef("--offline and --from take a FILE: proposals of %s are on the server", name)
	}
	publisher, err := a.reader(ctx, ring, name, apartFlags{})
	if err != nil {
		return heard{}, nil, err
	}
	if err := a.may(ctx, publisher, name, api.ScopePublish, api.ScopeCreate); err != nil {
		return heard{}, nil, err
	}
	id, err := proposalID(ctx, publisher, name, args[1])
	if err != nil {
		return heard{}, nil, err
	}
	proposal, err := publisher.Proposal(ctx, name, id)
	return heard{Proposal: proposal}, publisher, err
}

func (a *app) reader(ctx context.Context, ring *keyring, repository string, apart apartFlags) (*client.Publisher, error) {
	switch {
	case apart.offline && apart.from != "":
		return nil, usagef("--offline and --from exclude each other")
	case apart.are():
		return a.apartPublisher(apart)
	}
	return a.publisher(ctx, repository, ring, nil)
}

// readProposalFile reads the file form of a proposal.
func readProposalFile(ctx context.Context, path string) (*api.Proposal, error) {
	data, err := readCarried(ctx, path, maxProposalFile+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, advise(err, "a proposal is named by REPO ID, as signet propose list shows it, or by a FILE")
	}
	if err != nil {
		return nil, err
	}
	proposal, err := client.ReadProposal(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return proposal, nil
}

// readCarried reads at most so much of a file that somebody else may have prepared: of
// a pipe, nothing may ever come, and Ctrl-C has to end that, too.
func readCarried(ctx context.Context, path string, most int64) ([]byte, error) {
	return wait(ctx, func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, most))
		return data, errors.Join(err, f.Close())
	})
}

// proposalID completes the start of an ID by the server's list. Which proposal that
// is is the server's word; what is signed is shown.
func proposalID(ctx context.Context, publisher *client.Publisher, repository, start string) (string, error) {
	start = strings.ToLower(start)
	if !isHex(start) || len(start) < idDigits || len(start) > 64 {
		return "", advise(usagef("%q is no proposal's ID: %d to 64 hex digits", clip(start, 100), idDigits), "signet propose list %s shows them", repository)
	}
	if len(start) == 64 {
		return start, nil
	}
	list, err := publisher.Proposals(ctx, repository)
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range list {
		if strings.HasPrefix(p.ID, start) {
			found = append(found, p.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", advise(fmt.Errorf("%s has no proposal %s: %w", repository, start, tuf.ErrNotFound), "signet propose list %s shows those that there are", repository)
	case 1:
		return found[0], nil
	}
	return "", usagef("%s has %d proposals whose IDs begin with %s; give more of it", repository, len(found), start)
}

// showReview tells what a proposal is before its change is shown: who says so, what
// it was compared with, and who has signed.
func (a *app) showReview(w io.Writer, review *client.Review, ring *keyring) {
	p := review.Proposal
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	say("proposal %s", p.ID)
	say("  for %s: %s", p.Repository, filesIn(review))
	by := ""
	if p.Token != "" {
		by = ", by the token " + clip(p.Token, 100)
	}
	say("  proposed %s%s, it says", stamp(p.Created), by)
	if p.Note != "" {
		say("  its note, which nobody has checked: %q", clip(p.Note, 1000))
	}
	switch review.Intent {
	case client.IntentAgrees:
		say("  it claims to be for %q, and its bytes say just that", review.IntentSays)
	case client.IntentDiffers:
		say("  it claims to be for %q, and its bytes say SOMETHING ELSE", review.IntentSays)
	}
	say("  compared with %s", a.compared(review))
	for _, file := range review.Files {
		for _, need := range file.Needs {
			say("  %s version %d: %s", clip(file.Role, 100), file.Version, signedSoFar(need, ring))
		}
	}
}

// compared says what a proposal was compared with, and how old that is.
func (a *app) compared(review *client.Review) string {
	c := review.Compared
	if c.New {
		text := "nothing: it creates the repository"
		if c.Offline {
			text += ", or so it seems without a server"
		}
		return text
	}
	text := versionsOf(review)
	if !c.Offline {
		return text + ", verified now"
	}
	if c.From != "" {
		text += ", as " + c.From + " says"
	} else {
		text += ", as this machine remembers it"
	}
	if !c.Seen.IsZero() && c.From == "" {
		text += ", verified last " + until(a.now(), c.Seen.Add(-time.Second))
	}
	if c.Fresh.Before(a.now()) {
		return text + fmt.Sprintf("; its timestamp expired %s: there may be newer", until(a.now(), c.Fresh))
	}
	return text + fmt.Sprintf("; its timestamp expires %s", until(a.now(), c.Fresh))
}

// signedSoFar tells who has signed, and how many have yet to.
func signedSoFar(need client.Need, ring *keyring) string {
	var by []string
	for _, key := range need.Signed {
		by = append(by, ring.describe(key.ID()))
	}
	text := fmt.Sprintf("%d of %d signatures of %s", len(need.Signed), need.Threshold, clip(need.By, 100))
	if len(by) > 0 {
		text += ": " + clip(strings.Join(by, "; "), 500)
	}
	if need.Lacks() > 0 {
		var ids []string
		for _, key := range need.Keys {
			if !slices.ContainsFunc(need.Signed, key.Equal) {
				ids = append(ids, key.ID()[:12])
			}
		}
		text += fmt.Sprintf(" (lacks %d of %s)", need.Lacks(), clip(strings.Join(ids, ", "), 300))
	}
	return text
}
