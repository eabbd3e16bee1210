package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// expires is when a file of role that is made now expires.
func (p *Publisher) expires(role string) time.Time {
	life, ok := p.Life[role]
	if !ok && !tuf.IsTopLevel(role) {
		life, ok = p.Life[anySigner]
	}
	if !ok {
		life = DefaultLife(role)
	}
	return p.Client.config.Now().Add(life).UTC().Truncate(time.Second)
}

// newTargets makes the first file of targets or of a signer.
func (p *Publisher) newTargets(role string, version int64) *tuf.Targets {
	targets := tuf.NewTargets(version, p.expires(role))
	tuf.SetSigned(targets, p.Client.config.Now())
	return targets
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
		online, err := p.onlineKeysOn(ctx, cur)
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
	targets.Signed.Version = max(targets.Signed.Version, cur.listed[role]) + 1
	targets.Signed.Expires = p.expires(role)
	tuf.SetSigned(targets, p.Client.config.Now())
	return &draft{role: role, targets: targets, oldTargets: old.targets}, nil
}

// prepareSign implements PrepareSign.
func (p *Publisher) prepareSign(ctx context.Context, r SignRequest) (*Prepared, error) {
	if len(r.Tags) == 0 {
		return nil, errors.New("no tag to sign")
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	var role string
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
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
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build, after: after})
}

func (p *Publisher) buildSign(ctx context.Context, cur *current, role string, r SignRequest) ([]*draft, error) {
	d, err := p.next(ctx, cur, role)
	if err != nil {
		return nil, err
	}
	keys := cur.roles[role].keys
	d.signers = p.use(keys, r.Signers)
	if err := errors.Join(p.enough(d, role, r.Repository, keys), p.allUsed(role+" of "+r.Repository, d.signers, r.Signers)); err != nil {
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
	d.warnings = append(d.warnings, cur.overruled(role, d.targets, r.Tags)...)
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

// prepareRevoke implements PrepareRevoke.
func (p *Publisher) prepareRevoke(ctx context.Context, r RevokeRequest) (*Prepared, error) {
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
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
		drafts, err := p.buildRevoke(ctx, cur, r)
		if err == nil && len(drafts) == 0 && !sent {
			return nil, &tuf.Refusal{Repository: r.Repository, Role: r.Role, Rule: tuf.RuleAbsent, Clause: "TUF §5.6.7", Detail: fmt.Sprintf("nothing is signed as %s, so there is nothing to revoke", image)}
		}
		sent = true
		return drafts, err
	}
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
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
		d.signers = p.use(keys, r.Signers)
		if err := p.enough(d, role, r.Repository, keys); err != nil {
			return nil, fmt.Errorf("%s vouches for it: %w", role, err)
		}
		used = append(used, d.signers...)
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	return drafts, p.allUsed("a role that vouches for it", used, r.Signers)
}

// prepareRenew implements PrepareRenew.
func (p *Publisher) prepareRenew(ctx context.Context, r RenewRequest) (*Prepared, error) {
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	// A rebase must not renew once more what somebody else has just renewed.
	built := map[string]int64{}
	build := func(ctx context.Context, cur *current) ([]*draft, error) { return p.buildRenew(ctx, cur, r, built) }
	return p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
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
		own := p.use(keys, r.Signers)
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
		if len(own) < keys.Threshold && len(r.Roles) == 0 {
			continue
		}
		d := &draft{signers: own}
		if err := p.enough(d, role, r.Repository, keys); err != nil {
			return nil, err // before the server is asked for online keys
		}
		missing := d.missing
		if d, err = p.next(ctx, cur, role); err != nil {
			return nil, err
		}
		d.signers, d.missing = own, missing
		drafts = append(drafts, d)
	}
	for _, d := range drafts {
		built[d.role] = d.version()
	}
	return drafts, p.allUsed("what is to be renewed", used, r.Signers)
}
