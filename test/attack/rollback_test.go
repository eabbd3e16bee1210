package attack_test

import (
	"math"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// Rollback: who has seen newer metadata refuses older, whoever signs it anew.
func TestRollback(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", set(t, app, "ci-1", "bad"))
	old := s.record(app)
	p.edit("ci", set(t, app, "ci-1", "mended"))
	p.sign("1.0", "two")
	warm := s.verifier(t, app, p.root)
	warm.trusts(app+":1.0", digest("two"))
	warm.trusts(app+":ci-1", digest("mended"))
	older := func(f *attack.Forger, role string) tuf.File {
		t.Helper()
		return attack.NewForger(t, old, nil).Newest(role)
	}
	for _, c := range []struct {
		claim string
		keys  []string
		forge func(f *attack.Forger) *attack.Recording
		tag   string
		rule  tuf.Rule
		kept  []string
	}{
		{"all of yesterday's", nil, func(*attack.Forger) *attack.Recording { return old }, "1.0", tuf.RuleRollback, nil},
		{"yesterday's timestamp alone", nil, func(f *attack.Forger) *attack.Recording {
			f.Put(tuf.RoleTimestamp, 0, older(f, tuf.RoleTimestamp).Bytes)
			return f.Recording
		}, "1.0", tuf.RuleRollback, nil},
		{"yesterday's snapshot under today's name", nil, func(f *attack.Forger) *attack.Recording {
			f.Put(tuf.RoleSnapshot, f.Newest(tuf.RoleSnapshot).Version, older(f, tuf.RoleSnapshot).Bytes)
			return f.Recording
		}, "1.0", "", nil}, // it is not even asked for: what is there fits the timestamp
		{"a new timestamp of yesterday's snapshot", []string{tuf.RoleTimestamp}, func(f *attack.Forger) *attack.Recording {
			file := older(f, tuf.RoleSnapshot)
			f.Put(tuf.RoleSnapshot, file.Version, file.Bytes)
			f.Timestamp(nil)
			return f.Recording
		}, "1.0", tuf.RuleRollback, nil},
		{"yesterday's snapshot signed anew", online, func(f *attack.Forger) *attack.Recording {
			for _, role := range []string{tuf.RoleTargets, "ci"} {
				file := older(f, role)
				f.Put(role, file.Version, file.Bytes)
			}
			f.Release()
			return f.Recording
		}, "1.0", tuf.RuleRollback, []string{tuf.RoleTimestamp}},
		{"yesterday's targets called today's", online, func(f *attack.Forger) *attack.Recording {
			f.Put(tuf.RoleTargets, f.Newest(tuf.RoleTargets).Version+1, older(f, tuf.RoleTargets).Bytes)
			f.Release()
			return f.Recording
		}, "1.0", tuf.RuleRollback, online},
		{"a signer's role of yesterday", online, func(f *attack.Forger) *attack.Recording {
			file := older(f, "ci")
			f.Put("ci", file.Version, file.Bytes)
			f.Release()
			return f.Recording
		}, "ci-1", tuf.RuleRollback, []string{tuf.RoleTimestamp}},
		{"a signer's role of yesterday called today's", online, func(f *attack.Forger) *attack.Recording {
			f.Put("ci", f.Newest("ci").Version+1, older(f, "ci").Bytes)
			f.Release()
			return f.Recording
		}, "ci-1", tuf.RuleRollback, online},
		{"a role that vanishes from the snapshot", online, func(f *attack.Forger) *attack.Recording {
			f.Drop("ci")
			f.Release()
			return f.Recording
		}, "1.0", tuf.RuleRollback, []string{tuf.RoleTimestamp}},
		{"a snapshot whose version steps back", online, func(f *attack.Forger) *attack.Recording {
			f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Version -= 2 })
			f.Timestamp(nil)
			return f.Recording
		}, "1.0", tuf.RuleRollback, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s.proxy.Set(attack.Replay(c.forge(s.forger(t, p, c.keys...))))
			m := warm.clone(t)
			if c.rule == "" {
				m.trusts(app+":"+c.tag, digest("two"))
			} else {
				m.refusesAndKeeps(c.kept, app+":"+c.tag, c.rule)
			}
			s.proxy.Set()
			if c.keys == nil {
				m.trusts(app+":1.0", digest("two"))
			}
		})
	}
	t.Run("what the newcomer is told is up to the anchor", func(t *testing.T) {
		s.proxy.Set(attack.Replay(old))
		defer s.proxy.Set()
		s.verifier(t, app, p.root).trusts(app+":1.0", digest("one")) // nobody without state can know better
		s.verifier(t, app, p.root, "--min-targets", "3").refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}, app+":1.0", tuf.RuleRollback)
	})
}

// An old root: a verifier never goes back behind the newest root that it has
// verified, and what that root took away is gone for good.
func TestHiddenRoot(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	shipped := s.verifier(t, app, p.root)
	shipped.trusts(app+":1.0", digest("one"))
	stolen := p.targets
	before := s.forger(t, p, append([]string{tuf.RoleTargets}, online...)...)
	p.targets = newKeys(t, 1)
	p.newestRoot.Signed.Version++
	p.must(tuf.SetRoleKeys(p.newestRoot, tuf.RoleTargets, all(p.targets)))
	p.publish(p.file(tuf.RoleRoot, p.newestRoot, p.root), p.next(tuf.RoleTargets, func(*tuf.Targets) {}))
	seen := shipped.clone(t)
	seen.trusts(app+":1.0", digest("one"))

	// The thief of the old targets key and of the online keys hides the new root.
	before.Role(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Version += 10
		set(t, app, "1.0", "evil")(md)
	}, stolen...)
	before.Release()
	before.Release()
	before.Release()
	s.serve(before)
	seen.refusesAndKeeps(online, app+":1.0", tuf.RuleThreshold)
	s.serve(before)
	s.verifier(t, app, p.root, "--min-root", "2").refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot}, app+":1.0", tuf.RuleRollback)

	// Who has not heard of it is fooled until something expires: TUF's own limit.
	shipped.trusts(app+":1.0", digest("evil"))
	s.proxy.Set()
	// The news arrives, and with it the end of what the stolen key signed. The online
	// keys were stolen too: until root replaces them, versions are the thief's to set.
	o, d := shipped.verify(app + ":1.0")
	if o.exit != 3 || d.Trusted {
		t.Errorf("exit status %d, %+v, expected a refusal", o.exit, d)
	}
	if _, err := s.h.Signer.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	s.rotateOnline(p)
	for _, m := range []*machine{shipped, seen} {
		m.trusts(app+":1.0", digest("one"))
	}
}

// rotateOnline publishes a root with the signer's present online keys.
func (s *scene) rotateOnline(p *publisher) {
	s.t.Helper()
	p.newestRoot.Signed.Version++
	for role, signers := range stolen(s, p) {
		p.must(tuf.SetRoleKeys(p.newestRoot, role, all(signers)))
	}
	p.publish(p.file(tuf.RoleRoot, p.newestRoot, p.root))
}

// Fast-forward: with stolen online keys every version goes to the largest there is.
// Root takes the keys away, and the very same verifier recovers.
func TestFastForward(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", set(t, app, "ci-1", "built"))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0", digest("one"))
	thief := s.forger(t, p, online...)
	thief.Snapshot(func(md *tuf.Snapshot) { md.Signed.Version = math.MaxInt64 })
	thief.Timestamp(func(md *tuf.Timestamp) { md.Signed.Version = math.MaxInt64 })
	s.serve(thief)
	m.trusts(app+":1.0", digest("one")) // nothing false is said, but no later version can follow
	s.proxy.Set()
	m.refuses(app+":1.0", tuf.RuleRollback)

	// Nor can any role be put out of reach: the snapshot may lie about versions, and
	// no file has them.
	liar := s.forger(t, p, online...)
	liar.Snapshot(func(md *tuf.Snapshot) {
		md.Signed.Version = math.MaxInt64 - 1
		md.Signed.Meta["targets.json"].Version = math.MaxInt64
		md.Signed.Meta["ci.json"].Version = math.MaxInt64
	})
	liar.Timestamp(func(md *tuf.Timestamp) { md.Signed.Version = math.MaxInt64 - 1 })
	s.serve(liar)
	lied := s.verifier(t, app, p.root)
	lied.cannotTell([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot}, app+":1.0")
	s.proxy.Set()
	lied.refuses(app+":1.0", tuf.RuleRollback)

	if _, err := s.h.Signer.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	s.rotateOnline(p)
	p.sign("1.1", "new")
	for _, m := range []*machine{m, lied} {
		m.trusts(app+":1.0", digest("one"))
		m.trusts(app+":1.1", digest("new"))
		m.trusts(app+":ci-1", digest("built"))
	}
	// The thief's keys are worth nothing now.
	s.serve(thief)
	m.trusts(app+":1.1", digest("new"), "--offline")
	m.refuses(app+":1.1", tuf.RuleThreshold)
}

// A server that was restored from a backup takes nobody back with it.
func TestRestoredServer(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	backup := s.record(app)
	p.sign("1.0", "two")
	p.rotate(func(root *tuf.Root) { root.Signed.Expires = root.Signed.Expires.Add(-time.Hour) })
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0", digest("two"))
	s.proxy.Set(attack.Replay(backup))
	m.refuses(app+":1.0", tuf.RuleRollback)
	m.trusts(app+":1.0", digest("two"), "--offline")
	s.proxy.Set()
	m.trusts(app+":1.0", digest("two"))
}

// stolen are the newest online keys, as the signer has them.
func stolen(s *scene, p *publisher) map[string][]tuf.Signer {
	s.t.Helper()
	return attack.Steal(s.t, s.signer, p.name)
}
