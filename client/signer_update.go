package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// An UpdateSignerRequest asks for a signer to be changed. What is left out stays as
// it is; what is so already is left alone, so that the same request again does
// nothing.
type UpdateSignerRequest struct {
	Repository  string   `json:"repository"`
	Name        string   `json:"name"`
	Tags        []string `json:"tags,omitempty"`        // patterns of the tags that it may sign from now on, in place of those before
	Terminating *bool    `json:"terminating,omitempty"` // whether no signer after it is asked for these tags
	Before      string   `json:"before,omitempty"`      // the signer beside it that it is to be asked just ahead of
	Last        bool     `json:"last,omitempty"`        // it is to be asked after all others beside it
	// Add, Remove, Threshold and Attestations are as in a ChangeKeysRequest.
	Add          []*tuf.Key          `json:"add,omitempty"`
	Remove       []string            `json:"remove,omitempty"`
	Threshold    int                 `json:"threshold,omitempty"`
	Attestations map[string][]string `json:"attestations,omitempty"`
	// Life is how long from now the signer's own file is to live, which its own keys
	// sign for; 0 leaves it.
	Life time.Duration `json:"life,omitempty"`
	// Signers hold the keys at hand, best first: of whoever delegates to the signer
	// and, where its file has to be signed anew, its own.
	Signers []tuf.Signer `json:"-"`
}

// UpdateSigner changes a signer's tags, keys, threshold, place in the order or life.
func (p *Publisher) UpdateSigner(ctx context.Context, request UpdateSignerRequest) (*Published, error) {
	d, err := p.PrepareUpdateSigner(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareUpdateSigner prepares what UpdateSigner does.
func (p *Publisher) PrepareUpdateSigner(ctx context.Context, request UpdateSignerRequest) (*Prepared, error) {
	d, err := p.prepareUpdateSigner(ctx, request)
	return d.meant(Intent{UpdateSigner: &request}), err
}

func (p *Publisher) prepareUpdateSigner(ctx context.Context, r UpdateSignerRequest) (*Prepared, error) {
	if r.Before != "" && r.Last {
		return nil, fmt.Errorf("%s is to be asked ahead of %s, and last of all", r.Name, r.Before)
	}
	if r.Life < 0 {
		return nil, errors.New("a life below zero")
	}
	var paths []string
	if r.Tags != nil {
		var err error
		if paths, err = signerPaths(r.Repository, r.Tags); err != nil {
			return nil, err
		}
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
		return p.buildUpdateSigner(ctx, cur, r, paths)
	}
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildUpdateSigner(ctx context.Context, cur *current, r UpdateSignerRequest, paths []string) ([]*draft, error) {
	role, err := cur.signer(r.Name)
	if err != nil {
		return nil, err
	}
	d, err := p.next(ctx, cur, role.delegator)
	if err != nil {
		return nil, err
	}
	list := d.targets.Signed.Delegations.Roles
	i := slices.IndexFunc(list, func(d metadata.DelegatedRole) bool { return d.Name == r.Name })
	if i < 0 {
		return nil, fmt.Errorf("%s of %s is one of the hash bins of %s, which are all alike: %w", r.Name, r.Repository, role.delegator, ErrRoleKeys)
	}
	keys := ChangeKeysRequest{Repository: r.Repository, Role: r.Name, Add: r.Add, Remove: r.Remove, Threshold: r.Threshold}
	after, err := keys.apply(role.keys, true)
	if err != nil {
		return nil, err
	}
	chains := tuf.TargetsAttestations(d.targets)
	changed := attest(chains, r.Attestations, after) || !sameKeys(role.keys, after)
	now := list[i]
	if paths != nil && !slices.Equal(now.Paths, paths) {
		now.Paths, changed = paths, true
	}
	if r.Terminating != nil && now.Terminating != *r.Terminating {
		now.Terminating, changed = *r.Terminating, true
	}
	list[i] = delegatedTo(d.targets, now, after)
	if r.Before != "" || r.Last {
		ordered, err := place(list, r.Name, r.Before)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Repository, err)
		}
		changed = changed || ordered[i].Name != r.Name
		d.targets.Signed.Delegations.Roles = ordered
	}
	var drafts []*draft
	if changed {
		dropUnusedKeys(d.targets, chains)
		by := cur.roles[role.delegator].keys
		d.signers = pick(by, r.Signers)
		if err := p.enough(d, role.delegator, r.Repository, by); err != nil {
			return nil, err
		}
		d.warnings = append(beyond(r.Name, role.delegator, now.Paths, cur), cur.otherMeanings(role.delegator, d.targets)...)
		drafts = append(drafts, d)
	}
	then := cur.with(role.delegator, d.targets)
	own, err := p.ownAnew(ctx, cur, r, after, then.outside(r.Name))
	drafts = append(drafts, own...)
	for _, name := range cur.below(r.Name) {
		out := then.outside(name)
		if err != nil || len(out) == 0 {
			continue
		}
		var without *draft
		if without, err = p.without(ctx, cur, name, out, cur.roles[name].keys, r.Signers); err == nil {
			drafts = append(drafts, without)
		}
	}
	return drafts, err
}

// with returns what is there with another file of one role.
func (c *current) with(role string, targets *tuf.Targets) *current {
	then := *c
	then.roles = maps.Clone(c.roles)
	r := then.roles[role]
	r.targets = targets
	then.roles[role] = r
	return &then
}

// outside lists the target paths that a role lists, and may not.
func (c *current) outside(role string) []string {
	var paths []string
	for _, path := range slices.Sorted(maps.Keys(c.roles[role].targets.Signed.Targets)) {
		if !c.mayList(role, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// without returns the next file of a role without some paths: a server takes no file
// that lists what its role may not sign, and only the role's keys can mend that.
func (p *Publisher) without(ctx context.Context, cur *current, role string, paths []string, keys tuf.RoleKeys, signers []tuf.Signer) (*draft, error) {
	d, err := p.next(ctx, cur, role)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		delete(d.targets.Signed.Targets, path)
	}
	d.signers = pick(keys, signers)
	err = p.enough(d, role, cur.repository, keys)
	switch {
	case err != nil && len(paths) == 0:
		return nil, fmt.Errorf("how long its file lives the signer's own keys say: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%s lists what it may not sign any more (%s), so its file is signed anew without that: %w", role, some(paths), err)
	}
	return d, nil
}

// ownAnew signs a signer's own file anew where its life is to be another, where it
// lists what it may not any more, or where too few of the keys that it has from now
// on have signed it.
func (p *Publisher) ownAnew(ctx context.Context, cur *current, r UpdateSignerRequest, keys tuf.RoleKeys, outside []string) ([]*draft, error) {
	wanted := p.Client.config.Now().Add(r.Life)
	early := wanted.Sub(cur.roles[r.Name].targets.Signed.Expires)
	// The same request again some hours later finds it done.
	asWanted := r.Life == 0 || early >= 0 && early < min(24*time.Hour, r.Life/2)
	if asWanted && len(outside) == 0 {
		return p.signAnew(ctx, cur, r.Name, keys, r.Signers)
	}
	d, err := p.without(ctx, cur, r.Name, outside, keys, r.Signers)
	if err != nil {
		return nil, err
	}
	if r.Life > 0 {
		d.targets.Signed.Expires = wanted.UTC().Truncate(time.Second)
	}
	return []*draft{d}, nil
}

// signer returns a delegated role.
func (c *current) signer(name string) (currentRole, error) {
	role, ok := c.roles[name]
	if !ok || name == tuf.RoleTargets {
		return role, fmt.Errorf("%s has no signer %q: %w", c.repository, tidy(name, maxName), tuf.ErrNotFound)
	}
	return role, nil
}

// place returns roles with the one called name just ahead of the one called before,
// or last when before is empty (§5.6.7.2: they are asked in this order).
func place(roles []metadata.DelegatedRole, name, before string) ([]metadata.DelegatedRole, error) {
	i := slices.IndexFunc(roles, func(d metadata.DelegatedRole) bool { return d.Name == name })
	moved := roles[i]
	rest := slices.Delete(slices.Clone(roles), i, i+1)
	to := len(rest)
	if before != "" {
		if to = slices.IndexFunc(rest, func(d metadata.DelegatedRole) bool { return d.Name == before }); to < 0 {
			return nil, fmt.Errorf("there is no other signer %q beside %s to be asked ahead of: %w", tidy(before, maxName), name, tuf.ErrNotFound)
		}
	}
	return slices.Insert(rest, to, moved), nil
}

// beyond warns of paths that parent may not sign itself: what a signer below it
// lists there counts for nothing (§5.6.7).
func beyond(name, parent string, paths []string, cur *current) []string {
	if parent == tuf.RoleTargets {
		return nil
	}
	var may []string
	if d := cur.roles[cur.roles[parent].delegator].targets; d != nil {
		may, _ = delegationOf(d, parent)
	}
	var out []string
	for _, path := range paths {
		if !slices.ContainsFunc(may, func(wide string) bool { return covers(wide, path) }) && !strings.HasSuffix(path, recordPattern) {
			out = append(out, strings.TrimPrefix(path, cur.repository+":"))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s itself may not sign all of the tags %s: what %s signs beyond that counts for nothing", parent, strings.Join(out, ", "), name)}
}

// covers tells whether a pattern of '*' and '?' surely fits all that narrow fits. A
// '*' of narrow is a character that only a '*' fits.
func covers(wide, narrow string) bool {
	w, n, star, from := 0, 0, -1, 0
	for n < len(narrow) {
		switch {
		case w < len(wide) && wide[w] == '*':
			star, from = w, n
			w++
		case w < len(wide) && narrow[n] != '*' && (wide[w] == '?' || wide[w] == narrow[n]):
			w, n = w+1, n+1
		case star >= 0: // the last '*' takes one more
			from++
			w, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(wide[w:], "*") == ""
}

// otherMeanings warns of tags that mean nothing, or something else, once the file of
// role is targets: patterns and the order of signers decide which entry counts.
func (c *current) otherMeanings(role string, targets *tuf.Targets) []string {
	then := c.with(role, targets)
	entries := c.entries()
	var gone, other []string
	tags := map[string]bool{}
	for _, listed := range entries {
		for path := range listed {
			tags[path] = true
		}
	}
	for _, path := range sorted(tags) {
		before, by := c.meaning(path, entries)
		after, _ := then.meaning(path, entries)
		tag := strings.TrimPrefix(path, c.repository+":")
		switch {
		case before == after || by == "":
		case after == "":
			gone = append(gone, tag)
		default:
			other = append(other, tag)
		}
	}
	var warnings []string
	if len(gone) > 0 {
		warnings = append(warnings, "these tags are trusted no more: "+some(gone))
	}
	if len(other) > 0 {
		warnings = append(warnings, "these tags mean another digest then, since another signer is asked first: "+some(other))
	}
	return warnings
}

// overruled warns of tags that role is about to sign, and that go on to mean what a
// role ahead of it says.
func (c *current) overruled(role string, targets *tuf.Targets, tags []TagTarget) []string {
	if len(c.names) < 2 {
		return nil
	}
	then := c.with(role, targets)
	entries := then.entries()
	var warnings []string
	for _, tag := range tags {
		is, by := then.meaning(tuf.TagPath(c.repository, tag.Tag), entries)
		if is != tag.Target.Digest && by != "" {
			warnings = append(warnings, fmt.Sprintf("the tag %s goes on to mean %s: %s is asked ahead of %s", tag.Tag, is, by, role))
		}
	}
	return warnings
}

// entries are the digests of all tags' paths, by role.
func (c *current) entries() map[string]map[string]string {
	all := map[string]map[string]string{}
	for name, role := range c.roles {
		all[name] = map[string]string{}
		for _, entry := range tuf.Entries(role.targets) {
			if entry.Image.Repository == c.repository && entry.Image.Digest == "" {
				all[name][entry.Path] = entry.Target.Digest
			}
		}
	}
	return all
}

// meaning runs the search for a path (§5.6.7) over what was read, and returns the
// digest and who lists it.
func (c *current) meaning(path string, entries map[string]map[string]string) (digest, by string) {
	visited := map[string]bool{}
	var visit func(role string) (stop bool)
	visit = func(role string) bool {
		if visited[role] {
			return false
		}
		visited[role] = true
		if is, ok := entries[role][path]; ok {
			digest, by = is, role
			return true
		}
		d := c.roles[role].targets.Signed.Delegations
		if d == nil {
			return false
		}
		for _, next := range d.Roles {
			if _, ok := c.roles[next.Name]; ok && tuf.Delegated(next, path) && (visit(next.Name) || next.Terminating) {
				return true
			}
		}
		return false
	}
	visit(tuf.RoleTargets)
	return digest, by
}
