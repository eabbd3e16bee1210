package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/test/postgres"
	"github.com/signet-trust/signet/tuf"
)

// Two servers share one Postgres and one signer, and publishers and refreshes race
// on both: one wins each round, every loser is told, and Postgres coming back is
// all it takes after it was killed.
func TestTwoServersOnPostgres(t *testing.T) {
	cluster, err := postgres.Start(postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the harness has closed its store
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := cluster.Create()
	if err != nil {
		t.Fatal(err)
	}
	h := harness.Start(t, func(c *harness.Config) { c.Database = url })
	other := server.New(server.Config{Store: harness.NewStore(h.Store, &harness.Faults{}), Signer: h.Signer, Now: h.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	second := httptest.NewServer(other.Handler())
	defer second.Close()
	first := h.Publisher(t, app)
	first.Init(t)
	for round := range 4 {
		var mu sync.Mutex
		won := ""
		var wg sync.WaitGroup
		for i := range 10 {
			p := *first
			p.Targets = tuf.NewTargets(int64(round+1), h.Clock.Now().AddDate(0, 0, 90))
			digest := harness.Digest("round %d publisher %d", round, i)
			p.Tag(t, "1.0", digest)
			file := p.Next(t)
			client := h.Client(h.AdminToken)
			if i%2 == 1 {
				client = &harness.Client{URL: second.URL, HTTP: http.DefaultClient, Token: h.AdminToken}
			}
			wg.Go(func() {
				_, err := client.Publish(context.Background(), app, file)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && won == "":
					won = digest
				case err == nil:
					t.Errorf("round %d: two winners", round)
				case !errors.Is(err, tuf.ErrConflict):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if got := tags(t, h, app)["1.0"]; won == "" || got != won {
			t.Fatalf("round %d: %q won, and 1.0 means %q", round, won, got)
		}
	}

	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	file := first.Next(t) // version 2: it lost long ago, but nobody can tell now
	if _, err := first.Client.Publish(t.Context(), app, file); !errors.Is(err, api.ErrStoreUnavailable) {
		t.Fatalf("with Postgres down: %v", err)
	}
	if err := cluster.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Client.Publish(t.Context(), app, file); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("with Postgres back: %v", err)
	}
	verify(t, h, app)
}
