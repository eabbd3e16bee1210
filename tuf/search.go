package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// MaxRoles is how many roles one search visits at most (§5.6.7.1 leaves the
// number to the client). It bounds what a hostile tree of delegations costs.
const MaxRoles = 256

// A Match is where the search for a target path ended.
type Match struct {
	Path   string // the target path that was searched
	Role   string // the role that lists it: "targets" or a signer's name
	Target Target
}

// A LoadFunc fetches the file of role, to which delegator delegates, and hands it
// to Trusted.UpdateRole.
type LoadFunc func(role, delegator string) error

// Search finds what target path p means, in the order of §5.6.7: targets first,
// then the roles it delegates to, depth first, in the order in which they stand,
// each only for the paths that were delegated to it, and no further than a
// terminating delegation. load is called for every role that was not verified
// under its delegator yet. It returns a *Refusal with RuleAbsent when signed
// metadata proves that nothing is listed, and load's error as it is.
func (t *Trusted) Search(p string, load LoadFunc) (*Match, error) {
	visited := map[string]bool{}
	found, _, err := t.search(p, edge{RoleTargets, RoleRoot}, visited, load)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &Refusal{Repository: t.repository, Role: RoleTargets, Version: t.roleVersion(RoleTargets), Rule: RuleAbsent, Clause: "TUF §5.6.7",
			Detail: fmt.Sprintf("nothing is signed under %q", clip(p))}
	}
	return found, nil
}

func (t *Trusted) roleVersion(role string) int64 {
	if targets := t.set.Targets[role]; targets != nil {
		return targets.Signed.Version
	}
	return 0
}

// search visits one role and then those below it. stop says that a terminating
// delegation ended the search without a match.
func (t *Trusted) search(p string, at edge, visited map[string]bool, load LoadFunc) (found *Match, stop bool, err error) {
	if visited[at.role] {
		return nil, false, nil // §5.6.7.1: a role is visited once, which also ends cycles
	}
	if len(visited) >= MaxRoles {
		return nil, false, &Refusal{Repository: t.repository, Role: at.role, Rule: RuleLimit, Clause: "TUF §5.6.7.1",
			Detail: fmt.Sprintf("the search for %q visited %d roles without an end", clip(p), MaxRoles)}
	}
	visited[at.role] = true
	role, err := t.loaded(at, load)
	if err != nil {
		return nil, false, err
	}
	if file, ok := role.Signed.Targets[p]; ok {
		target, err := targetOf(file)
		if err != nil {
			return nil, false, t.refuse(err, at.role, role.Signed.Version, "TUF §4.5")
		}
		return &Match{Path: p, Role: at.role, Target: target}, false, nil
	}
	for _, next := range delegatesFor(role.Signed.Delegations, p) {
		found, stop, err := t.search(p, edge{next.Name, at.role}, visited, load)
		if err != nil || found != nil || stop || next.Terminating {
			return found, stop || next.Terminating, err // §5.6.7.2.1
		}
	}
	return nil, false, nil
}

// loaded returns the file at the end of an edge, asking load for it if need be.
// The file is verified once for each delegator, not once for all.
func (t *Trusted) loaded(at edge, load LoadFunc) (*Targets, error) {
	if !t.edges[at] {
		if err := load(at.role, at.delegator); err != nil {
			return nil, err
		}
		if !t.edges[at] {
			return nil, fmt.Errorf("load of %s under %s returned without handing it to UpdateRole", at.role, at.delegator)
		}
	}
	if !slices.Contains(t.read, at.role) {
		t.read = append(t.read, at.role)
	}
	return t.set.Targets[at.role], nil
}

// A ReachFunc is shown one role of the name that was looked for: who delegates to
// it, its file, and what that lists under the path, nil for nothing. done ends the
// search.
type ReachFunc func(delegator string, targets *Targets, listed *Target) (done bool, err error)

// Reach visits every role called name, below targets, to which each delegation on
// the way trusts target path p. Unlike Search it asks for one role's word rather
// than for the first: neither what others list nor a terminating delegation ahead
// of it ends it. Each delegation is followed once, at most MaxRoles of them, and
// roles called name first, so that no other role's trouble gets in the way.
func (t *Trusted) Reach(p, name string, load LoadFunc, visit ReachFunc) error {
	_, err := t.reach(p, name, edge{RoleTargets, RoleRoot}, map[edge]bool{}, load, visit)
	return err
}

func (t *Trusted) reach(p, name string, at edge, followed map[edge]bool, load LoadFunc, visit ReachFunc) (done bool, err error) {
	if followed[at] {
		return false, nil
	}
	if len(followed) >= MaxRoles {
		return false, t.tooManyRoles(at.role)
	}
	followed[at] = true
	role, err := t.loaded(at, load)
	if err != nil {
		return false, err
	}
	next := delegatesFor(role.Signed.Delegations, p)
	for _, to := range next {
		if to.Name != name {
			continue
		}
		named, err := t.loaded(edge{name, at.role}, load)
		if err != nil {
			return false, err
		}
		var listed *Target
		if file, ok := named.Signed.Targets[p]; ok {
			target, err := targetOf(file)
			if err != nil {
				return false, t.refuse(err, name, named.Signed.Version, "TUF §4.5")
			}
			listed = &target
		}
		if done, err := visit(at.role, named, listed); done || err != nil {
			return done, err
		}
	}
	for _, to := range next {
		if done, err := t.reach(p, name, edge{to.Name, at.role}, followed, load, visit); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// Walk visits targets and then every named role below it, in the order of the
// search for a path that all may sign, and calls visit with each. It answers
// questions that name no path: which tags are signed, under which tag is a digest
// trusted. Hash bins are visited too, up to MaxRoles roles in all.
func (t *Trusted) Walk(load LoadFunc, visit func(role, delegator string, targets *Targets) error) error {
	return t.walk(edge{RoleTargets, RoleRoot}, map[string]bool{}, load, visit)
}

func (t *Trusted) walk(at edge, visited map[string]bool, load LoadFunc, visit func(string, string, *Targets) error) error {
	if visited[at.role] {
		return nil
	}
	if len(visited) >= MaxRoles {
		return t.tooManyRoles(at.role)
	}
	visited[at.role] = true
	role, err := t.loaded(at, load)
	if err != nil {
		return err
	}
	if err := visit(at.role, at.delegator, role); err != nil {
		return err
	}
	names, ok := delegateNames(role.Signed.Delegations)
	if !ok {
		return t.tooManyRoles(at.role)
	}
	for _, name := range names {
		if err := t.walk(edge{name, at.role}, visited, load, visit); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trusted) tooManyRoles(role string) error {
	return &Refusal{Repository: t.repository, Role: role, Rule: RuleLimit, Clause: "TUF §5.6.7.1",
		Detail: fmt.Sprintf("the tree has more than %d roles; ask for a tag instead", MaxRoles)}
}

// delegateNames lists the roles that d delegates to; ok is false when there are
// more of them than any walk visits, so that none is fetched in vain.
func delegateNames(d *metadata.Delegations) (names []string, ok bool) {
	if d == nil {
		return nil, true
	}
	if d.Roles == nil && d.SuccinctRoles != nil {
		if d.SuccinctRoles.BitLength > 30 || 1<<d.SuccinctRoles.BitLength >= MaxRoles {
			return nil, false
		}
		return d.SuccinctRoles.GetRoles(), true
	}
	for _, role := range d.Roles {
		names = append(names, role.Name)
	}
	return names, len(names) < MaxRoles
}

// delegatesFor lists the roles that d trusts for path p, in order.
func delegatesFor(d *metadata.Delegations, p string) []metadata.RoleResult {
	if d == nil {
		return nil
	}
	if d.Roles == nil && d.SuccinctRoles != nil {
		return d.SuccinctRoles.GetRolesForTarget(p)
	}
	var roles []metadata.RoleResult
	for _, role := range d.Roles {
		if Delegated(role, p) {
			roles = append(roles, metadata.RoleResult{Name: role.Name, Terminating: role.Terminating})
		}
	}
	return roles
}

// Delegated tells whether role may sign target path p: one of its paths matches,
// or one of its path_hash_prefixes begins the hex SHA-256 of p (§4.5). Wildcards
// do not match '/', and in the path of a record, REPOSITORY:TAG@DIGEST, they do
// not match '@': a signer of the tags *0 must not reach the record of another tag
// whose digest happens, or was made, to end in 0.
func Delegated(role metadata.DelegatedRole, p string) bool {
	for _, pattern := range role.Paths {
		if matchPath(pattern, p) {
			return true
		}
	}
	if len(role.PathHashPrefixes) == 0 {
		return false
	}
	sum := sha256.Sum256([]byte(p))
	hash := hex.EncodeToString(sum[:])
	for _, prefix := range role.PathHashPrefixes {
		if prefix != "" && strings.HasPrefix(hash, strings.ToLower(prefix)) {
			return true
		}
	}
	return false
}

// matchPath matches one component at a time: path.Match alone would let a class
// such as [^a] match a '/' (§4.5: wildcards do not).
func matchPath(pattern, p string) bool {
	if tag, digest, ok := strings.Cut(p, "@"); ok && CheckDigest(digest) == nil {
		tagPattern, digestPart, ok := strings.Cut(pattern, "@")
		return ok && matchPath(tagPattern, tag) && matchPath(digestPart, digest)
	}
	patterns, components := strings.Split(pattern, "/"), strings.Split(p, "/")
	if len(patterns) != len(components) {
		return false
	}
	for i := range patterns {
		if ok, err := path.Match(patterns[i], components[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
