package limit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

// One address has its share and no more, waits no longer than it wants to, and is
// forgotten once it has nothing.
func TestPlaces(t *testing.T) {
	p := NewPlaces(4)
	free, err := p.Take(t.Context(), "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Take(over, "192.0.2.1"); err == nil {
		t.Error("an address has more than its share")
	}
	other, err := p.Take(t.Context(), "192.0.2.2")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // loopback has no share
		if _, err := p.Take(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Take(over, "192.0.2.3"); err == nil {
		t.Error("there are more places than there are")
	}
	if err := p.TakeAll(over); err == nil {
		t.Error("all places are free while some are taken")
	}
	free()
	free() // once is enough
	other()
	if again, err := p.Take(t.Context(), "192.0.2.1"); err != nil {
		t.Error("its place is not free again")
	} else {
		again()
	}
	if len(p.own) != 0 {
		t.Errorf("%d addresses are remembered", len(p.own))
	}
}

// A crowd of one address does not wait without bounds, and is let in one by one.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(4)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		free, err := p.Take(ctx, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		var crowd sync.WaitGroup
		for range 3 {
			crowd.Go(func() {
				if free, err := p.Take(ctx, "192.0.2.1"); err != nil {
					t.Error(err)
				} else {
					free()
				}
			})
		}
		synctest.Wait()
		if _, err := p.Take(ctx, "192.0.2.1"); err == nil {
			t.Error("one more waits")
		}
		if other, err := p.Take(ctx, "192.0.2.2"); err != nil {
			t.Errorf("another address: %v", err)
		} else {
			other()
		}
		free()
		crowd.Wait()
		if len(p.own) != 0 {
			t.Errorf("%d addresses are remembered", len(p.own))
		}
	})
}
