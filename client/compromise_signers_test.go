package client_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// changedSigners tells in one line each which signers are as a key made them.
func changedSigners(c *client.Compromise, names map[string]tuf.Signer) []string {
	lines := []string{}
	for _, s := range c.Signers {
		var gone []string
		for name, key := range names {
			if slices.Contains(s.Gone, key.Key().ID()) {
				gone = append(gone, name)
			}
		}
		lines = append(lines, fmt.Sprintf("%s under %s: removed=%v gone=%s terms=%v moved=%v", s.Role, s.Delegator, s.Is == nil, strings.Join(gone, "+"), s.Terms(), s.Moved()))
	}
	return lines
}

// TestCompromisedSigners has a thief of a targets key change the signers that are there:
// the report follows what is not yet as others want it.
func TestCompromisedSigners(t *testing.T) {
	s := newStory(t)
	eve, carol := harness.NewKey(t), harness.NewKey(t)
	names := map[string]tuf.Signer{"alice": s.alice, "bob": s.bob, "release": s.r, "eve": eve, "carol": carol}
	add := func(name, parent string, key tuf.Signer, by tuf.Signer) {
		t.Helper()
		s.do(s.p.AddSigner(t.Context(), client.AddSignerRequest{Repository: storyName, Name: name, Parent: parent, Tags: []string{"h*"},
			Keys: tuf.RoleKeys{Keys: []*tuf.Key{key.Key()}}, Signers: []tuf.Signer{by, key}}))
	}
	remove := func(name string, by tuf.Signer) {
		t.Helper()
		s.do(s.p.RemoveSigner(t.Context(), client.RemoveSignerRequest{Repository: storyName, Name: name, Signers: []tuf.Signer{by}}))
	}
	update := func(r client.UpdateSignerRequest, by ...tuf.Signer) {
		t.Helper()
		r.Repository, r.Name, r.Signers = storyName, "release", by
		s.do(s.p.UpdateSigner(t.Context(), r))
	}
	add("friends", "", carol, s.bob)
	theft := s.h.Clock.Now()
	check := func(what string, want ...string) {
		t.Helper()
		if got := changedSigners(s.compromised(s.alice, theft), names); !slices.Equal(got, append([]string{}, want...)) {
			t.Errorf("%s: %q, expected %q", what, got, want)
		}
	}
	left := func(roles ...string) {
		t.Helper()
		c := s.compromised(s.alice, theft)
		for _, role := range []string{"release", "helpers", "below", "friends"} {
			if c.Left(role) != slices.Contains(roles, role) {
				t.Errorf("%s is what the thief left behind: %v", role, c.Left(role))
			}
		}
	}

	check("before the theft, and by another key")
	add("helpers", "", eve, s.alice)
	add("below", "helpers", eve, eve)
	check("a new signer is told by its keys")
	left("helpers", "below")
	update(client.UpdateSignerRequest{Add: []*tuf.Key{eve.Key()}, Remove: []string{s.r.Key().ID()}}, s.alice, eve)
	check("a key in place of another", "release under targets: removed=false gone=release terms=false moved=false")
	left("helpers", "below") // and not release, which has no key but the thief's, and was there before
	update(client.UpdateSignerRequest{Tags: []string{"v*", "w*"}}, s.alice, eve)
	check("other tags", "release under targets: removed=false gone=release terms=true moved=false")
	if c := s.compromised(s.alice, theft); len(c.Signers) != 1 || !slices.Contains(c.Signers[0].Was.Paths, storyName+":v*") || len(c.Signers[0].Was.Paths) != 2 || len(c.Signers[0].Is.Paths) != 4 {
		t.Errorf("what it was: %+v", c.Signers)
	}
	remove("friends", s.alice)
	check("a signer that is gone", "release under targets: removed=false gone=release terms=true moved=false", "friends under targets: removed=true gone= terms=false moved=false")
	if got := changedSigners(s.compromised(s.bob, theft), names); len(got) != 0 {
		t.Errorf("Bob's key said none of this: %q", got)
	}
	if c := s.compromised(s.alice, time.Time{}); c.Left("helpers") || len(c.Signers) == 0 {
		t.Errorf("without a time nobody can tell whose work it is: %+v", c.Signers)
	}

	// Others put it right, one thing after the other.
	update(client.UpdateSignerRequest{Tags: []string{"v*"}}, s.bob, eve)
	check("tags as others want them", "release under targets: removed=false gone=release terms=false moved=false", "friends under targets: removed=true gone= terms=false moved=false")
	update(client.UpdateSignerRequest{Add: []*tuf.Key{carol.Key()}, Remove: []string{eve.Key().ID()}}, s.bob, carol)
	check("keys as others want them", "friends under targets: removed=true gone= terms=false moved=false")
	remove("helpers", s.bob)
	add("friends", "", s.r, s.bob) // with another key than it had
	check("after others put it right")

	// A place is more than it seems: the first that knows a tag decides.
	update(client.UpdateSignerRequest{Last: true}, s.alice, carol)
	check("another order", "friends under targets: removed=false gone= terms=false moved=true", "release under targets: removed=false gone= terms=false moved=true")
	update(client.UpdateSignerRequest{Before: "friends"}, s.alice, carol)
	check("the thief's own way back is nothing to mend")
	// A thief's key that goes does not say that the one it replaced is to stay away.
	update(client.UpdateSignerRequest{Add: []*tuf.Key{eve.Key(), s.r.Key()}, Remove: []string{carol.Key().ID()}}, s.alice, eve)
	update(client.UpdateSignerRequest{Remove: []string{eve.Key().ID()}}, s.bob, s.r)
	if got := changedSigners(s.compromised(s.alice, theft), names); !slices.Equal(got, []string{"release under targets: removed=false gone=carol terms=false moved=false"}) {
		t.Errorf("after the thief's key was taken out: %q", got)
	}
}

// TestCompromisedWithdraws has a thief withdraw tags: they are told with what they meant
// until they mean something again; what the thief made and took back, and what others
// withdrew, is not.
func TestCompromisedWithdraws(t *testing.T) {
	s := newStory(t)
	for i, tag := range []string{"1.0", "1.1", "1.2", "1.3"} {
		s.sign(tag, i+1, "targets", s.alice)
	}
	theft := s.h.Clock.Now()
	revoke := func(tag string, by tuf.Signer) {
		t.Helper()
		s.do(s.p.Revoke(t.Context(), client.RevokeRequest{Repository: storyName, Tag: tag, Role: "targets", Signers: []tuf.Signer{by}}))
	}
	s.sign("1.0", 9, "targets", s.alice)
	revoke("1.0", s.alice) // moved, and then withdrawn
	revoke("1.1", s.alice)
	revoke("1.2", s.bob)
	s.sign("9.9", 8, "targets", s.alice)
	revoke("9.9", s.alice)
	told := func() (all []string) {
		for _, tag := range s.compromised(s.alice, theft).Withdrawn {
			all = append(all, tag.Tag+" "+tag.Good.Digest[len(tag.Good.Digest)-1:])
		}
		return all
	}
	if got := told(); !slices.Equal(got, []string{"1.0 1", "1.1 2"}) {
		t.Errorf("%q", got)
	}
	s.sign("1.0", 1, "targets", s.bob)
	if got := told(); !slices.Equal(got, []string{"1.1 2"}) {
		t.Errorf("once it means something again: %q", got)
	}
}

// TestCompromisedOnlineKey has an online key stolen: it vouches for no digest, and is
// told with the roles that have it.
func TestCompromisedOnlineKey(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	view, err := s.p.Client.View(t.Context(), storyName, client.Options{Anchor: s.p.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.p.Compromised(t.Context(), client.CompromiseRequest{Repository: storyName, KeyID: view.Role(tuf.RoleTimestamp).Keys[0].ID})
	if err != nil || len(c.Roles) != 1 || c.Roles[0].Role != tuf.RoleTimestamp || len(c.Trusted) != 1 || len(c.Signed)+len(c.Doubtful)+len(c.Brought)+len(c.Signers) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestCompromisedLetsIn has others decide what the thief did before, and a root key
// that lets a targets key in.
func TestCompromisedLetsIn(t *testing.T) {
	s := newStory(t)
	eve, carol := harness.NewKey(t), harness.NewKey(t)
	add := func(name string, key tuf.Signer, by tuf.Signer) {
		t.Helper()
		s.do(s.p.AddSigner(t.Context(), client.AddSignerRequest{Repository: storyName, Name: name, Tags: []string{name + "-*"},
			Keys: tuf.RoleKeys{Keys: []*tuf.Key{key.Key()}}, Signers: []tuf.Signer{by, key}}))
	}
	add("early", carol, s.alice) // by its owner
	theft := s.h.Clock.Now()
	add("helpers", eve, s.alice)
	add("qa", carol, s.bob)
	told := func(key tuf.Signer, since time.Time) (all []string) {
		for _, b := range s.compromised(key, since).Brought {
			all = append(all, fmt.Sprint(b.Role, " under ", b.Delegator, " new=", b.New))
		}
		return all
	}
	if got := told(s.alice, theft); !slices.Equal(got, []string{"helpers under targets new=true"}) {
		t.Errorf("%q", got)
	}
	if got := told(s.bob, theft); !slices.Equal(got, []string{"qa under targets new=true"}) {
		t.Errorf("of another key: %q", got)
	}
	if got := told(s.root, time.Time{}); len(got) != 0 {
		t.Errorf("the first root lets nobody in: %q", got)
	}
	// A signer who was removed, and whom somebody else lets in again, is that one's.
	s.do(s.p.RemoveSigner(t.Context(), client.RemoveSignerRequest{Repository: storyName, Name: "helpers", Signers: []tuf.Signer{s.bob}}))
	add("helpers", eve, s.bob)
	if got := told(s.alice, theft); len(got) != 0 {
		t.Errorf("once others have decided: %q", got)
	}
	// A root key alone, too, lets keys in.
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: tuf.RoleTargets, Add: []*tuf.Key{eve.Key()}, Signers: []tuf.Signer{s.root, s.bob}}))
	if got := told(s.root, theft); !slices.Equal(got, []string{"targets under root new=false"}) {
		t.Errorf("of root: %q", got)
	}
}
