// Package storetest is what a store promises, as tests that every database
// behind it has to pass.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

const (
	app   = "registry.example/team/app"
	other = "registry.example/team/other"
)

// Run tests the store. Each call of open returns a fresh, empty database, which
// open's test closes.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *store.DB)
	}{
		{"what is published is there, byte for byte", testBytes},
		{"a repository that is not there", testAbsent},
		{"one repository's file is never another's", testScope},
		{"a role that left the tree is still listed", testRemovedRole},
		{"a publish that is refused changes nothing", testRefused},
		{"mistakes of the caller", testMistakes},
		{"every root is kept", testRoots},
		{"history says who published what", testHistory},
		{"history leaves out what nobody signed", testPublished},
		{"what expires soon is known", testExpiring},
		{"a name that was retired keeps its floors", testRetire},
		{"floors hold", testFloors},
		{"repositories are listed in pages", testRepositories},
		{"a cancelled context", testCancelled},
		{"publishers race", func(t *testing.T, db *store.DB) { Race(t, db) }},
		{"publishers that lose try again", testRetry},
		{"creators race", testCreate},
		{"a refresh races a publish", testRefreshRace},
		{"readers see one state", testReaders},
		{"refreshes are claimed once", testClaim},
		{"claimers race", testClaimRace},
		{"the first timestamp to expire is known", testOldest},
		{"old snapshots and timestamps are pruned", testPrune},
		{"tokens", testTokens},
		{"proposals", testProposals},
		{"approvers race", testProposalRace},
		{"what waits of a token", testWaiting},
		{"proposers race", testWaitingRace},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// start is when the tests' time begins: nothing in a store reads the clock.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// file is a file of a role, whose bytes tell who made it.
func file(role string, version int64, who string) tuf.File {
	return tuf.File{Role: role, Version: version, Bytes: fmt.Appendf(nil, "%s %d by %s", role, version, who)}
}

// first is what creates a repository.
func first(repository string) store.Publication {
	return store.Publication{
		Repository: repository,
		Files: []tuf.File{
			file(tuf.RoleRoot, 1, "alice"), file(tuf.RoleTargets, 1, "alice"),
			file(tuf.RoleSnapshot, 1, "signer"), file(tuf.RoleTimestamp, 1, "signer"),
		},
		By: "alice", At: start(), RefreshAt: start().Add(time.Hour),
		TimestampExpires: start().AddDate(0, 0, 1), RootExpires: start().AddDate(1, 0, 0),
	}
}

// next is a publish on top of base in which every version is base+1.
func next(repository string, base int64, who string) store.Publication {
	return store.Publication{
		Repository: repository, Base: base,
		Files: []tuf.File{
			file(tuf.RoleTargets, base+1, who),
			file(tuf.RoleSnapshot, base+1, "signer for "+who), file(tuf.RoleTimestamp, base+1, "signer for "+who),
		},
		By: who, At: start().Add(time.Duration(base) * time.Minute), RefreshAt: start().Add(time.Hour),
		TimestampExpires: start().AddDate(0, 0, 1), RootExpires: start().AddDate(1, 0, 0),
	}
}

func publish(t *testing.T, db *store.DB, p store.Publication) int64 {
	t.Helper()
	generation, err := db.Publish(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return generation
}

func head(t *testing.T, db *store.DB, repository string) *store.Head {
	t.Helper()
	h, err := db.Head(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, expected %v", err, want)
	}
}

func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("expected -, found +:\n%s", diff)
	}
}

func testBytes(t *testing.T, db *store.DB) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	p := first(app)
	p.Files[0].Bytes = []byte(`{"b": 1,  "a":"\u0000é"}` + "\r\n")
	p.Files[1].Bytes = bytes.Repeat(every, 3<<20/len(every))
	p.Files[2].Bytes = []byte{0}
	p.Files = append(p.Files, tuf.File{Role: "bob", Version: 1<<63 - 1, Bytes: []byte{0xff, 0xfe, 0, '\\', 'x'}})
	publish(t, db, p)

	h := head(t, db, app)
	same(t, h, &store.Head{Generation: 1, State: tuf.State{
		Root: p.Files[0], Roles: map[string]tuf.File{"targets": p.Files[1], "bob": p.Files[4]},
		Snapshot: p.Files[2], Timestamp: p.Files[3],
	}})
	generation, files, err := db.Files(t.Context(), app)
	is(t, err, nil)
	same(t, generation, 1)
	var names []api.FileInfo
	for _, i := range []int{0, 4, 1, 2, 3} {
		f := p.Files[i]
		names = append(names, api.FileInfo{Role: f.Role, Version: f.Version, Name: f.Name(), Length: int64(len(f.Bytes)), SHA256: f.SHA256()})
	}
	same(t, files, names)
	for _, want := range p.Files {
		for _, version := range []int64{want.Version, 0} {
			got, err := db.File(t.Context(), app, want.Role, version)
			if err != nil {
				t.Error(err)
			}
			same(t, got, want)
		}
	}
}

func testAbsent(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	for _, name := range []string{other, "", "registry.example/team/ap", "registry.example/team/app%", "a\x00b", "a\xffb", "' OR 1=1 --"} {
		_, err := db.Head(t.Context(), name)
		is(t, err, tuf.ErrNotFound)
		_, _, err = db.Files(t.Context(), name)
		is(t, err, tuf.ErrNotFound)
		_, err = db.File(t.Context(), name, tuf.RoleTimestamp, 0)
		is(t, err, tuf.ErrNotFound)
		_, err = db.File(t.Context(), app, name, 1)
		is(t, err, tuf.ErrNotFound)
		roots, err := db.Roots(t.Context(), name, 1)
		if len(roots) != 0 || err != nil {
			t.Errorf("roots of %q: %d, %v, expected none", name, len(roots), err)
		}
		entries, err := db.History(t.Context(), name, 0, 10)
		if len(entries) != 0 || err != nil {
			t.Errorf("history of %q: %v, %v, expected none", name, entries, err)
		}
	}
	for _, version := range []int64{2, -1, 1 << 62} {
		_, err := db.File(t.Context(), app, tuf.RoleRoot, version)
		is(t, err, tuf.ErrNotFound)
	}
}

func testScope(t *testing.T, db *store.DB) {
	mine, theirs := first(app), first(other)
	theirs.Files = append(theirs.Files, file("bob", 7, "bob"))
	theirs.Files[0].Bytes = []byte("their root")
	publish(t, db, mine)
	publish(t, db, theirs)
	publish(t, db, next(other, 1, "carol"))

	_, err := db.File(t.Context(), app, "bob", 7)
	is(t, err, tuf.ErrNotFound)
	_, err = db.File(t.Context(), app, tuf.RoleTargets, 2)
	is(t, err, tuf.ErrNotFound)
	root, err := db.File(t.Context(), app, tuf.RoleRoot, 1)
	is(t, err, nil)
	same(t, root, mine.Files[0])
	same(t, head(t, db, app).Generation, 1)
}

func testRemovedRole(t *testing.T, db *store.DB) {
	p := first(app)
	bob := file("bob", 1, "bob")
	p.Files = append(p.Files, bob)
	publish(t, db, p)
	publish(t, db, next(app, 1, "alice")) // targets 2 no longer delegates to bob
	same(t, head(t, db, app).State.Roles["bob"], bob)

	again := next(app, 2, "alice") // the name is used again, from its last version on
	again.Files = append(again.Files, file("bob", 2, "bobby"))
	publish(t, db, again)
	same(t, head(t, db, app).State.Roles["bob"], file("bob", 2, "bobby"))
}

func testRefused(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	_, err := db.Publish(t.Context(), first(app)) // the very same once more
	is(t, err, tuf.ErrConflict)
	publish(t, db, next(app, 1, "alice"))
	before := head(t, db, app)

	forked := next(app, 2, "eve")
	forked.Files = append(forked.Files, file(tuf.RoleRoot, 1, "eve")) // version 1 a second time
	back := next(app, 2, "eve")
	back.Files[0] = file(tuf.RoleTargets, 1, "alice") // stored already, but older than what is current
	for name, p := range map[string]store.Publication{
		"a base that is gone":          next(app, 1, "eve"),
		"a base that is yet to come":   next(app, 3, "eve"),
		"a repository that is there":   first(app),
		"a repository that is not":     next(other, 1, "eve"),
		"another content of a version": forked,
		"a role that steps back":       back,
	} {
		generation, err := db.Publish(t.Context(), p)
		if !errors.Is(err, tuf.ErrConflict) || generation != 0 {
			t.Errorf("%s: generation %d, %v, expected a conflict", name, generation, err)
		}
		same(t, head(t, db, app), before)
	}
	_, err = db.Head(t.Context(), other)
	is(t, err, tuf.ErrNotFound)
	_, err = db.File(t.Context(), app, tuf.RoleSnapshot, 3)
	is(t, err, tuf.ErrNotFound)

	reused := next(app, 2, "bob") // the signer had no reason for a new snapshot
	reused.Files[1] = before.State.Snapshot
	publish(t, db, reused)
	same(t, head(t, db, app).State.Snapshot, before.State.Snapshot)
}

func testMistakes(t *testing.T, db *store.DB) {
	for name, spoil := range map[string]func(*store.Publication){
		"no files":             func(p *store.Publication) { p.Files = nil },
		"no root":              func(p *store.Publication) { p.Files = p.Files[1:] },
		"no timestamp":         func(p *store.Publication) { p.Files = p.Files[:3] },
		"no bytes":             func(p *store.Publication) { p.Files[1].Bytes = nil },
		"no version":           func(p *store.Publication) { p.Files[1].Version = 0 },
		"no role":              func(p *store.Publication) { p.Files[1].Role = "" },
		"no repository":        func(p *store.Publication) { p.Repository = "" },
		"a NUL in the name":    func(p *store.Publication) { p.Repository += "\x00" },
		"a base below 0":       func(p *store.Publication) { p.Base = -1 },
		"no time":              func(p *store.Publication) { p.At = time.Time{} },
		"no time of refresh":   func(p *store.Publication) { p.RefreshAt = time.Time{} },
		"a role twice, forked": func(p *store.Publication) { p.Files = append(p.Files, file(tuf.RoleRoot, 1, "eve")) },
	} {
		p := first(app)
		spoil(&p)
		if _, err := db.Publish(t.Context(), p); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, expected a refusal", name, err)
		}
	}
	_, err := db.Head(t.Context(), app)
	is(t, err, tuf.ErrNotFound)
}

func testRoots(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	publish(t, db, first(other))
	for version := int64(2); version <= 12; version++ { // past 9, so that order is that of numbers
		p := next(app, version-1, "alice")
		p.Files = append(p.Files, file(tuf.RoleRoot, version, "alice"))
		publish(t, db, p)
	}
	for from, want := range map[int64]int{0: 12, 1: 12, 9: 4, 12: 1, 13: 0} {
		roots, err := db.Roots(t.Context(), app, from)
		is(t, err, nil)
		if len(roots) != want {
			t.Errorf("%d roots from version %d, expected %d", len(roots), from, want)
		}
		for i, root := range roots {
			same(t, root, file(tuf.RoleRoot, max(from, 1)+int64(i), "alice"))
		}
	}
}

func testHistory(t *testing.T, db *store.DB) {
	info := func(f tuf.File) store.FileInfo {
		return store.FileInfo{Role: f.Role, Version: f.Version, SHA256: f.SHA256()}
	}
	p1, p2 := first(app), next(app, 1, "bob")
	refresh := next(app, 2, "")
	refresh.Files = refresh.Files[2:]
	for _, p := range []store.Publication{p1, p2, refresh, first(other)} {
		publish(t, db, p)
	}
	want := []store.Entry{
		{Generation: 1, By: "alice", At: p1.At, Files: []store.FileInfo{info(p1.Files[0]), info(p1.Files[2]), info(p1.Files[1]), info(p1.Files[3])}},
		{Generation: 2, By: "bob", At: p2.At, Files: []store.FileInfo{info(p2.Files[1]), info(p2.Files[0]), info(p2.Files[2])}},
		{Generation: 3, By: "", At: refresh.At, Files: []store.FileInfo{info(refresh.Files[0])}},
	}
	for _, page := range []struct {
		after int64
		limit int
		want  []store.Entry
	}{{0, 10, want}, {0, 2, want[:2]}, {2, 2, want[2:]}, {3, 2, nil}} {
		entries, err := db.History(t.Context(), app, page.after, page.limit)
		is(t, err, nil)
		same(t, entries, page.want)
	}
}

func testRepositories(t *testing.T, db *store.DB) {
	const count = 23
	for i := range count {
		publish(t, db, first(fmt.Sprintf("registry.example/app-%d", i)))
	}
	seen := make(map[string]bool)
	after, pages := "", 0
	for ; ; pages++ {
		list, err := db.Repositories(t.Context(), after, 10)
		is(t, err, nil)
		if len(list) == 0 {
			break
		}
		for _, s := range list {
			seen[s.Repository] = true
			same(t, s, store.Summary{Repository: s.Repository, Generation: 1,
				Created: start(), Updated: start(), RefreshAt: start().Add(time.Hour)})
		}
		after = list[len(list)-1].Repository
	}
	if len(seen) != count || pages != 3 {
		t.Errorf("%d repositories on %d pages, expected %d on 3", len(seen), pages, count)
	}
}

func testCancelled(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := db.Publish(ctx, next(app, 1, "alice"))
	is(t, err, context.Canceled)
	_, err = db.File(ctx, app, tuf.RoleTimestamp, 0)
	is(t, err, context.Canceled)
	if errors.Is(err, store.ErrUnavailable) {
		t.Error("the caller gave up, and the database is blamed:", err)
	}
	same(t, head(t, db, app).Generation, 1)
	is(t, db.Ping(t.Context()), nil)
}
