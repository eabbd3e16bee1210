package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// guidedResult is what a guided run prints as JSON, in place of the report alone.
type guidedResult struct {
	*compromisedResult
	Done      []string    `json:"done"` // what was published, in words
	Confirmed []confirmed `json:"confirmed"`
}

// A confirmed is what a verifier says that has seen nothing yet.
type confirmed struct {
	Image    string `json:"image"`
	Expected string `json:"expected"` // the digest, or "refused"
	Saw      string `json:"saw"`
	OK       bool   `json:"ok"`
}

// A guide goes through the plan of one repository.
type guide struct {
	app    *app
	ring   *keyring
	flags  compromisedFlags
	with   foundKey
	chains map[string][]string // the attestation of the key that comes, by its ID
	result *guidedResult
}

// guide goes through the plan: for each repository another key, the last good
// targets, fresh online keys, and in the end a verifier who has seen nothing yet.
// What is done already is not in the plan, so a run that is started again goes on.
func (a *app) guide(ctx context.Context, ring *keyring, result *compromisedResult, f compromisedFlags) error {
	with, err := ring.find(ctx, f.with)
	if err != nil {
		return fmt.Errorf("--with: %w", err)
	}
	if with.ID() == result.KeyID {
		return usagef("--with %s is the compromised key itself", f.with)
	}
	ring.known[with.ID()] = with
	chain, err := ring.attestation(ctx, with)
	if err != nil {
		return err
	}
	g := &guide{app: a, ring: ring, flags: f, with: with, chains: map[string][]string{},
		result: &guidedResult{compromisedResult: result, Done: []string{}, Confirmed: []confirmed{}}}
	if len(chain) > 0 {
		g.chains[with.ID()] = chain
	}
	var trouble error
	for _, c := range result.Repositories {
		if err := g.repository(ctx, c); err != nil {
			trouble = errors.Join(trouble, fmt.Errorf("%s: %w", c.Repository, err))
			if ctx.Err() != nil || isKeyTrouble(err) {
				break
			}
		}
	}
	if trouble != nil {
		a.note("what was done stays done; the same command again goes on with what is left")
	}
	if a.output == outputJSON {
		trouble = errors.Join(a.print(g.result, nil), trouble)
	}
	return trouble
}

// say notes what was done.
func (g *guide) say(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	g.result.Done = append(g.result.Done, text)
	if g.app.output == outputJSON {
		return nil
	}
	return g.app.print(nil, func(w io.Writer) { fmt.Fprintln(w, text) })
}

func (g *guide) repository(ctx context.Context, c *client.Compromise) error {
	if len(c.Roles) == 0 && len(c.Doubtful) == 0 && len(swept(c)) == 0 {
		return nil
	}
	if len(c.Gaps) > 0 {
		g.app.note("%s: the server does not tell all of the past (%s): look at each digest before you agree", c.Repository, plural(len(c.Gaps), "gap"))
	}
	life, err := g.flags.expires.life()
	if err != nil {
		return err
	}
	p, err := g.app.publisher(ctx, c.Repository, g.ring, life)
	if err != nil {
		return err
	}
	if err := g.app.may(ctx, p, c.Repository, api.ScopePublish); err != nil {
		return err
	}
	for _, role := range c.Roles {
		if err := g.replace(ctx, p, c, role.Role); err != nil {
			return err
		}
	}
	for _, role := range swept(c) {
		if err := g.sweep(ctx, p, c, role); err != nil {
			return err
		}
	}
	if err := g.restore(ctx, p, c); err != nil {
		return err
	}
	for _, request := range revokes(c) {
		if err := g.revoke(ctx, p, request); err != nil {
			return err
		}
	}
	if !g.flags.keepOnline {
		if err := g.online(ctx, p, c.Repository); err != nil {
			return err
		}
	}
	return g.confirm(ctx, p, c)
}

// online has root list fresh online keys, so that a thief who had the server, too, and
// ran versions ahead has nothing of it.
func (g *guide) online(ctx context.Context, p *client.Publisher, name string) error {
	hand, err := g.hand(ctx)
	if err != nil {
		return err
	}
	step, err := p.PrepareRotateOnline(ctx, client.RotateOnlineRequest{Repository: name, Roles: []string{tuf.RoleSnapshot, tuf.RoleTimestamp}, Signers: g.ring.lazy(hand)})
	if errors.Is(err, client.ErrKeys) {
		return advise(lackOf(err, hand), "where nobody else can have the server's keys, --keep-online-keys leaves them as they are")
	}
	if err != nil {
		return err
	}
	return g.publish(ctx, step, fmt.Sprintf("%s: snapshot and timestamp have fresh keys now", name))
}

// hand lists the keys that may sign: the one that comes first, the compromised one
// last, since a root is also signed by the keys that it replaces.
func (g *guide) hand(ctx context.Context) ([]foundKey, error) {
	keys, err := g.ring.atHand(ctx, g.flags.keys)
	if err != nil {
		return nil, err
	}
	keys = unique(append([]foundKey{g.with}, presentFirst(keys)...))
	slices.SortStableFunc(keys, func(x, y foundKey) int {
		last := func(k foundKey) int {
			if k.ID() == g.result.KeyID {
				return 1
			}
			return 0
		}
		return last(x) - last(y)
	})
	return keys, nil
}

// publish shows, asks, signs and publishes one step.
func (g *guide) publish(ctx context.Context, step *client.Prepared, done string) error {
	if step.Change == nil {
		return nil
	}
	b := &batch{ring: g.ring, steps: []*client.Prepared{step}}
	if err := b.agree(ctx); err != nil {
		return err
	}
	return b.publish(ctx, false, func(int, *client.Published) error { return g.say("%s", done) })
}

// replace puts the new key in the place of the compromised one.
func (g *guide) replace(ctx context.Context, p *client.Publisher, c *client.Compromise, role string) error {
	hand, err := g.hand(ctx)
	if err != nil {
		return err
	}
	if err := g.app.inHardware(p, c.Repository, role, []*tuf.Key{g.with.Key}, g.chains); err != nil {
		return err
	}
	step, err := p.PrepareChangeKeys(ctx, client.ChangeKeysRequest{Repository: c.Repository, Role: role,
		Add: []*tuf.Key{g.with.Key}, Remove: removed(c, role), Attestations: g.chains, Signers: g.ring.lazy(hand)})
	if err != nil {
		return lackOf(err, hand)
	}
	return g.publish(ctx, step, fmt.Sprintf("%s: %s has another key now, %.12s in place of %.12s", c.Repository, role, g.with.ID(), c.KeyID))
}

// removed lists the keys that go from a role that trusts the compromised one.
func removed(c *client.Compromise, role string) []string {
	ids := []string{c.KeyID}
	if c.Since != nil {
		ids = append(ids, broughtTo(c, role)...)
	}
	return ids
}

// swept lists the other roles into which the key let keys. Without --since it may well
// be the key that let everybody in, and nothing is swept.
func swept(c *client.Compromise) []string {
	var roles []string
	for _, b := range c.Brought {
		if c.Since != nil && !trusts(c, b.Role) && !slices.Contains(roles, b.Role) {
			roles = append(roles, b.Role)
		}
	}
	return roles
}

// sweep takes out what the thief left behind in a role: keys, or the signer itself.
func (g *guide) sweep(ctx context.Context, p *client.Publisher, c *client.Compromise, role string) error {
	hand, err := g.hand(ctx)
	if err != nil {
		return err
	}
	roles, err := p.Roles(ctx, c.Repository)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(roles, func(is client.SigningRole) bool { return is.Name == role }) {
		return nil // it went with the signer above it
	}
	if c.Left(role) {
		step, err := p.PrepareRemoveSigner(ctx, client.RemoveSignerRequest{Repository: c.Repository, Name: role, Signers: g.ring.lazy(hand)})
		if err != nil {
			return lackOf(err, hand)
		}
		return g.publish(ctx, step, fmt.Sprintf("%s: the signer %s, whom the key let in, is removed", c.Repository, clip(role, 100)))
	}
	step, err := p.PrepareChangeKeys(ctx, client.ChangeKeysRequest{Repository: c.Repository, Role: role, Remove: broughtTo(c, role), Signers: g.ring.lazy(hand)})
	if err != nil {
		return lackOf(err, hand)
	}
	return g.publish(ctx, step, fmt.Sprintf("%s: %s has no key any more that the compromised one let in", c.Repository, clip(role, 100)))
}

// restore has tags mean again what they meant before, each by the role that has it.
func (g *guide) restore(ctx context.Context, p *client.Publisher, c *client.Compromise) error {
	byRole := map[string][]client.TagTarget{}
	for _, tag := range c.Doubtful {
		if tag.Good != nil && tag.Good.Digest != tag.Digest && !c.Left(tag.Role) {
			byRole[tag.Role] = append(byRole[tag.Role], client.TagTarget{Tag: tag.Tag, Target: *tag.Good})
		}
	}
	for _, role := range sortedKeys(byRole) {
		signers, err := g.signers(ctx, p, c.Repository, role)
		if err != nil {
			return err
		}
		step, err := p.PrepareSign(ctx, client.SignRequest{Repository: c.Repository, Role: role, Tags: byRole[role], Signers: signers})
		if err != nil {
			return err
		}
		var tags []string
		for _, tag := range byRole[role] {
			tags = append(tags, tag.Tag)
		}
		if err := g.publish(ctx, step, fmt.Sprintf("%s: back to what they meant before: %s", c.Repository, clip(strings.Join(tags, ", "), maxSentence))); err != nil {
			return err
		}
	}
	return nil
}

// signers picks keys of a role as it is now.
func (g *guide) signers(ctx context.Context, p *client.Publisher, name, role string) ([]tuf.Signer, error) {
	hand, err := g.hand(ctx)
	if err != nil {
		return nil, err
	}
	roles, err := p.Roles(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, is := range roles {
		if is.Name != role {
			continue
		}
		chosen, ok := g.app.pick(hand, is)
		if !ok {
			return nil, tooFew(name, is, hand)
		}
		return g.ring.lazy(chosen), nil
	}
	return nil, fmt.Errorf("%s has no signer %q: %w", name, clip(role, 100), tuf.ErrNotFound)
}

// revokes lists what is to be withdrawn.
func revokes(c *client.Compromise) []client.RevokeRequest {
	var list []client.RevokeRequest
	for _, tag := range c.Doubtful {
		if c.Left(tag.Role) {
			continue // it went with the signer
		}
		request := client.RevokeRequest{Repository: c.Repository, Tag: tag.Tag}
		if tag.Good == nil {
			list = append(list, request)
			continue
		}
		digests := tag.Records
		if tag.Good.Digest != tag.Digest {
			digests = append([]string{tag.Digest}, digests...)
		}
		for _, digest := range digests {
			request.Digest = digest
			list = append(list, request)
		}
	}
	return list
}

func (g *guide) revoke(ctx context.Context, p *client.Publisher, request client.RevokeRequest) error {
	hand, err := g.hand(ctx)
	if err != nil {
		return err
	}
	roles, err := p.Roles(ctx, request.Repository)
	if err != nil {
		return err
	}
	_, chosen, err := g.app.choose(request.Repository, roles, hand, true, func(r client.SigningRole) bool { return r.Tags[request.Tag] })
	if err != nil {
		return err
	}
	request.Signers = g.ring.lazy(chosen)
	step, err := p.PrepareRevoke(ctx, request)
	if tuf.RuleOf(err) == tuf.RuleAbsent {
		return nil
	}
	if err != nil {
		return err
	}
	image := tuf.Image{Repository: request.Repository, Tag: request.Tag, Digest: request.Digest}
	return g.publish(ctx, step, fmt.Sprintf("revoked %s", image))
}

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
