package main

import (
	"context"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/store"
)

// serverStore is the database as package server sees it. The two do not know each
// other; their types are the same.
type serverStore struct{ *store.DB }

// Head converts what the database returns.
func (s serverStore) Head(ctx context.Context, repository string) (*server.Head, error) {
	head, err := s.DB.Head(ctx, repository)
	return (*server.Head)(head), err
}

// Publish converts what the server sends.
func (s serverStore) Publish(ctx context.Context, p server.Publication) (int64, error) {
	return s.DB.Publish(ctx, store.Publication(p))
}

// Repositories converts what the database returns.
func (s serverStore) Repositories(ctx context.Context, after string, limit int) ([]server.Summary, error) {
	var list []server.Summary
	summaries, err := s.DB.Repositories(ctx, after, limit)
	for _, summary := range summaries {
		list = append(list, server.Summary(summary))
	}
	return list, err
}

// TokenByHash converts what the database returns.
func (s serverStore) TokenByHash(ctx context.Context, sha256 string, now time.Time) (server.Token, error) {
	token, err := s.DB.TokenByHash(ctx, sha256, now)
	return server.Token(token), err
}

// Floors converts what the database returns.
func (s serverStore) Floors(ctx context.Context, repository string) (*server.Floors, error) {
	floors, err := s.DB.Floors(ctx, repository)
	return (*server.Floors)(floors), err
}

// Proposal converts what the database returns.
func (s serverStore) Proposal(ctx context.Context, repository, id string) (*server.Proposal, error) {
	proposal, err := s.DB.Proposal(ctx, repository, id)
	return (*server.Proposal)(proposal), err
}

// Proposals converts what the database returns.
func (s serverStore) Proposals(ctx context.Context, repository string) ([]server.Proposal, error) {
	var list []server.Proposal
	proposals, err := s.DB.Proposals(ctx, repository)
	for _, proposal := range proposals {
		list = append(list, server.Proposal(proposal))
	}
	return list, err
}

// Waiting converts what the database returns.
func (s serverStore) Waiting(ctx context.Context, token string) (int64, []server.Proposal, error) {
	var list []server.Proposal
	turn, proposals, err := s.DB.Waiting(ctx, token)
	for _, proposal := range proposals {
		list = append(list, server.Proposal(proposal))
	}
	return turn, list, err
}

// PutProposal converts what the server sends.
func (s serverStore) PutProposal(ctx context.Context, p server.Proposal) error {
	return s.DB.PutProposal(ctx, store.Proposal(p))
}
