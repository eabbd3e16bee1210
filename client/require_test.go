package client

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// voices are a repository with a release signer, and two who check what it signs.
type voices struct {
	*bench
	qa, security, release tuf.Signer
}

func newVoices(t *testing.T) *voices {
	b := newBench(t)
	v := &voices{b, newKey(t), newKey(t), newKey(t)}
	paths := []string{appName + ":v*", appName + ":v*@sha256:*"}
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys,
		delegation{name: "release", keys: []tuf.Signer{v.release}, paths: paths, terminating: true}, // the others are asked all the same
		delegation{name: "qa", keys: []tuf.Signer{v.qa}, paths: paths},
		delegation{name: "security", keys: []tuf.Signer{v.security}, paths: paths})
	b.repo.signAs("release", "v1", digestOf("one"), v.release)
	b.anchor.Require = []Voice{{"qa", ids(v.qa)}, {"security", ids(newKey(t), v.security)}}
	return v
}

func (v *voices) image(tag, word string) tuf.Image {
	image := tuf.Image{Repository: appName, Tag: tag}
	if word != "" {
		image.Digest = digestOf(word)
	}
	return image
}

// TestVoicesMustAllVouch takes a digest from one signature to all that are required.
func TestVoicesMustAllVouch(t *testing.T) {
	v := newVoices(t)
	v.refuses("v1", tuf.RuleVoice)
	v.repo.signAs("qa", "v1", digestOf("one"), v.qa)
	v.refuses("v1", tuf.RuleVoice)
	v.repo.signAs("security", "v1", digestOf("other"), v.security)
	v.refuses("v1", tuf.RuleVoice)
	v.repo.signAs("security", "v1", digestOf("one"), v.security)
	d := v.trusts("v1", "one")
	want := []VoiceMatch{{"qa", v.qa.Key().ID(), "v1"}, {"security", v.security.Key().ID(), "v1"}}
	if diff := cmp.Diff(want, d.Voices); diff != "" || !cmp.Equal(d.Signers, []string{"release"}) {
		t.Errorf("%v %s", d.Signers, diff)
	}
	off, err := v.client().Verify(t.Context(), v.image("v1", ""), Options{Offline: true})
	if err != nil || !cmp.Equal(off.Voices, want) {
		t.Errorf("offline: %+v, %v", off, err)
	}

	// The tag moves on. The digest from before stays trusted by everybody's records.
	v.repo.signAs("release", "v1", digestOf("two"), v.release)
	v.refuses("v1", tuf.RuleVoice)
	v.repo.signAs("qa", "v1", digestOf("two"), v.qa)
	for _, image := range []tuf.Image{v.image("v1", "one"), v.image("", "one")} {
		if d, err := v.client().Verify(t.Context(), image, Options{}); err != nil || d.Current || !cmp.Equal(d.Voices, want) {
			t.Errorf("%s: %+v, %v", image, d, err)
		}
	}
	for _, image := range []tuf.Image{v.image("v1", "two"), v.image("", "two")} {
		if d, err := v.client().Verify(t.Context(), image, Options{}); tuf.RuleOf(err) != tuf.RuleVoice || d.Trusted || d.Voices != nil || !strings.Contains(d.Reason, "security") {
			t.Errorf("%s: %+v, %v", image, d, err)
		}
	}
	view, err := v.client().View(t.Context(), appName, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if tag := view.Tag("v1"); !cmp.Equal(tag.Lacking, []string{"security"}) || !cmp.Equal(tag.Earlier, []string{digestOf("one")}) {
		t.Errorf("%+v", tag)
	}
	// One withdraws its word for the digest from before.
	v.repo.edit("security", func(md *tuf.Targets) { tuf.RemoveTag(md, appName, "v1", digestOf("one")) }, v.security)
	if d, err := v.client().Verify(t.Context(), v.image("v1", "one"), Options{}); tuf.RuleOf(err) != tuf.RuleVoice {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestVoicesAreKeys plays what whoever holds the targets keys can do about voices:
// they say who the signers are, and cannot speak for them.
func TestVoicesAreKeys(t *testing.T) {
	eve := newKey(t)
	for name, attack := range map[string]func(v *voices){
		"another key under the name": func(v *voices) {
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				md.Signed.Delegations.Roles[2].KeyIDs = ids(eve)
				md.Signed.Delegations.Keys[eve.Key().ID()] = eve.Key().Metadata()
			})
			v.repo.signAs("security", "v1", digestOf("evil"), eve)
		},
		"another key beside the pinned one, which suffices": func(v *voices) {
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				md.Signed.Delegations.Roles[2].KeyIDs = append(md.Signed.Delegations.Roles[2].KeyIDs, eve.Key().ID())
				md.Signed.Delegations.Keys[eve.Key().ID()] = eve.Key().Metadata()
			})
			v.repo.signAs("security", "v1", digestOf("evil"), eve)
		},
		"names exchanged": func(v *voices) {
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				roles := md.Signed.Delegations.Roles
				roles[2].KeyIDs, roles[0].KeyIDs = roles[0].KeyIDs, roles[2].KeyIDs
			})
			v.repo.signAs("security", "v1", digestOf("evil"), v.release)
			v.repo.signAs("release", "v1", digestOf("evil"), v.security)
		},
		"no such signer any more": func(v *voices) {
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Delegations.Roles = md.Signed.Delegations.Roles[:2] })
		},
		"a pattern that does not allow the tag": func(v *voices) {
			v.repo.signAs("security", "v1", digestOf("evil"), v.security) // it says yes, but may not
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				md.Signed.Delegations.Roles[2].Paths = []string{appName + ":w*", appName + ":w*@sha256:*"}
			})
		},
		"below somebody who may not sign the tag": func(v *voices) {
			v.repo.signAs("security", "v1", digestOf("evil"), v.security)
			mole := newKey(t)
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Delegations.Roles = md.Signed.Delegations.Roles[:2] })
			v.repo.delegate(tuf.RoleTargets, nil, delegation{name: "mole", keys: []tuf.Signer{mole}, paths: []string{appName + ":m*"}})
			v.repo.delegate("mole", []tuf.Signer{mole}, delegation{name: "security", keys: []tuf.Signer{v.security}, paths: []string{appName + ":*", appName + ":*@sha256:*"}})
		},
		"one key under two IDs": func(v *voices) {
			// The same public key with a member more has another ID, and whoever pins both
			// believes that they are two people.
			var twin tuf.Key
			object, err := v.qa.Key().MarshalJSON()
			v.repo.must(err)
			v.repo.must(twin.UnmarshalJSON([]byte(strings.Replace(string(object), "{", `{"note":"twin",`, 1))))
			v.anchor.Require[1].Keys = []string{twin.ID()}
			v.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				md.Signed.Delegations.Roles[2].KeyIDs = []string{twin.ID()}
				md.Signed.Delegations.Keys[twin.ID()] = twin.Metadata()
			})
			v.repo.signAs("security", "v1", digestOf("evil"), aliasSigner{v.qa, &twin})
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVoices(t)
			v.repo.signAs("qa", "v1", digestOf("one"), v.qa)
			v.repo.signAs("security", "v1", digestOf("one"), v.security)
			v.trusts("v1", "one")
			v.repo.signAs("release", "v1", digestOf("evil"), v.release)
			v.repo.signAs("qa", "v1", digestOf("evil"), v.qa) // for whatever reason
			attack(v)
			for _, image := range []tuf.Image{v.image("v1", ""), v.image("v1", "evil"), v.image("", "evil")} {
				d, err := v.client().Verify(t.Context(), image, Options{})
				if rule := tuf.RuleOf(err); rule != tuf.RuleVoice || d.Trusted {
					t.Errorf("%s: %+v, %v", image, d, err)
				}
				if d, err := v.client().Verify(t.Context(), image, Options{Offline: true}); tuf.RuleOf(err) != tuf.RuleVoice || d.Trusted {
					t.Errorf("offline, %s: %+v, %v", image, d, err)
				}
			}
			// Without the demand it would be believed: it is the demand that refuses.
			v.anchor.Require = nil
			v.trusts("v1", "evil")
		})
	}
}

// aliasSigner signs with a key under another ID.
type aliasSigner struct {
	tuf.Signer
	key *tuf.Key
}

func (s aliasSigner) Key() *tuf.Key { return s.key }

// TestNestedVoice finds a voice below another signer, and asks nobody who has no
// part in it.
func TestNestedVoice(t *testing.T) {
	v := newVoices(t)
	lead, broken := newKey(t), newKey(t)
	v.repo.delegate("qa", []tuf.Signer{v.qa}, delegation{name: "lead", keys: []tuf.Signer{lead}, paths: []string{appName + ":v1", appName + ":v1@sha256:*"}})
	v.repo.signAs("qa", "v1", digestOf("one"), v.qa)
	v.anchor.Require = []Voice{{"lead", ids(lead)}, {"qa", ids(v.qa)}}
	v.refuses("v1", tuf.RuleVoice)
	v.repo.signAs("lead", "v1", digestOf("one"), lead)
	v.repo.delegate(tuf.RoleTargets, nil, delegation{name: "broken", keys: []tuf.Signer{broken}, paths: []string{appName + ":v*"}})
	v.repo.edit("broken", func(*tuf.Targets) {}, newKey(t)) // signed by nobody who may
	v.trusts("v1", "one")
}

// TestVoicesThatCannotBe refuses anchors whose voices could not be told apart.
func TestVoicesThatCannotBe(t *testing.T) {
	b := newBench(t)
	a, c := ids(newKey(t))[0], ids(newKey(t))[0]
	for name, voices := range map[string][]Voice{
		"one key for two voices":    {{"qa", []string{a}}, {"security", []string{c, a}}},
		"one key twice":             {{"qa", []string{a, a}}},
		"no key":                    {{"qa", nil}},
		"a name twice":              {{"qa", []string{a}}, {"qa", []string{c}}},
		"a name twice, in two ways": {{"qa", []string{a}}, {"QA", []string{c}}},
		"a top-level role":          {{"targets", []string{a}}},
		"half a key ID":             {{"qa", []string{a[:12]}}},
		"upper case":                {{"qa", []string{strings.ToUpper(a)}}},
	} {
		anchor := b.anchor
		anchor.Require = voices
		if anchor.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b.anchor.Require = []Voice{{"qa", []string{a}}, {"security", []string{c}}}
	if err := b.anchor.Check(); err != nil {
		t.Error(err)
	}
}
