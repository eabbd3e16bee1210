package client

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// view implements View.
func (c *Client) view(ctx context.Context, repository string, options Options) (*View, error) {
	var view *View
	err := c.ask(ctx, repository, options, func(ctx context.Context, x *Update) (err error) {
		if view, err = newView(ctx, x, repository); err == nil {
			view.Stale = Duration(staleFor(x.trusted, c.config.Now()).Truncate(time.Second))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	view.Offline, view.From = options.Offline, options.From
	return view, nil
}

// newView reads every role of a repository.
func newView(ctx context.Context, x *Update, repository string) (*View, error) {
	t := x.trusted
	root := t.Root()
	v := &View{Repository: repository, Roles: []RoleView{}, Tags: []TagView{}, Attestations: tuf.Attestations(root), Expires: root.Signed.Expires}
	v.add(tuf.RoleRoot, tuf.RoleRoot, root.Signed.Version, root.Signed.Expires, tuf.RoleKeysOf(root, tuf.RoleRoot))
	v.add(tuf.RoleTimestamp, tuf.RoleRoot, t.Timestamp().Signed.Version, t.Timestamp().Signed.Expires, tuf.RoleKeysOf(root, tuf.RoleTimestamp))
	v.add(tuf.RoleSnapshot, tuf.RoleRoot, t.Snapshot().Signed.Version, t.Snapshot().Signed.Expires, tuf.RoleKeysOf(root, tuf.RoleSnapshot))
	records := map[string][]string{} // digests by tag
	err := x.Walk(ctx, func(role, delegator string, targets *tuf.Targets) error {
		keys := tuf.RoleKeysOf(root, tuf.RoleTargets)
		if parent := t.Role(delegator); parent != nil {
			keys, _ = tuf.SignerKeysOf(parent, role)
		}
		r := v.add(role, delegator, targets.Signed.Version, targets.Signed.Expires, keys)
		r.Targets = len(targets.Signed.Targets)
		if d := targets.Signed.Delegations; d != nil {
			for id, chain := range tuf.TargetsAttestations(targets) {
				// Of the keys that it lists, and not in place of what root says.
				if d.Keys[id] != nil && v.Attestations[id] == nil {
					v.Attestations[id] = chain
				}
			}
		}
		r.Paths, r.Terminating = delegationOf(t.Role(delegator), role)
		for _, e := range tuf.Entries(targets) {
			if e.Image.Repository != repository {
				continue
			}
			tag := e.Image.Tag
			records[tag] = append(records[tag], e.Target.Digest)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for tag, digests := range records {
		if err := v.addTag(ctx, x, tag, digests); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(v.Tags, func(a, b TagView) int { return strings.Compare(a.Tag, b.Tag) })
	return v, nil
}

func (v *View) add(name, delegator string, version int64, expires time.Time, keys tuf.RoleKeys) *RoleView {
	r := RoleView{Name: name, Delegator: delegator, Version: version, Expires: expires, Threshold: keys.Threshold, Keys: []KeyView{}}
	for _, key := range keys.Keys {
		r.Keys = append(r.Keys, KeyView{ID: key.ID(), Algorithm: key.Algorithm(), Key: key})
	}
	if expires.Before(v.Expires) {
		v.Expires = expires
	}
	v.Roles = append(v.Roles, r)
	return &v.Roles[len(v.Roles)-1]
}

// addTag adds what the search for a tag and for its records ends at.
func (v *View) addTag(ctx context.Context, x *Update, tag string, digests []string) error {
	view := TagView{Tag: tag}
	match, err := searchFor(ctx, x, tuf.TagPath(v.Repository, tag))
	if err != nil {
		return err
	}
	if match != nil {
		view.Digest, view.Length, view.MediaType = match.Target.Digest, match.Target.Length, match.Target.MediaType
		view.Annotations, view.Platforms, view.Signer = match.Target.Annotations, match.Target.Platforms, match.Role
		if view.Lacking, err = x.lacking(ctx, v.Repository, tag, view.Digest); err != nil {
			return err
		}
	}
	slices.Sort(digests)
	for _, digest := range slices.Compact(digests) {
		if digest == view.Digest || digest == "" {
			continue
		}
		record, err := searchFor(ctx, x, tuf.RecordPath(v.Repository, tag, digest))
		if err != nil {
			return err
		}
		if record == nil || record.Target.Digest != digest {
			continue
		}
		lacking, err := x.lacking(ctx, v.Repository, tag, digest)
		if err != nil {
			return err
		}
		if len(lacking) == 0 {
			view.Earlier = append(view.Earlier, digest)
		}
	}
	if view.Digest != "" || len(view.Earlier) > 0 {
		v.Tags = append(v.Tags, view)
	}
	return nil
}

// delegationOf returns what parent lets role sign.
func delegationOf(parent *tuf.Targets, role string) (paths []string, terminating bool) {
	if parent == nil || parent.Signed.Delegations == nil {
		return nil, false
	}
	for _, d := range parent.Signed.Delegations.Roles {
		if d.Name == role {
			return d.Paths, d.Terminating
		}
	}
	return nil, false
}
