package signer

import (
	"errors"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// A name that somebody else's root has taken is free again, for a root of version
// 1 that follows from nothing; and no number comes twice.
func TestForgetFreesAName(t *testing.T) {
	b, eve, alice := newBench(t), newPublisher(t), newPublisher(t)
	seen := contents{}
	seen.add(t, b.mustSign(eve.first(b)))
	genuine := alice.first(b)
	if _, err := b.Sign(t.Context(), genuine); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("alice's root over eve's: %v, expected a conflict", err)
	}
	before, err := b.VerifyLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stale, err := b.prepareSign(t.Context(), ptr(eve.request([][]byte{b.mustLastRoot()}, eve.targetsFile(2, "two", nil))))
	if err != nil {
		t.Fatal(err)
	}

	forgotten, err := b.Forget(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if forgotten.Root != 1 || forgotten.Snapshot != 1 || forgotten.Timestamp != 1 {
		t.Errorf("forgotten: %+v", forgotten)
	}
	if _, err := b.finish(t.Context(), stale); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("a signature that was under way: %v, expected a conflict", err)
	}
	if _, err := b.Last(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("Last: %v, expected not found", err)
	}
	if _, err := b.Forget(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("a second time: %v, expected not found", err)
	}

	later := alice.request(genuine.Roots, alice.targetsFile(2, "two", nil))
	if _, err := b.Sign(t.Context(), later); !errors.Is(err, tuf.RuleVersion) {
		t.Errorf("targets version 2 at once: %v, expected %v", err, tuf.RuleVersion)
	}
	signed := b.mustSign(genuine)
	checkServed(t, genuine, signed, noon)
	seen.add(t, signed)
	if versions(signed) != "2/2" {
		t.Errorf("versions %s, expected 2/2", versions(signed))
	}
	after, err := b.VerifyLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Entries != before.Entries+3 {
		t.Errorf("%d log entries more, expected 3: one of the forgetting, two signatures", after.Entries-before.Entries)
	}
	if _, err := b.Forget(t.Context(), app); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Error(err)
	}
}

func ptr[T any](v T) *T { return &v }

func (b *bench) mustLastRoot() []byte {
	b.t.Helper()
	last, err := b.Last(b.t.Context(), app)
	if err != nil {
		b.t.Fatal(err)
	}
	return last.Root
}
