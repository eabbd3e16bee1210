package client

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// hire adds a signer with one key.
func (b *bench) hire(p *Publisher, r AddSignerRequest, key tuf.Signer, by ...tuf.Signer) {
	b.t.Helper()
	r.Repository, r.Keys, r.Signers = appName, tuf.RoleKeys{Keys: publicKeys(key), Threshold: 1}, append(by, key)
	if _, err := p.AddSigner(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) signAs(p *Publisher, role, tag, word string, key tuf.Signer) {
	b.t.Helper()
	r := b.signRequest(tag, word)
	r.Role, r.Signers = role, []tuf.Signer{key}
	if _, err := p.Sign(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) signers() []string {
	b.t.Helper()
	view, err := b.client().View(b.t.Context(), appName, Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, r := range view.Roles {
		if !tuf.IsTopLevel(r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

// TestUpdateSigner changes a signer in every way, each of which is done only once.
func TestUpdateSigner(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice, bob := b.repo.targetsKeys[0], newKey(t), newKey(t)
	b.hire(p, AddSignerRequest{Name: "ci", Tags: []string{"ci-*", "v*"}}, alice, owner)
	b.signAs(p, "ci", "v1", "v1", alice)
	b.signAs(p, "ci", "ci-1", "ci", alice)
	yes := true
	for _, step := range []struct {
		name  string
		r     UpdateSignerRequest
		files []string
		check func(view *RoleView) bool
	}{
		{"tags", UpdateSignerRequest{Tags: []string{"ci-*"}}, []string{"targets", "ci"}, func(v *RoleView) bool { return len(v.Paths) == 2 }},
		{"terminating", UpdateSignerRequest{Terminating: &yes}, []string{"targets"}, func(v *RoleView) bool { return v.Terminating }},
		{"life", UpdateSignerRequest{Life: 30 * day}, []string{"ci"}, func(v *RoleView) bool {
			return v.Expires.Equal(b.clock.Now().Add(30 * day))
		}},
		{"all of it", UpdateSignerRequest{Tags: []string{"ci-*", "x"}, Threshold: 2, Add: publicKeys(bob), Life: 20 * day}, []string{"targets", "ci"}, func(v *RoleView) bool {
			return len(v.Paths) == 4 && v.Threshold == 2 && len(v.Keys) == 2
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			r := step.r
			r.Repository, r.Name, r.Signers = appName, "ci", []tuf.Signer{owner, alice, bob}
			*changes = nil
			if _, err := p.UpdateSigner(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, f := range (*changes)[0].Files {
				files = append(files, f.Role)
			}
			if !cmp.Equal(files, step.files) {
				t.Errorf("it takes %v, expected %v", files, step.files)
			}
			view, err := b.client().View(t.Context(), appName, Options{})
			if err != nil || !step.check(view.Role("ci")) {
				t.Errorf("%+v, %v", view.Role("ci"), err)
			}
			if out, err := p.UpdateSigner(t.Context(), r); err != nil || out.Change != nil {
				t.Errorf("the same again: %+v, %v", out, err)
			}
			b.trusts("ci-1", "ci")
			b.follows()
		})
	}
}

// TestUpdateSignerSaysWhatIsLost warns of tags that mean nothing, or something else.
func TestUpdateSignerSaysWhatIsLost(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice, bob := b.repo.targetsKeys[0], newKey(t), newKey(t)
	b.hire(p, AddSignerRequest{Name: "first", Tags: []string{"*"}}, alice, owner)
	b.hire(p, AddSignerRequest{Name: "second", Tags: []string{"v*"}}, bob, owner)
	b.signAs(p, "second", "v1", "second", bob)
	b.signAs(p, "first", "v1", "first", alice)
	b.signAs(p, "first", "w1", "w", alice)
	b.trusts("v1", "first")
	again := b.signRequest("v1", "again")
	again.Role, again.Signers = "second", []tuf.Signer{bob}
	if d, err := p.PrepareSign(t.Context(), again); err != nil || len(d.Change.Warnings) != 1 || !strings.HasSuffix(d.Change.Warnings[0], ": first is asked ahead of second") {
		t.Errorf("%+v, %v", d, err)
	}
	for _, step := range []struct {
		name, want string
		r          UpdateSignerRequest
	}{
		{"order", "these tags mean another digest then, since another signer is asked first: v1", UpdateSignerRequest{Name: "second", Before: "first"}},
		{"tags", "these tags are trusted no more: w1", UpdateSignerRequest{Name: "first", Tags: []string{"v*"}}},
	} {
		r := step.r
		r.Repository, r.Signers = appName, []tuf.Signer{owner, alice}
		*changes = nil
		if _, err := p.UpdateSigner(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got := (*changes)[0].Warnings; !cmp.Equal(got, []string{step.want}) {
			t.Errorf("%s: %q, expected %q", step.name, got, step.want)
		}
	}
	b.trusts("v1", "second")
	b.refuses("w1", tuf.RuleAbsent)
	if diff := cmp.Diff([]string{"second", "first"}, b.signers()); diff != "" {
		t.Error(diff)
	}
	*changes = nil
	last := UpdateSignerRequest{Repository: appName, Name: "second", Last: true, Signers: []tuf.Signer{owner}}
	if _, err := p.UpdateSigner(t.Context(), last); err != nil || !cmp.Equal((*changes)[0].Files[0].Order, []string{"first", "second"}) {
		t.Errorf("%+v, %v", *changes, err)
	}
	b.trusts("v1", "first")
	b.hire(p, AddSignerRequest{Name: "third", Tags: []string{"t*"}, Before: "first"}, bob, owner)
	if diff := cmp.Diff([]string{"third", "first", "second"}, b.signers()); diff != "" {
		t.Error(diff)
	}
	if c := (*changes)[len(*changes)-1]; !cmp.Equal(c.Files[0].Order, []string{"third", "first", "second"}) {
		t.Errorf("nobody is told where the new signer stands: %+v", c.Files[0])
	}
}

// TestNestedSigners adds, updates and removes signers below a signer, whose keys sign
// that; the targets owner has no part in it.
func TestNestedSigners(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, lead, alice, bob := b.repo.targetsKeys[0], newKey(t), newKey(t), newKey(t)
	b.hire(p, AddSignerRequest{Name: "team", Tags: []string{"t-*"}}, lead, owner)
	under := AddSignerRequest{Repository: appName, Name: "alice", Parent: "team", Tags: []string{"t-*", "a*"}, Keys: tuf.RoleKeys{Keys: publicKeys(alice), Threshold: 1}, Signers: []tuf.Signer{owner, alice}}
	if _, err := p.AddSigner(t.Context(), under); !errors.Is(err, ErrKeys) {
		t.Errorf("the targets key adds below team: %v", err)
	}
	*changes = nil
	b.hire(p, under, alice, lead)
	c := (*changes)[0]
	if c.Files[0].Role != "team" || !cmp.Equal(c.Files[0].SignedBy, ids(lead)) || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "team itself may not sign all of the tags a*:") {
		t.Errorf("%+v", c)
	}
	if out, err := p.AddSigner(t.Context(), under); err != nil || out.Change != nil {
		t.Errorf("added again: %+v, %v", out, err)
	}
	b.signAs(p, "alice", "t-1", "one", alice)
	if d := b.trusts("t-1", "one"); !cmp.Equal(d.Signers, []string{"alice"}) {
		t.Errorf("vouched for by %v", d.Signers)
	}
	r := b.signRequest("a1", "one")
	r.Role, r.Signers = "alice", []tuf.Signer{alice}
	if _, err := p.Sign(t.Context(), r); tuf.RuleOf(err) != tuf.RulePath {
		t.Errorf("outside of what team may sign: %v", err)
	}
	if _, err := p.UpdateSigner(t.Context(), UpdateSignerRequest{Repository: appName, Name: "alice", Add: publicKeys(bob), Remove: ids(alice), Signers: []tuf.Signer{lead, bob}}); err != nil {
		t.Fatal(err)
	}
	b.trusts("t-1", "one")
	*changes = nil
	if _, err := p.RemoveSigner(t.Context(), RemoveSignerRequest{Repository: appName, Name: "team", Signers: []tuf.Signer{owner}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"these tags are signed by team alone, and are trusted no more: t-1", "with team go the signers below it: alice"}
	if diff := cmp.Diff(want, (*changes)[0].Warnings); diff != "" {
		t.Error(diff)
	}
	b.refuses("t-1", tuf.RuleAbsent)
	b.follows()
}

// TestUpdatesThatCannotBe refuses before anybody is asked to touch anything.
func TestUpdatesThatCannotBe(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	owner, alice := b.repo.targetsKeys[0], newKey(t)
	b.hire(p, AddSignerRequest{Name: "ci", Tags: []string{"ci-*"}}, alice, owner)
	b.signAs(p, "ci", "ci-1", "ci", alice)
	*changes = nil
	for name, r := range map[string]UpdateSignerRequest{
		"nobody":                    {Name: "nobody", Tags: []string{"x"}, Signers: []tuf.Signer{owner}},
		"targets":                   {Name: "targets", Tags: []string{"x"}, Signers: []tuf.Signer{owner}},
		"root":                      {Name: "root", Tags: []string{"x"}, Signers: []tuf.Signer{owner}},
		"ahead of nobody":           {Name: "ci", Before: "nobody", Signers: []tuf.Signer{owner}},
		"ahead of itself":           {Name: "ci", Before: "ci", Signers: []tuf.Signer{owner}},
		"first and last":            {Name: "ci", Before: "ci", Last: true, Signers: []tuf.Signer{owner}},
		"no pattern":                {Name: "ci", Tags: []string{}, Signers: []tuf.Signer{owner}},
		"no pattern of tags":        {Name: "ci", Tags: []string{"a/b"}, Signers: []tuf.Signer{owner}},
		"no key left":               {Name: "ci", Remove: ids(alice), Signers: []tuf.Signer{owner}},
		"threshold above keys":      {Name: "ci", Threshold: 2, Signers: []tuf.Signer{owner}},
		"fewer tags, by the owner":  {Name: "ci", Tags: []string{"x"}, Signers: []tuf.Signer{owner}},
		"by itself":                 {Name: "ci", Tags: []string{"*"}, Signers: []tuf.Signer{alice}},
		"a life without its key":    {Name: "ci", Life: 10 * day, Signers: []tuf.Signer{owner}},
		"another key, without that": {Name: "ci", Add: publicKeys(newKey(t)), Remove: ids(alice), Signers: []tuf.Signer{owner}},
		"a life below zero":         {Name: "ci", Life: -time.Hour, Signers: []tuf.Signer{owner, alice}},
	} {
		r.Repository = appName
		if _, err := p.UpdateSigner(t.Context(), r); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	if len(*changes) > 0 {
		t.Errorf("somebody was asked: %+v", *changes)
	}
}

// TestCovers compares patterns with patterns.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"*", "*", true}, {"*", "v?-*", true}, {"v*", "v1*", true}, {"v*", "v", true}, {"a*b*c", "aXb*bYc", true}, {"v?", "v1", true}, {"v?", "v?", true}, {"v1", "v1", true},
		{"v*", "*", false}, {"v?", "v*", false}, {"v1", "v?", false}, {"v1", "v12", false}, {"v*1", "v*", false}, {"", "v", false}, {"v", "", false},
		{strings.Repeat("*a", 60) + "b", strings.Repeat("a", 120), false},
	} {
		if got := covers(c.wide, c.narrow); got != c.want {
			t.Errorf("covers(%q, %q) is %t, expected %t", c.wide, c.narrow, got, c.want)
		}
	}
}
