package drill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A scene is a Scene on its way.
type scene struct {
	Scene
	r *rehearsal
}

func (r *rehearsal) scene(kind, role string, keys ...string) *scene {
	return &scene{Scene: Scene{Kind: kind, Role: role, Keys: keys, Enough: true, Steps: []Step{}}, r: r}
}

func (s *scene) step(who, saw, format string, args ...any) {
	s.Steps = append(s.Steps, Step{Who: who, What: fmt.Sprintf(format, args...), Saw: saw})
}

// mend runs what the owner has to do, on a copy with every key that is left, to see
// whether it can be done at all, and then in w with the keys at hand.
func (s *scene) mend(w *world, do func(w *world, signers func(role string) []tuf.Signer) error) (done bool, err error) {
	try := func(w *world, onlyHand bool) error {
		return do(w, func(role string) []tuf.Signer {
			if role == "" {
				return s.r.all(s.Keys, onlyHand)
			}
			return s.r.holders(role, s.Keys, onlyHand)
		})
	}
	for _, attempt := range []struct {
		world    *world
		onlyHand bool
		lack     string
	}{{w.clone(), false, LackSpare}, {w, true, LackElsewhere}} {
		err := try(attempt.world, attempt.onlyHand)
		lack, few := errors.AsType[*client.KeysError](err)
		switch {
		case few:
			s.needed(lack)
			s.Detail = fmt.Sprintf("%d of the %d keys of %s must sign, and %d of them can", lack.Threshold, len(lack.Keys), lack.Role, len(lack.Given))
		case errors.Is(err, client.ErrKeys) || errors.Is(err, client.ErrRoleKeys):
			s.Detail = "none of the keys that are left may sign it"
		case err != nil:
			return false, err
		default:
			continue
		}
		s.Enough, s.Lack = false, attempt.lack
		return false, nil
	}
	return true, nil
}

// needed notes the real keys that a step lacks.
func (s *scene) needed(lack *client.KeysError) {
	for _, key := range lack.Keys {
		id := s.r.real[key.ID()]
		if id != "" && !slices.Contains(s.Keys, id) && !slices.ContainsFunc(lack.Given, key.Equal) {
			s.Needed = append(s.Needed, id)
		}
	}
}

// holders returns what stands for the keys of one role that are left, and the fresh
// ones.
func (r *rehearsal) holders(role string, gone []string, onlyHand bool) []tuf.Signer {
	var list []tuf.Signer
	for _, id := range ids(r.view.Role(role)) {
		if !slices.Contains(gone, id) && (!onlyHand || r.hand[id]) {
			list = append(list, r.stand[id])
		}
	}
	return append(list, r.fresh...)
}

// renewed makes n fresh keys, to come in place of others.
func (r *rehearsal) renewed(n int) (keys []*tuf.Key, err error) {
	r.fresh = nil
	for range n {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		r.fresh, keys = append(r.fresh, key), append(keys, key.Key())
	}
	return keys, nil
}

// Who does something in a scene.
const (
	thiefIs    = "thief"
	ownerIs    = "owner"
	verifierIs = "verifier" // was there from the start, and remembers
	newcomerIs = "newcomer" // a verifier who has seen nothing yet
)

// ask asks c what a tag means, and notes what it saw.
func (s *scene) ask(ctx context.Context, c *client.Client, who, tag string) (digest string) {
	decision, err := c.Verify(ctx, tuf.Image{Repository: s.r.view.Repository, Tag: tag}, client.Options{})
	switch {
	case err == nil && decision.Digest == forgedDigest:
		s.step(who, "the thief's image is trusted", "asks what :%s means", tag)
	case err == nil:
		s.step(who, "the right image is trusted", "asks what :%s means", tag)
		return decision.Digest
	default:
		s.step(who, "refused: "+string(decision.Rule), "asks what :%s means", tag)
		return ""
	}
	return decision.Digest
}

// wrong is the error of a scene that went as it never may, whatever the keys are.
func (s *scene) wrong(what string) error {
	return fmt.Errorf("the drill of %s of %s: %s: this is a fault in signet; please report it", s.Kind, s.r.view.Repository, what)
}

// rootKeyLost takes one root key away.
func (r *rehearsal) rootKeyLost(ctx context.Context, id string) (*scene, error) {
	s, w := r.scene(RootKeyLost, tuf.RoleRoot, id), r.world.clone()
	s.Signer = tuf.RoleRoot
	verifier, err := r.client(w)
	if err != nil {
		return nil, err
	}
	if s.ask(ctx, verifier, verifierIs, goodTag) != goodDigest {
		return nil, s.wrong("the copy does not verify")
	}
	fresh, err := r.renewed(1)
	if err != nil {
		return nil, err
	}
	done, err := s.mend(w, func(w *world, signers func(string) []tuf.Signer) error {
		p, err := r.publisher(w)
		if err != nil {
			return err
		}
		_, err = p.ChangeKeys(ctx, client.ChangeKeysRequest{Repository: r.view.Repository, Role: tuf.RoleRoot,
			Add: fresh, Remove: []string{r.stand[id].Key().ID()}, Signers: signers("")})
		return err
	})
	if err != nil || !done {
		return s, err
	}
	s.step(ownerIs, "published", "puts a new root key in place of the lost one")
	if s.ask(ctx, verifier, verifierIs, goodTag) != goodDigest {
		return nil, s.wrong("verifiers do not follow the new root")
	}
	return s, nil
}

// keysStolen gives the keys of targets, or of a signer, to a thief who has the
// server, too: first one of them, then as many as the threshold.
func (r *rehearsal) keysStolen(ctx context.Context, role *client.RoleView) (*scene, error) {
	stolen := ids(role)[:min(role.Threshold, len(role.Keys))]
	s := r.scene(KeysStolen, role.Name, stolen...)
	s.Signer = role.Delegator
	if len(stolen) > 1 {
		if err := s.alone(ctx, role); err != nil {
			return nil, err
		}
	}
	w := r.world.clone()
	verifier, err := r.client(w)
	if err != nil {
		return nil, err
	}
	if s.ask(ctx, verifier, verifierIs, goodTag) != goodDigest {
		return nil, s.wrong("the copy does not verify")
	}
	tag := ""
	for _, tag = range r.tagsOf(role) {
		forged, err := r.forge(ctx, w, role.Name, tag, stolen)
		if err != nil {
			return nil, err
		}
		if err := w.force(ctx, forged); err != nil {
			return nil, err
		}
		s.step(thiefIs, "published", "signs :%s with %d of the %d keys of %s", tag, len(stolen), len(role.Keys), role.Name)
		if s.Forged = s.ask(ctx, verifier, verifierIs, tag) == forgedDigest; s.Forged {
			break
		}
	}
	done, err := s.replace(ctx, w, role, tag)
	if err != nil || !done {
		return s, err
	}
	return s, s.after(ctx, w, role, verifier, tag)
}

// alone shows that one key below the threshold makes nothing trusted.
func (s *scene) alone(ctx context.Context, role *client.RoleView) error {
	w := s.r.world.clone()
	verifier, err := s.r.client(w)
	if err != nil {
		return err
	}
	for _, tag := range s.r.tagsOf(role)[:min(1, len(s.r.tagsOf(role)))] {
		forged, err := s.r.forge(ctx, w, role.Name, tag, s.Keys[:1])
		if err != nil {
			return err
		}
		if err := w.force(ctx, forged); err != nil {
			return err
		}
		s.step(thiefIs, "published by a server in the thief's hands", "signs :%s with one of the %d keys that %s needs", tag, role.Threshold, role.Name)
		if s.ask(ctx, verifier, verifierIs, tag) == forgedDigest {
			return s.wrong("one key below the threshold was enough")
		}
	}
	return nil
}

// replace puts fresh keys in place of the stolen ones and withdraws what they signed.
func (s *scene) replace(ctx context.Context, w *world, role *client.RoleView, tag string) (done bool, err error) {
	r := s.r
	fresh, err := r.renewed(len(s.Keys))
	if err != nil {
		return false, err
	}
	var remove []string
	for _, signer := range r.signers(s.Keys) {
		remove = append(remove, signer.Key().ID())
	}
	done, err = s.mend(w, func(w *world, signers func(string) []tuf.Signer) error {
		p, err := r.publisher(w)
		if err != nil {
			return err
		}
		_, err = p.ChangeKeys(ctx, client.ChangeKeysRequest{Repository: r.view.Repository, Role: role.Name, Add: fresh, Remove: remove, Signers: signers("")})
		if err != nil || !s.Forged {
			return err
		}
		_, err = p.Revoke(ctx, client.RevokeRequest{Repository: r.view.Repository, Tag: tag, Role: role.Name, Signers: r.fresh})
		return err
	})
	if !done || err != nil {
		return done, err
	}
	s.step(ownerIs, "published", "puts new keys in place of the stolen ones of %s, as %s says", role.Name, role.Delegator)
	if s.Forged {
		s.step(ownerIs, "published", "revokes :%s", tag)
	}
	return true, nil
}

// after shows what the thief has left, and that what is good is still trusted.
func (s *scene) after(ctx context.Context, w *world, role *client.RoleView, verifier *client.Client, tag string) error {
	anew, err := s.r.client(w)
	if err != nil {
		return err
	}
	for _, is := range []struct {
		who    string
		client *client.Client
	}{{verifierIs, verifier}, {newcomerIs, anew}} {
		if tag != "" && s.ask(ctx, is.client, is.who, tag) == forgedDigest {
			return s.wrong("what the thief signed is still trusted")
		}
		if s.ask(ctx, is.client, is.who, goodTag) != goodDigest {
			return s.wrong("what is good is not trusted any more")
		}
	}
	if tag == "" {
		return nil
	}
	forged, err := s.r.forge(ctx, w, role.Name, tag, s.Keys)
	if err != nil {
		return err
	}
	if err := w.force(ctx, forged); err != nil {
		return err
	}
	s.step(thiefIs, "published by a server in the thief's hands", "signs :%s again with the stolen keys", tag)
	if s.ask(ctx, verifier, verifierIs, tag) == forgedDigest {
		return s.wrong("stolen keys that were replaced are still believed")
	}
	return nil
}

// onlineKeysStolen gives the online keys to a thief, who has verifiers believe the
// largest versions there are.
func (r *rehearsal) onlineKeysStolen(ctx context.Context) (*scene, error) {
	s, w := r.scene(OnlineKeysStolen, ""), r.world.clone()
	s.Signer = tuf.RoleRoot
	verifier, err := r.client(w)
	if err != nil {
		return nil, err
	}
	if s.ask(ctx, verifier, verifierIs, goodTag) != goodDigest {
		return nil, s.wrong("the copy does not verify")
	}
	honest := w.clone()
	if err := w.release(ctx, math.MaxInt64, math.MaxInt64); err != nil {
		return nil, err
	}
	s.step(thiefIs, "served", "signs snapshot and timestamp with the largest versions that there are")
	if s.ask(ctx, verifier, verifierIs, goodTag) == forgedDigest {
		return nil, s.wrong("online keys made a digest trusted")
	}
	*w = *honest
	if err := w.release(ctx, w.state.Snapshot.Version+1, w.state.Timestamp.Version+1); err != nil {
		return nil, err
	}
	s.step(ownerIs, "served", "has the server back, with what is good")
	s.Forged = s.ask(ctx, verifier, verifierIs, goodTag) == ""
	if err := w.renewOnline(); err != nil {
		return nil, err
	}
	r.fresh = nil
	done, err := s.mend(w, func(w *world, signers func(string) []tuf.Signer) error {
		p, err := r.publisher(w)
		if err != nil {
			return err
		}
		_, err = p.Renew(ctx, client.RenewRequest{Repository: r.view.Repository, Roles: []string{tuf.RoleRoot}, Signers: signers(tuf.RoleRoot)})
		return err
	})
	if err != nil || !done {
		return s, err
	}
	s.step(ownerIs, "published", "signs a root that lists fresh online keys")
	if s.ask(ctx, verifier, verifierIs, goodTag) != goodDigest {
		return nil, s.wrong("a verifier that saw a fast-forward does not come back")
	}
	return s, nil
}
