package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	g := &guide{app: a, ring: ring, flags: f, chains: map[string][]string{},
		result: &guidedResult{compromisedResult: result, Done: []string{}, Confirmed: []confirmed{}}}
	if f.with != "" {
		if err := g.useKey(ctx); err != nil {
			return err
		}
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

// useKey finds the key that comes in the compromised one's place.
func (g *guide) useKey(ctx context.Context) error {
	with, err := g.ring.find(ctx, g.flags.with)
	if err != nil {
		return fmt.Errorf("--with: %w", err)
	}
	if with.ID() == g.result.KeyID {
		return usagef("--with %s is the compromised key itself", g.flags.with)
	}
	g.with, g.ring.known[with.ID()] = with, with
	chain, err := g.ring.attestation(ctx, with)
	if len(chain) > 0 {
		g.chains[with.ID()] = chain
	}
	return err
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
	life, err := g.flags.expires.life()
	if err != nil {
		return err
	}
	p, err := g.app.publisher(ctx, c.Repository, g.ring, life)
	if err != nil {
		return err
	}
	if len(c.Roles) > 0 || len(c.Doubtful) > 0 || len(swept(c)) > 0 {
		if err := g.mend(ctx, p, c); err != nil {
			return err
		}
	}
	g.tell(c)
	if err := g.undecided(c); err != nil {
		return err
	}
	return g.confirm(ctx, p, c)
}

// mend goes through the steps that are left.
func (g *guide) mend(ctx context.Context, p *client.Publisher, c *client.Compromise) error {
	if len(c.Gaps) > 0 {
		g.app.note("%s: the server does not tell all of the past (%s): look at each digest before you agree", c.Repository, plural(len(c.Gaps), "gap"))
	}
	if err := g.app.may(ctx, p, c.Repository, api.ScopePublish); err != nil {
		return err
	}
	for _, role := range c.Roles {
		if isOnline(role.Role) {
			continue // the server's signer makes another
		}
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
	if g.flags.keepOnline {
		return nil
	}
	return g.online(ctx, p, c.Repository)
}

// tell says what is for a person to decide: what a thief took away may have been taken
// away by its owner, for what was in it.
func (g *guide) tell(c *client.Compromise) {
	for _, s := range c.Signers {
		if s.Is == nil || c.Since == nil || g.flags.keepSigners {
			g.app.note("%s: NOT DONE: the key alone %s; unless that was right: %s", c.Repository, signerDone(c.Repository, s), mendSigner(c, s, held(c, s.Role)))
		}
	}
	for _, tag := range c.Withdrawn {
		if !c.Left(tag.Role) {
			g.app.note("%s: NOT DONE: the key alone withdrew %s; unless that was right: %s", c.Repository, clip(tag.Tag, 100), putBack(c, tag))
		}
	}
}

// undecided refuses to confirm what a person has to decide first: what a signer is to
// be that was there before, and that is as the key alone made it.
func (g *guide) undecided(c *client.Compromise) error {
	if c.Since == nil || g.flags.keepSigners {
		return nil
	}
	for _, s := range c.Signers {
		if s.Is != nil {
			return advise(fmt.Errorf("nothing is confirmed: the key alone %s; all else is done", signerDone(c.Repository, s)),
				"to make it what it was: %s; then the same command again. Or, if it is right as it is, the same command with --keep-signers", mendSigner(c, s, held(c, s.Role)))
		}
	}
	return nil
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
	keys = presentFirst(keys)
	if g.with.Key != nil {
		keys = unique(append([]foundKey{g.with}, keys...))
	}
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
	if held(c, role) {
		return nil // it has no other key: for a person to say which it is to have
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
		if tag.Good != nil && tag.Good.Digest != tag.Digest && !c.Left(tag.Role) && !held(c, tag.Role) {
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
		if c.Left(tag.Role) || held(c, tag.Role) {
			continue // it went with the signer, or waits for whose it is to be
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
