package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// TestSigners takes a signer through its life: added, signing, removed, and its
// name used again.
func TestSigners(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice, bob, eve := b.repo.targetsKeys[0], newKey(t), newKey(t), newKey(t)
	add := AddSignerRequest{Repository: appName, Name: "release", Keys: tuf.RoleKeys{Keys: publicKeys(alice, bob), Threshold: 2}, Tags: []string{"release-*", "v?", "v?"},
		Attestations: map[string][]string{alice.Key().ID(): {"ALICE"}}, Signers: []tuf.Signer{eve, owner, alice, bob}}
	out, err := p.AddSigner(t.Context(), add)
	if err != nil {
		t.Fatal(err)
	}
	if out.Versions["release"] != 1 || len((*changes)[0].Files) != 2 {
		t.Errorf("%+v", out)
	}
	file := (*changes)[0].Files[0]
	want := []SignerChange{{Name: "release", New: &Delegation{Paths: []string{
		appName + ":release-*", appName + ":release-*@sha256:*", appName + ":v?", appName + ":v?@sha256:*"}}}}
	if diff := cmp.Diff(want, file.Signers); diff != "" {
		t.Error(diff)
	}
	if len(file.Keys) != 2 || len(file.Attestations) != 1 || len(file.Thresholds) != 1 || len(file.Targets) > 0 {
		t.Errorf("%+v", file)
	}
	if diff := cmp.Diff([][]string{ids(owner), ids(alice, bob)}, [][]string{file.SignedBy, (*changes)[0].Files[1].SignedBy}); diff != "" {
		t.Error(diff)
	}
	if out, err := p.AddSigner(t.Context(), add); err != nil || out.Change != nil {
		t.Errorf("added again: %+v, %v", out, err)
	}
	if view, err := b.client().View(t.Context(), appName, Options{}); err != nil || !cmp.Equal(view.Attestations, add.Attestations) {
		t.Errorf("the signer's attestation is not shown: %+v, %v", view, err)
	}
	sign := func(tag, word string) error {
		r := b.signRequest(tag, word)
		r.Role, r.Signers = "release", []tuf.Signer{alice, bob}
		_, err := p.Sign(t.Context(), r)
		return err
	}
	for _, word := range []string{"old", "new"} {
		if err := sign("release-1", word); err != nil {
			t.Fatal(err)
		}
	}
	b.trusts("release-1", "new")
	if err := sign("1.1", "new"); tuf.RuleOf(err) != tuf.RulePath {
		t.Errorf("a tag outside of its patterns: %v", err)
	}
	b.follows()

	*changes = nil
	remove := RemoveSignerRequest{Repository: appName, Name: "release", Signers: []tuf.Signer{alice, owner}}
	if _, err := p.RemoveSigner(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	c := (*changes)[0]
	if len(c.Files) != 1 || len(c.Files[0].Signers) != 1 || c.Files[0].Signers[0].New != nil || len(c.Files[0].Keys) != 2 || len(c.Files[0].Attestations) != 1 {
		t.Errorf("%+v", c.Files)
	}
	if len(c.Warnings) != 1 || !strings.HasSuffix(c.Warnings[0], ": release-1") {
		t.Errorf("nobody is told which tags go: %q", c.Warnings)
	}
	b.refuses("release-1", tuf.RuleAbsent)
	b.follows()
	if _, err := p.RemoveSigner(t.Context(), remove); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	// The name again, with other keys: it goes on, and what was signed is forgotten.
	add.Keys, add.Signers, add.Terminating = tuf.RoleKeys{Keys: publicKeys(eve)}, []tuf.Signer{owner, eve}, true
	if out, err = p.AddSigner(t.Context(), add); err != nil || out.Versions["release"] != 4 {
		t.Errorf("%+v, %v", out, err)
	}
	b.refuses("release-1", tuf.RuleAbsent)
	b.follows()
}

// TestSignersThatCannotBe refuses before anybody is asked to touch anything.
func TestSignersThatCannotBe(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice, bob := b.repo.targetsKeys[0], newKey(t), newKey(t)
	good := AddSignerRequest{Repository: appName, Name: "ci", Keys: tuf.RoleKeys{Keys: publicKeys(alice)}, Tags: []string{"ci-*"}, Signers: []tuf.Signer{owner, alice}}
	if _, err := p.AddSigner(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	*changes = nil
	for name, edit := range map[string]func(r *AddSignerRequest){
		"no pattern":                  func(r *AddSignerRequest) { r.Tags = nil },
		"a pattern that is a path":    func(r *AddSignerRequest) { r.Tags = []string{"a/b"} },
		"a pattern of another name":   func(r *AddSignerRequest) { r.Tags = []string{"a:b"} },
		"a class":                     func(r *AddSignerRequest) { r.Tags = []string{"[ab]"} },
		"a record":                    func(r *AddSignerRequest) { r.Tags = []string{"a@sha256:*"} },
		"a top-level role":            func(r *AddSignerRequest) { r.Name = "root" },
		"no name":                     func(r *AddSignerRequest) { r.Name = "" },
		"no key":                      func(r *AddSignerRequest) { r.Keys = tuf.RoleKeys{} },
		"threshold above keys":        func(r *AddSignerRequest) { r.Keys.Threshold = 2 },
		"one key twice":               func(r *AddSignerRequest) { r.Keys.Keys = publicKeys(bob, bob) },
		"another's name":              func(r *AddSignerRequest) { r.Name, r.Keys.Keys = "ci", publicKeys(bob) },
		"another's name, other tags":  func(r *AddSignerRequest) { r.Name, r.Tags = "ci", []string{"*"} },
		"another's name, other case":  func(r *AddSignerRequest) { r.Name = "CI" },
		"without the targets key":     func(r *AddSignerRequest) { r.Signers = r.Signers[1:] },
		"without the signer's key":    func(r *AddSignerRequest) { r.Signers = r.Signers[:1] },
		"without two of the signer's": func(r *AddSignerRequest) { r.Keys = tuf.RoleKeys{Keys: publicKeys(alice, bob), Threshold: 2} },
	} {
		r := good
		r.Name = "other"
		edit(&r)
		if _, err := p.AddSigner(t.Context(), r); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if _, err := p.RemoveSigner(t.Context(), RemoveSignerRequest{Repository: appName, Name: "ci", Signers: []tuf.Signer{alice}}); !errors.Is(err, ErrKeys) {
		t.Errorf("removed by itself: %v", err)
	}
	if _, err := p.RemoveSigner(t.Context(), RemoveSignerRequest{Repository: appName, Name: "targets", Signers: []tuf.Signer{owner}}); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("targets removed: %v", err)
	}
	if len(*changes) > 0 {
		t.Errorf("somebody was asked: %+v", *changes)
	}
}

// TestSignersKeepEachOther removes one of two signers that share a key.
func TestSignersKeepEachOther(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice, bob := b.repo.targetsKeys[0], newKey(t), newKey(t)
	for _, name := range []string{"one", "two"} {
		if _, err := p.AddSigner(t.Context(), AddSignerRequest{Repository: appName, Name: name, Keys: tuf.RoleKeys{Keys: publicKeys(alice)}, Tags: []string{"shared", name},
			Attestations: map[string][]string{alice.Key().ID(): {"ALICE"}}, Signers: []tuf.Signer{owner, alice}}); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"shared", name} {
			r := b.signRequest(tag, "x")
			r.Role, r.Signers = name, []tuf.Signer{alice}
			if _, err := p.Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	*changes = nil
	if _, err := p.RemoveSigner(t.Context(), RemoveSignerRequest{Repository: appName, Name: "one", Signers: []tuf.Signer{owner}}); err != nil {
		t.Fatal(err)
	}
	if c := (*changes)[0]; len(c.Files[0].Attestations) > 0 || len(c.Warnings) != 1 || !strings.HasSuffix(c.Warnings[0], ": one") || len(c.Files[0].Order) > 0 {
		t.Errorf("%+v", c)
	}
	b.trusts("shared", "x")
	b.refuses("one", tuf.RuleAbsent)
	// The key of two alone is changed.
	if _, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: "two", Add: publicKeys(bob), Remove: ids(alice), Signers: []tuf.Signer{owner, bob}}); err != nil {
		t.Fatal(err)
	}
	b.trusts("two", "x")
	b.follows()
}
