package signer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Keys that were asked for and never used do not keep others out for ever; those
// of a repository that was signed for stay, whatever happens.
func TestUnusedKeysMakeRoom(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	b.config.MaxRepositories = 3
	b.restart()
	r := alice.first(b)
	b.mustSign(r)
	flood := func(i int) string { return fmt.Sprintf("registry.example/eve/x%d", i) }
	b.now = b.now.Add(time.Second)
	first, _ := b.onlineKeys(flood(1))
	b.now = b.now.Add(time.Second)
	second, _ := b.onlineKeys(flood(2))
	ask := func(repository string) error {
		_, err := b.OnlineKeys(t.Context(), repository)
		return err
	}
	b.now = b.now.Add(unusedLife - time.Second)
	if err := ask("registry.example/bob/app"); !errors.Is(err, tuf.RuleLimit) {
		t.Fatalf("before anything is old enough: %v, expected %v", err, tuf.RuleLimit)
	}
	b.now = b.now.Add(time.Second)
	if err := ask("registry.example/bob/app"); err != nil {
		t.Fatalf("after a day: %v", err)
	}
	if again, _ := b.onlineKeys(flood(2)); again.ID() != second.ID() {
		t.Error("the younger unused key went, expected the oldest alone to go")
	}
	if err := ask(flood(1)); !errors.Is(err, tuf.RuleLimit) {
		t.Fatalf("the next one: %v, expected %v", err, tuf.RuleLimit)
	}
	b.now = b.now.Add(time.Second)
	if again, _ := b.onlineKeys(flood(1)); again.ID() == first.ID() {
		t.Error("a key that was dropped is back")
	}
	if _, err := b.Forget(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(2 * unusedLife)
	for i := range 6 {
		b.now = b.now.Add(2 * unusedLife)
		if err := ask(flood(10 + i)); err != nil {
			t.Fatal(err)
		}
	}
	b.now = noon
	b.mustSign(r) // by the keys that root lists
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
}
