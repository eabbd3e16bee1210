package tuf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

func TestSignedTagsAreReadBack(t *testing.T) {
	md := tuf.NewTargets(1, now.Add(day))
	one, two := target("one"), target("two")
	two.Annotations = map[string]string{"org.opencontainers.image.revision": "<&>é\u2028", "empty": ""}
	for _, s := range []struct {
		tag    string
		target tuf.Target
	}{{"1.0", one}, {"1.0", two}, {"latest", two}} {
		if err := tuf.SetTarget(md, repository, s.tag, s.target); err != nil {
			t.Fatal(err)
		}
	}
	file := sign(t, tuf.RoleTargets, md, signer(t, "bob"))
	again, err := tuf.ReadTargets(file.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	image := func(tag, digest string) tuf.Image {
		return tuf.Image{Repository: repository, Tag: tag, Digest: digest}
	}
	want := []tuf.Entry{
		{Path: repository + ":1.0", Image: image("1.0", ""), Target: two},
		{Path: repository + ":1.0@" + two.Digest, Image: image("1.0", two.Digest), Target: two},
		{Path: repository + ":1.0@" + one.Digest, Image: image("1.0", one.Digest), Target: one},
		{Path: repository + ":latest", Image: image("latest", ""), Target: two},
		{Path: repository + ":latest@" + two.Digest, Image: image("latest", two.Digest), Target: two},
	}
	slices.SortFunc(want, func(a, b tuf.Entry) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	if diff := cmp.Diff(want, tuf.Entries(again)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []struct {
		tag    string
		target tuf.Target
	}{{"", one}, {"a b", one}, {"1", tuf.Target{Digest: "sha256:00", Length: 1}}, {"1", tuf.Target{Digest: one.Digest}}, {"1", tuf.Target{Digest: one.Digest, Length: -1}}, {"1", tuf.Target{Length: 1}}} {
		before := len(md.Signed.Targets)
		if err := tuf.SetTarget(md, repository, bad.tag, bad.target); err == nil || len(md.Signed.Targets) != before {
			t.Errorf("%+v is signed: %v", bad, err)
		}
	}
}

func TestRemoveTag(t *testing.T) {
	one, two := target("one"), target("two")
	for _, c := range []struct {
		claim, tag, digest string
		gone               []string
	}{
		{"a tag and its records", "1.0", "", []string{"1.0", "1.0@" + two.Digest, "1.0@" + one.Digest}},
		{"the digest that the tag means", "1.0", two.Digest, []string{"1.0", "1.0@" + two.Digest}},
		{"a digest that the tag left", "1.0", one.Digest, []string{"1.0@" + one.Digest}},
		{"a digest that was never there", "1.0", target("x").Digest, nil},
		{"a tag that was never there", "1", "", nil},
		{"a tag that only begins so", "1.", "", nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			md := tuf.NewTargets(1, now.Add(day))
			for tag, list := range map[string][]tuf.Target{"1.0": {one, two}, "1.0.1": {one}, "latest": {two}} {
				for _, target := range list {
					if err := tuf.SetTarget(md, repository, tag, target); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := len(md.Signed.Targets)
			var want []string
			for _, p := range c.gone {
				want = append(want, repository+":"+p)
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, tuf.RemoveTag(md, repository, c.tag, c.digest)); diff != "" {
				t.Error(diff)
			}
			if len(md.Signed.Targets) != before-len(want) {
				t.Errorf("%d targets left of %d", len(md.Signed.Targets), before)
			}
			if removed := tuf.RemoveTag(md, repository+"2", "latest", ""); removed != nil {
				t.Errorf("another repository's name removed %v", removed)
			}
		})
	}
}

// spaced writes custom in another form that means the same, and unreadable breaks
// the digests.
func spaced(md *tuf.Targets) *tuf.Targets {
	for _, file := range md.Signed.Targets {
		custom := json.RawMessage(" " + string(*file.Custom))
		file.Custom = &custom
	}
	return md
}

func unreadable(md *tuf.Targets) *tuf.Targets {
	for _, file := range md.Signed.Targets {
		file.Hashes["sha256"] = file.Hashes["sha256"][1:]
	}
	return md
}

func TestDiff(t *testing.T) {
	one, two := target("one"), target("two")
	noted := one
	noted.Annotations = map[string]string{"by": "alice"}
	build := func(tags map[string]tuf.Target) *tuf.Targets {
		md := tuf.NewTargets(1, now.Add(day))
		for tag, target := range tags {
			if err := tuf.SetTarget(md, repository, tag, target); err != nil {
				t.Fatal(err)
			}
		}
		return md
	}
	at := func(tag string) string { return tuf.TagPath(repository, tag) }
	record := func(tag string, x tuf.Target) string { return tuf.RecordPath(repository, tag, x.Digest) }
	for _, c := range []struct {
		claim    string
		old, new *tuf.Targets
		want     []tuf.Change
	}{
		{"nothing", build(map[string]tuf.Target{"1": one}), build(map[string]tuf.Target{"1": one}), nil},
		{"from nothing", nil, build(map[string]tuf.Target{"1": one}), []tuf.Change{{Path: at("1"), New: &one}, {Path: record("1", one), New: &one}}},
		{"a tag goes", build(map[string]tuf.Target{"1": one}), build(nil), []tuf.Change{{Path: at("1"), Old: &one}, {Path: record("1", one), Old: &one}}},
		{"only an annotation", build(map[string]tuf.Target{"1": one}), build(map[string]tuf.Target{"1": noted}),
			[]tuf.Change{{Path: at("1"), Old: &one, New: &noted}, {Path: record("1", one), Old: &one, New: &noted}}},
		{"other bytes that say the same", spaced(build(map[string]tuf.Target{"1": noted})), build(map[string]tuf.Target{"1": noted}), nil},
		{"what says nothing", unreadable(build(map[string]tuf.Target{"1": one})), build(map[string]tuf.Target{"1": one}), []tuf.Change{{Path: at("1"), New: &one}, {Path: record("1", one), New: &one}}},
		{"a tag moves", build(map[string]tuf.Target{"1": one}), build(map[string]tuf.Target{"1": two}),
			[]tuf.Change{{Path: at("1"), Old: &one, New: &two}, {Path: record("1", two), New: &two}, {Path: record("1", one), Old: &one}}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			slices.SortFunc(c.want, func(a, b tuf.Change) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
			if diff := cmp.Diff(c.want, tuf.Diff(c.old, c.new)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetRoleKeys(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := signer(t, "alice"), signer(t, "bob"), signer(t, "carol")
	root := w.newRoot(1)
	for _, c := range []struct {
		claim string
		role  string
		keys  tuf.RoleKeys
		want  error
	}{
		{"no keys", "targets", tuf.RoleKeys{}, tuf.RuleThreshold},
		{"threshold above the keys", "targets", tuf.RoleKeys{Keys: keys(bob), Threshold: 2}, tuf.RuleThreshold},
		{"negative threshold", "targets", tuf.RoleKeys{Keys: keys(bob), Threshold: -1}, tuf.RuleThreshold},
		{"one key twice", "targets", tuf.RoleKeys{Keys: keys(bob, bob), Threshold: 2}, tuf.RuleThreshold},
	} {
		before := tuf.RoleKeysOf(root, c.role)
		if err := tuf.SetRoleKeys(root, c.role, c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.claim, err)
		}
		if after := tuf.RoleKeysOf(root, c.role); len(after.Keys) != len(before.Keys) || after.Threshold != before.Threshold {
			t.Errorf("%s: the role changed", c.claim)
		}
	}
	if err := tuf.SetRoleKeys(root, "team", tuf.RoleKeys{Keys: keys(bob)}); err == nil {
		t.Error("a signer became a top-level role")
	}
	w.must(tuf.SetRoleKeys(root, "targets", tuf.RoleKeys{Keys: keys(carol, alice), Threshold: 2}))
	if _, ok := root.Signed.Keys[bob.Key().ID()]; ok {
		t.Error("bob's key stays although no role lists it")
	}
	w.must(tuf.SetRoleKeys(root, "root", tuf.RoleKeys{Keys: keys(bob)}))
	if _, ok := root.Signed.Keys[alice.Key().ID()]; !ok {
		t.Error("alice's key went although targets list it")
	}
	got := tuf.RoleKeysOf(root, "targets")
	if got.Threshold != 2 || len(got.Keys) != 2 || got.Keys[0].ID() != carol.Key().ID() {
		t.Errorf("got %+v", got)
	}
	if none := tuf.RoleKeysOf(root, "team"); none.Keys != nil {
		t.Errorf("got %+v", none)
	}
}

func TestRootSaysWhatItIsFor(t *testing.T) {
	w := newWorld(t)
	alice := w.root.Key().ID()
	attestations := map[string][]string{alice: {"-----BEGIN CERTIFICATE-----\nA\n", "B"}}
	root := w.newRoot(1)
	tuf.SetAttestations(root, attestations)
	read, err := tuf.ReadRoot(sign(t, "root", root, w.root).Bytes)
	w.must(err)
	if tuf.RepositoryOf(read) != repository {
		t.Errorf("it is for %q", tuf.RepositoryOf(read))
	}
	if diff := cmp.Diff(attestations, tuf.Attestations(read)); diff != "" {
		t.Error(diff)
	}
	w.must(tuf.VerifyRoot(read, read))
	tuf.SetAttestations(read, nil)
	if len(tuf.Attestations(read)) != 0 {
		t.Error("attestations stay")
	}
	if err := tuf.VerifyRoot(read, read); err == nil {
		t.Error("what was taken out of root was not signed")
	}
	if _, err := tuf.NewRoot(tuf.RootSpec{Repository: "Team/App"}); !errors.Is(err, tuf.RuleName) {
		t.Errorf("root for no repository: %v", err)
	}
}

// §4.2: dates have no zone and no fraction.
func TestDatesAreWrittenAsTheSpecificationSays(t *testing.T) {
	zone := time.FixedZone("here", 5*3600)
	md := tuf.NewTargets(1, time.Date(2030, 1, 2, 8, 4, 5, 999, zone))
	file := sign(t, "targets", md, signer(t, "bob"))
	if !bytes.Contains(file.Bytes, []byte(`"expires":"2030-01-02T03:04:05Z"`)) {
		t.Errorf("%s", file.Bytes)
	}
}

func TestEncodeHasOneForm(t *testing.T) {
	w := newWorld(t)
	md, err := tuf.ReadTargets(w.state.Roles["targets"].Bytes)
	w.must(err)
	again, err := tuf.Encode(md)
	w.must(err)
	if !bytes.Equal(again, w.state.Roles["targets"].Bytes) {
		t.Error("reading and writing changed the bytes")
	}
	if bytes.ContainsAny(again, "\n\t ") {
		t.Error("there is space in it")
	}
}

func TestRefusalsSayWhatWhichAndWhy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&tuf.Refusal{Repository: "r.io/app", Role: "targets", Version: 3, Rule: tuf.RuleRollback, Clause: "TUF §5.5.5", Detail: "version 3, but 4 was seen"},
			"r.io/app: targets version 3: version 3, but 4 was seen (TUF §5.5.5)"},
		{&tuf.Refusal{Rule: tuf.RuleShape, Detail: "no"}, "no"},
		{&tuf.ExpiredError{Repository: "r.io/app", Role: "timestamp", Version: 7, Expired: now, Now: now.Add(90 * time.Minute)},
			"r.io/app: timestamp version 7 expired 1h30m0s ago, at 2030-01-02T03:04:05Z"},
	} {
		if c.err.Error() != c.want {
			t.Errorf("%q, want %q", c.err, c.want)
		}
	}
	if tuf.IsRefusal(tuf.ErrNotFound) || tuf.IsRefusal(nil) || tuf.RuleOf(tuf.ErrConflict) != "" || tuf.IsRefusal(tuf.RuleShape) {
		t.Error("trouble is taken for a verdict")
	}
	wrapped := errors.Join(errors.New("x"), &tuf.ExpiredError{})
	if !tuf.IsRefusal(wrapped) || tuf.RuleOf(wrapped) != tuf.RuleExpired || !errors.Is(wrapped, tuf.RuleExpired) {
		t.Error("a wrapped verdict is not known")
	}
}
