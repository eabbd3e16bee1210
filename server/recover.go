package server

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/signet-trust/signet/tuf"
)

// recover commits what the signer signed last, where the store does not have it: a
// server died, or lost its database, between signing and commit. The publish that
// it belongs to was never acknowledged, and may be there or not, but never half;
// since the signer signs no version twice, it has to be there before the next.
//
// What the signer hands back is checked like a publish: against the stored root,
// by the delegators' keys. It tells whether the head has moved. A database restored from a backup is brought forward
// the same way, as long as no root is missing in between.
func (s *Server) recover(ctx context.Context, repository string, at *attempt) (moved bool, err error) {
	head, err := s.head(ctx, repository)
	if err != nil {
		return false, err
	}
	last, err := s.signer.Last(ctx, repository)
	if err != nil {
		return false, signerError(err)
	}
	if head.State.Timestamp.Version >= last.Timestamp.Version {
		return false, nil // another server was faster
	}
	by := "" // whose publish it is
	if at.made(last) {
		by = at.token.ID
	}
	next := &tuf.State{Root: head.State.Root, Roles: map[string]tuf.File{}, Snapshot: last.Snapshot, Timestamp: last.Timestamp}
	maps.Copy(next.Roles, head.State.Roles)
	var changed []tuf.File
	if string(last.Root) != string(head.State.Root.Bytes) {
		if next.Root, err = nextRoot(repository, head, last.Root); err != nil {
			return false, err
		}
		changed = append(changed, next.Root)
	}
	for _, file := range last.Roles {
		stored, ok := head.State.Roles[file.Role]
		if ok && file.Version < stored.Version {
			return false, &signerDown{why: fmt.Sprintf("it last saw %s version %d, and version %d is stored, so it was restored from an old backup", file.Role, file.Version, stored.Version)}
		}
		if !ok || file.Version > stored.Version {
			next.Roles[file.Role] = file
			changed = append(changed, file)
		}
	}
	root, err := tuf.ReadRoot(next.Root.Bytes)
	if err != nil {
		return false, err
	}
	if _, err := tuf.CheckTree(repository, root, next.Roles, s.config.Limits); err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	if err := checkSigned(repository, next, s.now()); err != nil && !errors.Is(err, tuf.RuleExpired) {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	generation, err := s.commit(ctx, repository, head, next, changed, &last.Signed, by)
	if errors.Is(err, tuf.ErrConflict) {
		return true, nil // whoever had it signed, or another server, was faster
	}
	if err != nil {
		return false, err
	}
	s.metrics.recoveries.Inc()
	s.log.Warn("finished what was signed but not committed", "repository", repository, "generation", generation, "versions", next.Versions(), "token", by)
	return true, nil
}

// nextRoot checks that data is the root that follows the stored one, or the first.
func nextRoot(repository string, head *Head, data []byte) (tuf.File, error) {
	root, err := tuf.ReadRoot(data)
	if err != nil {
		return tuf.File{}, err
	}
	version := root.Signed.Version
	if version != head.State.Root.Version+1 {
		return tuf.File{}, &signerDown{why: fmt.Sprintf("it last saw root version %d, and version %d is stored, so one of them was restored from an old backup", version, head.State.Root.Version)}
	}
	by := root
	if head.Generation > 0 {
		if by, err = tuf.ReadRoot(head.State.Root.Bytes); err != nil {
			return tuf.File{}, err
		}
	}
	if err := tuf.VerifyRoot(by, root); err != nil {
		return tuf.File{}, err
	}
	if err := tuf.VerifyRoot(root, root); err != nil {
		return tuf.File{}, err
	}
	return tuf.File{Role: tuf.RoleRoot, Version: version, Bytes: data}, nil
}
