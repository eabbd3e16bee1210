package harness

import (
	"context"
	"sync"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/store"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// Faults are what goes wrong on the way to a signer or store. The zero value
// lets everything through.
type Faults struct {
	mu     sync.Mutex
	before func(ctx context.Context, call string) error
	after  func(ctx context.Context, call string) error
}

// Before has f decide on every call, by its method's name, before it is made. An
// error is returned in place of making it. nil lets everything through.
func (f *Faults) Before(do func(ctx context.Context, call string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = do
}

// After has f decide on every call after it was made: an error is returned in
// place of its answer, as when a connection breaks.
func (f *Faults) After(do func(ctx context.Context, call string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = do
}

// Down has every call fail with err; nil repairs it.
func (f *Faults) Down(err error) {
	if err == nil {
		f.Before(nil)
		return
	}
	f.Before(func(context.Context, string) error { return err })
}

// through makes one call with the faults around it.
func through[T any](ctx context.Context, f *Faults, call string, do func() (T, error)) (answer T, err error) {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, call); err != nil {
			return answer, err
		}
	}
	if answer, err = do(); err != nil || after == nil {
		return answer, err
	}
	return answer, after(ctx, call)
}

// run is through for a call that answers with an error only.
func run(ctx context.Context, f *Faults, call string, do func() error) error {
	_, err := through(ctx, f, call, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

type faultySigner struct {
	server.Signer
	faults *Faults
}

func (s faultySigner) Identity(ctx context.Context) (*signerapi.Identity, error) {
	return through(ctx, s.faults, "Identity", func() (*signerapi.Identity, error) { return s.Signer.Identity(ctx) })
}

func (s faultySigner) OnlineKeys(ctx context.Context, repository string) ([]signerapi.OnlineKey, error) {
	return through(ctx, s.faults, "OnlineKeys", func() ([]signerapi.OnlineKey, error) { return s.Signer.OnlineKeys(ctx, repository) })
}

func (s faultySigner) FreshOnlineKeys(ctx context.Context, repository string, roles []string) ([]signerapi.OnlineKey, error) {
	return through(ctx, s.faults, "FreshOnlineKeys", func() ([]signerapi.OnlineKey, error) {
		return s.Signer.FreshOnlineKeys(ctx, repository, roles)
	})
}

func (s faultySigner) Sign(ctx context.Context, r signerapi.SignRequest) (*signerapi.Signed, error) {
	return through(ctx, s.faults, "Sign", func() (*signerapi.Signed, error) { return s.Signer.Sign(ctx, r) })
}

func (s faultySigner) Refresh(ctx context.Context, r signerapi.RefreshRequest) (*signerapi.Signed, error) {
	return through(ctx, s.faults, "Refresh", func() (*signerapi.Signed, error) { return s.Signer.Refresh(ctx, r) })
}

func (s faultySigner) Last(ctx context.Context, repository string) (*signerapi.Last, error) {
	return through(ctx, s.faults, "Last", func() (*signerapi.Last, error) { return s.Signer.Last(ctx, repository) })
}

func (s faultySigner) Ready(ctx context.Context) error {
	return run(ctx, s.faults, "Ready", func() error { return s.Signer.Ready(ctx) })
}

type faultyStore struct {
	*store.DB
	faults *Faults
}

// NewStore returns db as the server sees it, with faults on the way.
func NewStore(db *store.DB, faults *Faults) server.Store { return faultyStore{db, faults} }

func (s faultyStore) Head(ctx context.Context, repository string) (*server.Head, error) {
	return through(ctx, s.faults, "Head", func() (*server.Head, error) {
		head, err := s.DB.Head(ctx, repository)
		return (*server.Head)(head), err
	})
}

func (s faultyStore) Floors(ctx context.Context, repository string) (*server.Floors, error) {
	return through(ctx, s.faults, "Floors", func() (*server.Floors, error) {
		floors, err := s.DB.Floors(ctx, repository)
		return (*server.Floors)(floors), err
	})
}

func (s faultyStore) File(ctx context.Context, repository, role string, version int64) (tuf.File, error) {
	return through(ctx, s.faults, "File", func() (tuf.File, error) { return s.DB.File(ctx, repository, role, version) })
}

func (s faultyStore) Publish(ctx context.Context, p server.Publication) (int64, error) {
	return through(ctx, s.faults, "Publish", func() (int64, error) { return s.DB.Publish(ctx, store.Publication(p)) })
}

func (s faultyStore) Repositories(ctx context.Context, after string, limit int) ([]server.Summary, error) {
	return through(ctx, s.faults, "Repositories", func() ([]server.Summary, error) {
		var list []server.Summary
		summaries, err := s.DB.Repositories(ctx, after, limit)
		for _, summary := range summaries {
			list = append(list, server.Summary(summary))
		}
		return list, err
	})
}

func (s faultyStore) TokenByHash(ctx context.Context, sha256 string, now time.Time) (server.Token, error) {
	return through(ctx, s.faults, "TokenByHash", func() (server.Token, error) {
		token, err := s.DB.TokenByHash(ctx, sha256, now)
		return server.Token(token), err
	})
}

func (s faultyStore) Ping(ctx context.Context) error {
	return run(ctx, s.faults, "Ping", func() error { return s.DB.Ping(ctx) })
}

func (s faultyStore) Proposal(ctx context.Context, repository, id string) (*server.Proposal, error) {
	return through(ctx, s.faults, "Proposal", func() (*server.Proposal, error) {
		proposal, err := s.DB.Proposal(ctx, repository, id)
		return (*server.Proposal)(proposal), err
	})
}

func (s faultyStore) Proposals(ctx context.Context, repository string) ([]server.Proposal, error) {
	var list []server.Proposal
	proposals, err := s.DB.Proposals(ctx, repository)
	for _, proposal := range proposals {
		list = append(list, server.Proposal(proposal))
	}
	return list, err
}

func (s faultyStore) PutProposal(ctx context.Context, p server.Proposal) error {
	return run(ctx, s.faults, "PutProposal", func() error { return s.DB.PutProposal(ctx, store.Proposal(p)) })
}

func (s faultyStore) Waiting(ctx context.Context, token string) (int64, []server.Proposal, error) {
	var list []server.Proposal
	turn, proposals, err := s.DB.Waiting(ctx, token)
	for _, proposal := range proposals {
		list = append(list, server.Proposal(proposal))
	}
	return turn, list, err
}
