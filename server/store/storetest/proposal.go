package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

// proposal is one of app that nobody has stored yet.
func proposal(id string, slot int64) store.Proposal {
	return store.Proposal{
		Repository: app, ID: id, Slot: slot, Token: "alice", Note: "släpp 1.0\n", Created: start(), Updated: start(),
		Outline: []byte(`[{"role":"targets"}]`), Body: []byte("{\x00\xff}"),
	}
}

func testProposals(t *testing.T, db *store.DB) {
	_, err := db.Proposal(t.Context(), app, "one")
	is(t, err, tuf.ErrNotFound)
	one, two := proposal("one", 0), proposal("two", 1)
	two.Created = start().Add(-time.Hour)
	for _, p := range []store.Proposal{one, two} {
		if err := db.PutProposal(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Proposal(t.Context(), app, "one")
	if err != nil {
		t.Fatal(err)
	}
	one.Revision, one.Size = 1, 4
	if diff := cmp.Diff(&one, got); diff != "" {
		t.Error(diff)
	}

	is(t, db.PutProposal(t.Context(), proposal("one", 2)), tuf.ErrConflict)   // there already
	is(t, db.PutProposal(t.Context(), proposal("three", 1)), tuf.ErrConflict) // two's slot
	elsewhere := proposal("one", 0)
	elsewhere.Repository = other
	if err := db.PutProposal(t.Context(), elsewhere); err != nil {
		t.Errorf("another repository's: %v", err)
	}

	one.Withdrawn, one.Updated, one.Body = start().Add(time.Minute), start().Add(time.Minute), []byte("more")
	if err := db.PutProposal(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	is(t, db.PutProposal(t.Context(), one), tuf.ErrConflict) // revision 1 is gone
	one.Revision, one.Size = 2, 4
	if got, err = db.Proposal(t.Context(), app, "one"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&one, got); diff != "" {
		t.Error(diff)
	}
	list, err := db.Proposals(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	one.Body, two.Body, two.Revision, two.Size = nil, nil, 1, 4
	if diff := cmp.Diff([]store.Proposal{two, one}, list); diff != "" {
		t.Error(diff)
	}

	is(t, db.DropProposal(t.Context(), app, "one", 1), tuf.ErrConflict)
	if err := db.DropProposal(t.Context(), app, "one", 2); err != nil {
		t.Error(err)
	}
	if n, err := db.PruneProposals(t.Context(), start()); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, expected two", n, err)
	}
	if list, err := db.Proposals(t.Context(), app); len(list) > 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := db.Proposal(t.Context(), other, "one"); err != nil {
		t.Errorf("another repository's is gone: %v", err)
	}
	if err := db.PutProposal(t.Context(), proposal("", 0)); err == nil {
		t.Error("one without an ID was stored")
	}
}

// Of those who write over the same revision one wins, and who loses merges: nothing
// that was written is lost.
func testProposalRace(t *testing.T, db *store.DB) {
	first := proposal("one", 0)
	first.Body = []byte("-")
	if err := db.PutProposal(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const writers = 8
	for i := range writers {
		wg.Go(func() {
			for {
				p, err := db.Proposal(t.Context(), app, "one")
				if err != nil {
					t.Error(err)
					return
				}
				p.Body = fmt.Appendf(p.Body, "%c", 'a'+i)
				if err = db.PutProposal(t.Context(), *p); err == nil {
					return
				}
				if !errors.Is(err, tuf.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	p, err := db.Proposal(t.Context(), app, "one")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Body) != writers+1 || p.Revision != writers+1 {
		t.Errorf("%q at revision %d, expected all of %d", p.Body, p.Revision, writers)
	}
}

// What waits of a token is what it proposed for repositories that are not there. Its turn
// moves with each of them, and with nothing else.
func testWaiting(t *testing.T, db *store.DB) {
	put := func(p store.Proposal, repository string, turn int64) error {
		p.Repository, p.Turn = repository, turn
		return db.PutProposal(t.Context(), p)
	}
	waits := func(token string, turn int64, repositories ...string) {
		t.Helper()
		got, list, err := db.Waiting(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range list {
			names = append(names, p.Repository)
			if p.Size != 4 || p.Body != nil || p.Turn != 0 {
				t.Errorf("%+v", p)
			}
		}
		if diff := cmp.Diff(repositories, names); diff != "" || got != turn {
			t.Errorf("token %s at turn %d, expected %d; %s", token, got, turn, diff)
		}
	}
	waits("alice", 1)
	one, two := proposal("one", 0), proposal("two", 1)
	two.Created = start().Add(-time.Hour)
	for i, p := range []store.Proposal{one, two} {
		if err := put(p, []string{app, other}[i], int64(i)+1); err != nil {
			t.Fatal(err)
		}
	}
	waits("alice", 3, other, app)
	is(t, put(proposal("three", 2), app, 2), tuf.ErrConflict)
	is(t, put(proposal("one", 0), app, 3), tuf.ErrConflict) // there already: the turn stays, too
	waits("alice", 3, other, app)
	bob := proposal("bob's", 3)
	bob.Token = "bob"
	if err := put(bob, app, 1); err != nil {
		t.Errorf("another token: %v", err)
	}
	waits("bob", 2, app)

	one.Revision, one.Token = 1, "bob" // proposed again, by somebody else
	is(t, put(one, app, 1), tuf.ErrConflict)
	if err := put(one, app, 2); err != nil {
		t.Fatal(err)
	}
	waits("bob", 3, app, app)
	waits("alice", 3, other)

	publish(t, db, first(other))
	waits("alice", 3)
	if err := db.Retire(t.Context(), other, start()); err != nil {
		t.Fatal(err)
	}
	if err := put(two, other, 3); err != nil {
		t.Fatal(err)
	}
	waits("alice", 4, other)
}

// However many propose with one token at once, what each counted still holds when its
// proposal is stored.
func testWaitingRace(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	const proposers, most = 8, 3
	for i := range proposers {
		p := proposal(fmt.Sprint(i), 0)
		p.Repository = fmt.Sprint(app, i)
		wg.Go(func() {
			for {
				turn, list, err := db.Waiting(t.Context(), p.Token)
				if err != nil {
					t.Error(err)
					return
				}
				if len(list) >= most {
					return
				}
				p.Turn = turn
				if err = db.PutProposal(t.Context(), p); err == nil {
					return
				}
				if !errors.Is(err, tuf.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, list, err := db.Waiting(t.Context(), "alice"); len(list) != most || err != nil {
		t.Errorf("%d wait, expected %d; %v", len(list), most, err)
	}
}
