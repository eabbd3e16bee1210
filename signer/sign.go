package signer

import (
	"context"
	"fmt"
	"time"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// Sign checks what a snapshot is to list and signs snapshot and timestamp for
// it. The snapshot gets the next version when its content changed, when root
// lists another key for it, or when less than a third of its life is left; else
// the last one is used again. The timestamp always gets the next version.
//
// It returns tuf.ErrConflict when root or a role is older than what the signer
// has signed for, or of the same version with another content: somebody else's
// publish came first, and Last has it. A refusal is a *tuf.Refusal or a
// *tuf.ExpiredError. To ask the same again is fine.
func (s *Service) Sign(ctx context.Context, r api.SignRequest) (*api.Signed, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := s.prepareSign(ctx, &r)
	if err != nil {
		return nil, err
	}
	return s.finish(ctx, c)
}

// prepareSign checks and signs. Nothing of it may leave the process before
// finish has made it durable.
func (s *Service) prepareSign(ctx context.Context, r *api.SignRequest) (*commit, error) {
	known, err := s.db.record(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	now := s.now()
	accepted, err := s.config.accept(r, known, now)
	if err != nil {
		return nil, err
	}
	j := job{service: s, repository: r.Repository, root: accepted.root, known: known, now: now}
	changed := len(accepted.changed) > 0
	build := func(version int64, expires time.Time) (*tuf.Snapshot, error) {
		return tuf.NewSnapshot(version, expires, accepted.roles), nil
	}
	signed, fresh, err := j.sign(ctx, changed, build)
	if err != nil {
		return nil, err
	}
	return &commit{repository: r.Repository, base: known, changed: accepted.changed, signed: *signed, fresh: fresh, at: now.Unix()}, nil
}

// Refresh signs a fresh timestamp for what was signed last, and a fresh snapshot
// of the same content when less than a third of its life is left. It returns
// tuf.ErrConflict when the caller's snapshot is not the one that was signed last,
// which Last has, and tuf.ErrNotFound when there is none: the repository is new
// to the signer, or the signer was restored from a backup, and Sign comes first.
func (s *Service) Refresh(ctx context.Context, r api.RefreshRequest) (*api.Signed, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := s.prepareRefresh(ctx, &r)
	if err != nil {
		return nil, err
	}
	return s.finish(ctx, c)
}

func (s *Service) prepareRefresh(ctx context.Context, r *api.RefreshRequest) (*commit, error) {
	known, err := s.db.record(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	if known.snapshot == nil {
		return nil, fmt.Errorf("the signer has signed no snapshot of %s yet, or was restored since: %w", r.Repository, tuf.ErrNotFound)
	}
	last := known.roles[tuf.RoleSnapshot]
	if last.version != r.SnapshotVersion || last.sha256 != r.SnapshotSHA256 {
		return nil, fmt.Errorf("%s: the signer signed snapshot version %d last, not this version %d: %w",
			r.Repository, last.version, r.SnapshotVersion, tuf.ErrConflict)
	}
	root, err := tuf.ReadRoot(known.root)
	if err != nil {
		return nil, unavailable("read the root that was accepted", err)
	}
	now := s.now()
	j := job{service: s, repository: r.Repository, root: root, known: known, now: now}
	signed, fresh, err := j.sign(ctx, false, func(version int64, expires time.Time) (*tuf.Snapshot, error) {
		old, err := tuf.ReadSnapshot(known.snapshot)
		if err != nil {
			return nil, unavailable("read the snapshot that was signed last", err)
		}
		snapshot := tuf.NewSnapshot(version, expires, nil)
		snapshot.Signed.Meta = old.Signed.Meta
		return snapshot, nil
	})
	if err != nil {
		return nil, err
	}
	return &commit{repository: r.Repository, base: known, signed: *signed, fresh: fresh, at: now.Unix()}, nil
}

// finish makes what was signed durable, and only then hands it out.
func (s *Service) finish(ctx context.Context, c *commit) (*api.Signed, error) {
	head, err := s.db.commit(ctx, *c)
	if err != nil {
		return nil, err
	}
	// The head of the log goes where the database's owner may not reach.
	s.config.Log.InfoContext(ctx, "signed", "repository", c.repository, "snapshot", c.signed.Snapshot.Version,
		"timestamp", c.signed.Timestamp.Version, "log_seq", head.seq, "log_hash", head.hash)
	return &c.signed, nil
}

// Last returns what was signed last for repository, for a server that does not
// have it. It returns tuf.ErrNotFound when there is nothing: the repository is
// new to the signer. A signer that was raised, or restored from a backup, returns
// what it accepted, of which nothing steps back, without what it signed for it.
func (s *Service) Last(ctx context.Context, repository string) (*api.Last, error) {
	if err := tuf.CheckRepository(repository); err != nil {
		return nil, err
	}
	return s.db.last(ctx, repository)
}

// A job is the signing of snapshot and timestamp for one repository.
type job struct {
	service    *Service
	repository string
	root       *tuf.Root
	known      *record
	now        time.Time
}

// sign makes the timestamp, and the snapshot by build unless the last one serves.
func (j *job) sign(ctx context.Context, changed bool, build func(version int64, expires time.Time) (*tuf.Snapshot, error)) (signed *api.Signed, fresh bool, err error) {
	keys := map[string]*storedKey{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		ours, err := j.service.db.keys(ctx, j.repository, role)
		if err != nil {
			return nil, false, err
		}
		if keys[role], err = pickKey(j.repository, role, j.root, ours); err != nil {
			return nil, false, err
		}
	}
	signed = &api.Signed{}
	if changed || !j.lastServes(keys[tuf.RoleSnapshot].public) {
		version := j.known.snapshotMark + 1
		snapshot, err := build(version, j.now.Add(j.service.config.SnapshotLife))
		if err != nil {
			return nil, false, err
		}
		data, err := signFile(ctx, j.service.wrapper, keys[tuf.RoleSnapshot], snapshot)
		if err != nil {
			return nil, false, err
		}
		fresh = true
		signed.Snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: version, Bytes: data}
	} else {
		signed.Snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: j.known.roles[tuf.RoleSnapshot].version, Bytes: j.known.snapshot}
	}
	version := j.known.timestampMark + 1
	timestamp := tuf.NewTimestamp(version, j.now.Add(j.service.config.TimestampLife), signed.Snapshot)
	data, err := signFile(ctx, j.service.wrapper, keys[tuf.RoleTimestamp], timestamp)
	if err != nil {
		return nil, false, err
	}
	signed.Timestamp = tuf.File{Role: tuf.RoleTimestamp, Version: version, Bytes: data}
	return signed, fresh, nil
}

// lastServes tells whether the last snapshot can be used again: it is there, more
// than a third of its life is left, and key signed it.
func (j *job) lastServes(key *tuf.Key) bool {
	if j.known.snapshot == nil {
		return false
	}
	last, err := tuf.ReadSnapshot(j.known.snapshot)
	if err != nil {
		return false
	}
	// Nor may the timestamp outlive the snapshot that it names.
	if left := last.Signed.Expires.Sub(j.now); left <= j.service.config.SnapshotLife/3 || left < j.service.config.TimestampLife {
		return false
	}
	payload, err := tuf.Payload(last)
	if err != nil {
		return false
	}
	for _, s := range last.Signatures {
		if s.KeyID == key.ID() && key.Verify(payload, s.Signature) == nil {
			return true
		}
	}
	return false
}
