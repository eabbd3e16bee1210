package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/signet-trust/signet/server/api"
)

// room finds room for a proposal of a repository that is not there, and returns the turn
// that it has to be stored with. Such names cost nothing and are without number, so what
// bounds the proposals of each keeps nobody from filling the disk: what waits is bounded
// by token. Where there is no room, what is of no use any more makes some, the oldest
// first.
//
// The turn is what decides: when something else was proposed with the token since it was
// read, in this process or another, the store refuses, and all is counted again.
func (s *Server) room(ctx context.Context, p *Proposal) (turn int64, err error) {
	turn, list, err := s.store.Waiting(ctx, p.Token)
	if err != nil {
		return 0, err
	}
	size := int64(len(p.Body))
	n, total, open := 1, size, size
	var done, left []Proposal
	for _, waits := range list {
		if waits.Repository == p.Repository && waits.ID == p.ID {
			continue // this one, which was withdrawn
		}
		n++
		total += waits.Size
		over, err := s.over(&waits)
		if err != nil {
			return 0, err
		}
		if over {
			done = append(done, waits)
			continue
		}
		left = append(left, waits)
		open += waits.Size
	}
	most := proposalBodies * s.config.MaxBody
	switch {
	case len(left) >= api.MaxWaiting:
		return 0, tooMany(p.Repository, fmt.Sprintf("%d proposals with token %s are open for repositories that do not exist here, which is the most; %s",
			len(left), p.Token, giveUp(left)))
	case open > most:
		return 0, tooMany(p.Repository, fmt.Sprintf("the open proposals with token %s for repositories that do not exist here would have %d bytes together with this one, of which at most %d are kept; %s",
			p.Token, open, most, giveUp(left)))
	}
	for _, waits := range done {
		if n <= api.MaxWaiting && total <= most {
			break
		}
		if err := race(s.store.DropProposal(ctx, waits.Repository, waits.ID, waits.Revision)); err != nil {
			return 0, err
		}
		n--
		total -= waits.Size
	}
	return turn, nil
}

// giveUp says how there is room again.
func giveUp(open []Proposal) string {
	next := "have the repositories created, or withdraw what is not needed"
	if len(open) > 0 {
		next += fmt.Sprintf(": the oldest is %s of %s", open[0].ID, open[0].Repository)
	}
	return next
}

// over tells whether nothing can come of a proposal any more, whatever is published.
func (s *Server) over(p *Proposal) (bool, error) {
	now := s.now()
	if !p.Withdrawn.IsZero() || !now.Before(p.Created.Add(api.ProposalLife)) {
		return true, nil
	}
	var files []outlined
	if err := json.Unmarshal(p.Outline, &files); err != nil {
		return false, fmt.Errorf("proposal %s of %s as it is stored: %w", p.ID, p.Repository, err)
	}
	for _, f := range files {
		if now.Unix() >= f.Expires {
			return true, nil
		}
	}
	return false, nil
}
