package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// recover commits what the signer signed last, where the store does not have it: a
// server died, or lost its database, between signing and commit. The publish that
// it belongs to was never acknowledged, and may be there or not, but never half;
// since the signer signs no version twice, it has to be there before the next.
//
// What the signer hands back is checked like a publish: against the stored root,
// by the delegators' keys, and by this server's rules for the name. A repository
// that is not stored is never made of it, but for the publish at hand (at), or one
// by the same root keys. It tells whether the head has moved. A database restored
// from a backup is brought forward the same way, as long as no root is missing in
// between.
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
	if head.Generation == 0 && !at.sameOwner(last) {
		return false, nil // somebody else's, whom nobody has asked for
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
	tree, err := tuf.CheckTree(repository, root, next.Roles, s.config.Limits)
	if err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	if err := s.checkLate(repository, head, changed, tree); err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	signedAt, err := inDate(s.now(), root, &last.Signed)
	if err != nil {
		return false, err
	}
	if err := checkSigned(repository, next, signedAt); err != nil {
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

// checkLate holds files that are committed late to the rules for a publish. They
// may be several versions above the stored ones, since the signer knows no more
// than the last, and may have expired since: the rules are read as of a time when
// they were in date. Files that no role delegates to any more are left out: nobody
// reads them, and CheckPublish takes none of them.
func (s *Server) checkLate(repository string, head *Head, late []tuf.File, tree map[string]*tuf.Targets) error {
	rule := s.rule(repository)
	rules := tuf.PublishRules{Now: s.now(), Limits: s.config.Limits, MaxLife: s.maxLife(rule), RootKeys: rule.RootKeys}
	cur := head.State
	cur.Roles = map[string]tuf.File{}
	maps.Copy(cur.Roles, head.State.Roles)
	var files []tuf.File
	for _, file := range late {
		switch {
		case file.Role == tuf.RoleRoot:
			root, err := tuf.ReadRoot(file.Bytes)
			if err != nil {
				return err
			}
			rules.Now = before(rules.Now, root.Signed.Expires)
		case tree[file.Role] == nil:
			continue
		default:
			rules.Now = before(rules.Now, tree[file.Role].Signed.Expires)
			cur.Roles[file.Role] = tuf.File{Role: file.Role, Version: file.Version - 1, Bytes: cur.Roles[file.Role].Bytes}
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return nil
	}
	var on *tuf.State
	if head.Generation > 0 {
		on = &cur
	}
	_, changed, err := tuf.CheckPublish(repository, on, files, rules)
	if err != nil {
		return err
	}
	return demand(rule.Hardware, repository, head, changed, rules.Now)
}

// before returns now, or the last moment before expires.
func before(now, expires time.Time) time.Time {
	if last := expires.Add(-time.Second); last.Before(now) {
		return last
	}
	return now
}

// inDate returns a time at which root and what was signed were all in date, the
// present one if possible, so that expiry hides no other fault.
func inDate(now time.Time, root *tuf.Root, signed *signerapi.Signed) (time.Time, error) {
	timestamp, err := tuf.ReadTimestamp(signed.Timestamp.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	snapshot, err := tuf.ReadSnapshot(signed.Snapshot.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return before(before(before(now, timestamp.Signed.Expires), snapshot.Signed.Expires), root.Signed.Expires), nil
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
