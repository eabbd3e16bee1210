package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	return s.bring(ctx, repository, at, nil)
}

// Recover brings a repository whose database was restored from a backup up to what
// the signer signed last, as a refresh would, also when more than one root is
// missing: the signer keeps only the newest, so roots are those in between, in any
// order. They are checked like all others. A repository that is not stored at all
// was created after the backup: it is made again where roots has its first one,
// which says whose it is. It tells whether the head has moved.
func (s *Server) Recover(ctx context.Context, repository string, roots []tuf.File) (moved bool, err error) {
	free, err := s.turns.take(ctx, repository)
	if err != nil {
		return false, err
	}
	defer free()
	return s.bring(ctx, repository, nil, roots)
}

// bring is recover, with roots that neither store nor signer have.
func (s *Server) bring(ctx context.Context, repository string, at *attempt, roots []tuf.File) (moved bool, err error) {
	head, err := s.head(ctx, repository)
	if err != nil {
		return false, err
	}
	last, err := s.signer.Last(ctx, repository)
	if err != nil {
		return false, signerError(err)
	}
	if err := s.stillOld(head, last.Root); err != nil {
		return false, err
	}
	again := forgotten(last)
	if !again && head.State.Timestamp.Version >= last.Timestamp.Version {
		return false, nil // another server was faster
	}
	first := slices.ContainsFunc(roots, func(f tuf.File) bool { return f.Version == head.before()+1 })
	if head.Generation == 0 && !at.sameOwner(last) && !first {
		return false, nil // somebody else's, whom nobody has asked for
	}
	by := "" // whose publish it is
	if at.made(last) {
		by = at.token.ID
	}
	next := &tuf.State{Root: head.State.Root, Roles: map[string]tuf.File{}, Snapshot: last.Snapshot, Timestamp: last.Timestamp}
	maps.Copy(next.Roles, head.State.Roles)
	var between, changed []tuf.File
	on := *head // what the last root follows
	newer := string(last.Root) != string(head.State.Root.Bytes)
	if newer && again {
		if newer, err = isAbove(last.Root, head.before()); err != nil {
			return false, err
		}
	}
	if newer {
		chain, err := nextRoots(repository, head, roots, last.Root)
		if err != nil {
			return false, err
		}
		between, next.Root = chain[:len(chain)-1], chain[len(chain)-1]
		changed = append(changed, next.Root)
		switch {
		case len(between) > 0:
			on.State.Root = between[len(between)-1]
		case head.Generation == 0 && first:
			on.State.Root = tuf.File{Role: tuf.RoleRoot, Version: next.Root.Version - 1, Bytes: last.Root} // its own keys sign it
		}
	}
	for _, file := range last.Roles {
		stored, ok := head.State.Roles[file.Role]
		if ok && file.Version < stored.Version && !again {
			return false, &signerDown{why: fmt.Sprintf("it last saw %s version %d, and version %d is stored, so it was restored from an old backup", file.Role, file.Version, stored.Version)}
		}
		if !ok || file.Version > stored.Version {
			next.Roles[file.Role] = file
			changed = append(changed, file)
		}
	}
	if again && len(changed) == 0 {
		return false, nil
	}
	root, err := tuf.ReadRoot(next.Root.Bytes)
	if err != nil {
		return false, err
	}
	tree, err := tuf.CheckTree(repository, root, next.Roles, s.config.Limits)
	if err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	if err := s.checkLate(repository, &on, changed, tree); err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	if again {
		signed, err := s.sign(ctx, repository, head, next)
		if err != nil {
			return false, err
		}
		last.Signed = *signed
	}
	signedAt, err := inDate(s.now(), root, &last.Signed)
	if err != nil {
		return false, err
	}
	if err := checkSigned(repository, next, signedAt); err != nil {
		return false, fmt.Errorf("what the signer signed last for %s: %w", repository, err)
	}
	generation, err := s.commit(ctx, repository, head, next, slices.Concat(between, changed), &last.Signed, by)
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

// forgotten tells whether the signer was raised, or restored from a backup, and so knows
// what it accepted last but not what it signed for it.
func forgotten(last *signerapi.Last) bool { return last.Timestamp.Bytes == nil }

// isAbove tells whether a root is above a version.
func isAbove(data []byte, version int64) (bool, error) {
	root, err := tuf.ReadRoot(data)
	return err == nil && root.Signed.Version > version, err
}

// stillOld refuses what the signer knows of a repository that was retired here, and
// not there.
func (s *Server) stillOld(head *Head, last []byte) error {
	if head.Retired == 0 {
		return nil
	}
	root, err := tuf.ReadRoot(last)
	if err == nil && root.Signed.Version > head.Floors[tuf.RoleRoot] {
		return nil
	}
	return &signerDown{why: "it knows the repository as it was before it was retired; its operator runs signet-signer retire, as signet-server retire said", cause: err}
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
	var on *tuf.State // nil for the first publish
	if cur.Root.Bytes != nil {
		on = &cur
	} else if head.Retired > 0 {
		rules.Floors = map[string]int64{} // one below each, since the signer may know of more
		for _, file := range files {
			rules.Floors[file.Role] = file.Version - 1
		}
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

// before is the version of the root that the next one has to follow: of a name that was
// retired, the last that it had.
func (h *Head) before() int64 {
	if h.Retired > 0 {
		return h.Floors[tuf.RoleRoot]
	}
	return h.State.Root.Version
}

// nextRoots returns the roots from the one that follows the stored one, or the
// first, to last. Those in between are looked for in given. Each is checked.
func nextRoots(repository string, head *Head, given []tuf.File, last []byte) ([]tuf.File, error) {
	newest, err := tuf.ReadRoot(last)
	if err != nil {
		return nil, err
	}
	stored, by := head.before(), newest
	if head.Generation > 0 {
		if by, err = tuf.ReadRoot(head.State.Root.Bytes); err != nil {
			return nil, err
		}
	}
	if i := slices.IndexFunc(given, func(f tuf.File) bool { return f.Version == stored+1 }); i >= 0 && head.Generation == 0 {
		if by, err = tuf.ReadRoot(given[i].Bytes); err != nil {
			return nil, err
		}
		if newest.Signed.Version == stored+1 && !bytes.Equal(given[i].Bytes, last) {
			return nil, &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: stored + 1, Rule: tuf.RuleRootChain, Clause: "TUF §5.3.4",
				Detail: "the root that the signer knows is another one"}
		}
	}
	if newest.Signed.Version <= stored {
		return nil, &signerDown{why: fmt.Sprintf("it last saw root version %d, and version %d is stored, so one of them was restored from an old backup", newest.Signed.Version, stored)}
	}
	var chain []tuf.File
	for version := stored + 1; version <= newest.Signed.Version; version++ {
		file := tuf.File{Role: tuf.RoleRoot, Version: version, Bytes: last}
		if version < newest.Signed.Version {
			i := slices.IndexFunc(given, func(f tuf.File) bool { return f.Version == version })
			if i < 0 {
				return nil, &signerDown{why: fmt.Sprintf("it last saw root version %d, version %d is stored, and root version %d is missing, so the database was restored from an old backup; "+
					"signet-server recover --root puts it back", newest.Signed.Version, stored, version)}
			}
			file.Bytes = given[i].Bytes
		}
		root, err := tuf.ReadRoot(file.Bytes)
		if err != nil {
			return nil, err
		}
		if name := tuf.RepositoryOf(root); root.Signed.Version != version || name != repository {
			return nil, &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: version, Rule: tuf.RuleRepository, Clause: "Signet profile: " + tuf.MemberRepository,
				Detail: fmt.Sprintf("the file is root version %d of %.120q", root.Signed.Version, name)}
		}
		for _, keys := range []*tuf.Root{by, root} {
			if err := tuf.VerifyRoot(keys, root); err != nil {
				return nil, fmt.Errorf("root version %d of %s: %w", version, repository, err)
			}
		}
		chain, by = append(chain, file), root
	}
	return chain, nil
}
