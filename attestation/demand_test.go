package attestation

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

const repository = "registry.example.com/team/app"

// A person has a key, and a stick's word for it.
type person struct {
	private *ecdsa.PrivateKey
	key     *tuf.Key
	chain   []string
}

func newPerson(t testing.TB, maker *card.Maker, edits ...func(*card.Claim)) person {
	t.Helper()
	private, key := newKey(t)
	return person{private, key, attest(t, maker, key, edits...)}
}

func (p person) signer(t testing.TB) tuf.Signer {
	t.Helper()
	signer, err := tuf.NewSigner(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// newRoot makes a root in which alice and bob share root, and carol has targets.
func newRoot(t testing.TB, alice, bob, carol person, attestations map[string][]string) *tuf.Root {
	t.Helper()
	_, online := newKey(t)
	root, err := tuf.NewRoot(tuf.RootSpec{
		Repository: repository, Version: 3, Expires: now.AddDate(1, 0, 0),
		Root: tuf.RoleKeys{Keys: []*tuf.Key{alice.key, bob.key}}, Targets: tuf.RoleKeys{Keys: []*tuf.Key{carol.key}},
		Snapshot: tuf.RoleKeys{Keys: []*tuf.Key{online}}, Timestamp: tuf.RoleKeys{Keys: []*tuf.Key{online}},
		Attestations: attestations,
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestDemandOfRoot(t *testing.T) {
	maker := newMaker(t)
	alice, bob, carol := newPerson(t, maker), newPerson(t, maker), newPerson(t, maker)
	all := map[string][]string{alice.key.ID(): alice.chain, bob.key.ID(): bob.chain, carol.key.ID(): carol.chain}
	demand := Demand{Touch: true, PIN: true, MinFirmware: Version{5, 7, 0}, Roots: string(maker.RootPEM())}
	if _, err := demand.Root(repository, newRoot(t, alice, bob, carol, all), now); err != nil {
		t.Fatal(err)
	}
	lesser := func(edit func(*card.Claim)) func(p person) []string {
		return func(p person) []string { return attest(t, maker, p.key, edit) }
	}
	for _, who := range []struct {
		person
		role string
	}{{alice, "root"}, {bob, "root"}, {carol, "targets"}} {
		for rule, chain := range map[tuf.Rule]func(person) []string{
			tuf.RuleNotAttested:         func(person) []string { return nil },
			tuf.RuleAttestationChain:    func(person) []string { return []string{"x", "y"} },
			tuf.RuleAttestationKey:      func(person) []string { return newPerson(t, maker).chain },
			tuf.RuleAttestationPolicy:   lesser(func(c *card.Claim) { c.Touch = 1 }),
			tuf.RuleAttestationFirmware: lesser(func(c *card.Claim) { c.Firmware = card.Firmware{Major: 5, Minor: 6, Patch: 9} }),
		} {
			attestations := maps.Clone(all)
			attestations[who.key.ID()] = chain(who.person)
			_, err := demand.Root(repository, newRoot(t, alice, bob, carol, attestations), now)
			r, ok := errors.AsType[*tuf.Refusal](err)
			if !ok || r.Rule != rule || r.Repository != repository || r.Role != tuf.RoleRoot || r.Version != 3 || r.Clause != clause ||
				!strings.HasPrefix(r.Detail, "key "+who.key.ID()+" of "+who.role+": ") {
				t.Errorf("%s: got %+v, expected it to name the rule, the key and %s", rule, err, who.role)
			}
		}
	}
}

// TestDemandOfRootThatListsMore has a key that this program cannot use, or none.
func TestDemandOfRootThatListsMore(t *testing.T) {
	maker := newMaker(t)
	alice, bob, carol := newPerson(t, maker), newPerson(t, maker), newPerson(t, maker)
	all := map[string][]string{alice.key.ID(): alice.chain, bob.key.ID(): bob.chain, carol.key.ID(): carol.chain}
	demand := Demand{Roots: string(maker.RootPEM())}
	for name, edit := range map[string]func(*tuf.Root){
		"an unknown kind of key": func(r *tuf.Root) {
			r.Signed.Keys["odd"] = &metadata.Key{Type: "odd", Scheme: "odd"}
			r.Signed.Roles["root"].KeyIDs = append(r.Signed.Roles["root"].KeyIDs, "odd")
		},
		"a key that is not there": func(r *tuf.Root) {
			r.Signed.Roles["targets"].KeyIDs = append(r.Signed.Roles["targets"].KeyIDs, "missing")
		},
		"no keys":    func(r *tuf.Root) { r.Signed.Roles["targets"].KeyIDs = nil },
		"no targets": func(r *tuf.Root) { delete(r.Signed.Roles, "targets") },
	} {
		root := newRoot(t, alice, bob, carol, all)
		edit(root)
		if _, err := demand.Root(repository, root, now); !errors.Is(err, tuf.RuleNotAttested) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDemandOfPolicies(t *testing.T) {
	_, key := newKey(t)
	maker := newMaker(t)
	for _, test := range []struct {
		name       string
		pin, touch byte
		demand     Demand
		rule       tuf.Rule
	}{
		{"nothing more is demanded", 1, 1, Demand{}, ""},
		{"touch always", 1, 2, Demand{Touch: true}, ""},
		{"touch cached", 1, 3, Demand{Touch: true}, ""},
		{"touch never", 3, 1, Demand{Touch: true}, tuf.RuleAttestationPolicy},
		{"PIN always", 3, 1, Demand{PIN: true}, ""},
		{"PIN once", 2, 1, Demand{PIN: true}, ""},
		{"PIN never", 1, 2, Demand{PIN: true}, tuf.RuleAttestationPolicy},
		{"a fingerprint", 5, 2, Demand{PIN: true}, tuf.RuleAttestationPolicy},
		{"newer", 1, 1, Demand{MinFirmware: Version{5, 7, 3}}, ""},
		{"the same", 1, 1, Demand{MinFirmware: Version{5, 7, 4}}, ""},
		{"older", 1, 1, Demand{MinFirmware: Version{5, 7, 5}}, tuf.RuleAttestationFirmware},
	} {
		test.demand.Roots = string(maker.RootPEM())
		chain := attest(t, maker, key, func(c *card.Claim) { c.PIN, c.Touch = test.pin, test.touch })
		proof, err := test.demand.Key(key, chain, now)
		if tuf.RuleOf(err) != test.rule || (proof == nil) != (test.rule != "") {
			t.Errorf("%s: got %+v, %v", test.name, proof, err)
		}
	}
}

// TestDemandOfState walks to every signer that can be reached, as a server does.
func TestDemandOfState(t *testing.T) {
	maker := newMaker(t)
	alice, bob, carol, dave, erin := newPerson(t, maker), newPerson(t, maker), newPerson(t, maker), newPerson(t, maker), newPerson(t, maker)
	root := newRoot(t, alice, bob, carol, map[string][]string{alice.key.ID(): alice.chain, bob.key.ID(): bob.chain, carol.key.ID(): carol.chain})
	state := func(attestDave, attestErin bool) *tuf.State {
		s := &tuf.State{Root: encode(t, "root", root, alice), Roles: map[string]tuf.File{}}
		targets := delegating(t, "dave", dave, attestDave)
		s.Roles["targets"] = encode(t, "targets", targets, carol)
		s.Roles["dave"] = encode(t, "dave", delegating(t, "erin", erin, attestErin), dave)
		s.Roles["erin"] = encode(t, "erin", tuf.NewTargets(1, now.AddDate(1, 0, 0)), erin)
		s.Roles["gone"] = encode(t, "gone", delegating(t, "nobody", newPerson(t, maker), false), erin) // was removed
		return s
	}
	for _, test := range []struct {
		name       string
		dave, erin bool
		role       string
	}{{"all", true, true, ""}, {"not dave", false, true, "dave"}, {"not erin, below dave", true, false, "erin"}} {
		demand := Demand{Roots: string(maker.RootPEM())}
		if err := demand.State(repository, state(test.dave, test.erin), now); err != nil {
			t.Errorf("%s, signers are not meant: %v", test.name, err)
		}
		demand.Signers = true
		err := demand.State(repository, state(test.dave, test.erin), now)
		if r, ok := errors.AsType[*tuf.Refusal](err); ok != (test.role != "") || ok && (r.Role != test.role || r.Rule != tuf.RuleNotAttested || r.Repository != repository) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	demand := Demand{Roots: string(maker.RootPEM()), Signers: true}
	delete(root.Signed.UnrecognizedFields, tuf.MemberAttestations)
	if err := demand.State(repository, state(true, true), now); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("root's keys are not attested: %v", err)
	}
	if _, err := demand.Signer(repository, delegating(t, "dave", dave, true), "eve", now); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("a role that is not delegated to: %v", err)
	}
}

// TestDemandOfHashBins refuses what it does not look into.
func TestDemandOfHashBins(t *testing.T) {
	maker := newMaker(t)
	alice, bob, carol, dave := newPerson(t, maker), newPerson(t, maker), newPerson(t, maker), newPerson(t, maker)
	root := newRoot(t, alice, bob, carol, map[string][]string{alice.key.ID(): alice.chain, bob.key.ID(): bob.chain, carol.key.ID(): carol.chain})
	bins := delegating(t, "bin", dave, true)
	bins.Signed.Delegations.Roles = nil
	bins.Signed.Delegations.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: []string{dave.key.ID()}, Threshold: 1, BitLength: 4, NamePrefix: "bin"}
	demand := Demand{Roots: string(maker.RootPEM()), Signers: true}
	s := &tuf.State{Root: encode(t, "root", root, alice), Roles: map[string]tuf.File{"targets": encode(t, "targets", bins, carol)}}
	if err := demand.State(repository, s, now); !errors.Is(err, tuf.RuleNotAttested) {
		t.Error(err)
	}
	// One bin's key can be asked for, as a verifier does on its way.
	if _, err := demand.Signer(repository, bins, "bin-1", now); err != nil {
		t.Error(err)
	}
	tuf.SetTargetsAttestations(bins, nil)
	if _, err := demand.Signer(repository, bins, "bin-1", now); !errors.Is(err, tuf.RuleNotAttested) {
		t.Error(err)
	}
}

func delegating(t testing.TB, name string, to person, attested bool) *tuf.Targets {
	t.Helper()
	md := tuf.NewTargets(1, now.AddDate(1, 0, 0))
	md.Signed.Delegations = &metadata.Delegations{
		Keys: map[string]*metadata.Key{to.key.ID(): to.key.Metadata()},
		Roles: []metadata.DelegatedRole{{Name: name, KeyIDs: []string{to.key.ID()}, Threshold: 1,
			Paths: []string{repository + ":*", repository + ":*@sha256:*"}}},
	}
	if attested {
		tuf.SetTargetsAttestations(md, map[string][]string{to.key.ID(): to.chain})
	}
	return md
}

func encode[T metadata.Roles](t testing.TB, role string, md *metadata.Metadata[T], by person) tuf.File {
	t.Helper()
	if err := tuf.Sign(context.Background(), md, by.signer(t)); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(md)
	if err != nil {
		t.Fatal(err)
	}
	return tuf.File{Role: role, Version: 1, Bytes: data}
}

func TestDemandAsJSON(t *testing.T) {
	for text, want := range map[string]Demand{
		`{"touch":false,"pin":false,"signers":false}`:                       {},
		`{"minFirmware":"5.7.0","touch":true,"pin":true,"signers":true}`:    {MinFirmware: Version{5, 7, 0}, Touch: true, PIN: true, Signers: true},
		`{"touch":true,"pin":false,"signers":false,"roots":"-----BEGIN x"}`: {Touch: true, Roots: "-----BEGIN x"},
	} {
		out, err := json.Marshal(want)
		if err != nil || string(out) != text {
			t.Errorf("written as %s, %v; expected %s", out, err, text)
		}
		var got Demand
		if err := json.Unmarshal([]byte(text), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: read as %+v, %v", text, got, err)
		}
	}
	for name, demand := range map[string]Demand{"roots": {Roots: "x"}, "firmware": {MinFirmware: Version{5, 300, 0}}, "older than none": {MinFirmware: Version{Major: -1}}} {
		if err := demand.Check(); err == nil {
			t.Errorf("%s that are none were taken", name)
		}
	}
	if err := (&Demand{Roots: string(newMaker(t).RootPEM())}).Check(); err != nil {
		t.Error(err)
	}
	_, key := newKey(t)
	if _, err := (&Demand{Roots: "x"}).Key(key, nil, now); err == nil || tuf.IsRefusal(err) {
		t.Errorf("roots that cannot be read are no verdict on a key: %v", err)
	}
}
