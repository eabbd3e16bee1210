package tuf_test

import (
	"slices"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// proposed returns a root and a targets file that follow the world's state, unsigned.
func proposed(t *testing.T, w *world) (root, targets tuf.File) {
	t.Helper()
	root = unsigned(t, w.nextRoot(nil))
	targets = unsigned(t, w.newTargets(func(md *tuf.Targets) { w.must(tuf.SetTarget(md, repository, "3.0", target("three"))) }))
	return root, targets
}

// signedBy adds signatures to targets.
func signedBy(t *testing.T, file tuf.File, signers ...tuf.Signer) tuf.File {
	t.Helper()
	md, err := tuf.ReadTargets(file.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, file.Role, md, signers...)
}

func id(t *testing.T, repository string, files ...tuf.File) string {
	t.Helper()
	id, err := tuf.ProposalID(repository, files)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// An ID is that of what is to be signed: of every byte of it, and of nothing else.
func TestProposalID(t *testing.T) {
	w := team(t)
	root, targets := proposed(t, w)
	want := id(t, repository, root, targets)
	if len(want) != 64 {
		t.Fatalf("%q is no hex SHA-256", want)
	}
	for claim, got := range map[string]string{
		"another order":   id(t, repository, targets, root),
		"with signatures": id(t, repository, root, signedBy(t, targets, w.targets, signer(t, "eve"))),
	} {
		if got != want {
			t.Errorf("%s: %s, expected %s", claim, got, want)
		}
	}
	other := unsigned(t, w.newTargets(func(md *tuf.Targets) { w.must(tuf.SetTarget(md, repository, "3.0", target("four"))) }))
	renamed := targets
	renamed.Role = "team"
	for claim, got := range map[string]string{
		"another digest":     id(t, repository, root, other),
		"one file less":      id(t, repository, targets),
		"another repository": id(t, "registry.example.com/other", root, targets),
		"another role":       id(t, repository, root, renamed),
	} {
		if got == want {
			t.Errorf("%s has the same ID", claim)
		}
	}
	later := targets
	later.Version++
	for claim, files := range map[string][]tuf.File{
		"nothing":             {},
		"a role twice":        {targets, targets},
		"a version it is not": {later},
		"a snapshot":          {w.state.Snapshot},
		"another form":        {{Role: targets.Role, Version: targets.Version, Bytes: append([]byte(" "), targets.Bytes...)}},
	} {
		if _, err := tuf.ProposalID(repository, files); !tuf.IsRefusal(err) {
			t.Errorf("%s: %v", claim, err)
		}
	}
}

func TestMergeSignatures(t *testing.T) {
	w := team(t)
	_, targets := proposed(t, w)
	alice, bob := signer(t, "alice"), signer(t, "bob")
	byAlice, byBob := signedBy(t, targets, alice), signedBy(t, targets, bob)
	merged, err := tuf.MergeSignatures(tuf.RoleTargets, byBob.Bytes, targets.Bytes, byAlice.Bytes, byBob.Bytes)
	w.must(err)
	both := signedBy(t, byAlice, bob)
	got, err := tuf.SignatureKeys(tuf.RoleTargets, merged)
	w.must(err)
	want := []string{alice.Key().ID(), bob.Key().ID()}
	slices.Sort(want)
	if !slices.Equal(got, want) || id(t, repository, both) != id(t, repository, tuf.File{Role: tuf.RoleTargets, Version: targets.Version, Bytes: merged}) {
		t.Errorf("signed by %v, expected %v", got, want)
	}
	other := unsigned(t, w.newTargets(nil))
	_, err = tuf.MergeSignatures(tuf.RoleTargets, byAlice.Bytes, other.Bytes)
	wantRule(t, err, tuf.RuleHash)
	_, err = tuf.MergeSignatures(tuf.RoleTargets)
	wantRule(t, err, tuf.RuleShape)
	_, err = tuf.MergeSignatures(tuf.RoleRoot, byAlice.Bytes)
	wantRule(t, err, tuf.RuleShape)
}

// What is kept while signatures are gathered are those that will count.
func TestKeepSignatures(t *testing.T) {
	w := team(t)
	_, targets := proposed(t, w)
	md, err := tuf.ReadTargets(signedBy(t, targets, w.targets, signer(t, "eve")).Bytes)
	w.must(err)
	tuf.AddSignature(md, signer(t, "mallory").Key().ID(), []byte("no signature"))
	data, err := tuf.Encode(md)
	w.must(err)
	rules := tuf.PublishRules{Now: now}
	kept, err := tuf.KeepSignatures(repository, &w.state, []tuf.File{{Role: tuf.RoleTargets, Version: targets.Version, Bytes: data}}, rules)
	w.must(err)
	if got, err := tuf.SignatureKeys(tuf.RoleTargets, kept[0].Bytes); err != nil || !slices.Equal(got, []string{w.targets.Key().ID()}) {
		t.Errorf("kept signatures by %v, %v", got, err)
	}
	// A signature under the right name that is none is not kept either, and the file
	// that has as many as must sign is looked at like all others.
	md.Signatures = nil
	tuf.AddSignature(md, w.targets.Key().ID(), []byte("no signature"))
	data, err = tuf.Encode(md)
	w.must(err)
	kept, err = tuf.KeepSignatures(repository, &w.state, []tuf.File{{Role: tuf.RoleTargets, Version: targets.Version, Bytes: data}}, rules)
	w.must(err)
	if got, err := tuf.SignatureKeys(tuf.RoleTargets, kept[0].Bytes); err != nil || len(got) > 0 {
		t.Errorf("kept signatures by %v, %v", got, err)
	}
}
