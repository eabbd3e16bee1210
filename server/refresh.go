package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// A refreshStore hands out refresh work. Each piece is leased, so that several
// servers do not all do the same.
type refreshStore interface {
	ClaimRefresh(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]string, error)
	Release(ctx context.Context, repository string, notBefore time.Time) error
	Prune(ctx context.Context, before time.Time) (int64, error)
	OldestTimestamp(ctx context.Context, now time.Time) (time.Time, error)
}

// Bounds on refresh work.
const (
	refreshBatch = 100             // claimed at once
	refreshLease = 2 * time.Minute // of a claim; a server that dies loses it after that
	refreshWork  = 20 * time.Second
	refreshRetry = 30 * time.Second // after a failure, jittered
	pruneEvery   = time.Hour

	// A repository whose root has expired needs its publisher; until then, there
	// is nothing to refresh, and many may be abandoned.
	refreshExpired = 2 * time.Hour
)

// Run refreshes what is due, read or not, and prunes what is old, until ctx ends.
// It returns when all its work has stopped.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(s.config.RefreshEvery)
	defer tick.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	var audit sync.WaitGroup
	defer audit.Wait()
	audit.Go(func() { s.auditNowAndThen(ctx) })
	audit.Go(func() { s.countExpiring(ctx) })
	s.RefreshDue(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.RefreshDue(ctx)
		case <-prune.C:
			s.Prune(ctx)
		}
	}
}

// RefreshDue refreshes every repository that is due, and returns how many it
// refreshed.
func (s *Server) RefreshDue(ctx context.Context) (refreshed int) {
	defer s.lookForOldest(ctx)
	for ctx.Err() == nil {
		claimed, err := s.store.ClaimRefresh(ctx, s.now(), refreshLease, refreshBatch)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("look for refreshes that are due", "error", err)
			}
			return refreshed
		}
		refreshed += s.refreshAll(ctx, claimed)
		if len(claimed) < refreshBatch {
			return refreshed
		}
	}
	return refreshed
}

// lookForOldest has the metrics tell when the first timestamp expires.
func (s *Server) lookForOldest(ctx context.Context) {
	oldest, err := s.store.OldestTimestamp(ctx, s.now())
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Error("look for the oldest timestamp", "error", err, "cause", cause(err))
	case err == nil && oldest.IsZero():
		s.metrics.oldest.Set(0)
	case err == nil:
		s.metrics.oldest.Set(float64(oldest.Unix()))
	}
}

func (s *Server) refreshAll(ctx context.Context, claimed []string) (refreshed int) {
	work := make(chan string)
	var workers sync.WaitGroup
	var mu sync.Mutex
	for range min(s.config.RefreshWorkers, len(claimed)) {
		workers.Go(func() {
			for repository := range work {
				if s.refreshClaimed(ctx, repository) {
					mu.Lock()
					refreshed++
					mu.Unlock()
				}
			}
		})
	}
	for _, repository := range claimed {
		work <- repository
	}
	close(work)
	workers.Wait()
	return refreshed
}

// refreshClaimed refreshes one repository, or gives it back for later.
func (s *Server) refreshClaimed(ctx context.Context, repository string) bool {
	work, cancel := context.WithTimeout(ctx, refreshWork)
	defer cancel()
	err := s.refresh(work, repository)
	if err == nil {
		return true
	}
	// The server may be stopping; the next one need not wait for the lease.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	notBefore := s.now()
	if ctx.Err() == nil {
		retry := refreshRetry
		if errors.Is(err, tuf.RuleExpired) {
			retry = refreshExpired
		}
		notBefore = notBefore.Add(jitter(retry))
		s.log.Error("refresh", "repository", repository, "error", err, "cause", cause(err))
	}
	if err := s.store.Release(release, repository, notBefore); err != nil {
		s.log.Warn("give a refresh back", "repository", repository, "error", err)
	}
	return false
}

// refresh has the signer sign a fresh timestamp, and a fresh snapshot when it is
// time for one, and stores them. Losing the race to a publish, or to another
// server's refresh, is success: the timestamp is fresh then.
func (s *Server) refresh(ctx context.Context, repository string) (err error) {
	defer func() { s.metrics.refresh(repository, err) }()
	head, err := s.store.Head(ctx, repository)
	if err != nil {
		return err
	}
	signed, err := s.signer.Refresh(ctx, signerapi.RefreshRequest{
		Repository: repository, SnapshotVersion: head.State.Snapshot.Version, SnapshotSHA256: head.State.Snapshot.SHA256(),
	})
	if errors.Is(err, tuf.ErrNotFound) {
		// A signer that lost its memory, but not its keys, is shown all again.
		next := head.State
		signed, err = s.sign(ctx, repository, head, &next)
	} else if err != nil {
		err = signerError(err)
	}
	switch {
	case errors.Is(err, tuf.ErrConflict), errors.Is(err, tuf.RuleRollback):
		// The signer is ahead: a publish was signed and is being committed, or
		// never will be. Committing it here settles both.
		if moved, err := s.recover(ctx, repository, nil); err != nil || moved {
			return err
		}
		return s.mustHaveMoved(ctx, head.Generation, repository, err)
	case err != nil:
		return err
	}
	next := head.State
	next.Snapshot, next.Timestamp = signed.Snapshot, signed.Timestamp
	if err := checkSigned(repository, &next, s.now()); err != nil {
		return err
	}
	_, err = s.commit(ctx, repository, head, &next, nil, signed, "")
	if errors.Is(err, tuf.ErrConflict) {
		s.metrics.races.Inc()
		return behind(head, signed)
	}
	return err
}

// behind tells of a signer whose versions are below those that are stored, which is no
// lost race: it was put back as it was at an earlier time.
func behind(head *Head, signed *signerapi.Signed) error {
	for _, v := range []struct {
		signed, stored tuf.File
	}{{signed.Timestamp, head.State.Timestamp}, {signed.Snapshot, head.State.Snapshot}} {
		if v.signed.Version < v.stored.Version || v.signed.Version == v.stored.Version && !bytes.Equal(v.signed.Bytes, v.stored.Bytes) {
			return &signerDown{why: fmt.Sprintf("it signed %s version %d, and version %d is stored, so it was put back as it was at an earlier time; "+
				"its operator runs signet-signer raise, or signet-server recover --raise-signer where it is in the server's process", v.signed.Role, v.signed.Version, v.stored.Version)}
		}
	}
	return nil
}

// mustHaveMoved returns nil if the head has left generation, as when another
// server was faster. Otherwise the signer and the store have parted.
func (s *Server) mustHaveMoved(ctx context.Context, generation int64, repository string, conflict error) error {
	head, err := s.store.Head(ctx, repository)
	if err == nil && head.Generation == generation {
		return &signerDown{why: "it has signed another snapshot than is stored", cause: conflict}
	}
	return err
}

// due are times that the store keeps beside the files.
type due struct{ refresh, timestamp, root time.Time }

// dueTimes says when what was just signed, and root, expire, and when to refresh:
// at half of what is left of the life of timestamp and snapshot, jittered, so that
// repositories that were published together are not all due together.
func dueTimes(root tuf.File, signed *signerapi.Signed, now time.Time) (due, error) {
	timestamp, err := tuf.ReadTimestamp(signed.Timestamp.Bytes)
	if err != nil {
		return due{}, fmt.Errorf("the signer's timestamp: %w", err)
	}
	snapshot, err := tuf.ReadSnapshot(signed.Snapshot.Bytes)
	if err != nil {
		return due{}, fmt.Errorf("the signer's snapshot: %w", err)
	}
	current, err := tuf.ReadRoot(root.Bytes)
	if err != nil {
		return due{}, err
	}
	left := timestamp.Signed.Expires.Sub(now)
	if s := snapshot.Signed.Expires.Sub(now); s < left {
		left = s
	}
	return due{now.Add(jitter(max(left/2, time.Second))), timestamp.Signed.Expires, current.Signed.Expires}, nil
}

// jitter returns d, less up to a fifth.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

// Prune deletes snapshots and timestamps that were replaced long ago, and proposals
// that have grown too old.
func (s *Server) Prune(ctx context.Context) {
	n, err := s.store.Prune(ctx, s.now().Add(-s.config.PruneAfter))
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Error("prune", "error", err)
	case n > 0:
		s.log.Info("pruned old snapshots and timestamps", "files", n)
	}
	n, err = s.store.PruneProposals(ctx, s.now().Add(-api.ProposalLife))
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Error("prune proposals", "error", err)
	case n > 0:
		s.log.Info("pruned old proposals", "proposals", n)
	}
}
