package storetest

import (
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

func told(f tuf.File) api.HistoryFile {
	return api.HistoryFile{Role: f.Role, Version: f.Version, Length: int64(len(f.Bytes)), SHA256: f.SHA256()}
}

func testPublished(t *testing.T, db *store.DB) {
	p1, p2 := first(app), next(app, 1, "bob")
	refresh := next(app, 2, "")
	refresh.Files = refresh.Files[1:] // no targets
	p4 := next(app, 3, "carol")
	p4.Files = append(p4.Files, file("dave", 1, "dave"), file(tuf.RoleRoot, 2, "alice"), file(tuf.RoleRoot, 3, "alice"))
	for _, p := range []store.Publication{p1, p2, refresh, p4, first(other)} {
		publish(t, db, p)
	}
	want := []api.Publication{
		{Generation: 1, Time: p1.At, Token: "alice", Files: []api.HistoryFile{told(p1.Files[0]), told(p1.Files[1])}},
		{Generation: 2, Time: p2.At, Token: "bob", Files: []api.HistoryFile{told(p2.Files[0])}},
		{Generation: 4, Time: p4.At, Token: "carol", Files: []api.HistoryFile{told(p4.Files[3]), told(p4.Files[4]), told(p4.Files[5]), told(p4.Files[0])}},
	}
	for _, page := range []struct {
		after int64
		limit int
		want  []api.Publication
	}{{0, 10, want}, {0, 2, want[:2]}, {2, 2, want[2:]}, {4, 2, want[:0]}, {0, 0, want[:0]}} {
		list, err := db.Published(t.Context(), app, page.after, page.limit)
		is(t, err, nil)
		same(t, list, page.want)
	}
	for _, name := range []string{"registry.example/none", "", "a\x00b"} {
		list, err := db.Published(t.Context(), name, 0, 10)
		is(t, err, nil)
		same(t, list, want[:0])
	}
}

func testExpiring(t *testing.T, db *store.DB) {
	in := func(repository, role string, version int64, after time.Duration) api.ExpiringRole {
		return api.ExpiringRole{Repository: repository, Role: role, Version: version, Expires: start().Add(after)}
	}
	expects := func(before time.Duration, want ...api.ExpiringRole) {
		t.Helper()
		got, err := db.Expiring(t.Context(), start().Add(before), api.ExpiringRole{}, 10)
		is(t, err, nil)
		same(t, got, append([]api.ExpiringRole{}, want...))
		var paged []api.ExpiringRole // the same, one by one
		for after := (api.ExpiringRole{}); len(paged) <= len(want); {
			page, err := db.Expiring(t.Context(), start().Add(before), after, 1)
			is(t, err, nil)
			if len(page) == 0 {
				break
			}
			after = page[0]
			paged = append(paged, after)
		}
		same(t, paged, want)
	}
	unknown := func(want ...string) {
		t.Helper()
		got, err := db.UnknownExpiries(t.Context(), "", 10)
		is(t, err, nil)
		same(t, got, want)
	}
	p := first(app)
	p.Files = append(p.Files, file("bob", 1, "bob"))
	root, targets, bob := in(app, tuf.RoleRoot, 1, 50*time.Hour), in(app, tuf.RoleTargets, 1, 20*time.Hour), in(app, "bob", 1, 20*time.Hour)
	p.Expires = []api.ExpiringRole{root, targets, bob}
	publish(t, db, p)
	publish(t, db, first(other)) // by a server of an earlier release
	unknown(other)
	theirs := []api.ExpiringRole{in(other, tuf.RoleRoot, 1, -time.Hour), in(other, tuf.RoleTargets, 1, 20*time.Hour)}
	is(t, db.SetExpiries(t.Context(), other, 7, theirs), tuf.ErrConflict) // on a state that is not there
	unknown(other)
	is(t, db.SetExpiries(t.Context(), other, 1, theirs), nil)
	unknown()

	expects(-time.Hour)
	expects(0, theirs[0])
	expects(20*time.Hour, theirs[0])
	expects(20*time.Hour+time.Second, theirs[0], bob, targets, theirs[1]) // by time, then by name
	expects(60*time.Hour, theirs[0], bob, targets, theirs[1], root)
	counts, err := db.CountExpiring(t.Context(), start().Add(30*time.Hour))
	is(t, err, nil)
	same(t, counts, map[string]int64{"root": 1, "targets": 2, "signer": 1})

	// A refresh changes nothing; a publish that says nothing makes what it replaced
	// unknown, and tells no wrong time for it.
	refresh := next(app, 1, "")
	refresh.Files = refresh.Files[1:]
	publish(t, db, refresh)
	expects(20*time.Hour+time.Second, theirs[0], bob, targets, theirs[1])
	publish(t, db, next(app, 2, "alice"))
	expects(20*time.Hour+time.Second, theirs[0], bob, theirs[1])
	unknown(app)

	// A signer that was removed is no role any more.
	p = next(app, 3, "alice")
	p.Expires = []api.ExpiringRole{in(app, tuf.RoleTargets, 4, 90*time.Hour), {Role: "bob", Version: 1}}
	publish(t, db, p)
	expects(60*time.Hour, theirs[0], theirs[1], root)
	unknown()
}

func testRetire(t *testing.T, db *store.DB) {
	is(t, db.Retire(t.Context(), app, start()), tuf.ErrNotFound)
	p := first(app)
	p.Files = append(p.Files, file("bob", 4, "bob"))
	p.Expires = []api.ExpiringRole{{Role: tuf.RoleTargets, Version: 1, Expires: start()}}
	publish(t, db, p)
	publish(t, db, next(app, 1, "alice"))
	publish(t, db, first(other))
	is(t, db.PutProposal(t.Context(), proposal("one", 0)), nil)
	elsewhere := proposal("one", 0)
	elsewhere.Repository = other
	is(t, db.PutProposal(t.Context(), elsewhere), nil)
	is(t, db.Retire(t.Context(), app, start().Add(time.Hour)), nil)
	is(t, db.Retire(t.Context(), app, start().Add(time.Hour)), tuf.ErrNotFound) // it is, already

	// It is not there any more, and never refreshed; what people signed stays.
	_, err := db.Head(t.Context(), app)
	is(t, err, tuf.ErrNotFound)
	_, _, err = db.Files(t.Context(), app)
	is(t, err, tuf.ErrNotFound)
	for _, gone := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot} {
		_, err = db.File(t.Context(), app, gone, 0)
		is(t, err, tuf.ErrNotFound)
	}
	// Nor is anything of it proposed to whoever has the name next.
	_, err = db.Proposal(t.Context(), app, "one")
	is(t, err, tuf.ErrNotFound)
	_, err = db.Proposal(t.Context(), other, "one")
	is(t, err, nil)
	root, err := db.File(t.Context(), app, tuf.RoleRoot, 1)
	is(t, err, nil)
	same(t, root, p.Files[0])
	published, err := db.Published(t.Context(), app, 0, 10)
	is(t, err, nil)
	same(t, len(published), 2)
	list, err := db.Repositories(t.Context(), "", 10)
	is(t, err, nil)
	same(t, len(list), 1)
	_, err = db.RefreshAll(t.Context())
	is(t, err, nil)
	claimed, err := db.ClaimRefresh(t.Context(), start().AddDate(1000, 0, 0), time.Minute, 10)
	is(t, err, nil)
	same(t, claimed, []string{other})
	expiring, err := db.Expiring(t.Context(), start().AddDate(9, 0, 0), api.ExpiringRole{}, 10)
	is(t, err, nil)
	same(t, len(expiring), 0)
	unknown, err := db.UnknownExpiries(t.Context(), "", 10)
	is(t, err, nil)
	same(t, unknown, []string{other})

	floors, err := db.Floors(t.Context(), app)
	is(t, err, nil)
	same(t, floors, &store.Floors{Generation: 3, Retired: start().Add(time.Hour),
		Versions: map[string]int64{"root": 1, "targets": 2, "bob": 4, "snapshot": 2, "timestamp": 2}})

	// Whoever does not know of the floors cannot create it below them, nor on nothing.
	_, err = db.Publish(t.Context(), first(app))
	is(t, err, tuf.ErrConflict)
	again := first(app)
	again.Base = 3
	for i := range again.Files {
		again.Files[i].Version = 3
	}
	low := again
	low.Files = append([]tuf.File{file(tuf.RoleRoot, 1, "alice")}, again.Files[1:]...)
	_, err = db.Publish(t.Context(), low)
	is(t, err, tuf.ErrConflict)
	same(t, publish(t, db, again), 4)
	same(t, head(t, db, app).State.Roles, map[string]tuf.File{"targets": again.Files[1]})
	floors, err = db.Floors(t.Context(), app)
	is(t, err, nil)
	same(t, floors.Retired.IsZero(), true)
	same(t, floors.Versions["bob"], 4) // for whoever uses that name again
}

func testFloors(t *testing.T, db *store.DB) {
	none, err := db.Floors(t.Context(), app)
	is(t, err, nil)
	same(t, none, &store.Floors{})
	is(t, db.RaiseFloors(t.Context(), app, map[string]int64{tuf.RoleTargets: 5}), tuf.ErrNotFound)
	publish(t, db, first(app))
	is(t, db.RaiseFloors(t.Context(), app, map[string]int64{tuf.RoleTargets: 5, "bob": 1}), nil)
	is(t, db.RaiseFloors(t.Context(), app, map[string]int64{tuf.RoleTargets: 3, "bob": 2}), nil)
	same(t, head(t, db, app).Floors, map[string]int64{"targets": 5, "bob": 2})

	_, err = db.Publish(t.Context(), next(app, 1, "alice"))
	is(t, err, tuf.ErrConflict)
	p := next(app, 1, "alice")
	p.Files[0].Version = 6
	publish(t, db, p)
	same(t, head(t, db, app).State.Roles["targets"].Version, 6)
}
