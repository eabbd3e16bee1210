package attack_test

import (
	"testing"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/tuf"
)

// Mix and match: each of these files is signed and fresh; together they are what
// nobody ever published.
func TestMixAndMatch(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	warm := s.verifier(t, app, p.root)
	warm.trusts(app+":1.0", digest("one"))
	old := s.record(app)
	p.sign("1.0", "two")
	for _, c := range []struct {
		claim string
		role  string
		kept  []string
	}{
		{"old targets under a new snapshot", tuf.RoleTargets, online},
		{"an old snapshot under a new timestamp", tuf.RoleSnapshot, []string{tuf.RoleTimestamp}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s.proxy.Set(attack.ReplayRole(old, c.role))
			m := warm.clone(t)
			m.refusesAndKeeps(c.kept, app+":1.0", tuf.RuleHash)
			s.verifier(t, app, p.root).refusesAndKeeps(append([]string{tuf.RoleRoot}, c.kept...), app+":1.0", tuf.RuleHash)
			s.proxy.Set()
			m.trusts(app+":1.0", digest("two"))
		})
	}
	t.Run("new targets under an old snapshot", func(t *testing.T) {
		f := attack.NewForger(t, old, nil)
		f.Put(tuf.RoleTargets, 1, s.record(app).Files["2.targets.json"])
		s.serve(f)
		s.verifier(t, app, p.root).refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot}, app+":1.0", tuf.RuleLimit) // they are longer
		s.proxy.Set()
	})
	t.Run("a timestamp that names yesterday's snapshot by today's version", func(t *testing.T) {
		f := s.forger(t, p, tuf.RoleTimestamp)
		snapshot := f.Newest(tuf.RoleSnapshot).Version
		f.Put(tuf.RoleSnapshot, snapshot, attack.NewForger(t, old, nil).Newest(tuf.RoleSnapshot).Bytes)
		f.Timestamp(nil)
		s.serve(f)
		warm.clone(t).refusesAndKeeps([]string{tuf.RoleTimestamp}, app+":1.0", tuf.RuleRollback)
		s.verifier(t, app, p.root).refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp}, app+":1.0", tuf.RuleRollback)
		s.proxy.Set()
	})
}

// Wrong software: two repositories of one team trust the same keys, and one anchor
// covers both. What is signed for one says nothing of the other.
func TestSharedKeys(t *testing.T) {
	s := newScene(t)
	root, targets := newKeys(t, 1), newKeys(t, 1)
	p := s.publisher(app, root, targets)
	q := s.publisher(other, root, targets)
	q.sign("1.0", "theirs")
	q.sign("2.0", "theirs too")
	const both = "registry.example/team/*"
	warm := s.verifier(t, both, root)
	warm.trusts(app+":1.0", digest("one"))
	warm.trusts(other+":1.0", digest("theirs"))
	theirs := s.record(other)

	t.Run("the whole repository, to a newcomer", func(t *testing.T) {
		s.proxy.Set(attack.Impersonate(app, theirs))
		m := s.verifier(t, both, root)
		m.refuses(app+":1.0", tuf.RuleRepository)
		m.refuses(app+":2.0", tuf.RuleRepository)
		s.verifier(t, app, root).refuses(app+":1.0", tuf.RuleRepository)
		s.proxy.Set()
		m.trusts(app+":1.0", digest("one"))
	})
	t.Run("the whole repository, to who knows the right one", func(t *testing.T) {
		s.proxy.Set(attack.Impersonate(app, theirs))
		m := warm.clone(t)
		m.refuses(app+":1.0", tuf.RuleThreshold) // its online keys are others
		m.refuses(app+":2.0", tuf.RuleThreshold)
		s.proxy.Set()
		m.trusts(app+":1.0", digest("one"))
	})
	t.Run("its next root", func(t *testing.T) {
		f := s.forger(t, q, tuf.RoleRoot)
		f.Root(func(*tuf.Root) {})
		s.proxy.Set(file(app, f.Newest(tuf.RoleRoot)))
		warm.clone(t).refuses(app+":1.0", tuf.RuleRepository)
		s.proxy.Set()
	})
	t.Run("its targets, by whoever has the online keys", func(t *testing.T) {
		f := s.forger(t, p, online...)
		newest := attack.NewForger(t, theirs, nil).Newest(tuf.RoleTargets)
		f.Put(tuf.RoleTargets, newest.Version, newest.Bytes)
		f.Release()
		s.serve(f)
		kept := append([]string{tuf.RoleTargets}, online...) // it is signed by the right key, after all
		m := warm.clone(t)
		m.refusesAndKeeps(kept, app+":1.0", tuf.RuleAbsent)
		m.refuses(app+":2.0", tuf.RuleAbsent)
		m.refuses(app+"@"+digest("theirs"), tuf.RuleAbsent)
		m.trusts(other+":1.0", digest("theirs"))
		s.proxy.Set()
	})
	t.Run("a digest of one read through the other", func(t *testing.T) {
		m := warm.clone(t)
		m.trusts(other+"@"+digest("theirs"), digest("theirs"))
		m.refuses(app+"@"+digest("theirs"), tuf.RuleAbsent)
		m.refuses(app+":1.0@"+digest("theirs"), tuf.RuleDigest)
		m.refuses(app+":2.0@"+digest("theirs"), tuf.RuleAbsent)
	})
}

// file serves one file more.
func file(repository string, f tuf.File) attack.Attack {
	return func(a *attack.Answer) {
		if a.Repository == repository && a.File == f.Name() {
			a.Status, a.Body = 200, f.Bytes
		}
	}
}

// A digest is trusted under the tag that it was signed under, and no other.
func TestOtherDigest(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.sign("2.0", "two")
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0@"+digest("one"), digest("one"))
	m.refuses(app+":1.0@"+digest("two"), tuf.RuleDigest)
	m.refuses(app+":1.0@"+digest("evil"), tuf.RuleDigest)
	m.refuses(app+":3.0@"+digest("one"), tuf.RuleAbsent)
	m.refuses(app+":3.0", tuf.RuleAbsent)
	m.refuses(app+"@"+digest("evil"), tuf.RuleAbsent)

	// A record that was withdrawn is untrusted, though the tag stays.
	p.sign("1.0", "mended")
	m.trusts(app+":1.0@"+digest("one"), digest("one"))
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.RemoveTag(md, app, "1.0", digest("one")) })
	m.refusesAndKeeps(append([]string{tuf.RoleTargets}, online...), app+":1.0@"+digest("one"), tuf.RuleDigest)
	m.trusts(app+":1.0", digest("mended"))
}
