package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// expires is when a file of role that is made now expires.
func (p *Publisher) expires(role string) time.Time {
	life, ok := p.Life[role]
	if !ok && !tuf.IsTopLevel(role) {
		life, ok = p.Life["signer"]
	}
	if !ok {
		life = DefaultLife(role)
	}
	return p.Client.config.Now().Add(life).UTC().Truncate(time.Second)
}

// anchorFor returns the pins for a repository, with this publisher's server to
// fetch from.
func (p *Publisher) anchorFor(repository string) (*Anchor, error) {
	anchor := p.Anchor
	if anchor == nil {
		var err error
		if anchor, err = p.Client.config.Anchors.For(repository); err != nil {
			return nil, err
		}
	}
	return p.here(*anchor), nil
}

func (p *Publisher) here(anchor Anchor) *Anchor {
	anchor.Servers, anchor.CA, anchor.PlainHTTP = []string{p.Server.URL}, p.Server.CA, p.Server.PlainHTTP
	return &anchor
}

// next returns a copy of role's file, one version up, unsigned. A new root lists
// the online keys that the signer holds now, which are others than before when
// the server's operator rotated them.
func (p *Publisher) next(ctx context.Context, cur *current, role string) (*draft, error) {
	if role == tuf.RoleRoot {
		root, err := tuf.ReadRoot(cur.rootBytes)
		if err != nil {
			return nil, err
		}
		root.Signatures, root.UnrecognizedFields = nil, nil
		root.Signed.Version++
		root.Signed.Expires = p.expires(role)
		online, err := p.onlineKeys(ctx, cur.repository)
		if err != nil {
			return nil, err
		}
		for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
			if err := tuf.SetRoleKeys(root, role, tuf.RoleKeys{Keys: []*tuf.Key{online[role]}, Threshold: 1}); err != nil {
				return nil, err
			}
		}
		return &draft{role: role, root: root, oldRoot: cur.root}, nil
	}
	old := cur.roles[role]
	targets, err := tuf.CopyTargets(old.targets)
	if err != nil {
		return nil, err
	}
	targets.Signed.Version++
	targets.Signed.Expires = p.expires(role)
	return &draft{role: role, targets: targets, oldTargets: old.targets}, nil
}

// init implements Init.
func (p *Publisher) init(ctx context.Context, r InitRequest) (*Published, error) {
	if err := tuf.CheckRepository(r.Repository); err != nil {
		return nil, err
	}
	rootSigners, targetsSigners := signersOf(r.Root, r.Signers), signersOf(r.Targets, r.Signers)
	keys := map[string]tuf.RoleKeys{tuf.RoleRoot: atLeastOne(r.Root), tuf.RoleTargets: atLeastOne(r.Targets)}
	if err := errors.Join(
		enough(tuf.RoleRoot, keys[tuf.RoleRoot], rootSigners),
		enough(tuf.RoleTargets, keys[tuf.RoleTargets], targetsSigners),
		allUsed("root or targets", slices.Concat(rootSigners, targetsSigners), r.Signers)); err != nil {
		return nil, err
	}
	online, err := p.onlineKeys(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	root, err := tuf.NewRoot(tuf.RootSpec{
		Repository: r.Repository, Version: 1, Expires: p.expires(tuf.RoleRoot),
		Root: keys[tuf.RoleRoot], Targets: keys[tuf.RoleTargets],
		Snapshot:     tuf.RoleKeys{Keys: []*tuf.Key{online[tuf.RoleSnapshot]}, Threshold: 1},
		Timestamp:    tuf.RoleKeys{Keys: []*tuf.Key{online[tuf.RoleTimestamp]}, Threshold: 1},
		Attestations: r.Attestations,
	})
	if err != nil {
		return nil, err
	}
	drafts := []*draft{
		{role: tuf.RoleRoot, root: root, signers: rootSigners},
		{role: tuf.RoleTargets, targets: tuf.NewTargets(1, p.expires(tuf.RoleTargets)), signers: targetsSigners},
	}
	anchor, created, err := p.initAnchor(r, keys[tuf.RoleRoot])
	if err != nil {
		return nil, err
	}
	change := &Change{Repository: r.Repository, New: true}
	files, err := p.signed(ctx, change, drafts)
	if err != nil {
		return nil, err
	}
	if !anchor.accepts(files[0].Bytes) {
		return nil, &tuf.Refusal{Repository: r.Repository, Role: tuf.RoleRoot, Version: 1, Rule: tuf.RuleAnchor, Clause: "TUF §5.2",
			Detail: fmt.Sprintf("the trust anchor for %q pins other root keys, so that this machine would refuse the new repository", anchor.Pattern)}
	}
	s := step{repository: r.Repository, anchor: anchor}
	generation, err := p.send(ctx, r.Repository, files)
	if err != nil {
		return nil, err
	}
	versions, err := p.readBack(ctx, s, drafts)
	if err != nil {
		return nil, err
	}
	return &Published{Repository: r.Repository, Generation: generation, Versions: versions, Change: change, Anchor: created}, nil
}

func atLeastOne(keys tuf.RoleKeys) tuf.RoleKeys {
	keys.Threshold = max(keys.Threshold, 1)
	return keys
}

// initAnchor returns the anchor to read a new repository back by: the one that is
// set for its name, or else a new one of its root keys, which is returned as
// created, too.
func (p *Publisher) initAnchor(r InitRequest, root tuf.RoleKeys) (anchor, created *Anchor, err error) {
	anchor, err = p.anchorFor(r.Repository)
	if err == nil || p.fits(r.Repository) {
		return anchor, nil, err
	}
	created = p.here(Anchor{Pattern: r.Repository, Threshold: root.Threshold})
	for _, key := range root.Keys {
		created.RootKeys = append(created.RootKeys, key.ID())
	}
	return created, created, nil
}

// fits tells whether any anchor is set for a repository.
func (p *Publisher) fits(repository string) bool {
	return slices.ContainsFunc(p.Client.config.Anchors, func(a Anchor) bool { return tuf.MatchName(a.Pattern, repository) })
}

// sign implements Sign.
func (p *Publisher) sign(ctx context.Context, r SignRequest) (*Published, error) {
	if len(r.Tags) == 0 {
		return nil, errors.New("no tag to sign")
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	var role string
	build := func(cur *current) ([]*draft, error) {
		var err error
		if role, err = cur.roleOf(r.Role, r.Signers); err != nil {
			return nil, err
		}
		return p.buildSign(ctx, cur, role, r)
	}
	after := func(ctx context.Context, x *Update) error {
		for _, tag := range r.Tags {
			match, err := x.Search(ctx, tuf.TagPath(r.Repository, tag.Tag))
			if err != nil {
				return err
			}
			if match.Target.Digest != tag.Target.Digest {
				return refuseRole(x, match.Role, tuf.RuleDigest, "TUF §5.6.7", "the tag %s means %s, which %s vouches for ahead of %s", tag.Tag, match.Target.Digest, match.Role, role)
			}
		}
		return nil
	}
	return p.run(ctx, step{repository: r.Repository, anchor: anchor, build: build, after: after})
}

func (p *Publisher) buildSign(ctx context.Context, cur *current, role string, r SignRequest) ([]*draft, error) {
	d, err := p.next(ctx, cur, role)
	if err != nil {
		return nil, err
	}
	keys := cur.roles[role].keys
	d.signers = signersOf(keys, r.Signers)
	if err := errors.Join(enough(role, keys, d.signers), allUsed(role+" of "+r.Repository, d.signers, r.Signers)); err != nil {
		return nil, err
	}
	for _, tag := range r.Tags {
		for _, path := range []string{tuf.TagPath(r.Repository, tag.Tag), tuf.RecordPath(r.Repository, tag.Tag, tag.Target.Digest)} {
			if !cur.mayList(role, path) {
				return nil, &tuf.Refusal{Repository: r.Repository, Role: role, Rule: tuf.RulePath, Clause: "TUF §5.6.7",
					Detail: fmt.Sprintf("%s may not sign %q", role, path)}
			}
		}
		if err := tuf.SetTarget(d.targets, r.Repository, tag.Tag, tag.Target); err != nil {
			return nil, err
		}
	}
	if len(tuf.Diff(d.oldTargets, d.targets)) == 0 && !slices.Contains(cur.expired, role) {
		return nil, nil // it is signed already
	}
	return []*draft{d}, nil
}

// roleOf returns the role that signers are to sign: the named one, or the only
// one that all of them have a key of.
func (c *current) roleOf(name string, signers []tuf.Signer) (string, error) {
	if name != "" {
		if _, ok := c.roles[name]; !ok {
			return "", fmt.Errorf("%s has no signer %q: %w", c.repository, name, tuf.ErrNotFound)
		}
		return name, nil
	}
	var roles []string
	for _, role := range c.names {
		if own := signersOf(c.roles[role].keys, signers); len(own) > 0 && len(own) == len(signers) {
			roles = append(roles, role)
		}
	}
	switch len(roles) {
	case 0:
		return "", fmt.Errorf("no role of %s lists all of the %d keys given (%s): %w", c.repository, len(signers), strings.Join(c.names, ", "), ErrKeys)
	case 1:
		return roles[0], nil
	}
	return "", fmt.Errorf("the keys given can sign %s; say which is meant: %w", strings.Join(roles, " and "), ErrKeys)
}

// revoke implements Revoke.
func (p *Publisher) revoke(ctx context.Context, r RevokeRequest) (*Published, error) {
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	image := tuf.Image{Repository: r.Repository, Tag: r.Tag, Digest: r.Digest}
	if err := checkImage(image); err != nil {
		return nil, err
	}
	if r.Tag == "" {
		return nil, errors.New("say under which tag the digest is to be revoked")
	}
	sent := false
	build := func(cur *current) ([]*draft, error) {
		drafts, err := p.buildRevoke(ctx, cur, r)
		if err == nil && len(drafts) == 0 && !sent {
			return nil, &tuf.Refusal{Repository: r.Repository, Role: r.Role, Rule: tuf.RuleAbsent, Clause: "TUF §5.6.7", Detail: fmt.Sprintf("nothing is signed as %s, so there is nothing to revoke", image)}
		}
		sent = true
		return drafts, err
	}
	return p.run(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildRevoke(ctx context.Context, cur *current, r RevokeRequest) ([]*draft, error) {
	var drafts []*draft
	var used []tuf.Signer
	for _, role := range cur.names {
		if r.Role != "" && r.Role != role {
			continue
		}
		d, err := p.next(ctx, cur, role)
		if err != nil {
			return nil, err
		}
		if len(tuf.RemoveTag(d.targets, r.Repository, r.Tag, r.Digest)) == 0 {
			continue
		}
		keys := cur.roles[role].keys
		d.signers = signersOf(keys, r.Signers)
		if err := enough(role, keys, d.signers); err != nil {
			return nil, fmt.Errorf("%s vouches for it: %w", role, err)
		}
		used = append(used, d.signers...)
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	return drafts, allUsed("a role that vouches for it", used, r.Signers)
}

// renew implements Renew.
func (p *Publisher) renew(ctx context.Context, r RenewRequest) (*Published, error) {
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	// A rebase must not renew once more what somebody else has just renewed.
	built := map[string]int64{}
	build := func(cur *current) ([]*draft, error) { return p.buildRenew(ctx, cur, r, built) }
	return p.run(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildRenew(ctx context.Context, cur *current, r RenewRequest, built map[string]int64) ([]*draft, error) {
	var drafts []*draft
	var used []tuf.Signer
	roles := r.Roles
	if len(roles) == 0 {
		roles = slices.Concat([]string{tuf.RoleRoot}, cur.names)
	}
	for _, role := range roles {
		keys, err := cur.keysOf(role)
		if err != nil {
			return nil, err
		}
		own := signersOf(keys, r.Signers)
		used = append(used, own...)
		expires := cur.root.Signed.Expires
		if role != tuf.RoleRoot {
			expires = cur.roles[role].targets.Signed.Expires
		}
		if r.Within > 0 && expires.Sub(p.Client.config.Now()) > r.Within {
			continue
		}
		if before, ok := built[role]; ok && cur.versions[role] >= before {
			continue
		}
		if err := enough(role, keys, own); err != nil {
			if len(r.Roles) > 0 {
				return nil, err
			}
			continue
		}
		d, err := p.next(ctx, cur, role)
		if err != nil {
			return nil, err
		}
		d.signers = own
		drafts = append(drafts, d)
	}
	for _, d := range drafts {
		built[d.role] = d.version()
	}
	return drafts, allUsed("what is to be renewed", used, r.Signers)
}

// rotateRoot implements RotateRoot.
func (p *Publisher) rotateRoot(ctx context.Context, r RotateRequest) (*Published, error) {
	if r.In == nil {
		return nil, errors.New("no new root key is given")
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	build := func(cur *current) ([]*draft, error) { return p.buildRotate(ctx, cur, r) }
	return p.run(ctx, step{repository: r.Repository, anchor: anchor, build: build})
}

func (p *Publisher) buildRotate(ctx context.Context, cur *current, r RotateRequest) ([]*draft, error) {
	before := tuf.RoleKeysOf(cur.root, tuf.RoleRoot)
	in := r.In.Key()
	out := slices.IndexFunc(before.Keys, func(k *tuf.Key) bool { return k.ID() == r.Out })
	hasIn := slices.ContainsFunc(before.Keys, in.Equal)
	switch {
	case out < 0 && hasIn:
		return nil, nil // done already
	case out < 0:
		return nil, fmt.Errorf("key %s is not a root key of %s: %w", r.Out, r.Repository, ErrKeys)
	case hasIn:
		return nil, fmt.Errorf("key %s is a root key of %s already: %w", in.ID(), r.Repository, ErrKeys)
	}
	after := tuf.RoleKeys{Keys: slices.Clone(before.Keys), Threshold: before.Threshold}
	after.Keys[out] = in
	d, err := p.next(ctx, cur, tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if err := tuf.SetRoleKeys(d.root, tuf.RoleRoot, after); err != nil {
		return nil, err
	}
	attestations := maps.Clone(tuf.Attestations(cur.root))
	if _, used := d.root.Signed.Keys[r.Out]; !used {
		delete(attestations, r.Out)
	}
	if len(r.Attestation) > 0 {
		attestations[in.ID()] = r.Attestation
	}
	if d.root.Signed.UnrecognizedFields == nil {
		d.root.Signed.UnrecognizedFields = map[string]any{}
	}
	tuf.SetAttestations(d.root, attestations)
	given := append(slices.Clone(r.Signers), r.In)
	oldSigners, newSigners := signersOf(before, given), signersOf(after, given)
	if err := enough("the old root", before, oldSigners); err != nil {
		return nil, err
	}
	if err := enough("the new root", after, newSigners); err != nil {
		return nil, err
	}
	if err := allUsed("root of "+r.Repository, slices.Concat(oldSigners, newSigners), r.Signers); err != nil {
		return nil, err
	}
	d.signers = oldSigners
	for _, s := range newSigners {
		if !slices.ContainsFunc(d.signers, func(o tuf.Signer) bool { return o.Key().Equal(s.Key()) }) {
			d.signers = append(d.signers, s)
		}
	}
	return []*draft{d}, nil
}
