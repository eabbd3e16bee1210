package client_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const storyName = "registry.example.com/team/app"

// A story is a repository with two targets keys and a signer, on a real server.
type story struct {
	t                   *testing.T
	h                   *harness.Harness
	p                   *client.Publisher
	root, alice, bob, r tuf.Signer // root, the two targets keys, the signer's
}

func newStory(t *testing.T) *story {
	h := harness.Start(t)
	s := &story{t: t, h: h, p: publisher(t, h), root: harness.NewKey(t), alice: harness.NewKey(t), bob: harness.NewKey(t), r: harness.NewKey(t)}
	out, err := s.p.Init(t.Context(), client.InitRequest{Repository: storyName, Root: tuf.RoleKeys{Keys: []*tuf.Key{s.root.Key()}},
		Targets: tuf.RoleKeys{Keys: []*tuf.Key{s.alice.Key(), s.bob.Key()}}, Signers: []tuf.Signer{s.root, s.alice}})
	if err != nil {
		t.Fatal(err)
	}
	s.p.Anchor = out.Anchor
	s.do(s.p.AddSigner(t.Context(), client.AddSignerRequest{Repository: storyName, Name: "release", Tags: []string{"v*"},
		Keys: tuf.RoleKeys{Keys: []*tuf.Key{s.r.Key()}}, Signers: []tuf.Signer{s.alice, s.r}}))
	return s
}

func (s *story) do(_ *client.Published, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.h.Clock.Advance(time.Minute)
}

func storyDigest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func (s *story) sign(tag string, n int, role string, key tuf.Signer) {
	s.t.Helper()
	s.do(s.p.Sign(s.t.Context(), client.SignRequest{Repository: storyName, Role: role, Signers: []tuf.Signer{key},
		Tags: []client.TagTarget{{Tag: tag, Target: tuf.Target{Digest: storyDigest(n), Length: 1}}}}))
}

func (s *story) compromised(key tuf.Signer, since time.Time) *client.Compromise {
	s.t.Helper()
	c, err := s.p.Compromised(s.t.Context(), client.CompromiseRequest{Repository: storyName, KeyID: key.Key().ID(), Since: since})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestCompromised(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	s.sign("v1", 2, "release", s.r)
	theft := s.h.Clock.Now()
	s.sign("1.0", 3, "targets", s.alice) // the thief moves a tag,
	s.sign("9.9", 4, "targets", s.alice) // and makes one
	s.sign("1.1", 5, "targets", s.bob)   // Bob signs the file on, thief's tags and all

	c := s.compromised(s.alice, theft)
	if len(c.Gaps) > 0 || c.Files < 8 {
		t.Errorf("%d files, gaps %v", c.Files, c.Gaps)
	}
	if len(c.Roles) != 1 || c.Roles[0].Role != "targets" || !c.Roles[0].Alone || c.Roles[0].Keys != 2 || c.Roles[0].Delegator != "root" {
		t.Errorf("roles %+v", c.Roles)
	}
	var signed []string
	for _, v := range c.Signed {
		signed = append(signed, fmt.Sprint(v.Tag, " ", v.Digest[len(v.Digest)-1:], " only=", v.Only, " trusted=", v.Trusted, " current=", v.Current))
	}
	want := []string{"1.0 1 only=true trusted=true current=false", "1.0 3 only=true trusted=true current=true", "9.9 4 only=true trusted=true current=true"}
	if !slices.Equal(signed, want) {
		t.Errorf("signed %q, expected %q", signed, want)
	}
	if len(c.Doubtful) != 2 || c.Doubtful[0].Tag != "1.0" || c.Doubtful[0].Good.Digest != storyDigest(1) || c.Doubtful[1].Tag != "9.9" || c.Doubtful[1].Good != nil {
		t.Errorf("doubtful %+v", c.Doubtful)
	}
	if len(c.Changed) != 3 || c.Changed[0].Before != storyDigest(1) || c.Changed[0].After != storyDigest(3) || !c.Changed[0].ByKey || c.Changed[2].ByKey {
		t.Errorf("changed %+v", c.Changed)
	}
	if len(c.Trusted) != 1 || c.Trusted[0].From != 1 || c.Trusted[0].Until != 0 {
		t.Errorf("trusted %+v", c.Trusted)
	}
	if bob := s.compromised(s.bob, theft); len(bob.Signed) != 4 || bob.Signed[0].Only || len(bob.Doubtful) != 1 || bob.Doubtful[0].Tag != "1.1" {
		t.Errorf("%+v", bob)
	}
	if release := s.compromised(s.r, time.Time{}); len(release.Signed) != 1 || release.Roles[0].Paths == nil || len(release.Doubtful) != 1 {
		t.Errorf("%+v", release)
	}
	if root := s.compromised(s.root, time.Time{}); len(root.Metadata) != 1 || len(root.Signed) != 0 {
		t.Errorf("%+v", root)
	}

	// After the key was replaced and the tags mended, the past stays told.
	carol := harness.NewKey(t)
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: "targets", Remove: []string{s.alice.Key().ID()},
		Add: []*tuf.Key{carol.Key()}, Signers: []tuf.Signer{s.root, carol, s.bob}}))
	s.do(s.p.Revoke(t.Context(), client.RevokeRequest{Repository: storyName, Tag: "9.9", Role: "targets", Signers: []tuf.Signer{carol}}))
	after := s.compromised(s.alice, theft)
	if len(after.Roles) != 0 || len(after.Trusted) != 1 || after.Trusted[0].Until != 2 || len(after.Signed) != 3 {
		t.Errorf("%+v", after)
	}
	if len(after.Doubtful) != 1 || after.Doubtful[0].Tag != "1.0" {
		t.Errorf("doubtful %+v", after.Doubtful)
	}
	if _, err := s.p.Compromised(t.Context(), client.CompromiseRequest{Repository: storyName, KeyID: harness.NewKey(t).Key().ID()}); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("a stranger's key: %v", err)
	}
}
