package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// recordPattern makes a tag pattern that of the records under these tags.
const recordPattern = "@sha256:*"

// signerPaths returns the target paths that tag patterns stand for: of the tags,
// and of the records of what was signed under them.
func signerPaths(repository string, tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, errors.New("a signer has at least one tag pattern, such as release-*")
	}
	var paths []string
	for _, pattern := range tags {
		if plain := strings.NewReplacer("*", "x", "?", "x").Replace(pattern); tuf.CheckTag(plain) != nil {
			return nil, fmt.Errorf("%q is not a pattern of tags: a tag in which '*' and '?' stand for other characters", tidy(pattern, maxName))
		}
		if path := tuf.TagPath(repository, pattern); !slices.Contains(paths, path) {
			paths = append(paths, path, path+recordPattern)
		}
	}
	return paths, nil
}

// CheckTags refuses what are no patterns of tags that a signer could have: none at
// all, or one that is no tag in which '*' and '?' stand for other characters.
func CheckTags(patterns []string) error {
	_, err := signerPaths("x", patterns)
	return err
}

// prepareAddSigner implements PrepareAddSigner.
func (p *Publisher) prepareAddSigner(ctx context.Context, r AddSignerRequest) (*Prepared, error) {
	r.Keys = atLeastOne(r.Keys)
	paths, err := signerPaths(r.Repository, r.Tags)
	if err = errors.Join(err, tuf.CheckRoleName(r.Name), possible(r.Name, r.Keys)); err != nil {
		return nil, err
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	build := func(ctx context.Context, cur *current) ([]*draft, error) { return p.buildAddSigner(ctx, cur, r, paths) }
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildAddSigner(ctx context.Context, cur *current, r AddSignerRequest, paths []string) ([]*draft, error) {
	parent := r.Parent
	if parent == "" {
		parent = tuf.RoleTargets
	}
	if _, ok := cur.roles[parent]; !ok {
		return nil, fmt.Errorf("%s has no signer %q to stand above %s: %w", r.Repository, tidy(parent, maxName), r.Name, tuf.ErrNotFound)
	}
	new := metadata.DelegatedRole{Name: r.Name, Terminating: r.Terminating, Paths: paths}
	for _, name := range cur.names {
		if name == r.Name && cur.isSigner(parent, r.Before, new, r.Keys) {
			return nil, nil
		}
		if strings.EqualFold(name, r.Name) {
			return nil, fmt.Errorf("%s has the signer %s, with other keys or tags, in another place, or in another spelling: %w", r.Repository, name, ErrExists)
		}
	}
	d, err := p.next(ctx, cur, parent)
	if err != nil {
		return nil, err
	}
	if d.targets.Signed.Delegations == nil {
		d.targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	to := d.targets.Signed.Delegations
	if to.SuccinctRoles != nil {
		return nil, fmt.Errorf("%s of %s delegates to hash bins, beside which no signer can stand: %w", parent, r.Repository, ErrRoleKeys)
	}
	to.Roles = append(to.Roles, delegatedTo(d.targets, new, r.Keys))
	if to.Roles, err = place(to.Roles, r.Name, r.Before); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Repository, err)
	}
	chains := tuf.TargetsAttestations(d.targets)
	attest(chains, r.Attestations, r.Keys)
	dropUnusedKeys(d.targets, chains)
	keys := cur.roles[parent].keys
	d.signers = pick(keys, r.Signers)
	d.warnings = append(beyond(r.Name, parent, paths, cur), cur.otherMeanings(parent, d.targets)...)
	// The snapshot lists signers for ever, so a name goes on from its last version.
	own := &draft{role: r.Name, targets: p.newTargets(r.Name, cur.listed[r.Name]+1), signers: pick(r.Keys, r.Signers)}
	if err := p.enough(d, parent, r.Repository, keys); err != nil {
		return nil, err
	}
	if err := p.enough(own, r.Name, r.Repository, r.Keys); err != nil {
		return nil, fmt.Errorf("the new signer's first file is signed by its own keys: %w", err)
	}
	return []*draft{d, own}, nil
}

// isSigner tells whether parent delegates just this to just these keys already, in
// the place that is asked for.
func (c *current) isSigner(parent, before string, want metadata.DelegatedRole, keys tuf.RoleKeys) bool {
	r := c.roles[want.Name]
	if r.delegator != parent || !sameKeys(keys, r.keys) {
		return false
	}
	list := c.roles[parent].targets.Signed.Delegations.Roles
	i := slices.IndexFunc(list, func(is metadata.DelegatedRole) bool {
		return is.Name == want.Name && is.Terminating == want.Terminating && slices.Equal(is.Paths, want.Paths)
	})
	return i >= 0 && (before == "" || i+1 < len(list) && list[i+1].Name == before)
}

// prepareRemoveSigner implements PrepareRemoveSigner.
func (p *Publisher) prepareRemoveSigner(ctx context.Context, r RemoveSignerRequest) (*Prepared, error) {
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	built := false
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
		if _, ok := cur.roles[r.Name]; !ok && built {
			return nil, nil // somebody else was first, or an answer got lost
		}
		built = true
		return p.buildRemoveSigner(ctx, cur, r)
	}
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildRemoveSigner(ctx context.Context, cur *current, r RemoveSignerRequest) ([]*draft, error) {
	role, err := cur.signer(r.Name)
	if err != nil {
		return nil, err
	}
	d, err := p.next(ctx, cur, role.delegator)
	if err != nil {
		return nil, err
	}
	from := d.targets.Signed.Delegations
	kept := slices.DeleteFunc(slices.Clone(from.Roles), func(role metadata.DelegatedRole) bool { return role.Name == r.Name })
	if len(kept) == len(from.Roles) {
		return nil, fmt.Errorf("%s of %s is one of the hash bins of %s, which go together: %w", r.Name, r.Repository, role.delegator, ErrRoleKeys)
	}
	from.Roles = kept
	dropUnusedKeys(d.targets, tuf.TargetsAttestations(d.targets))
	if len(kept) == 0 {
		d.targets.Signed.Delegations = nil
	}
	keys := cur.roles[role.delegator].keys
	d.signers = pick(keys, r.Signers)
	if err := p.enough(d, role.delegator, r.Repository, keys); err != nil {
		return nil, err
	}
	if tags := cur.onlyBy(r.Name); len(tags) > 0 {
		d.warnings = []string{fmt.Sprintf("these tags are signed by %s alone, and are trusted no more: %s", r.Name, some(tags))}
	}
	if below := cur.below(r.Name); len(below) > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf("with %s go the signers below it: %s", r.Name, some(below)))
	}
	return []*draft{d}, nil
}

// some lists the first of many.
func some(list []string) string {
	const most = 10
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// below lists the signers below role, in the order of the search.
func (c *current) below(role string) []string {
	var names []string
	for _, name := range c.names {
		if d := c.roles[name].delegator; d == role || slices.Contains(names, d) {
			names = append(names, name)
		}
	}
	return names
}

// onlyBy lists the tags that role, or a role below it, lists and no other role
// does that may.
func (c *current) onlyBy(role string) []string {
	under := append(c.below(role), role)
	gone, stays := map[string]bool{}, map[string]bool{}
	for _, name := range c.names {
		for _, entry := range tuf.Entries(c.roles[name].targets) {
			if entry.Image.Repository != c.repository || entry.Image.Digest != "" || !c.mayList(name, entry.Path) {
				continue
			}
			if slices.Contains(under, name) {
				gone[entry.Image.Tag] = true
			} else {
				stays[entry.Image.Tag] = true
			}
		}
	}
	maps.DeleteFunc(gone, func(tag string, _ bool) bool { return stays[tag] })
	return sorted(gone)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// delegatedTo returns role with other keys, which it lists in targets.
func delegatedTo(targets *tuf.Targets, role metadata.DelegatedRole, keys tuf.RoleKeys) metadata.DelegatedRole {
	role.KeyIDs, role.Threshold = []string{}, keys.Threshold
	for _, key := range keys.Keys {
		role.KeyIDs = append(role.KeyIDs, key.ID())
		targets.Signed.Delegations.Keys[key.ID()] = key.Metadata()
	}
	return role
}

// dropUnusedKeys takes keys that no signer has any more out of targets, and puts
// the attestations of the others into it.
func dropUnusedKeys(targets *tuf.Targets, chains map[string][]string) {
	d := targets.Signed.Delegations
	maps.DeleteFunc(d.Keys, func(id string, _ *metadata.Key) bool {
		return !slices.ContainsFunc(d.Roles, func(role metadata.DelegatedRole) bool { return slices.Contains(role.KeyIDs, id) })
	})
	tuf.SetTargetsAttestations(targets, chains)
}
