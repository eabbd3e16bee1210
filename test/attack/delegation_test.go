package attack_test

import (
	"math"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// A server that checks nothing, and signers who write what they may not: what
// counts is what each of those above them has delegated.
func TestDelegationsOutsideTheirPatterns(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", set(t, app, "ci-1", "built"))
	m := s.verifier(t, app, p.root)
	evil := target("evil")
	list := func(md *tuf.Targets, paths ...string) {
		t.Helper()
		scratch := tuf.NewTargets(1, time.Now())
		if err := tuf.SetTarget(scratch, app, "x", evil); err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			md.Signed.Targets[path] = scratch.Signed.Targets[tuf.TagPath(app, "x")]
		}
	}
	f := s.forger(t, p, online...)
	f.Role("ci", func(md *tuf.Targets) {
		list(md, tuf.TagPath(app, "1.0"), tuf.TagPath(app, "2.0"), tuf.TagPath(app, "xci-1"), tuf.TagPath(app, "ci"),
			tuf.RecordPath(app, "1.0", evil.Digest), tuf.RecordPath(app, "2.0", evil.Digest), tuf.TagPath(other, "ci-1"))
		// And it delegates on, to a role of its own, more than it has itself.
		md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		key := p.signers["ci"][0].Key()
		md.Signed.Delegations.Keys[key.ID()] = key.Metadata()
		for _, name := range []string{"mole", "targets-2"} {
			md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles, metadata.DelegatedRole{
				Name: name, KeyIDs: []string{key.ID()}, Threshold: 1, Paths: []string{"*", "*/*/*", "*/*/*@*", app + ":*", app + ":*@sha256:*"}})
		}
	}, p.signers["ci"]...)
	for _, name := range []string{"mole", "targets-2"} {
		md := tuf.NewTargets(1, time.Now().Add(90*day))
		list(md, tuf.TagPath(app, "1.0"), tuf.TagPath(app, "2.0"), tuf.TagPath(app, "latest"), tuf.RecordPath(app, "2.0", evil.Digest))
		f.NewRole(name, md, p.signers["ci"]...)
	}
	f.Release()
	s.serve(f)
	m.trusts(app+":1.0", digest("one"))
	m.trusts(app+":ci-1", digest("built"))
	for image, rule := range map[string]tuf.Rule{
		app + ":2.0":                     tuf.RuleAbsent,
		app + ":latest":                  tuf.RuleAbsent,
		app + ":xci-1":                   tuf.RuleAbsent,
		app + ":ci":                      tuf.RuleAbsent,
		app + ":1.0@" + digest("evil"):   tuf.RuleDigest,
		app + ":2.0@" + digest("evil"):   tuf.RuleAbsent,
		app + ":ci-1@" + digest("evil"):  tuf.RuleDigest,
		app + ":ci-99@" + digest("evil"): tuf.RuleAbsent,
	} {
		m.clone(t).refusesAndKeeps([]string{"ci", "mole", "targets-2"}, image, rule)
	}
	o, d := m.verify(app + "@" + digest("evil"))
	if o.exit != 3 || d.Rule != tuf.RuleAbsent {
		t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleAbsent)
	}
}

// A wildcard ends where a tag ends: a signer of *0 must not reach records of other
// tags, nor other repositories.
func TestWildcardsEndWhereATagEnds(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	key := harness.NewKey(t)
	f := s.forger(t, p, append([]string{tuf.RoleTargets}, online...)...)
	evil := target("evil") // its digest ends in some digit: the pattern is for just that one
	last := evil.Digest[len(evil.Digest)-1:]
	f.Role(tuf.RoleTargets, func(md *tuf.Targets) { delegate(md, app, "ops", "*"+last, key) })
	md := tuf.NewTargets(1, time.Now().Add(90*day))
	set(t, app, "9."+last, "evil")(md)
	set(t, app, "1.0-x", "evil")(md) // its tag does not end so, but its record's path does
	f.NewRole("ops", md, key)
	f.Release()
	s.serve(f)
	m := s.verifier(t, app, p.root)
	m.trusts(app+":9."+last, digest("evil"))
	m.refuses(app+":1.0-x", tuf.RuleAbsent)
	m.refuses(app+":1.0-x@"+digest("evil"), tuf.RuleAbsent)
}

// The file of a removed signer is replayed: nobody delegates to it any more. Nor does
// it count for a new signer of the same name, who has another key.
func TestRemovedSignerReplayed(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", set(t, app, "ci-1", "built"))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":ci-1", digest("built"))
	fired := s.record(app)
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Delegations = nil })
	m.refusesAndKeeps(append([]string{tuf.RoleTargets}, online...), app+":ci-1", tuf.RuleAbsent)

	t.Run("the targets that delegated to it", func(t *testing.T) {
		s.proxy.Set(attack.Replay(fired))
		m.clone(t).refuses(app+":ci-1", tuf.RuleRollback)
	})
	t.Run("the same, all above it signed anew", func(t *testing.T) {
		f := s.forger(t, p, online...)
		old := attack.NewForger(t, fired, nil).Newest(tuf.RoleTargets)
		f.Put(tuf.RoleTargets, old.Version, old.Bytes)
		f.Release()
		s.serve(f)
		m.clone(t).refusesAndKeeps([]string{tuf.RoleTimestamp}, app+":ci-1", tuf.RuleRollback)
	})
	t.Run("its file alone", func(t *testing.T) {
		f := s.forger(t, p, online...)
		f.Role("ci", set(t, app, "ci-1", "evil"), p.signers["ci"]...)
		f.Release()
		s.serve(f)
		m.clone(t).refusesAndKeeps(online, app+":ci-1", tuf.RuleAbsent)
	})
	s.proxy.Set()
	gone := p.signers["ci"]
	p.delegate("ci", "ci-*", harness.NewKey(t))
	t.Run("its file, once another signer has the name", func(t *testing.T) {
		f := s.forger(t, p, online...)
		f.Role("ci", func(md *tuf.Targets) {
			md.Signed.Version = math.MaxInt32
			set(t, app, "ci-1", "evil")(md)
		}, gone...)
		f.Release()
		s.serve(f)
		m.clone(t).refusesAndKeeps(append([]string{tuf.RoleTargets}, online...), app+":ci-1", tuf.RuleThreshold)
	})
	s.proxy.Set()
	m.trusts(app+":ci-1", digest("built")) // the new signer vouches for it, under the old version's successor
}

// A role to which two others delegate is verified under each of them, also when its
// file lies in the cache already. (Signet's server takes no such tree; others do.)
func TestCachedRoleUnderASecondDelegator(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	alice, bob, carol := harness.NewKey(t), harness.NewKey(t), harness.NewKey(t)
	f := s.forger(t, p, append([]string{tuf.RoleTargets}, online...)...)
	f.Role(tuf.RoleTargets, func(md *tuf.Targets) {
		delegate(md, app, "a", "a-*", alice)
		delegate(md, app, "b", "b-*", bob)
	})
	life := time.Now().Add(90 * day)
	under := func(name string, by, key tuf.Signer) {
		md := tuf.NewTargets(1, life)
		delegate(md, app, "shared", "*", key)
		f.NewRole(name, md, by)
	}
	under("a", alice, carol) // alice lets carol's key sign the shared role
	under("b", bob, bob)     // bob lets nobody but himself
	md := tuf.NewTargets(1, life)
	set(t, app, "a-1", "fine")(md)
	set(t, app, "b-1", "evil")(md)
	f.NewRole("shared", md, carol)
	f.Release()
	s.serve(f)
	m := s.verifier(t, app, p.root)
	m.trusts(app+":a-1", digest("fine"))
	m.refusesAndKeeps([]string{"b"}, app+":b-1", tuf.RuleThreshold)
	m.refuses(app+":b-1@"+digest("evil"), tuf.RuleThreshold)
	m.trusts(app+":a-1", digest("fine"))
	fresh := s.verifier(t, app, p.root)
	if o, d := fresh.verify(app + ":b-1"); o.exit != 3 || d.Rule != tuf.RuleThreshold {
		t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleThreshold)
	}
	if o, d := fresh.verify(app + "@" + digest("evil")); o.exit != 3 || d.Trusted {
		t.Errorf("exit status %d, %+v, expected a refusal", o.exit, d)
	}
}
