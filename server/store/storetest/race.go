package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

const (
	publishers = 20
	rounds     = 10
)

// together calls do for each number below n, all at once, and waits for all.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			do(i)
		})
	}
	close(begin)
	wg.Wait()
}

// Race lets 20 publishers race for the same generation, over and over, spread
// over the handles, which are all of one empty database. Each round has exactly
// one winner, every loser is told, and nothing that was acknowledged is lost.
func Race(t *testing.T, handles ...*store.DB) {
	publish(t, handles[0], first(app))
	winners := []string{"alice"}
	for round := range int64(rounds) {
		base := round + 1
		results := make([]error, publishers)
		together(publishers, func(i int) {
			p := next(app, base, fmt.Sprintf("publisher-%d", i))
			generation, err := handles[i%len(handles)].Publish(t.Context(), p)
			if err == nil && generation != base+1 {
				err = fmt.Errorf("generation %d, expected %d", generation, base+1)
			}
			results[i] = err
		})
		winner := ""
		for i, err := range results {
			switch {
			case err == nil && winner == "":
				winner = fmt.Sprintf("publisher-%d", i)
			case err == nil:
				t.Fatalf("round %d: both %s and publisher-%d won", round, winner, i)
			case !errors.Is(err, tuf.ErrConflict):
				t.Fatalf("round %d: publisher-%d is told %v, expected a conflict", round, i, err)
			}
		}
		if winner == "" {
			t.Fatalf("round %d: nobody won", round)
		}
		winners = append(winners, winner)
		for _, db := range handles {
			h := head(t, db, app)
			same(t, h.Generation, base+1)
			same(t, h.State.Roles["targets"], file(tuf.RoleTargets, base+1, winner))
			same(t, h.State.Snapshot, file(tuf.RoleSnapshot, base+1, "signer for "+winner))
		}
	}
	entries, err := handles[0].History(t.Context(), app, 0, 100)
	is(t, err, nil)
	var by []string
	for _, e := range entries {
		by = append(by, e.By)
	}
	same(t, by, winners)
}

// Everyone who is told of a conflict builds on what is there now, until it is
// published: in the end everybody's is there, once.
func testRetry(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	together(publishers, func(i int) {
		who := fmt.Sprintf("publisher-%d", i)
		for {
			h, err := db.Head(t.Context(), app)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = db.Publish(t.Context(), next(app, h.Generation, who))
			if err == nil {
				return
			}
			if !errors.Is(err, tuf.ErrConflict) {
				t.Error(err)
				return
			}
		}
	})
	entries, err := db.History(t.Context(), app, 1, 100)
	is(t, err, nil)
	seen := make(map[string]bool)
	for _, e := range entries {
		seen[e.By] = true
		f, err := db.File(t.Context(), app, tuf.RoleTargets, e.Generation)
		is(t, err, nil)
		same(t, f, file(tuf.RoleTargets, e.Generation, e.By))
	}
	if len(seen) != publishers || len(entries) != publishers {
		t.Errorf("%d publishers in %d publications, expected %d in as many", len(seen), len(entries), publishers)
	}
}

func testCreate(t *testing.T, db *store.DB) {
	for round := range rounds {
		repository := fmt.Sprintf("%s-%d", app, round)
		results := make([]error, publishers)
		together(publishers, func(i int) {
			p := first(repository)
			p.Files[0] = file(tuf.RoleRoot, 1, fmt.Sprintf("publisher-%d", i))
			_, results[i] = db.Publish(t.Context(), p)
		})
		h := head(t, db, repository)
		same(t, h.Generation, 1)
		for i, err := range results {
			won := bytes.Equal(h.State.Root.Bytes, file(tuf.RoleRoot, 1, fmt.Sprintf("publisher-%d", i)).Bytes)
			if won != (err == nil) || (err != nil && !errors.Is(err, tuf.ErrConflict)) {
				t.Errorf("publisher-%d: root stored: %t, told: %v", i, won, err)
			}
		}
	}
}

// The server's refresh and a publish build on one generation: whichever comes
// second is told, and the head is the other's whole.
func testRefreshRace(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	for base := int64(1); base <= 3*rounds; base++ {
		targets := head(t, db, app).State.Roles["targets"]
		refresh := next(app, base, "")
		refresh.Files = refresh.Files[1:]
		pair := []store.Publication{refresh, next(app, base, "alice")}
		results := make([]error, len(pair))
		together(len(pair), func(i int) { _, results[i] = db.Publish(t.Context(), pair[i]) })

		h := head(t, db, app)
		same(t, h.Generation, base+1)
		winner := 0
		if results[0] != nil {
			winner, targets = 1, pair[1].Files[0]
		}
		is(t, results[winner], nil)
		is(t, results[1-winner], tuf.ErrConflict)
		same(t, h.State.Roles["targets"], targets)
		same(t, h.State.Snapshot, file(tuf.RoleSnapshot, base+1, "signer for "+pair[winner].By))
		same(t, h.State.Timestamp, file(tuf.RoleTimestamp, base+1, "signer for "+pair[winner].By))
	}
}

// While a repository is being published to, every reader sees the files of one
// generation, never half of the next.
func testReaders(t *testing.T, db *store.DB) {
	publish(t, db, first(app))
	const publishes = 60
	done := make(chan struct{})
	together(4, func(i int) {
		if i == 0 {
			defer close(done)
			for base := int64(1); base <= publishes; base++ {
				if _, err := db.Publish(t.Context(), next(app, base, "alice")); err != nil {
					t.Error(err)
					return
				}
			}
			return
		}
		for {
			select {
			case <-done:
				return
			default:
			}
			h, err := db.Head(t.Context(), app)
			if err != nil {
				t.Error(err)
				return
			}
			g, s := h.Generation, h.State
			if s.Roles["targets"].Version != g || s.Snapshot.Version != g || s.Timestamp.Version != g || s.Root.Version != 1 {
				t.Errorf("generation %d with targets %d, snapshot %d, timestamp %d", g, s.Roles["targets"].Version, s.Snapshot.Version, s.Timestamp.Version)
				return
			}
			f, err := db.File(t.Context(), app, tuf.RoleTimestamp, 0)
			if err != nil || f.Version < g {
				t.Errorf("timestamp %d, %v, after generation %d was seen", f.Version, err, g)
				return
			}
		}
	})
}
