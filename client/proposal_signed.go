package client

import (
	"context"
	"slices"

	"github.com/signet-trust/signet/server/api"
)

// SignedIn finds the open proposal whose content stands in the way of another one:
// that which e says was signed here before. It returns nil when the server has none.
// Which is open is the server's word, so it is good for a hint and no more.
func (p *Publisher) SignedIn(ctx context.Context, e *SignedError) (*api.Proposal, error) {
	list, err := p.Proposals(ctx, e.Repository)
	if err != nil {
		return nil, err
	}
	for _, line := range list {
		if line.State != StateOpen || !slices.ContainsFunc(line.Files, func(f api.ProposedFile) bool { return f.Role == e.Role && f.Version == e.Version }) {
			continue
		}
		proposal, err := p.Proposal(ctx, e.Repository, line.ID)
		if err != nil {
			return nil, err
		}
		r := &Review{Proposal: proposal, publisher: p}
		if err := r.read(); err != nil {
			return nil, err
		}
		if d := r.draft(e.Role); d != nil && d.version() == e.Version && digestHex(d.payload) == e.Before.SHA256 {
			return proposal, nil
		}
	}
	return nil, nil
}
