package client

import (
	"io"
	"log"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestVerifyAnswersThreeShapes(t *testing.T) {
	b := newBench(t)
	b.repo.sign("1.1", digestOf("two"))
	b.repo.sign("latest", digestOf("one"))
	b.repo.sign("latest", digestOf("two")) // one is an earlier digest of latest now
	b.repo.sign("gone", digestOf("three"))
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.RemoveTag(md, appName, "gone", "") })
	one, two, three := digestOf("one"), digestOf("two"), digestOf("three")
	for _, test := range []struct {
		name    string
		image   tuf.Image
		rule    tuf.Rule
		digest  string
		current bool
		tags    []TagMatch
	}{
		{"a tag", tuf.Image{Tag: "1.0"}, "", one, true, nil},
		{"a tag that moved", tuf.Image{Tag: "latest"}, "", two, true, nil},
		{"a tag that nobody signed", tuf.Image{Tag: "2.0"}, tuf.RuleAbsent, "", false, nil},
		{"a revoked tag", tuf.Image{Tag: "gone"}, tuf.RuleAbsent, "", false, nil},
		{"a tag and its digest", tuf.Image{Tag: "1.0", Digest: one}, "", one, true, nil},
		{"a tag and an earlier digest of it", tuf.Image{Tag: "latest", Digest: one}, "", one, false, nil},
		{"a tag and another tag's digest", tuf.Image{Tag: "1.0", Digest: two}, tuf.RuleDigest, "", false, nil},
		{"a revoked tag and its digest", tuf.Image{Tag: "gone", Digest: three}, tuf.RuleAbsent, "", false, nil},
		{"a digest under one tag and, earlier, another", tuf.Image{Digest: one}, "", one, true,
			[]TagMatch{{"1.0", true, "targets"}, {"latest", false, "targets"}}},
		{"a digest under two tags", tuf.Image{Digest: two}, "", two, true,
			[]TagMatch{{"1.1", true, "targets"}, {"latest", true, "targets"}}},
		{"a revoked digest", tuf.Image{Digest: three}, tuf.RuleAbsent, "", false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := test.image
			image.Repository = appName
			for _, offline := range []bool{false, true} {
				d, err := b.client().Verify(t.Context(), image, Options{Offline: offline})
				if tuf.RuleOf(err) != test.rule || (err != nil) != (test.rule != "") {
					t.Fatalf("offline %v: got %v, expected the rule %q", offline, err, test.rule)
				}
				if test.rule != "" {
					if d.Trusted || d.Rule != test.rule || d.Offline != offline {
						t.Errorf("offline %v: %+v", offline, d)
					}
					continue
				}
				if d.Digest != test.digest || d.Current != test.current || !d.Trusted || d.Reference != appName+"@"+test.digest {
					t.Errorf("offline %v: %+v", offline, d)
				}
				if diff := cmp.Diff(test.tags, d.Tags); diff != "" {
					t.Errorf("tags: %s", diff)
				}
				if d.Versions["targets"] != 7 || d.Expires == nil || !d.Expires.Equal(b.clock.Now().Add(day)) {
					t.Errorf("versions %v, expires %v", d.Versions, d.Expires)
				}
			}
		})
	}
}

func TestVerifyWithWarmStateAsksTwice(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	b.server.taken()
	b.trusts("1.0", "one")
	want := []string{"GET /tuf/" + appName + "/2.root.json", "GET /tuf/" + appName + "/timestamp.json"}
	if diff := cmp.Diff(want, b.server.taken()); diff != "" {
		t.Error(diff)
	}
	b.repo.stamp(b.repo.timestamp.Version + 1) // a refresh changes the timestamp only
	b.trusts("1.0", "one")
	if diff := cmp.Diff(want, b.server.taken()); diff != "" {
		t.Error(diff)
	}
}

func TestVerifyCouldNotFindOut(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		name  string
		image tuf.Image
	}{
		{"unknown repository", tuf.Image{Repository: "registry.example.com/team/other", Tag: "1.0"}},
		{"neither tag nor digest", tuf.Image{Repository: appName}},
	} {
		d, err := b.client().Verify(t.Context(), test.image, Options{})
		if err == nil || tuf.IsRefusal(err) || d.Trusted || d.Rule != "" || d.Reason == "" {
			t.Errorf("%s: %+v, %v: expected trouble, no verdict", test.name, d, err)
		}
	}
	if _, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{Offline: true}); err == nil || tuf.IsRefusal(err) {
		t.Errorf("offline without state: %v", err)
	}
	if _, err := b.client().Verify(t.Context(), tuf.Image{Repository: "elsewhere.example/x", Tag: "1"}, Options{}); tuf.RuleOf(err) != tuf.RuleAnchor {
		t.Errorf("no anchor: %v", err)
	}
}

func TestViewTellsRolesAndTags(t *testing.T) {
	b := newBench(t)
	b.repo.sign("1.0", digestOf("two"))
	view, err := b.client().View(t.Context(), appName, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []TagView{{Tag: "1.0", Digest: digestOf("two"), Length: 1234, MediaType: target("").MediaType, Signer: "targets", Earlier: []string{digestOf("one")}}}
	if diff := cmp.Diff(want, view.Tags); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, r := range view.Roles {
		names = append(names, r.Name)
		if r.Threshold != 1 || len(r.Keys) != 1 || r.Version < 1 {
			t.Errorf("%+v", r)
		}
	}
	if diff := cmp.Diff([]string{"root", "timestamp", "snapshot", "targets"}, names); diff != "" {
		t.Error(diff)
	}
	if view.Role("targets").Targets != 3 || view.Tag("1.0") == nil || view.Tag("2.0") != nil || view.Role("x") != nil {
		t.Errorf("%+v", view)
	}
}

// TestRecordOfAnotherDigest lists one digest under the record of another, as no
// server of ours would take it.
func TestRecordOfAnotherDigest(t *testing.T) {
	b := newBench(t)
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		record := tuf.RecordPath(appName, "1.0", digestOf("evil"))
		md.Signed.Targets[record] = md.Signed.Targets[tuf.TagPath(appName, "1.0")]
	})
	d, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Tag: "1.0", Digest: digestOf("evil")}, Options{})
	if tuf.RuleOf(err) != tuf.RuleDigest {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestRefusedDecisionSaysNothingOfTheTarget refuses at the last moment, by an
// expiry while roles were fetched, after an entry was found.
func TestRefusedDecisionSaysNothingOfTheTarget(t *testing.T) {
	b := newBench(t)
	noted := target(digestOf("two"))
	noted.Annotations = map[string]string{"note": "run me"}
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { b.repo.must(tuf.SetTarget(md, appName, "2.0", noted)) })
	b.server.setIntercept(func(_ responseWriter, r *request) bool {
		if strings.HasSuffix(r.URL.Path, ".targets.json") {
			b.clock.Add(8 * day) // timestamp and snapshot are past their expiry by now
		}
		return false
	})
	d, err := b.verify("2.0")
	if tuf.RuleOf(err) != tuf.RuleExpired {
		t.Fatalf("%+v, %v", d, err)
	}
	if d.Digest != "" || d.Length != 0 || d.MediaType != "" || d.Annotations != nil || d.Reference != "" || d.Current || len(d.Signers) > 0 {
		t.Errorf("an untrusted decision still tells what was signed: %+v", d)
	}
}
