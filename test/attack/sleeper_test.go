package attack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/tuf"
)

// Twenty rotations of the root key, with nobody looking. Who verified before them, who
// verified in the middle and who was only shipped the first key all follow the whole
// chain, and from then on none of the twenty keys that were given up counts: not all of
// them together, and not for who was shipped the first of them.
func TestTwentyRotations(t *testing.T) {
	const rotations = 20
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	first := p.root
	atFirst := s.verifier(t, app, first)
	atFirst.trusts(app+":1.0", digest("one"))
	var halfway *machine
	var revoked []tuf.Signer
	for i := range rotations {
		old := p.root
		revoked = append(revoked, old...)
		p.root = newKeys(t, 1)
		p.rotate(func(root *tuf.Root) { handOver(t, root, p.root) }, old...)
		if i == rotations/2 {
			halfway = s.verifier(t, app, p.root)
			halfway.trusts(app+":1.0", digest("one"))
		}
	}
	p.sign("1.1", "new")
	shipped := s.verifier(t, app, first) // an old image of the machine, with the first key in it

	// A server that holds a root back holds up who has not heard of what follows, and
	// fools nobody with what is on the way: a chain with a hole is no chain.
	hole := s.record(app)
	hole.Files["13.root.json"] = hole.Files["14.root.json"]
	s.proxy.Set(attack.Replay(hole))
	for _, m := range []*machine{shipped, atFirst} {
		m.clone(t).refusesAndKeeps([]string{tuf.RoleRoot}, app+":1.1", tuf.RuleThreshold)
	}

	s.proxy.Set()
	for name, m := range map[string]*machine{"awake at first": atFirst, "halfway": halfway, "shipped the first key": shipped} {
		if d := m.trusts(app+":1.1", digest("new")); d.Digest == "" {
			t.Errorf("%s: %+v", name, d)
		}
	}

	// All keys that were given up, and the stolen online keys, against who has followed.
	eve := newKeys(t, 1)
	for _, by := range [][]tuf.Signer{first, revoked[rotations-1:], revoked} { // the first, the last, all of them
		thief := s.forger(t, p, online...)
		thief.Root(func(root *tuf.Root) {
			handOver(t, root, eve)
			p.must(tuf.SetRoleKeys(root, tuf.RoleTargets, all(eve)))
		}, append(by[:len(by):len(by)], eve...)...)
		thief.Role(tuf.RoleTargets, set(t, app, "1.1", "evil"), eve...)
		thief.Release()
		s.serve(thief)
		for _, m := range []*machine{atFirst, halfway, shipped} {
			m.clone(t).refuses(app+":1.1", tuf.RuleThreshold)
		}
		// Nor does it help to have been shipped the old root and nothing else: the chain
		// that the key began leads to the root that took it away.
		s.verifier(t, app, first).refusesAndKeeps([]string{tuf.RoleRoot}, app+":1.1", tuf.RuleThreshold)
	}

	// A chain of the thief's own, from the first root on. Who has followed once does not
	// even look at it, whatever root was shipped again since.
	fork := s.record(app)
	for file := range fork.Files {
		if version, isRoot := strings.CutSuffix(file, ".root.json"); isRoot && version != "1" {
			delete(fork.Files, file)
		}
	}
	thief := attack.NewForger(t, fork, s.forger(t, p, online...).Keys)
	for range rotations + 3 {
		thief.Root(func(root *tuf.Root) {
			handOver(t, root, eve)
			p.must(tuf.SetRoleKeys(root, tuf.RoleTargets, all(eve)))
		}, append(first[:1:1], eve...)...)
	}
	thief.Role(tuf.RoleTargets, set(t, app, "1.1", "evil"), eve...)
	thief.Release()
	s.serve(thief)
	for name, m := range map[string]*machine{"awake at first": atFirst, "shipped the first key": shipped} {
		again := m.clone(t)
		if o, d := again.verify(app + ":1.1"); o.exit != 3 || d.Trusted {
			t.Errorf("%s: exit status %d, %+v, expected a refusal", name, o.exit, d)
		}
		again.trust(app, s.url, first, "--replace")
		if o, d := again.verify(app + ":1.1"); o.exit != 3 || d.Trusted {
			t.Errorf("%s, shipped the first key again: exit status %d, %+v, expected a refusal", name, o.exit, d)
		}
		s.proxy.Set()
		again.trusts(app+":1.1", digest("new"))
		s.serve(thief)
	}
	// What to ship is a key that is in use: the thief's chain is none for it.
	if o, d := s.verifier(t, app, p.root).verify(app + ":1.1"); o.exit != 3 || d.Rule != tuf.RuleAnchor {
		t.Errorf("with the newest key: exit status %d, %s, expected %q", o.exit, fmt.Sprint(d.Rule), tuf.RuleAnchor)
	}
}
