package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
)

func TestGate(t *testing.T) {
	enter := func(g *gate, token string, size int64) (func(), error) { return g.enter(t.Context(), token, size) }
	must := func(t *testing.T, g *gate, token string, size int64) func() {
		t.Helper()
		leave, err := enter(g, token, size)
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	t.Run("a quarter of the places is one token's", func(t *testing.T) {
		g := newGate(8, 1000, time.Millisecond)
		first := must(t, g, "alice", 1)
		must(t, g, "alice", 1)
		if _, err := enter(g, "alice", 1); !errors.Is(err, api.ErrTooManyRequests) {
			t.Fatalf("a third of alice: %v", err)
		}
		must(t, g, "bob", 1)
		first()
		must(t, g, "alice", 1)
	})
	t.Run("all places", func(t *testing.T) {
		g := newGate(4, 1000, time.Millisecond)
		for _, token := range []string{"alice", "bob", "carol", "dave"} {
			must(t, g, token, 1)
		}
		if _, err := enter(g, "eve", 1); !errors.Is(err, api.ErrBusy) {
			t.Fatalf("a fifth: %v", err)
		}
	})
	t.Run("a quarter of the bytes is one token's", func(t *testing.T) {
		g := newGate(100, 400, time.Millisecond)
		first := must(t, g, "alice", 60)
		if _, err := enter(g, "alice", 60); !errors.Is(err, api.ErrTooManyRequests) {
			t.Fatalf("120 of alice's 100 bytes: %v", err)
		}
		must(t, g, "bob", 100)
		first()
		must(t, g, "alice", 100)
	})
	t.Run("all bytes", func(t *testing.T) {
		g := newGate(100, 400, time.Millisecond)
		first := must(t, g, "alice", 100)
		for _, token := range []string{"bob", "carol", "dave"} {
			must(t, g, token, 100)
		}
		if _, err := enter(g, "eve", 1); !errors.Is(err, api.ErrBusy) {
			t.Fatalf("401 bytes: %v", err)
		}
		first()
		must(t, g, "eve", 100)()
	})
	t.Run("bytes are waited for", func(t *testing.T) {
		g := newGate(100, 400, time.Minute)
		first := must(t, g, "alice", 100)
		done := make(chan error, 1)
		go func() {
			leave, err := enter(g, "alice", 100)
			if err == nil {
				leave()
			}
			done <- err
		}()
		first()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("who leaves is forgotten", func(t *testing.T) {
		g := newGate(8, 400, time.Minute)
		must(t, g, "alice", 100)()
		gone, cancel := context.WithCancel(t.Context())
		leave := must(t, g, "bob", 100)
		cancel()
		if _, err := g.enter(gone, "bob", 100); !errors.Is(err, context.Canceled) {
			t.Fatalf("a caller who has gone: %v", err)
		}
		leave()
		if len(g.of) != 0 || g.under != 0 || !g.bytes.TryAcquire(400) {
			t.Fatalf("%d tokens and %d publishes are left", len(g.of), g.under)
		}
	})
}
