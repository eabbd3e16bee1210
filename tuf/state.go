package tuf

import (
	"fmt"
	"time"
)

// CheckState holds a repository's files together as a client without a cache
// would: root by its own keys, timestamp, snapshot, targets and every signer. It
// is the last look of a server, or of an admin, at what is to be served. It
// returns the verified metadata.
func CheckState(repository string, s *State, now time.Time, limits Limits) (*Trusted, error) {
	t, err := NewTrusted(repository, s.Root.Bytes, now, limits)
	if err != nil {
		return nil, err
	}
	if err := t.UpdateTimestamp(s.Timestamp.Bytes); err != nil {
		return nil, err
	}
	if err := t.UpdateSnapshot(s.Snapshot.Bytes, false); err != nil {
		return nil, err
	}
	load := func(role, delegator string) error {
		file, ok := s.Roles[role]
		if !ok {
			return fmt.Errorf("%s of %s: %w", role, repository, ErrNotFound)
		}
		return t.UpdateRole(file.Bytes, role, delegator)
	}
	if err := t.Walk(load, func(string, string, *Targets) error { return nil }); err != nil {
		return nil, err
	}
	return t, nil
}

// CheckTree verifies what a snapshot is to list, as a client would, but without
// judging time: every role below targets by the keys of whoever delegates to it,
// each path inside of what the role may sign, all names of this repository. root
// is trusted already. It returns the names of the roles that are reachable, with
// their parsed files; roles that were removed from the tree are not among them.
//
// The signer runs it: it must not become an oracle that vouches for anything
// that a client would refuse (DESIGN, section 5).
func CheckTree(repository string, root *Root, roles map[string]File, limits Limits) (tree map[string]*Targets, err error) {
	defer recoverShape(&err)
	if name := RepositoryOf(root); name != repository {
		return nil, &Refusal{Repository: repository, Role: RoleRoot, Version: root.Signed.Version, Rule: RuleRepository,
			Clause: "Signet profile: " + MemberRepository, Detail: fmt.Sprintf("root names the repository %q", clip(name))}
	}
	p := publish{
		repository: repository,
		cur:        &State{Roles: roles},
		rules:      PublishRules{Limits: limits.orDefault()},
		effective:  root,
		stored:     map[string]*Targets{},
		fresh:      map[string]bool{},
	}
	for name, file := range roles {
		if name != RoleTargets {
			if err := CheckRoleName(name); err != nil {
				return nil, p.named(err, file)
			}
		}
		targets, err := ReadTargets(file.Bytes)
		if err == nil && targets.Signed.Version != file.Version {
			err = p.refuse(name, file.Version, RuleVersion, "Signet publish", "the file states version %d", targets.Signed.Version)
		}
		if err == nil {
			err = checkTargets(repository, name, targets)
		}
		if err != nil {
			return nil, p.named(err, file)
		}
		p.stored[name] = targets
	}
	if err := p.checkRoles(); err != nil {
		return nil, err
	}
	return p.tree, nil
}
