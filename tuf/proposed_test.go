package tuf_test

import (
	"errors"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// unsigned takes the signatures off a file.
func unsigned(t testing.TB, file tuf.File) tuf.File {
	t.Helper()
	var data []byte
	var err error
	if file.Role == tuf.RoleRoot {
		md, readErr := tuf.ReadRoot(file.Bytes)
		if readErr != nil {
			t.Fatal(readErr)
		}
		md.Signatures = md.Signatures[:0]
		data, err = tuf.Encode(md)
	} else {
		md, readErr := tuf.ReadTargets(file.Bytes)
		if readErr != nil {
			t.Fatal(readErr)
		}
		md.Signatures = md.Signatures[:0]
		data, err = tuf.Encode(md)
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Bytes = data
	return file
}

// What is proposed is held to every rule but that of the signatures which are yet
// to come.
func TestCheckProposed(t *testing.T) {
	w := team(t)
	rules := tuf.PublishRules{Now: now}
	tagged := func(md *tuf.Targets) { w.must(tuf.SetTarget(md, repository, "3.0", target("three"))) }
	for _, c := range []struct {
		claim string
		cur   *tuf.State
		files []tuf.File
		want  error
	}{
		{"unsigned targets", &w.state, []tuf.File{unsigned(t, w.newTargets(tagged))}, nil},
		{"signed targets", &w.state, []tuf.File{w.newTargets(tagged)}, nil},
		{"an unsigned root", &w.state, []tuf.File{unsigned(t, w.nextRoot(nil))}, nil},
		{"a signer's file", &w.state, []tuf.File{unsigned(t, w.next("team", nil, signer(t, "carol")))}, nil},
		{"a new repository", nil, []tuf.File{unsigned(t, w.state.Root), unsigned(t, w.newTargets(func(md *tuf.Targets) { md.Signed.Version, md.Signed.Delegations = 1, nil }))}, nil},
		{"what is there already", &w.state, []tuf.File{w.state.Roles["targets"]}, tuf.ErrConflict},
		{"a version too far", &w.state, []tuf.File{unsigned(t, w.newTargets(func(md *tuf.Targets) { md.Signed.Version++ }))}, tuf.ErrConflict},
		{"one that has expired", &w.state, []tuf.File{unsigned(t, w.newTargets(func(md *tuf.Targets) { md.Signed.Expires = now.Add(-time.Hour) }))}, tuf.RuleExpired},
		{"a target of another repository", &w.state, []tuf.File{unsigned(t, w.newTargets(func(md *tuf.Targets) {
			w.must(tuf.SetTarget(md, "registry.example.com/other", "1.0", target("x")))
		}))}, tuf.RulePath},
		{"a signer whom nobody knows", &w.state, []tuf.File{unsigned(t, tuf.File{Role: "ghost", Version: 1, Bytes: w.next("team", func(md *tuf.Targets) { md.Signed.Version = 1 }, signer(t, "carol")).Bytes})}, tuf.RuleDelegation},
		{"keys by which what stays is not signed", &w.state, []tuf.File{unsigned(t, w.newTargets(func(md *tuf.Targets) {
			md.Signed.Delegations = nil
			delegate(md, "team", 1, tags, signer(t, "eve"))
		}))}, tuf.RuleThreshold},
		{"no file", &w.state, nil, tuf.RuleShape},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if err := tuf.CheckProposed(repository, c.cur, c.files, rules); !errors.Is(err, c.want) {
				t.Errorf("%v, expected %v", err, c.want)
			}
			if len(c.files) == 0 {
				return
			}
			if _, _, err := tuf.CheckPublish(repository, c.cur, []tuf.File{unsigned(t, c.files[0])}, rules); c.want == nil && err == nil {
				t.Error("and was published without a signature")
			}
		})
	}
}
