package attack_test

import (
	"math"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// Key compromise, role for role: below the threshold nothing, at it just what the
// table in SECURITY.md says; then the key is taken away, and the same verifier is
// whole again.

func TestStolenOnlineKeys(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	warm := s.verifier(t, app, p.root)
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) {}) // 2: what is to be hidden later
	old := s.record(app)
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.RemoveTag(md, app, "1.0", "") })
	p.sign("1.1", "new")
	warm.refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}, app+":1.0", tuf.RuleAbsent)
	warm.trusts(app+":1.1", digest("new"))

	t.Run("the snapshot's alone is worth nothing", func(t *testing.T) {
		f := s.forger(t, p, tuf.RoleSnapshot)
		f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Version--; md.Signed.Expires = md.Signed.Expires.Add(time.Hour) })
		s.serve(f)
		s.verifier(t, app, p.root).refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp}, app+":1.1", tuf.RuleHash)
	})
	t.Run("the timestamp's alone moves to no snapshot of its own", func(t *testing.T) {
		f := s.forger(t, p, tuf.RoleTimestamp)
		f.Timestamp(func(md *tuf.Timestamp) { md.Signed.Meta["snapshot.json"].Version++ })
		f.Put(tuf.RoleSnapshot, f.Newest(tuf.RoleSnapshot).Version+1, f.Newest(tuf.RoleSnapshot).Bytes)
		s.serve(f)
		warm.clone(t).refusesAndKeeps([]string{tuf.RoleTimestamp}, app+":1.1", tuf.RuleRollback)
	})
	t.Run("both bring old targets back, to newcomers only", func(t *testing.T) {
		f := s.forger(t, p, online...)
		name := tuf.FileName(tuf.RoleTargets, 2)
		f.Put(tuf.RoleTargets, 2, old.Files[name])
		f.Release()
		s.serve(f)
		warm.clone(t).refusesAndKeeps([]string{tuf.RoleTimestamp}, app+":1.0", tuf.RuleRollback)
		s.verifier(t, app, p.root).trusts(app+":1.0", digest("one")) // the withdrawn tag
		s.verifier(t, app, p.root, "--min-targets", "4").refusesAndKeeps([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}, app+":1.0", tuf.RuleRollback)
	})
	s.proxy.Set()
	warm.trusts(app+":1.1", digest("new"))
}

func TestStolenSignerKey(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", set(t, app, "ci-1", "built"))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0", digest("one"))
	m.trusts(app+":ci-1", digest("built"))
	honest := m.clone(t)

	// The thief has the signer's key and both online keys. Versions go as far up as
	// they go.
	thief := s.forger(t, p, online...)
	thief.Role("ci", func(md *tuf.Targets) {
		md.Signed.Version = math.MaxInt64
		for _, tag := range []string{"ci-1", "ci-2", "1.0", "2.0", "latest"} {
			set(t, app, tag, "evil")(md)
		}
		md.Signed.Targets[tuf.TagPath(other, "ci-1")] = md.Signed.Targets[tuf.TagPath(app, "ci-1")]
	}, p.signers["ci"]...)
	thief.Release()
	s.serve(thief)
	m.trusts(app+":1.0", digest("one"))
	m.trusts(app+":ci-1", digest("evil")) // what a signer's key can do
	m.trusts(app+":ci-2", digest("evil"))
	m.refuses(app+":2.0", tuf.RuleAbsent)
	m.refuses(app+":latest", tuf.RuleAbsent)
	m.refuses(app+":1.0@"+digest("evil"), tuf.RuleDigest)
	o, d := m.verify(app + "@" + digest("evil"))
	if o.exit != 0 || len(d.Tags) != 2 {
		t.Errorf("exit status %d, %+v, expected trust under ci-1 and ci-2 alone", o.exit, d)
	}

	// The targets' owner removes the signer, and root takes the online keys away.
	if _, err := s.h.Signer.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	s.proxy.Set()
	s.rotateOnline(p)
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Delegations = nil })
	removed := s.record(app)
	for _, m := range []*machine{m, honest} {
		m.trusts(app+":1.0", digest("one"))
		m.refuses(app+":ci-1", tuf.RuleAbsent)
		m.refuses(app+":ci-2@"+digest("evil"), tuf.RuleAbsent)
		m.refuses(app+"@"+digest("evil"), tuf.RuleAbsent)
	}
	if _, ok := removed.Files[tuf.FileName("ci", p.roles["ci"].Signed.Version)]; !ok {
		t.Error("the snapshot forgot the removed signer, so that its versions could start anew")
	}
	// A new signer takes the name, with another key. The thief's file does not count,
	// and neither does the old honest one.
	p.delegate("ci", "ci-*", harness.NewKey(t))
	p.edit("ci", func(md *tuf.Targets) { clear(md.Signed.Targets); set(t, app, "ci-3", "again")(md) })
	m.trusts(app+":ci-3", digest("again"))
	m.refuses(app+":ci-1", tuf.RuleAbsent)
}

// A signer of whom two keys must sign: one of them is worth nothing, however often it
// signs; both are worth what the signer may sign; and once the targets' owner has put
// another in the place of the stolen one, the two are worth nothing again.
func TestStolenSignerKeysAtAThreshold(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	alice, bob := harness.NewKey(t), harness.NewKey(t)
	p.delegate("ci", "ci-*", alice, bob)
	p.edit("ci", set(t, app, "ci-1", "built"))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":ci-1", digest("built"))
	evil := func(md *tuf.Targets) {
		set(t, app, "ci-1", "evil")(md)
		set(t, app, "1.0", "evil")(md)
	}
	for _, c := range []struct {
		claim string
		by    []tuf.Signer
	}{
		{"one of two", []tuf.Signer{bob}},
		{"one of two, and the targets' key", append([]tuf.Signer{bob}, p.targets...)},
		{"one of two, and a stranger's", []tuf.Signer{bob, harness.NewKey(t)}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			f := s.forger(t, p, online...)
			f.Role("ci", evil, c.by...)
			f.Release()
			s.serve(f)
			defer s.proxy.Set()
			m.clone(t).refusesAndKeeps(online, app+":ci-1", tuf.RuleThreshold)
			s.verifier(t, app, p.root).refusesAndKeeps(append([]string{tuf.RoleRoot, tuf.RoleTargets}, online...), app+":ci-1", tuf.RuleThreshold)
			m.clone(t).trusts(app+":1.0", digest("one"))
		})
	}
	both := s.forger(t, p, online...)
	both.Role("ci", evil, alice, bob)
	both.Release()
	s.serve(both)
	taken := m.clone(t)
	taken.trusts(app+":ci-1", digest("evil"))
	taken.trusts(app+":1.0", digest("one"))

	s.proxy.Set()
	if _, err := s.h.Signer.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	s.rotateOnline(p)
	carol := harness.NewKey(t)
	p.signers["ci"] = []tuf.Signer{alice, carol}
	signer := p.next("ci", func(*tuf.Targets) {})
	p.publish(p.next(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Delegations = nil
		delegate(md, app, "ci", "ci-*", alice, carol)
	}), signer)
	for _, m := range []*machine{m, taken} {
		m.trusts(app+":ci-1", digest("built"))
		m.refuses(app+":ci-1@"+digest("evil"), tuf.RuleDigest)
	}
	after := s.forger(t, p, online...)
	after.Role("ci", evil, alice, bob)
	after.Release()
	s.serve(after)
	for _, m := range []*machine{m, taken} {
		m.clone(t).refusesAndKeeps(online, app+":ci-1", tuf.RuleThreshold)
	}
}

func TestStolenTargetsKeys(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 2))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0", digest("one"))

	below := s.forger(t, p, online...)
	below.Role(tuf.RoleTargets, set(t, app, "1.0", "evil"), p.targets[1])
	below.Release()
	s.serve(below)
	m.clone(t).refusesAndKeeps(online, app+":1.0", tuf.RuleThreshold)

	thief := s.forger(t, p, append([]string{tuf.RoleTargets}, online...)...)
	thief.Role(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Version = math.MaxInt64
		set(t, app, "1.0", "evil")(md)
	})
	thief.Release()
	s.serve(thief)
	m.trusts(app+":1.0", digest("evil")) // what targets keys at their threshold can do

	s.proxy.Set()
	if _, err := s.h.Signer.RotateOnlineKeys(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	p.targets = newKeys(t, 2)
	p.must(tuf.SetRoleKeys(p.newestRoot, tuf.RoleTargets, all(p.targets)))
	p.newestRoot.Signed.Version++
	for role, signers := range stolen(s, p) {
		p.must(tuf.SetRoleKeys(p.newestRoot, role, all(signers)))
	}
	p.publish(p.file(tuf.RoleRoot, p.newestRoot, p.root), p.next(tuf.RoleTargets, func(*tuf.Targets) {}))
	m.trusts(app+":1.0", digest("one"))
	m.refuses(app+":1.0@"+digest("evil"), tuf.RuleDigest)
	s.serve(thief) // the root that took the keys away is known here, though it is hidden now
	m.refuses(app+":1.0", tuf.RuleThreshold)
}

func TestStolenRootKeys(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 3), newKeys(t, 1)) // of three, all must sign
	p.newestRoot.Signed.Roles[tuf.RoleRoot].Threshold = 2
	p.rotate(func(*tuf.Root) {})
	m := s.verifier(t, app, p.root, "--threshold", "2")
	m.trusts(app+":1.0", digest("one"))
	eve := newKeys(t, 1)
	takeOver := func(root *tuf.Root) {
		handOver(t, root, eve)
		p.must(tuf.SetRoleKeys(root, tuf.RoleTargets, all(eve)))
	}

	below := s.forger(t, p, online...)
	below.Root(takeOver, append(p.root[:1:1], eve...)...)
	below.Role(tuf.RoleTargets, set(t, app, "1.0", "evil"), eve...)
	below.Release()
	s.serve(below)
	m.clone(t).refuses(app+":1.0", tuf.RuleThreshold)
	s.verifier(t, app, p.root, "--threshold", "2").refusesAndKeeps([]string{tuf.RoleRoot}, app+":1.0", tuf.RuleThreshold)

	at := s.forger(t, p, online...)
	at.Root(takeOver, append(p.root[:2:2], eve...)...)
	at.Role(tuf.RoleTargets, set(t, app, "1.0", "evil"), eve...)
	at.Release()
	s.serve(at)
	taken := m.clone(t)
	taken.trusts(app+":1.0", digest("evil")) // the repository is lost: there is no magic

	// One of three is stolen or lost: the other two replace it, and it is worth nothing.
	s.proxy.Set()
	old := p.root
	p.root = append(newKeys(t, 1), old[1:]...)
	p.rotate(func(root *tuf.Root) {
		handOver(t, root, p.root)
		root.Signed.Roles[tuf.RoleRoot].Threshold = 2
	}, old[1:]...)
	m.trusts(app+":1.0", digest("one"))
	after := s.forger(t, p, online...)
	after.Root(takeOver, append([]tuf.Signer{old[0], old[1]}, eve...)...)
	s.serve(after)
	m.refuses(app+":1.0", tuf.RuleThreshold)

	// Whoever fell for the taken repository has to pin by hand: its own chain is the
	// thief's, and the honest one is no continuation of it.
	s.proxy.Set()
	p.sign("1.1", "new")
	if o, d := taken.verify(app + ":1.0"); o.exit != 3 || d.Trusted {
		t.Errorf("exit status %d, %+v, expected a refusal", o.exit, d)
	}
	taken.trust(app, s.url, p.root[:1], "--replace")
	if o, d := taken.verify(app + ":1.0"); o.exit != 3 || d.Rule != tuf.RuleAnchor {
		t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleAnchor)
	}
}

// Every verdict carries until when it holds, at most until the first expiry.
func TestVerdictTellsItsEnd(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	d := s.verifier(t, app, p.root).trusts(app+":1.0", digest("one"))
	if d.Expires == nil || d.Expires.After(time.Now().Add(day+time.Minute)) {
		t.Errorf("good until %v, and the timestamp lives for a day", d.Expires)
	}
}
