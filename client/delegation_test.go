package client

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

type (
	responseWriter = http.ResponseWriter
	request        = http.Request
)

// delegation is a signer to be added to a role.
type delegation struct {
	name        string
	keys        []tuf.Signer
	paths       []string
	prefixes    []string
	terminating bool
	threshold   int
}

// delegate adds signers to a role, each with an empty first file, and releases.
func (r *fakeRepo) delegate(role string, signers []tuf.Signer, to ...delegation) {
	r.t.Helper()
	for _, d := range to {
		if r.roles[d.name].Version == 0 {
			r.putTargets(d.name, tuf.NewTargets(1, r.clock.Now().Add(180*day)), d.keys...)
		}
	}
	r.edit(role, func(md *tuf.Targets) {
		if md.Signed.Delegations == nil {
			md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
		}
		for _, d := range to {
			listed := metadata.DelegatedRole{Name: d.name, Threshold: max(1, d.threshold), Terminating: d.terminating, Paths: d.paths, PathHashPrefixes: d.prefixes, KeyIDs: []string{}}
			for _, k := range d.keys {
				listed.KeyIDs = append(listed.KeyIDs, k.Key().ID())
				md.Signed.Delegations.Keys[k.Key().ID()] = k.Key().Metadata()
			}
			md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles, listed)
		}
	}, signers...)
}

func (r *fakeRepo) signAs(role, tag, digest string, keys ...tuf.Signer) {
	r.t.Helper()
	r.edit(role, func(md *tuf.Targets) { r.must(tuf.SetTarget(md, r.name, tag, target(digest))) }, keys...)
}

func TestSignersVouchInsideTheirPatternsOnly(t *testing.T) {
	b := newBench(t)
	ci, team, lead := newKey(t), newKey(t), newKey(t)
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys,
		delegation{name: "ci", keys: []tuf.Signer{ci}, paths: []string{appName + ":ci-*", appName + ":ci-*@sha256:*"}},
		delegation{name: "team", keys: []tuf.Signer{team}, paths: []string{appName + ":*"}, terminating: true},
		delegation{name: "late", keys: []tuf.Signer{ci}, paths: []string{appName + ":*"}})
	b.repo.delegate("team", []tuf.Signer{team},
		delegation{name: "lead", keys: []tuf.Signer{lead}, paths: []string{appName + ":v*"}})
	b.repo.signAs("ci", "ci-1", digestOf("ci"), ci)
	b.repo.signAs("ci", "2.0", digestOf("outside"), ci) // outside of its patterns
	b.repo.signAs("team", "3.0", digestOf("team"), team)
	b.repo.signAs("lead", "v1", digestOf("nested"), lead)
	b.repo.signAs("late", "4.0", digestOf("late"), ci) // behind a terminating delegation
	for tag, want := range map[string]struct{ word, signer string }{
		"1.0": {"one", "targets"}, "ci-1": {"ci", "ci"}, "3.0": {"team", "team"}, "v1": {"nested", "lead"},
	} {
		if d := b.trusts(tag, want.word); !cmp.Equal(d.Signers, []string{want.signer}) {
			t.Errorf("%s: vouched for by %v, expected %s", tag, d.Signers, want.signer)
		}
	}
	b.refuses("2.0", tuf.RuleAbsent)
	b.refuses("4.0", tuf.RuleAbsent)
	for _, word := range []string{"outside", "late"} {
		d, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Digest: digestOf(word)}, Options{})
		if tuf.RuleOf(err) != tuf.RuleAbsent {
			t.Errorf("the digest of %s: %+v, %v", word, d, err)
		}
	}
	// ci's record of its digest counts without its tag.
	b.repo.signAs("ci", "ci-1", digestOf("ci2"), ci)
	d, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Tag: "ci-1", Digest: digestOf("ci")}, Options{})
	if err != nil || d.Current || !d.Trusted {
		t.Errorf("an earlier digest of ci's: %+v, %v", d, err)
	}
	view, err := b.client().View(t.Context(), appName, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := view.Role("lead"); r == nil || r.Delegator != "team" || !cmp.Equal(r.Paths, []string{appName + ":v*"}) {
		t.Errorf("%+v", r)
	}
	if r := view.Role("team"); r == nil || !r.Terminating {
		t.Errorf("%+v", r)
	}
	if view.Tag("2.0") != nil || view.Tag("4.0") != nil {
		t.Error("the view lists tags that are not trusted")
	}
}

// TestSignerRemovedAndReplaced checks a signer's file that is known already
// against the keys that its delegator lists now.
func TestSignerRemovedAndReplaced(t *testing.T) {
	for _, noHashes := range []bool{false, true} {
		b := newBench(t)
		b.repo.noHashes = noHashes
		alice, bob := newKey(t), newKey(t)
		b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: "dev", keys: []tuf.Signer{alice}, paths: []string{appName + ":*"}})
		b.repo.signAs("dev", "2.0", digestOf("alice"), alice)
		b.trusts("2.0", "alice")
		b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
			md.Signed.Delegations.Roles[0].KeyIDs = []string{bob.Key().ID()}
			md.Signed.Delegations.Keys = map[string]*metadata.Key{bob.Key().ID(): bob.Key().Metadata()}
		})
		b.refuses("2.0", tuf.RuleThreshold)
		// The same version, signed anew by bob.
		dev, err := tuf.ReadTargets(b.repo.roles["dev"].Bytes)
		b.repo.must(err)
		b.repo.putTargets("dev", dev, bob)
		b.repo.release()
		b.trusts("2.0", "alice")
		b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Delegations.Roles = []metadata.DelegatedRole{} })
		b.refuses("2.0", tuf.RuleAbsent)
	}
}

// TestHashBins follows succinct delegations (TAP 15), which other tools write.
func TestHashBins(t *testing.T) {
	b := newBench(t)
	bins := newKey(t)
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Delegations = &metadata.Delegations{
			Keys:          map[string]*metadata.Key{bins.Key().ID(): bins.Key().Metadata()},
			SuccinctRoles: &metadata.SuccinctRoles{KeyIDs: []string{bins.Key().ID()}, Threshold: 1, BitLength: 4, NamePrefix: "bin"},
		}
	})
	all := (&metadata.SuccinctRoles{BitLength: 4, NamePrefix: "bin"})
	for _, name := range all.GetRoles() {
		b.repo.putTargets(name, tuf.NewTargets(1, b.clock.Now().Add(day)), bins)
	}
	for _, tag := range []string{"a", "b", "c", "d"} {
		path := tuf.TagPath(appName, tag)
		name := all.GetRolesForTarget(path)[0].Name
		md, err := tuf.ReadTargets(b.repo.roles[name].Bytes)
		b.repo.must(err)
		md.Signed.Version++
		b.repo.must(tuf.SetTarget(md, appName, tag, target(digestOf(tag))))
		b.repo.putTargets(name, md, bins)
	}
	b.repo.release()
	b.server.taken()
	b.trusts("a", "a")
	if taken := b.server.taken(); len(taken) != 6 { // root 1, no root 2, timestamp, snapshot, targets, one bin
		t.Errorf("asked for %v", taken)
	}
	b.trusts("d", "d")
	b.refuses("e", tuf.RuleAbsent)
	d, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Digest: digestOf("c")}, Options{})
	if err != nil || len(d.Tags) != 1 || d.Tags[0].Tag != "c" {
		t.Errorf("%+v, %v", d, err)
	}
	// A path in another bin than its own is not found.
	wrong := all.GetRoles()[0]
	if all.GetRolesForTarget(tuf.TagPath(appName, "z"))[0].Name == wrong {
		wrong = all.GetRoles()[1]
	}
	b.repo.edit(wrong, func(md *tuf.Targets) { b.repo.must(tuf.SetTarget(md, appName, "z", target(digestOf("z")))) }, bins)
	b.refuses("z", tuf.RuleAbsent)
}

// TestOtherTools verifies what other TUF tools write: no consistent snapshot, no
// hashes or lengths, several root keys, path hash prefixes, odd role names.
func TestOtherTools(t *testing.T) {
	b := newBench(t)
	key := newKey(t)
	for _, consistent := range []bool{true, false} {
		b.repo.nextRoot(func(root *tuf.Root) { root.Signed.ConsistentSnapshot = consistent })
		for _, noHashes := range []bool{true, false} {
			b.repo.noHashes = noHashes
			b.repo.sign("1.0", digestOf("one"))
			b.trusts("1.0", "one")
			b.config.StateDir = t.TempDir()
			b.trusts("1.0", "one")
			b.trusts("1.0", "one")
		}
	}
	for i, name := range []string{"../evil", "/slash", "what?", "#hash", "space here", "ünï", "Upper"} {
		tag := []string{"a", "b", "c", "d", "e", "f", "g"}[i]
		hash := digestHex([]byte(tuf.TagPath(appName, tag)))
		b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: name, keys: []tuf.Signer{key}, prefixes: []string{hash[:4]}})
		b.repo.signAs(name, tag, digestOf(name), key)
		b.trusts(tag, name)
		b.server.taken()
		b.trusts(tag, name)
		if n := len(b.server.taken()); n != 2 {
			t.Errorf("%q: asked %d times with warm state", name, n)
		}
	}
}
