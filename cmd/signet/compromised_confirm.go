package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// confirm asks a verifier who has seen nothing yet, and removes its state.
func (g *guide) confirm(ctx context.Context, p *client.Publisher, c *client.Compromise) error {
	dir, err := os.MkdirTemp("", "signet-confirm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	anchors, err := g.app.anchors()
	if err != nil {
		return err
	}
	config := g.app.clientConfig(anchors, nil)
	config.StateDir = dir
	verifier := client.New(config)
	view, err := verifier.View(ctx, c.Repository, client.Options{})
	if err != nil {
		return fmt.Errorf("a new verifier does not trust what was published: %w", err)
	}
	for _, role := range view.Roles {
		if slices.ContainsFunc(role.Keys, func(key client.KeyView) bool { return key.ID == c.KeyID }) {
			return fmt.Errorf("%s still trusts the compromised key", clip(role.Name, 100))
		}
		if c.Since != nil && slices.ContainsFunc(role.Keys, func(key client.KeyView) bool { return slices.Contains(broughtTo(c, role.Name), key.ID) }) {
			return fmt.Errorf("%s still trusts a key that the compromised one let in", clip(role.Name, 100))
		}
	}
	var wrong error
	check := func(image tuf.Image, expected string) {
		decision, err := verifier.Verify(ctx, image, client.Options{})
		is := confirmed{Image: image.String(), Expected: expected, Saw: "refused"}
		switch {
		case err == nil:
			is.Saw = decision.Digest
		case !tuf.IsRefusal(err):
			is.Saw = sentence(err)
		}
		if is.OK = is.Saw == expected; !is.OK {
			wrong = errors.Join(wrong, fmt.Errorf("a new verifier asked for %s: %s, expected %s", image, is.Saw, expected))
		}
		g.result.Confirmed = append(g.result.Confirmed, is)
	}
	for _, tag := range c.Doubtful {
		bad := slices.Clone(tag.Records)
		if tag.Good == nil || tag.Good.Digest != tag.Digest {
			bad = append(bad, tag.Digest)
		}
		for _, digest := range bad {
			if digest != "" {
				check(tuf.Image{Repository: c.Repository, Tag: tag.Tag, Digest: digest}, "refused")
			}
		}
		if tag.Good != nil && tag.Good.Digest != "" && !c.Left(tag.Role) {
			check(tuf.Image{Repository: c.Repository, Tag: tag.Tag}, tag.Good.Digest)
		}
	}
	const most = 20 // further tags that are asked for, as examples
	for i, tag := range view.Tags {
		if i < most && tag.Digest != "" && !slices.ContainsFunc(c.Doubtful, func(d client.DoubtfulTag) bool { return d.Tag == tag.Tag }) {
			check(tuf.Image{Repository: c.Repository, Tag: tag.Tag}, tag.Digest)
		}
	}
	if wrong != nil {
		return wrong
	}
	if slices.ContainsFunc(c.Roles, func(role client.CompromisedRole) bool { return role.Role == tuf.RoleRoot }) {
		g.app.note("%s: machines that pin the compromised root key go on pinning it; on each of them, for the names that it pins it for: %s --replace", c.Repository, trustCommand(c.Repository, rootKeys(view), p.Server))
	}
	if c.Since == nil && len(c.Brought) > 0 {
		g.app.note("%s: %s that the key alone let in are there still, since it may well have been right to: signet signer list %s shows them; --since says from when on they go", c.Repository, plural(len(c.Brought), "key"), c.Repository)
	}
	if len(c.Gaps) > 0 {
		return g.say("%s: confirmed by a new verifier: no role trusts %.12s, and what it is known to have forged is refused; the server does not tell all of the past", c.Repository, c.KeyID)
	}
	return g.say("%s: confirmed by a new verifier: no role trusts %.12s, what it forged is refused, and what is good verifies", c.Repository, c.KeyID)
}

// rootKeys are the root keys of a view.
func rootKeys(view *client.View) tuf.RoleKeys {
	var root tuf.RoleKeys
	for _, role := range view.Roles {
		if role.Name == tuf.RoleRoot {
			root.Threshold = role.Threshold
			for _, key := range role.Keys {
				root.Keys = append(root.Keys, key.Key)
			}
		}
	}
	return root
}
