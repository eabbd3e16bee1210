package signer

import (
	"errors"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// A name that was retired starts again above all that was signed for it: with a root
// that follows from nothing, and under other online keys than before.
func TestRetireKeepsTheFloor(t *testing.T) {
	b, alice, bob := newBench(t), newPublisher(t), newPublisher(t)
	seen := contents{}
	first := alice.first(b)
	seen.add(t, b.mustSign(first))
	seen.add(t, b.mustSign(alice.request(first.Roots, alice.targetsFile(2, "two", nil))))
	oldSnapshot, oldTimestamp := b.onlineKeys(app)

	retired, err := b.Retire(t.Context(), app, map[string]int64{"carol": 7, tuf.RoleRoot: 3})
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int64{tuf.RoleRoot: 3, tuf.RoleTargets: 2, "carol": 7, tuf.RoleSnapshot: 2, tuf.RoleTimestamp: 2} {
		if retired.Floors[role] != want {
			t.Errorf("floor of %s: %d, expected %d", role, retired.Floors[role], want)
		}
	}
	if _, err := b.Last(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("Last: %v, expected not found", err)
	}
	snapshot, timestamp := b.onlineKeys(app)
	if snapshot.Equal(oldSnapshot) || timestamp.Equal(oldTimestamp) {
		t.Error("the online keys are those from before")
	}

	root := func(version int64) [][]byte { return [][]byte{bob.rootFile(version, snapshot, timestamp, nil)} }
	b.restart() // it is all in the database
	for name, c := range map[string]struct {
		root, targets int64
	}{
		"from one":           {1, 1},
		"root at its floor":  {3, 3},
		"targets too low":    {4, 2},
		"root too high":      {5, 3},
		"targets too high":   {4, 4},
		"where it was, once": {1, 2},
	} {
		if _, err := b.Sign(t.Context(), bob.request(root(c.root), bob.targetsFile(c.targets, name, nil))); !errors.Is(err, tuf.RuleVersion) {
			t.Errorf("%s: %v, expected %v", name, err, tuf.RuleVersion)
		}
	}
	if _, err := b.Sign(t.Context(), first); !errors.Is(err, tuf.RuleVersion) {
		t.Errorf("the old repository, shown again: %v, expected %v", err, tuf.RuleVersion)
	}
	again := bob.request(root(4), bob.targetsFile(3, "again", nil))
	signed := b.mustSign(again)
	checkServed(t, again, signed, noon)
	seen.add(t, signed)
	if versions(signed) != "3/3" {
		t.Errorf("versions %s, expected 3/3", versions(signed))
	}
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Error(err)
	}
	// Once more, and the floors have moved.
	if retired, err = b.Retire(t.Context(), app, nil); err != nil || retired.Floors[tuf.RoleRoot] != 4 || retired.Floors["carol"] != 7 {
		t.Errorf("%+v, %v", retired, err)
	}
}

// A signer whose folder was put back signs nothing twice once it was raised, and takes
// the files that it does not know.
func TestRaise(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	first := alice.first(b)
	b.mustSign(first)
	if err := b.Raise(t.Context(), app, map[string]int64{tuf.RoleSnapshot: 500, tuf.RoleTimestamp: 900, tuf.RoleTargets: 40}); err != nil {
		t.Fatal(err)
	}
	if last, err := b.Last(t.Context(), app); err != nil || last.Root == nil || last.Snapshot.Bytes != nil || last.Timestamp.Bytes != nil {
		t.Errorf("Last: %+v, %v, expected what was accepted alone", last, err)
	}
	if signed := b.mustSign(first); versions(signed) != "501/901" {
		t.Errorf("versions %s, expected 501/901", versions(signed))
	}
	// From now on the floor stands in place of the step that is missing.
	if _, err := b.Sign(t.Context(), alice.request(first.Roots, alice.targetsFile(2, "two", nil))); !errors.Is(err, tuf.RuleVersion) {
		t.Errorf("below the floor: %v, expected %v", err, tuf.RuleVersion)
	}
	b.mustSign(alice.request(first.Roots, alice.targetsFile(41, "two", nil)))
	b.mustSign(alice.request(first.Roots, alice.targetsFile(42, "three", nil)))

	// Lower ones change nothing; nonsense is refused.
	if err := b.Raise(t.Context(), app, map[string]int64{tuf.RoleSnapshot: 1, tuf.RoleTimestamp: 1, tuf.RoleTargets: 1}); err != nil {
		t.Fatal(err)
	}
	if signed := b.mustSign(alice.request(first.Roots, alice.targetsFile(42, "three", nil))); versions(signed) != "504/904" {
		t.Errorf("versions %s, expected 504/904", versions(signed))
	}
	for name, versions := range map[string]map[string]int64{
		"the largest version": {tuf.RoleTimestamp: 1<<63 - 1}, "no role": {"a/b": 1}, "below nothing": {tuf.RoleTargets: -1},
	} {
		if err := b.Raise(t.Context(), app, versions); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	n, err := b.RaiseAll(t.Context(), 0)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if signed := b.mustSign(alice.request(first.Roots, alice.targetsFile(42, "three", nil))); versions(signed) != "1000505/1000905" {
		t.Errorf("versions %s, expected 1000505/1000905", versions(signed))
	}
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Error(err)
	}
}

// The signer's folder is older than the database, and of what readers have seen something
// is lost. What the server has it takes, below the floor; what is published is above.
func TestRaiseOfAnOlderSigner(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	first := alice.first(b)
	b.mustSign(first)
	if err := b.Raise(t.Context(), app, map[string]int64{tuf.RoleSnapshot: 500, tuf.RoleTimestamp: 900, tuf.RoleTargets: 40}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sign(t.Context(), alice.request(first.Roots, alice.targetsFile(3, "stored", nil))); err != nil {
		t.Fatalf("what is stored: %v", err)
	}
	if _, err := b.Sign(t.Context(), alice.request(first.Roots, alice.targetsFile(4, "four", nil))); !errors.Is(err, tuf.RuleVersion) {
		t.Errorf("below the floor: %v, expected %v", err, tuf.RuleVersion)
	}
	b.mustSign(alice.request(first.Roots, alice.targetsFile(41, "above", nil)))
}
