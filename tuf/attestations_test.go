package tuf_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// TestAttestationsStayWithTheirKeys writes them into root and into targets, takes
// keys away, and reads what is left from the signed bytes.
func TestAttestationsStayWithTheirKeys(t *testing.T) {
	alice, bob, carol, online := signer(t, "alice"), signer(t, "bob"), signer(t, "carol"), signer(t, "online")
	chain := func(name string) []string { return []string{"-----" + name + "\nleaf", name + "'s stick"} }
	root, err := tuf.NewRoot(tuf.RootSpec{Repository: repository, Version: 1, Expires: now.Add(day),
		Root: tuf.RoleKeys{Keys: keys(alice, bob)}, Targets: tuf.RoleKeys{Keys: keys(carol)}, Snapshot: tuf.RoleKeys{Keys: keys(online)}, Timestamp: tuf.RoleKeys{Keys: keys(online)},
		Attestations: map[string][]string{alice.Key().ID(): chain("alice"), bob.Key().ID(): chain("bob"), signer(t, "eve").Key().ID(): chain("eve"), carol.Key().ID(): {}}})
	if err != nil {
		t.Fatal(err)
	}
	read := func() map[string][]string {
		t.Helper()
		root.Signatures = nil
		if err := tuf.Sign(t.Context(), root, alice); err != nil {
			t.Fatal(err)
		}
		data, err := tuf.Encode(root)
		if err != nil {
			t.Fatal(err)
		}
		if root, err = tuf.ReadRoot(data); err != nil {
			t.Fatal(err)
		}
		return tuf.Attestations(root)
	}
	if diff := cmp.Diff(map[string][]string{alice.Key().ID(): chain("alice"), bob.Key().ID(): chain("bob")}, read()); diff != "" {
		t.Error(diff)
	}
	if err := tuf.SetRoleKeys(root, tuf.RoleRoot, tuf.RoleKeys{Keys: keys(alice)}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{alice.Key().ID(): chain("alice")}, read()); diff != "" {
		t.Error("bob is no root key any more:", diff)
	}
	tuf.SetAttestations(root, nil)
	if got := read(); len(got) > 0 || slices.Contains(slices.Collect(maps.Keys(root.Signed.UnrecognizedFields)), tuf.MemberAttestations) {
		t.Errorf("removed, but %v is there", got)
	}
	root.Signed.UnrecognizedFields = nil // of another tool
	tuf.SetAttestations(root, map[string][]string{alice.Key().ID(): chain("alice")})
	if diff := cmp.Diff(map[string][]string{alice.Key().ID(): chain("alice")}, tuf.Attestations(root)); diff != "" {
		t.Error(diff)
	}

	targets := tuf.NewTargets(1, now.Add(day))
	tuf.SetTargetsAttestations(targets, map[string][]string{alice.Key().ID(): chain("alice")})
	if got := tuf.TargetsAttestations(targets); len(got) > 0 {
		t.Errorf("targets delegate to nobody, and attest %v", got)
	}
	targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{alice.Key().ID(): alice.Key().Metadata()}}
	tuf.SetTargetsAttestations(targets, map[string][]string{alice.Key().ID(): chain("alice"), bob.Key().ID(): chain("bob")})
	if diff := cmp.Diff(map[string][]string{alice.Key().ID(): chain("alice")}, tuf.TargetsAttestations(targets)); diff != "" {
		t.Error(diff)
	}
}

// TestGarbledAttestationsAreNone reads what other tools may have put there.
func TestGarbledAttestationsAreNone(t *testing.T) {
	root := &tuf.Root{}
	for _, member := range []any{nil, "x", 7.0, []any{"x"}, map[string]any{"id": "x"}, map[string]any{"id": []any{}}, map[string]any{"id": []any{7.0}},
		map[string]any{"id": []any{"leaf", nil, "stick"}}} {
		root.Signed.UnrecognizedFields = map[string]any{tuf.MemberAttestations: member}
		if got := tuf.Attestations(root); len(got) > 0 {
			t.Errorf("%v was read as %v", member, got)
		}
	}
}

func TestPublishHoldsAttestationsToTheirForm(t *testing.T) {
	w := team(t)
	fill := strings.Repeat("x", tuf.MaxAttestationBytes/2)
	chain := func(member ...any) func(string) any { return func(id string) any { return object{id: member} } }
	for _, test := range []struct {
		name   string
		member func(keyID string) any
		rule   tuf.Rule
	}{
		{"a chain", chain("leaf", "stick"), ""},
		{"a long one", chain(fill, fill), ""},
		{"eight", chain("1", "2", "3", "4", "5", "6", "7", "8"), ""},
		{"nine", chain("1", "2", "3", "4", "5", "6", "7", "8", "9"), tuf.RuleLimit},
		{"too long", chain(fill, fill, "x"), tuf.RuleLimit},
		{"text", func(string) any { return "x" }, tuf.RuleShape},
		{"a list", func(id string) any { return []any{id} }, tuf.RuleShape},
		{"no list", func(id string) any { return object{id: "x"} }, tuf.RuleShape},
		{"an empty list", func(id string) any { return object{id: []any{}} }, tuf.RuleShape},
		{"a list of something else", chain("leaf", object{}), tuf.RuleShape},
		{"a key that is not listed", func(string) any { return object{signer(t, "eve").Key().ID(): []any{"leaf", "stick"}} }, tuf.RuleKeyID},
	} {
		for role, by := range map[string]tuf.Signer{tuf.RoleRoot: w.root, tuf.RoleTargets: w.targets} {
			file, key := w.state.Roles[role], "carol" // whom targets list
			if role == tuf.RoleRoot {
				file, key = w.state.Root, "alice"
			}
			file = sealed(t, file, func(signed object) {
				signed["version"], signed[tuf.MemberAttestations] = number("2"), test.member(signer(t, key).Key().ID())
			}, by)
			_, changed, err := tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now})
			if tuf.RuleOf(err) != test.rule || test.rule == "" && (err != nil || len(changed) != 1) {
				t.Errorf("%s, in %s: got %v, expected %q", test.name, role, err, test.rule)
			}
		}
	}
}
