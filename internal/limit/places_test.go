package limit

import (
	"context"
	"testing"
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
