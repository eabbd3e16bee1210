package signer

import (
	"errors"
	"sync"
	"testing"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// fresh asks for fresh keys and returns the snapshot and timestamp keys that are to be
// listed next.
func (b *bench) fresh(roles ...string) (snapshot, timestamp *tuf.Key) {
	b.t.Helper()
	keys, err := b.FreshOnlineKeys(b.t.Context(), app, roles)
	if err != nil {
		b.t.Fatal(err)
	}
	byRole := map[string]*tuf.Key{}
	for _, key := range keys {
		if err := key.Verify(b.identity.public, app, key.Role); err != nil {
			b.t.Error(err)
		}
		byRole[key.Role] = key.Key
	}
	return byRole[tuf.RoleSnapshot], byRole[tuf.RoleTimestamp]
}

// Fresh keys are made for the roles that are named, once for each root: whoever asks
// again, or at the same time, is given the same.
func TestFreshOnlineKeys(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	if _, err := b.FreshOnlineKeys(t.Context(), app, []string{tuf.RoleSnapshot}); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("before anything was signed: %v", err)
	}
	r := alice.first(b)
	b.mustSign(r)
	oldSnapshot, oldTimestamp := b.onlineKeys(app)
	snapshot, timestamp := b.fresh(tuf.RoleSnapshot)
	if snapshot.Equal(oldSnapshot) || !timestamp.Equal(oldTimestamp) {
		t.Fatal("expected a fresh key of snapshot, and of that alone")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 8 {
		wg.Go(func() {
			s, tm := b.fresh(tuf.RoleSnapshot, tuf.RoleTimestamp)
			mu.Lock()
			defer mu.Unlock()
			seen[s.ID()+tm.ID()] = true
			if !s.Equal(snapshot) {
				t.Error("another snapshot key, though no root lists the fresh one yet")
			}
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d pairs of keys were handed out to those who asked at once", len(seen))
	}
	snapshot, timestamp = b.onlineKeys(app)
	if !seen[snapshot.ID()+timestamp.ID()] {
		t.Error("the next root is to list others than were handed out")
	}
	// The old ones go on signing; the root that lists the fresh ones ends them at once.
	checkServed(t, r, b.mustSign(r), noon)
	r.Roots = append(r.Roots, alice.rootFile(2, snapshot, timestamp, nil))
	checkServed(t, r, b.mustSign(r), noon)
	if again, _ := b.fresh(tuf.RoleSnapshot); again.Equal(snapshot) {
		t.Error("a root lists the key already, and no fresh one was made")
	}
	for claim, roles := range map[string][]string{"no role": {}, "root": {tuf.RoleRoot}, "one twice": {tuf.RoleSnapshot, tuf.RoleSnapshot}} {
		if _, err := b.FreshOnlineKeys(t.Context(), app, roles); !errors.Is(err, tuf.RuleOnlineKey) {
			t.Errorf("%s: %v", claim, err)
		}
	}
	var _ api.Signer = b.Service // a remote signer answers alike
}
