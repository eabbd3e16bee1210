package tuf_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// to is one delegation, by default to the role's own key and for all paths.
type to struct {
	role        string
	terminating bool
	paths       []string
	prefixes    []string
	by          []tuf.Signer
	threshold   int
}

// forest is a tree of roles, or worse.
type forest struct {
	edges   map[string][]to
	targets map[string][]string     // paths that a role lists; its content is the role's name
	by      map[string][]tuf.Signer // who signs a role, by default its own key
	hashes  bool                    // whether the snapshot lists hashes
}

// grow returns the state of a repository with these roles.
func (f forest) grow(t testing.TB) (*world, *tuf.State) {
	t.Helper()
	w := newWorld(t)
	roles := map[string]bool{"targets": true}
	for delegator, list := range f.edges {
		roles[delegator] = true
		for _, d := range list {
			roles[d.role] = true
		}
	}
	for role := range f.targets {
		roles[role] = true
	}
	for role := range roles {
		w.state.Roles[role] = f.file(w, role, 1)
	}
	w.online(2)
	if !f.hashes {
		w.resnap(func(meta object) {
			for _, entry := range meta {
				delete(entry.(object), "hashes")
				delete(entry.(object), "length")
			}
		})
	}
	return w, &w.state
}

func (f forest) file(w *world, role string, version int64) tuf.File {
	w.Helper()
	md := tuf.NewTargets(version, now.Add(30*day))
	for _, p := range f.targets[role] {
		sum := sha256.Sum256([]byte(role))
		md.Signed.Targets[p] = &metadata.TargetFiles{Length: int64(len(role)), Hashes: metadata.Hashes{"sha256": sum[:]}}
	}
	if list := f.edges[role]; list != nil {
		d := &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
		for _, e := range list {
			if e.by == nil {
				e.by = []tuf.Signer{signer(w, e.role)}
			}
			delegated := metadata.DelegatedRole{Name: e.role, Threshold: max(1, e.threshold), Terminating: e.terminating, Paths: e.paths, PathHashPrefixes: e.prefixes}
			for _, s := range e.by {
				d.Keys[s.Key().ID()] = s.Key().Metadata()
				delegated.KeyIDs = append(delegated.KeyIDs, s.Key().ID())
			}
			if e.paths == nil && e.prefixes == nil {
				delegated.Paths = []string{"*"}
			}
			d.Roles = append(d.Roles, delegated)
		}
		md.Signed.Delegations = d
	}
	by := f.by[role]
	if by == nil {
		by = []tuf.Signer{signer(w, role)}
		if role == "targets" {
			by = []tuf.Signer{w.targets}
		}
	}
	return sign(w, role, md, by...)
}

// climber loads roles for a search and notes which.
type climber struct {
	*tuf.Trusted
	state   *tuf.State
	visited []string
}

func climb(t testing.TB, s *tuf.State) *climber {
	t.Helper()
	trusted, err := tuf.NewTrusted(repository, s.Root.Bytes, now, tuf.Limits{})
	if err == nil {
		err = trusted.UpdateTimestamp(s.Timestamp.Bytes)
	}
	if err == nil {
		err = trusted.UpdateSnapshot(s.Snapshot.Bytes, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &climber{Trusted: trusted, state: s}
}

func (c *climber) load(role, delegator string) error {
	c.visited = append(c.visited, role)
	return c.UpdateRole(c.state.Roles[role].Bytes, role, delegator)
}

// §5.6.7: which roles are asked, in which order.
func TestSearchOrder(t *testing.T) {
	end := func(role string) to { return to{role: role, terminating: true} }
	py := func(role string) to { return to{role: role, paths: []string{"*.py"}} }
	all := func(role string) to { return to{role: role} }
	for _, c := range []struct {
		claim string
		edges map[string][]to
		want  string
	}{
		{"one role", map[string][]to{"targets": {all("a")}}, "targets a"},
		{"in the order of the list", map[string][]to{"targets": {all("b"), all("a")}}, "targets b a"},
		{"two levels", map[string][]to{"targets": {all("a"), all("b")}, "b": {all("c")}}, "targets a b c"},
		{"depth before breadth", map[string][]to{"targets": {all("a"), all("b")}, "a": {all("c"), all("d")}, "c": {all("e")}}, "targets a c e d b"},
		{"terminating ends it for brothers and uncles", map[string][]to{"targets": {all("a"), all("b")}, "a": {end("c"), all("d")}}, "targets a c"},
		{"terminating goes on below", map[string][]to{"targets": {all("a"), all("b")}, "a": {end("c")}, "c": {all("d"), all("e")}}, "targets a c d e"},
		{"terminating, but not for this path", map[string][]to{"targets": {{role: "a", terminating: true, paths: []string{"*.py"}}, all("b")}}, "targets b"},
		{"terminating for a role that was visited", map[string][]to{"targets": {all("a"), all("b"), all("c")}, "b": {end("a"), all("d")}}, "targets a b"},
		{"other paths are left out", map[string][]to{"targets": {py("a"), all("b")}, "a": {all("c")}}, "targets b"},
		{"other paths deeper down", map[string][]to{"targets": {all("a"), all("b")}, "a": {py("c")}, "c": {all("d")}}, "targets a b"},
		{"a cycle", map[string][]to{"targets": {all("a")}, "a": {all("b")}, "b": {all("c")}, "c": {all("a"), all("b")}}, "targets a b c"},
		{"a role that delegates to itself", map[string][]to{"targets": {all("a"), all("b")}, "a": {all("a")}}, "targets a b"},
		{"two fathers, visited once", map[string][]to{"targets": {all("a"), all("b")}, "a": {all("c")}, "b": {all("c")}}, "targets a c b"},
		{"two fathers, by the one with the path", map[string][]to{"targets": {all("a"), all("b")}, "a": {py("c")}, "b": {all("c")}}, "targets a b c"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			_, state := forest{edges: c.edges, hashes: true}.grow(t)
			s := climb(t, state)
			_, err := s.Search("file.txt", s.load)
			wantRule(t, err, tuf.RuleAbsent)
			if got := strings.Join(s.visited, " "); got != c.want {
				t.Errorf("visited %s, want %s", got, c.want)
			}
			// The second search on the same update fetches nothing.
			s.visited = nil
			_, err = s.Search("file.txt", s.load)
			wantRule(t, err, tuf.RuleAbsent)
			if s.visited != nil {
				t.Errorf("fetched %v again", s.visited)
			}
		})
	}
}

// The first role in the order answers; a role answers only for what it was given.
func TestSearchAnswer(t *testing.T) {
	f := forest{hashes: true,
		edges: map[string][]to{
			"targets": {{role: "a", paths: []string{"*.md"}}, {role: "b", paths: []string{"releases/*/*"}}, {role: "d", paths: []string{"x?"}}},
			"b":       {{role: "c", paths: []string{"releases/x/*", "*"}}},
		},
		targets: map[string][]string{
			"targets": {"own"},
			"a":       {"README.md", "own", "notes.txt", "dir/README.md"},
			"b":       {"releases/y/1"},
			"c":       {"releases/x/1", "top", "releases/y/1"},
			"d":       {"x1", "x12", "x/"},
		}}
	_, state := f.grow(t)
	for path, want := range map[string]string{
		"own":           "targets", // before any delegation
		"README.md":     "a",
		"releases/x/1":  "c",
		"releases/y/1":  "b",
		"x1":            "d",
		"notes.txt":     "", // a lists it, but was not given it
		"dir/README.md": "", // a '*' matches no '/'
		"top":           "", // b gave it to c, but had it from nobody
		"x12":           "",
		"x/":            "",
		"":              "",
		"nothing":       "",
	} {
		s := climb(t, state)
		match, err := s.Search(path, s.load)
		if want == "" {
			if !errors.Is(err, tuf.RuleAbsent) {
				t.Errorf("%q: %+v, %v", path, match, err)
			}
			continue
		}
		if err != nil || match.Role != want || match.Path != path || match.Target.Digest != target(want).Digest {
			t.Errorf("%q: %+v, %v", path, match, err)
		}
	}
}

// A role that cannot be verified ends the search. What stands behind it in the
// list must not answer in its place.
func TestSearchDoesNotPassAnUnverifiedRole(t *testing.T) {
	f := forest{hashes: true, edges: map[string][]to{"targets": {{role: "a"}, {role: "b"}}}, targets: map[string][]string{"a": {"x"}, "b": {"x"}}}
	for claim, c := range map[string]struct {
		attack func(w *world)
		want   error
	}{
		"a stranger's file": {func(w *world) {
			g := f
			g.by = map[string][]tuf.Signer{"a": {signer(w, "eve")}}
			w.state.Roles["a"] = g.file(w, "a", 1)
			w.online(3)
		}, tuf.RuleThreshold},
		"another file than in the snapshot": {func(w *world) { w.state.Roles["a"] = f.file(w, "a", 2) }, tuf.RuleHash},
		"an expired file": {func(w *world) {
			w.state.Roles["a"] = edited(w, w.state.Roles["a"], func(s object) { s["expires"] = "2020-01-01T00:00:00Z" }, signer(w, "a"))
			w.online(3)
		}, tuf.RuleExpired},
		"a role that the snapshot does not list": {func(w *world) {
			file := w.state.Roles["a"]
			delete(w.state.Roles, "a")
			w.online(3)
			w.state.Roles["a"] = file
		}, tuf.RuleRollback},
	} {
		t.Run(claim, func(t *testing.T) {
			w, state := f.grow(t)
			c.attack(w)
			s := climb(t, state)
			if match, err := s.Search("x", s.load); !errors.Is(err, c.want) || !tuf.IsRefusal(err) {
				t.Fatalf("%+v, %v; want %v", match, err, c.want)
			}
		})
	}
	// What could not be fetched is trouble, not proof that nothing is there.
	_, state := f.grow(t)
	s := climb(t, state)
	_, err := s.Search("x", func(role, delegator string) error {
		if role == "a" {
			return tuf.ErrNotFound
		}
		return s.load(role, delegator)
	})
	if !errors.Is(err, tuf.ErrNotFound) || tuf.IsRefusal(err) {
		t.Fatalf("got %v", err)
	}
	_, err = climb(t, state).Search("x", func(string, string) error { return nil })
	if err == nil || tuf.IsRefusal(err) {
		t.Fatalf("a load that loads nothing: %v", err)
	}
}

// Two roles delegate to c with different keys. Each verifies c by its own.
func TestRoleWithTwoDelegatorsIsVerifiedUnderEach(t *testing.T) {
	carol, dave := signer(t, "carol"), signer(t, "dave")
	f := forest{hashes: true,
		edges: map[string][]to{
			"targets": {{role: "a", paths: []string{"a*"}}, {role: "b", paths: []string{"b*"}}},
			"a":       {{role: "c", by: []tuf.Signer{carol}}},
			"b":       {{role: "c", by: []tuf.Signer{dave}}},
		},
		targets: map[string][]string{"c": {"a1", "b1"}},
		by:      map[string][]tuf.Signer{"c": {carol}},
	}
	_, state := f.grow(t)
	s := climb(t, state)
	if _, err := s.Search("a1", s.load); err != nil {
		t.Fatal(err)
	}
	_, err := s.Search("b1", s.load)
	wantRule(t, err, tuf.RuleThreshold)
	if s.Verified("c", "b") || !s.Verified("c", "a") {
		t.Fatal("verified under the wrong delegator")
	}
	if _, err := s.Search("a1", s.load); err != nil { // the refusal spoils nothing
		t.Fatal(err)
	}
	f.by["c"] = []tuf.Signer{carol, dave}
	_, state = f.grow(t)
	s = climb(t, state)
	for _, p := range []string{"a1", "b1", "a1"} {
		if _, err := s.Search(p, s.load); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"targets", "a", "c", "b", "c"}, s.visited); diff != "" {
		t.Error(diff)
	}
}

// Without hashes in the snapshot a server can show a role's version 1 in two
// forms. What dave signed must not answer where carol's key is asked for, nor
// what was verified by the keys in the one form count under the other.
func TestSecondContentOfOneVersionIsVerifiedAnew(t *testing.T) {
	carol, dave := signer(t, "carol"), signer(t, "dave")
	f := forest{
		edges: map[string][]to{
			"targets": {{role: "a", paths: []string{"a*"}}, {role: "b", paths: []string{"b*"}}},
			"a":       {{role: "c", by: []tuf.Signer{carol}}},
			"b":       {{role: "c", by: []tuf.Signer{dave}}},
			"c":       {{role: "d"}},
		},
		targets: map[string][]string{"c": {"a1", "b1"}, "d": {"a2"}},
		by:      map[string][]tuf.Signer{"c": {carol}},
	}
	w, state := f.grow(t)
	s := climb(t, state)
	if match, err := s.Search("a2", s.load); err != nil || match.Role != "d" {
		t.Fatalf("%+v, %v", match, err)
	}

	evil := f
	evil.by = map[string][]tuf.Signer{"c": {dave}}
	evil.targets = map[string][]string{"c": {"a1", "a9", "b1"}}
	evil.edges = map[string][]to{"c": {{role: "d", by: []tuf.Signer{dave}}}}
	state.Roles["c"] = evil.file(w, "c", 1)
	if _, err := s.Search("b1", s.load); err != nil {
		t.Fatal(err) // dave may sign for b
	}
	for _, p := range []string{"a1", "a9", "a2"} { // but not for a
		match, err := s.Search(p, s.load)
		if err == nil {
			t.Fatalf("%s is answered from what dave signed: %+v", p, match)
		}
		wantRule(t, err, tuf.RuleThreshold)
	}
	if s.Verified("d", "c") {
		t.Fatal("d counts as verified by a file that lists another key for it")
	}
}

func TestHashPrefixes(t *testing.T) {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte("app:1")))
	for _, c := range []struct {
		prefixes []string
		want     bool
	}{
		{[]string{hash[:1]}, true},
		{[]string{hash[:2]}, true},
		{[]string{hash}, true},
		{[]string{"zz", hash[:4]}, true},
		{[]string{strings.ToUpper(hash[:4])}, true},
		{[]string{hash + "0"}, false},
		{[]string{hash[1:3]}, false},
		{[]string{""}, false},
		{[]string{}, false},
	} {
		if got := tuf.Delegated(metadata.DelegatedRole{PathHashPrefixes: c.prefixes}, "app:1"); got != c.want {
			t.Errorf("%q: %v", c.prefixes, got)
		}
	}
	// The whole way: two bins, of which one is asked.
	f := forest{hashes: true, edges: map[string][]to{"targets": {
		{role: "low", prefixes: []string{"0", "1", "2", "3", "4", "5", "6", "7"}}, {role: "high", prefixes: []string{"8", "9", "a", "b", "c", "d", "e", "f"}}}},
		targets: map[string][]string{"low": {"app:1"}, "high": {"app:1"}}}
	_, state := f.grow(t)
	s := climb(t, state)
	want := "low"
	if hash[0] >= '8' {
		want = "high"
	}
	if match, err := s.Search("app:1", s.load); err != nil || match.Role != want || !slices.Equal(s.visited, []string{"targets", want}) {
		t.Fatalf("%+v, %v, visited %v", match, err, s.visited)
	}
}

func TestDelegatedPaths(t *testing.T) {
	record := "@sha256:" + strings.Repeat("a", 63) + "0"
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"r.io/app:*", "r.io/app:1.0", true},
		{"r.io/app:*@sha256:*", "r.io/app:1.0@sha256:00", true},
		{"r.io/app:*", "r.io/app:1.0@sha256:00", true}, // no record: another tool's path
		// A record's tag and digest are matched apart: no tag pattern reaches into a digest.
		{"r.io/app:*0", "r.io/app:2.7" + record, false},
		{"r.io/app:*0@sha256:*", "r.io/app:2.7" + record, false},
		{"r.io/app:*", "r.io/app:2.7" + record, false},
		{"r.io/app:*7@sha256:*", "r.io/app:2.7" + record, true},
		{"r.io/app:1.?", "r.io/app:1.0", true},
		{"r.io/app:1.?", "r.io/app:1.10", false},
		{"r.io/app:*", "r.io/app/x:1.0", false},
		{"r.io/*", "r.io/team/app:1", false},
		{"*", "r.io/app:1", false},
		{"*/*", "r.io/app:1", true},
		{"r.io[^x]app:1", "r.io/app:1", false}, // a class is no separator either
		{"r.io[/]app:1", "r.io/app:1", false},
		{"r.io/app:[12]", "r.io/app:1", true},
		{"r.io/app:[", "r.io/app:[", false},
		{"r.io/app?1", "r.io/app:1", true},
		{"r.io?app:1", "r.io/app:1", false},
		{"", "", true},
		{"", "x", false},
	} {
		if got := tuf.Delegated(metadata.DelegatedRole{Paths: []string{"never", c.pattern}}, c.path); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.path, got)
		}
	}
}

// bins delegates targets to succinct hash bins of the given number of bits (TAP 15).
func bins(w *world, bits int, keys ...tuf.Signer) tuf.File {
	md := tuf.NewTargets(1, now.Add(30*day))
	s := &metadata.SuccinctRoles{Threshold: 1, BitLength: bits, NamePrefix: "bin"}
	md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, SuccinctRoles: s}
	for _, k := range keys {
		md.Signed.Delegations.Keys[k.Key().ID()] = k.Key().Metadata()
		s.KeyIDs = append(s.KeyIDs, k.Key().ID())
	}
	return sign(w, "targets", md, w.targets)
}

func TestSuccinctHashBins(t *testing.T) {
	carol := signer(t, "carol")
	for bits, want := range map[int]string{1: "bin-1", 2: "bin-3", 5: "bin-1f", 8: "bin-fc", 32: "bin-fcde2b2e"} { // sha256("bar") is fcde2b2e...
		w := newWorld(t)
		w.state.Roles["targets"] = bins(w, bits, carol)
		f := forest{targets: map[string][]string{want: {"bar"}}, by: map[string][]tuf.Signer{want: {carol}}}
		w.state.Roles[want] = f.file(w, want, 1)
		w.online(2)
		s := climb(t, &w.state)
		match, err := s.Search("bar", s.load)
		if err != nil || match.Role != want {
			t.Errorf("%d bits: %+v, %v", bits, match, err)
		}
		// A bin's key is checked, and only bins come under it.
		if err := s.UpdateRole(w.state.Roles[want].Bytes, "other", "targets"); err == nil {
			t.Error("a role that is no bin was verified by the key of the bins")
		}
	}
	w := newWorld(t)
	w.state.Roles["targets"] = bins(w, 2, carol)
	f := forest{by: map[string][]tuf.Signer{"bin-3": {signer(t, "eve")}}}
	w.state.Roles["bin-3"] = f.file(w, "bin-3", 1)
	w.online(2)
	s := climb(t, &w.state)
	_, err := s.Search("bar", s.load)
	wantRule(t, err, tuf.RuleThreshold)
}

func TestWalk(t *testing.T) {
	all := func(role string) to { return to{role: role, paths: []string{"never"}} }
	_, state := forest{hashes: true, edges: map[string][]to{"targets": {{role: "a", terminating: true}, all("b")}, "a": {all("c")}, "b": {all("a"), all("c")}}}.grow(t)
	s := climb(t, state)
	var seen []string
	err := s.Walk(s.load, func(role, delegator string, targets *tuf.Targets) error {
		seen = append(seen, delegator+">"+role)
		return nil
	})
	if diff := cmp.Diff([]string{"root>targets", "targets>a", "a>c", "targets>b"}, seen); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	stop := errors.New("enough")
	if err := s.Walk(s.load, func(string, string, *tuf.Targets) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

// Hostile trees end, after a bounded number of fetches.
func TestTreesAreBounded(t *testing.T) {
	wide := forest{hashes: true, edges: map[string][]to{}}
	for i := range tuf.MaxRoles + 20 {
		wide.edges["targets"] = append(wide.edges["targets"], to{role: fmt.Sprintf("r%d", i), by: []tuf.Signer{signer(t, "eve")}})
	}
	wide.by = map[string][]tuf.Signer{}
	for _, e := range wide.edges["targets"] {
		wide.by[e.role] = e.by
	}
	_, state := wide.grow(t)
	s := climb(t, state)
	_, err := s.Search("x", s.load)
	wantRule(t, err, tuf.RuleLimit)
	if len(s.visited) > tuf.MaxRoles {
		t.Errorf("%d roles fetched", len(s.visited))
	}
	s = climb(t, state)
	wantRule(t, s.Walk(s.load, func(string, string, *tuf.Targets) error { return nil }), tuf.RuleLimit)
	if len(s.visited) != 1 {
		t.Errorf("%d roles fetched for a walk that cannot end", len(s.visited))
	}
	for _, bits := range []int{8, 16, 31, 32} {
		w := newWorld(t)
		w.state.Roles["targets"] = bins(w, bits, signer(t, "carol"))
		w.online(2)
		s := climb(t, &w.state)
		wantRule(t, s.Walk(s.load, func(string, string, *tuf.Targets) error { return nil }), tuf.RuleLimit)
		if len(s.visited) != 1 {
			t.Errorf("%d bits: %d roles fetched", bits, len(s.visited))
		}
	}
}

// A threshold of two holds for signers as well, and nobody's second key counts.
func TestThresholdOfASigner(t *testing.T) {
	alice, bob, eve := signer(t, "alice"), signer(t, "bob"), signer(t, "eve")
	for _, c := range []struct {
		claim string
		by    []tuf.Signer
		ok    bool
	}{
		{"both", []tuf.Signer{alice, bob}, true}, {"alice alone", []tuf.Signer{alice}, false}, {"alice and a stranger", []tuf.Signer{alice, eve}, false},
	} {
		f := forest{hashes: true, edges: map[string][]to{"targets": {{role: "team", by: []tuf.Signer{alice, bob}, threshold: 2}}},
			targets: map[string][]string{"team": {"x"}}, by: map[string][]tuf.Signer{"team": c.by}}
		_, state := f.grow(t)
		s := climb(t, state)
		_, err := s.Search("x", s.load)
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		if !c.ok {
			wantRule(t, err, tuf.RuleThreshold)
		}
	}
}
