package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// signedPart returns the hash of a file's signed bytes, and when it expires, in Unix
// seconds.
func signedPart(file tuf.File) (sum string, expires int64, err error) {
	var payload []byte
	var at time.Time
	if file.Role == tuf.RoleRoot {
		root, readErr := tuf.ReadRoot(file.Bytes)
		if readErr != nil {
			return "", 0, readErr
		}
		at = root.Signed.Expires
		payload, err = tuf.Payload(root)
	} else {
		targets, readErr := tuf.ReadTargets(file.Bytes)
		if readErr != nil {
			return "", 0, readErr
		}
		at = targets.Signed.Expires
		payload, err = tuf.Payload(targets)
	}
	hash := sha256.Sum256(payload)
	return hex.EncodeToString(hash[:]), at.Unix(), err
}

// errProposalRace is that somebody else wrote the proposal in between.
var errProposalRace = errors.New("somebody else was faster")

// propose keeps a proposal, or the signatures of one that is there: with an ID just
// that, which has to be there and open; without, it is made if need be. Two who sign
// at once both find their signatures kept: who loses the race merges again.
//
// One whose files were published already is answered as it is, whatever was sent:
// there is nothing left to sign.
func (s *Server) propose(ctx context.Context, token Token, repository, id string, body api.ProposalRequest) (p *api.Proposal, created bool, err error) {
	named, err := tuf.ProposalID(repository, body.Metadata())
	if err != nil {
		return nil, false, err
	}
	if id != "" && id != named {
		return nil, false, &tuf.Refusal{Repository: repository, Rule: tuf.RuleHash, Clause: "Signet proposals",
			Detail: fmt.Sprintf("the files are those of proposal %s, not of %s", named, id)}
	}
	free, err := s.turns.take(ctx, repository)
	if err != nil {
		return nil, false, err
	}
	defer free()
	for range publishAttempts {
		p, created, err = s.tryPropose(ctx, token, repository, named, id != "", body)
		if !errors.Is(err, errProposalRace) {
			return p, created, err
		}
		s.metrics.races.Inc()
	}
	return nil, false, fmt.Errorf("%w: %s is being proposed to by too many at once; try again", api.ErrBusy, repository)
}

// tryPropose is one round of propose. It returns errProposalRace when it lost one.
func (s *Server) tryPropose(ctx context.Context, token Token, repository, id string, there bool, body api.ProposalRequest) (*api.Proposal, bool, error) {
	head, err := s.head(ctx, repository)
	if err != nil {
		return nil, false, err
	}
	if err := errors.Join(mayCreate(token, repository, head), mayPublish(token, head)); err != nil {
		return nil, false, err
	}
	stored, err := s.storedProposal(ctx, repository, id)
	switch {
	case err == nil:
	case errors.Is(err, tuf.ErrNotFound) && !there:
		if stored != nil { // too old: it makes room
			if err := race(s.store.DropProposal(ctx, repository, id, stored.Revision)); err != nil {
				return nil, false, err
			}
		}
		stored = nil
	default:
		return nil, false, err
	}
	now := s.now().UTC().Truncate(time.Second)
	next := Proposal{Repository: repository, ID: id, Token: token.ID, Note: body.Note, Created: now, Updated: now}
	files, intent, begins := body.Metadata(), body.Intent, true
	if files, err = s.keep(ctx, repository, head, files); stored == nil && err != nil {
		return nil, false, err
	}
	if stored != nil {
		told, toldErr := s.told(ctx, head, stored)
		switch {
		case toldErr != nil:
			return nil, false, toldErr
		case told.State == api.ProposalPublished:
			return told, false, nil
		case told.State == api.ProposalStale:
			return nil, false, &api.ConflictError{Repository: repository, Versions: head.versions(),
				Err: fmt.Errorf("proposal %s of %s is stale: %w", id, repository, tuf.ErrConflict)}
		case told.State == api.ProposalWithdrawn && there:
			return nil, false, &api.ConflictError{Repository: repository, Versions: head.versions(),
				Err: fmt.Errorf("proposal %s of %s was withdrawn, and takes no more signatures", id, repository)}
		case err != nil:
			return nil, false, err
		}
		next.Slot, next.Revision = stored.Slot, stored.Revision
		if begins = told.State != api.ProposalOpen; !begins { // one that was withdrawn begins anew
			next.Token, next.Note, next.Created, intent = stored.Token, stored.Note, stored.Created, told.Intent
		}
		merged, err := merge(told.Metadata(), files)
		if err != nil {
			return nil, false, err
		}
		// The keys may have changed since those signatures were kept.
		if files, err = s.keep(ctx, repository, head, merged); err != nil {
			return nil, false, err
		}
		if told.State == api.ProposalOpen && sameFiles(told.Metadata(), files) {
			return told, false, nil
		}
	}
	if err := fill(&next, files, intent); err != nil {
		return nil, false, err
	}
	if stored == nil {
		if next.Slot, err = s.freeSlot(ctx, repository, head, int64(len(next.Body))); err != nil {
			return nil, false, err
		}
	}
	if begins && head.Generation == 0 {
		free, err := s.waiting.take(ctx, token.ID)
		if err != nil {
			return nil, false, err
		}
		defer free()
		if next.Turn, err = s.room(ctx, &next); err != nil {
			return nil, false, err
		}
	}
	if err := race(s.store.PutProposal(ctx, next)); err != nil {
		return nil, false, err
	}
	told, err := s.told(ctx, head, &next)
	return told, stored == nil, err
}

// race makes of a conflict in the store the reason to try again.
func race(err error) error {
	if errors.Is(err, tuf.ErrConflict) {
		return errProposalRace
	}
	return err
}

// keep checks files as far as it can be done before all have signed, and returns them
// with the signatures that will count.
func (s *Server) keep(ctx context.Context, repository string, head *Head, files []tuf.File) ([]tuf.File, error) {
	rules, cur, err := s.rules(ctx, repository, head, files)
	if err != nil {
		return nil, err
	}
	kept, err := tuf.KeepSignatures(repository, cur, files, rules)
	if err == nil {
		err = demand(s.rule(repository).Hardware, repository, head, kept, rules.Now)
	}
	if errors.Is(err, tuf.ErrConflict) {
		err = &api.ConflictError{Repository: repository, Versions: head.versions(), Err: err}
	}
	return kept, err
}

// merge adds the signatures of files to those of stored, which have the same signed
// bytes.
func merge(stored, files []tuf.File) ([]tuf.File, error) {
	merged := slices.Clone(stored)
	for i, old := range merged {
		for _, file := range files {
			if file.Role != old.Role {
				continue
			}
			data, err := tuf.MergeSignatures(file.Role, old.Bytes, file.Bytes)
			if err != nil {
				return nil, err
			}
			merged[i].Bytes = data
		}
	}
	return merged, nil
}

func sameFiles(a, b []tuf.File) bool {
	for _, f := range a {
		if !slices.ContainsFunc(b, func(g tuf.File) bool { return f.Role == g.Role && bytes.Equal(f.Bytes, g.Bytes) }) {
			return false
		}
	}
	return len(a) == len(b)
}

// fill writes files and intent into p.
func fill(p *Proposal, files []tuf.File, intent json.RawMessage) error {
	lines, err := outline(files)
	if err != nil {
		return err
	}
	if p.Outline, err = json.Marshal(lines); err != nil {
		return err
	}
	line, err := json.Marshal(p.summary(api.ProposalPublished, lines))
	if err != nil {
		return err
	}
	if len(line) > proposalLine {
		return tooMany(p.Repository, fmt.Sprintf("a list of proposals would have %d bytes of this one's files and signatures, of which at most %d are shown: "+
			"propose fewer files, or publish what is signed already", len(line), proposalLine))
	}
	p.Body, err = json.Marshal(api.ProposalRequest{Files: api.NewPublishRequest(files).Files, Intent: intent})
	return err
}

// proposalBodies is how many times as large as one body the proposals of a repository
// may be together.
const proposalBodies = 2

// freeSlot finds room for one proposal more, of so many bytes. Where there is none,
// what is of no use any more makes room, the oldest first: what was withdrawn or
// published, then what is stale.
func (s *Server) freeSlot(ctx context.Context, repository string, head *Head, size int64) (int64, error) {
	list, err := s.store.Proposals(ctx, repository)
	if err != nil {
		return 0, err
	}
	// Another server may have published since head was read: what was proposed after that
	// is not stale.
	switch now, err := s.head(ctx, repository); {
	case err != nil:
		return 0, err
	case now.Generation != head.Generation:
		return 0, errProposalRace
	}
	taken := map[int64]bool{}
	var done, stale []Proposal
	total, open := size, size
	for _, p := range list {
		taken[p.Slot] = true
		total += p.Size
		state, _, err := s.proposalState(ctx, head, &p)
		if err != nil {
			return 0, err
		}
		old := !s.now().Before(p.Created.Add(api.ProposalLife))
		switch {
		case old || state == api.ProposalWithdrawn || state == api.ProposalPublished:
			done = append(done, p)
		case state == api.ProposalStale:
			stale = append(stale, p)
		default:
			open += p.Size
		}
	}
	most := proposalBodies * s.config.MaxBody
	switch n := len(list) - len(done) - len(stale); {
	case n >= api.MaxProposals:
		return 0, tooMany(repository, fmt.Sprintf("%d proposals are open, which is the most; withdraw one", n))
	case open > most:
		return 0, tooMany(repository, fmt.Sprintf("the open proposals would have %d bytes together with this one, of which at most %d are kept; withdraw one", open, most))
	}
	for _, p := range append(done, stale...) {
		if len(taken) < api.MaxProposals && total <= most {
			break
		}
		if err := race(s.store.DropProposal(ctx, repository, p.ID, p.Revision)); err != nil {
			return 0, err
		}
		delete(taken, p.Slot)
		total -= p.Size
	}
	slot := int64(0)
	for taken[slot] {
		slot++
	}
	return slot, nil
}

// withdraw takes a proposal back. One that was withdrawn before stays so; one that was
// published cannot be.
func (s *Server) withdraw(ctx context.Context, token Token, repository, id string) error {
	for range publishAttempts {
		head, err := s.head(ctx, repository)
		if err != nil {
			return err
		}
		if err := errors.Join(mayCreate(token, repository, head), mayPublish(token, head)); err != nil {
			return err
		}
		stored, err := s.storedProposal(ctx, repository, id)
		if err != nil {
			return err
		}
		state, _, err := s.proposalState(ctx, head, stored)
		switch {
		case err != nil:
			return err
		case state == api.ProposalWithdrawn:
			return nil
		case state == api.ProposalPublished:
			return &api.ConflictError{Repository: repository, Versions: head.versions(),
				Err: fmt.Errorf("proposal %s of %s is published, so there is nothing left to withdraw", id, repository)}
		}
		stored.Withdrawn = s.now()
		stored.Updated = stored.Withdrawn
		if err := race(s.store.PutProposal(ctx, *stored)); !errors.Is(err, errProposalRace) {
			return err
		}
	}
	return fmt.Errorf("%w: proposal %s of %s is being signed by too many at once; try again", api.ErrBusy, id, repository)
}
