package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

func testClaim(t *testing.T, db *store.DB) {
	claim := func(at time.Duration, limit int, want ...string) {
		t.Helper()
		got, err := db.ClaimRefresh(t.Context(), start().Add(at), time.Minute, limit)
		is(t, err, nil)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("claimed %v after %s, expected %v", got, at, want)
		}
	}
	for i, repository := range []string{"c", "b", "a"} { // due after 1, 2 and 3 hours
		p := first(repository)
		p.RefreshAt = start().Add(time.Duration(i+1) * time.Hour)
		publish(t, db, p)
	}
	claim(time.Hour-time.Second, 10)
	claim(2*time.Hour, 1, "c")            // longest due first
	claim(2*time.Hour, 1, "b")            // "c" is taken
	claim(2*time.Hour, 10)                // and so is "b"
	claim(2*time.Hour+59*time.Second, 10) // until the lease ends
	claim(2*time.Hour+time.Minute, 10, "b", "c")

	// A server that could not sign gives back, with a time before which nobody
	// tries again.
	is(t, db.Release(t.Context(), "b", start().Add(2*time.Hour+10*time.Minute)), nil)
	claim(2*time.Hour+5*time.Minute, 10, "c")
	claim(2*time.Hour+10*time.Minute, 10, "b", "c")

	// Whoever publishes ends the lease, and names the next time.
	p := next("c", 1, "alice")
	p.RefreshAt = start().Add(2*time.Hour + 10*time.Minute)
	publish(t, db, p)
	claim(2*time.Hour+10*time.Minute, 10, "c")
	p = next("c", 2, "")
	p.RefreshAt = start().Add(20 * time.Hour)
	publish(t, db, p)
	claim(4*time.Hour, 10, "a", "b")
	claim(20*time.Hour, 0)

	is(t, db.SetRefreshAt(t.Context(), "c", start().Add(5*time.Hour)), nil)
	claim(5*time.Hour, 10, "a", "b", "c")
}

func testOldest(t *testing.T, db *store.DB) {
	expects := func(now, want time.Duration) {
		t.Helper()
		got, err := db.OldestTimestamp(t.Context(), start().Add(now))
		is(t, err, nil)
		if want == 0 && !got.IsZero() || want != 0 && !got.Equal(start().Add(want)) {
			t.Errorf("%s after %s, expected %s after", got, now, want)
		}
	}
	expects(0, 0)
	for i, repository := range []string{"a", "b", "c"} {
		p := first(repository)
		p.TimestampExpires, p.RootExpires = start().Add(time.Duration(i+1)*time.Hour), start().Add(time.Duration(10*(i+1))*time.Hour)
		publish(t, db, p)
	}
	expects(0, time.Hour)
	expects(5*time.Hour, time.Hour)    // also once it has expired
	expects(10*time.Hour, 2*time.Hour) // but not where root has: nobody can refresh that
	p := next("b", 1, "")
	p.TimestampExpires, p.RootExpires = start().Add(24*time.Hour), start().Add(48*time.Hour)
	publish(t, db, p)
	expects(10*time.Hour, 3*time.Hour)
	expects(30*time.Hour, 24*time.Hour)
	expects(48*time.Hour, 0)
}

// Several servers look for work at once: each piece is claimed by one of them.
func testClaimRace(t *testing.T, db *store.DB) {
	const count = 120
	for i := range count {
		publish(t, db, first(fmt.Sprintf("registry.example/app-%d", i)))
	}
	now := start().Add(24 * time.Hour)
	var mu sync.Mutex
	claims := make(map[string]int)
	together(6, func(int) {
		for empty := 0; empty < 2; { // another may have been first once
			list, err := db.ClaimRefresh(t.Context(), now, time.Minute, 7)
			if err != nil {
				t.Error(err)
				return
			}
			if len(list) == 0 {
				empty++
			}
			mu.Lock()
			for _, repository := range list {
				claims[repository]++
			}
			mu.Unlock()
		}
	})
	rest, err := db.ClaimRefresh(t.Context(), now, time.Minute, count)
	is(t, err, nil)
	for _, repository := range rest {
		claims[repository]++
	}
	for repository, n := range claims {
		if n != 1 {
			t.Errorf("%s was claimed %d times", repository, n)
		}
	}
	if len(claims) != count {
		t.Errorf("%d repositories were claimed, expected %d", len(claims), count)
	}
}

func testPrune(t *testing.T, db *store.DB) {
	const last = 8
	p := first(app)
	p.Files = append(p.Files, file("bob", 1, "bob"))
	publish(t, db, p)
	publish(t, db, first(other))
	for base := int64(1); base < last; base++ { // generation g is published g-1 minutes after the start
		p := next(app, base, "alice")
		p.Files = append(p.Files, file(tuf.RoleRoot, base+1, "alice"), file("bob", base+1, "bob"))
		if base%2 == 0 {
			p.By, p.Files = "", p.Files[1:3] // a refresh
		}
		publish(t, db, p)
	}
	there := func(role string) (versions []int64) {
		for v := int64(1); v <= last; v++ {
			if f, err := db.File(t.Context(), app, role, v); err == nil {
				versions = append(versions, f.Version)
			}
		}
		return versions
	}
	before := head(t, db, app)
	kept := map[string][]int64{}
	for _, role := range []string{"root", "targets", "bob"} {
		kept[role] = there(role)
	}

	n, err := db.Prune(t.Context(), start())
	is(t, err, nil)
	same(t, n, 0)

	// Before minute 4 the versions up to 4 were there, so 4 was in use still:
	// only those go that it had replaced.
	n, err = db.Prune(t.Context(), start().Add(4*time.Minute))
	is(t, err, nil)
	same(t, n, 2*3)
	same(t, there("snapshot"), []int64{4, 5, 6, 7, 8})
	same(t, there("timestamp"), []int64{4, 5, 6, 7, 8})

	n, err = db.Prune(t.Context(), start().Add(time.Hour))
	is(t, err, nil)
	same(t, n, 2*4)
	n, err = db.Prune(t.Context(), start().Add(time.Hour))
	is(t, err, nil)
	same(t, n, 0)
	same(t, there("snapshot"), []int64{last})
	same(t, there("timestamp"), []int64{last})
	for role, versions := range kept {
		same(t, there(role), versions)
	}
	same(t, head(t, db, app), before)
	same(t, head(t, db, other).State.Snapshot, file(tuf.RoleSnapshot, 1, "signer"))

	// The server's own refreshes leave the history with their files; what people
	// published stays.
	entries, err := db.History(t.Context(), app, 0, 100)
	is(t, err, nil)
	var generations []int64
	for _, e := range entries {
		generations = append(generations, e.Generation)
	}
	same(t, generations, []int64{1, 2, 4, 6, 8})
}
