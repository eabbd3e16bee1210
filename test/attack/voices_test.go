package attack_test

import (
	"slices"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// A quorum is a repository whose targets keys sign tags and two signers look at what
// they sign, and a machine that requires the word of both.
type quorum struct {
	*scene
	p            *publisher
	qa, security tuf.Signer
	m            *machine
}

func newQuorum(t *testing.T) *quorum {
	t.Helper()
	s := newScene(t)
	q := &quorum{scene: s, p: s.publisher(app, newKeys(t, 1), newKeys(t, 1)), qa: harness.NewKey(t), security: harness.NewKey(t)}
	q.p.delegate("qa", "*", q.qa)
	q.p.delegate("security", "*", q.security)
	for _, name := range []string{"qa", "security"} {
		q.p.edit(name, set(t, app, "1.0", "one"))
	}
	q.m = s.verifier(t, app, q.p.root, "--require", "qa="+q.qa.Key().ID(), "--require", "security="+q.security.Key().ID())
	return q
}

// silent demands that an image is refused for the lack of a voice, asked for in every
// way, of a server and offline.
func (q *quorum) silent(t *testing.T, m *machine, tag, word string) {
	t.Helper()
	for _, image := range []string{app + ":" + tag, app + ":" + tag + "@" + digest(word), app + "@" + digest(word)} {
		m.refusesAndKeeps(append([]string{tuf.RoleTargets, "qa", "security", "security-2"}, online...), image, tuf.RuleVoice)
		if o, d := m.verify(image, "--offline"); o.exit != 3 || d.Rule != tuf.RuleVoice || d.Trusted || d.Reference != "" {
			t.Errorf("%s offline: exit status %d, %+v, expected a refusal by %q", image, o.exit, d, tuf.RuleVoice)
		}
	}
}

// With the targets key and both online keys a thief says who the signers are, what
// they are called and how many must sign, but speaks for none of them.
func TestVoicesAgainstStolenTargetsKeys(t *testing.T) {
	eve := harness.NewKey(t)
	listing := func(md *tuf.Targets, name string, keys ...tuf.Signer) {
		roles := md.Signed.Delegations.Roles
		i := slices.IndexFunc(roles, func(r metadata.DelegatedRole) bool { return r.Name == name })
		roles[i].KeyIDs = nil
		for _, key := range keys {
			md.Signed.Delegations.Keys[key.Key().ID()] = key.Key().Metadata()
			roles[i].KeyIDs = append(roles[i].KeyIDs, key.Key().ID())
		}
	}
	evil := set(t, app, "1.0", "evil")
	for name, steal := range map[string]func(q *quorum, f *attack.Forger){
		"it signs itself": func(q *quorum, f *attack.Forger) { f.Role(tuf.RoleTargets, evil) },
		"another key under the signer's name": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) { evil(md); listing(md, "qa", eve); listing(md, "security", eve) })
			f.Role("qa", evil, eve)
			f.Role("security", evil, eve)
		},
		"one of two keys, signed by the other": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) {
				evil(md)
				listing(md, "qa", q.qa, eve)
				listing(md, "security", q.security, eve)
			})
			f.Role("qa", evil, eve)
			f.Role("security", evil, eve)
		},
		"a key of somebody else under the pinned key's ID": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) {
				evil(md)
				md.Signed.Delegations.Keys[q.security.Key().ID()] = eve.Key().Metadata()
				md.Signed.Delegations.Keys[q.qa.Key().ID()] = eve.Key().Metadata()
			})
		},
		"the names exchanged, and one of them helps": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) { evil(md); listing(md, "qa", q.security); listing(md, "security", q.qa) })
			f.Role("qa", evil, q.security)
			f.Role("security", func(*tuf.Targets) {}, q.qa)
		},
		"one voice for two": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) { evil(md); listing(md, "qa", q.security) })
			f.Role("qa", evil, q.security)
			f.Role("security", evil, q.security)
		},
		"no signers at all": func(q *quorum, f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) { evil(md); md.Signed.Delegations = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQuorum(t)
			q.m.trusts(app+":1.0", digest("one"))
			f := q.forger(t, q.p, append([]string{tuf.RoleTargets}, online...)...)
			steal(q, f)
			f.Release()
			q.serve(f)
			m := q.m.clone(t)
			if o, d := m.verify(app + ":1.0"); o.exit != 3 || d.Trusted || (d.Rule != tuf.RuleVoice && d.Rule != tuf.RuleThreshold && d.Rule != tuf.RuleKeyID && d.Rule != tuf.RuleShape) {
				t.Errorf("exit status %d, %+v, expected a refusal\n%s", o.exit, d, o.stderr)
			}
			if o, d := m.verify(app+":1.0", "--offline"); o.exit != 3 || d.Trusted {
				t.Errorf("offline: exit status %d, %+v, expected a refusal", o.exit, d)
			}
			fresh := q.verifier(t, app, q.p.root, "--require", "qa="+q.qa.Key().ID(), "--require", "security="+q.security.Key().ID())
			if o, d := fresh.verify(app + ":1.0"); o.exit != 3 || d.Trusted {
				t.Errorf("one without state: exit status %d, %+v, expected a refusal", o.exit, d)
			}
		})
	}
}

// Each voice must be for this digest under this tag, inside of what it may sign.
func TestVoicesForAnotherDigest(t *testing.T) {
	q := newQuorum(t)
	d := q.m.trusts(app+":1.0", digest("one"))
	if len(d.Voices) != 2 || d.Voices[0] != (client.VoiceMatch{Name: "qa", Key: q.qa.Key().ID(), Tag: "1.0"}) {
		t.Errorf("voices %+v", d.Voices)
	}
	q.p.sign("1.0", "two")
	q.silent(t, q.m, "1.0", "two")
	q.m.trusts(app+":1.0@"+digest("one"), digest("one")) // what they vouched for stays
	q.p.edit("qa", set(t, app, "1.0", "two"))
	q.silent(t, q.m, "1.0", "two")
	q.p.edit("security", set(t, app, "1.1", "two")) // the digest, under another tag
	q.silent(t, q.m, "1.0", "two")
	q.p.edit("security", set(t, app, "1.0", "two"))
	q.m.trusts(app+":1.0", digest("two"))
	q.m.trusts(app+":1.0", digest("two"), "--offline")

	// A pattern that does not allow the tag, whatever the signer's file says.
	f := q.forger(t, q.p, append([]string{tuf.RoleTargets}, online...)...)
	f.Role(tuf.RoleTargets, func(md *tuf.Targets) {
		set(t, app, "1.0", "three")(md)
		for i := range md.Signed.Delegations.Roles {
			if md.Signed.Delegations.Roles[i].Name == "security" {
				md.Signed.Delegations.Roles[i].Paths = []string{app + ":2.*", app + ":2.*@sha256:*"}
			}
		}
	})
	f.Role("qa", set(t, app, "1.0", "three"), q.qa)
	f.Role("security", set(t, app, "1.0", "three"), q.security)
	f.Release()
	q.serve(f)
	q.silent(t, q.m.clone(t), "1.0", "three")
}

// The file that a removed signer signed once is no voice any more, however it is
// brought back; nor is its key under another name.
func TestVoiceOfARemovedSigner(t *testing.T) {
	q := newQuorum(t)
	q.m.trusts(app+":1.0", digest("one"))
	before := q.record(app)
	q.p.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Delegations.Roles = md.Signed.Delegations.Roles[:1]
		delete(md.Signed.Delegations.Keys, q.security.Key().ID())
	})
	q.silent(t, q.m, "1.0", "one")
	q.proxy.Set(attack.Replay(before))
	q.m.clone(t).refuses(app+":1.0", tuf.RuleRollback)

	f := q.forger(t, q.p, online...) // the online keys alone: its file is listed, and nobody delegates to it
	f.Role("security", set(t, app, "1.0", "one"), q.security)
	f.Release()
	q.serve(f)
	q.silent(t, q.m.clone(t), "1.0", "one")

	f = q.forger(t, q.p, append([]string{tuf.RoleTargets}, online...)...)
	f.Role(tuf.RoleTargets, func(md *tuf.Targets) { delegate(md, app, "security-2", "*", q.security) })
	md := tuf.NewTargets(1, time.Now().Add(90*day))
	set(t, app, "1.0", "one")(md)
	f.NewRole("security-2", md, q.security)
	f.Release()
	q.serve(f)
	q.silent(t, q.m.clone(t), "1.0", "one")
}

// One key cannot be pinned for two voices.
func TestOneKeyIsOneVoice(t *testing.T) {
	m := newMachine(t)
	root, key := newKeys(t, 1)[0].Key().ID(), harness.NewKey(t).Key().ID()
	if o := m.run("trust", "add", app, "--server", "https://signet.example.com", "--root-key", root, "--require", "qa="+key, "--require", "security="+key); o.exit != 2 {
		t.Errorf("exit status %d, expected 2\n%s", o.exit, o.stderr)
	}
}
