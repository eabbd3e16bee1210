package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// crowded is a store in which many files of others expire between two of the team's.
type crowded struct {
	server.Store
	list []api.ExpiringRole
}

func newCrowded(of server.Store, now time.Time, others, perSecond int) *crowded {
	row := func(name string, second int) api.ExpiringRole {
		return api.ExpiringRole{Repository: "registry.example/" + name, Role: tuf.RoleTargets, Version: 1, Expires: now.Add(time.Duration(second) * time.Second)}
	}
	c := &crowded{Store: of, list: []api.ExpiringRole{row("team/a", 0)}}
	for i := range others {
		c.list = append(c.list, row(fmt.Sprintf("other/%06d", i), 1+i/perSecond))
	}
	c.list = append(c.list, row("team/c", 1+others/perSecond), row("team/d", 2+others/perSecond))
	return c
}

// Expiring answers as the database does: what follows after in the order of the list.
func (c *crowded) Expiring(_ context.Context, _ time.Time, after api.ExpiringRole, limit int) ([]api.ExpiringRole, error) {
	i, found := slices.BinarySearchFunc(c.list, after, func(e, to api.ExpiringRole) int {
		if d := e.Expires.Compare(to.Expires); d != 0 {
			return d
		}
		return strings.Compare(e.Repository, to.Repository)
	})
	if found {
		i++
	}
	return c.list[i:min(i+limit, len(c.list))], nil
}

// Who reads what expires learns no name, of which the token says nothing, from where
// the next page is said to start; and however much of others lies in between, all of
// what the token covers is told, once.
func TestExpiringTellsNoOtherNames(t *testing.T) {
	h := harness.Start(t)
	team := h.Token(t, []string{api.ScopeRead}, "registry.example/team/*")
	now := h.Clock.Now().Truncate(time.Second)
	for _, c := range []struct{ others, perSecond int }{{1, 1}, {45_000, 1}, {45_000, 100_000}} {
		of := newCrowded(harness.NewStore(h.Store, &harness.Faults{}), now, c.others, c.perSecond)
		s := server.New(server.Config{Store: of, Signer: h.Signer, Now: h.Clock.Now, Log: slog.New(slog.DiscardHandler)})
		listening := httptest.NewServer(s.Handler())
		client := &harness.Client{URL: listening.URL, HTTP: http.DefaultClient, Token: team}
		for _, limit := range []int{1, 2, 10} {
			var got []string
			for after, pages := "", 0; ; pages++ {
				var page api.ExpiringResponse
				if err := client.Call(t.Context(), http.MethodGet, api.ExpiringPath(now.Add(day), after, limit), nil, &page); err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Roles {
					got = append(got, strings.TrimPrefix(e.Repository, "registry.example/"))
				}
				if strings.Contains(page.Next, "other") {
					t.Errorf("the next page starts at %q, which is not the token's to know", page.Next)
				}
				if after = page.Next; after == "" {
					break
				}
				if pages > 10 {
					t.Fatal("pages without an end")
				}
			}
			if want := []string{"team/a", "team/c", "team/d"}; !slices.Equal(got, want) {
				t.Errorf("%d others, limit %d: %v, expected %v", c.others, limit, got, want)
			}
		}
		listening.Close()
	}
}
