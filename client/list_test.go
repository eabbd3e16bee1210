package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/signet-trust/signet/server/api"
)

// TestRepositoriesEnd reads a list to its end, and none that has no end.
func TestRepositoriesEnd(t *testing.T) {
	name := func(n int) string { return fmt.Sprintf("registry.example.com/a%09d", n) }
	full := func(first, n int, next string) api.RepositoriesResponse {
		page := api.RepositoriesResponse{Next: next}
		for i := range n {
			page.Repositories = append(page.Repositories, api.RepositorySummary{Repository: name(first + i)})
		}
		return page
	}
	for what, c := range map[string]struct {
		page func(n int) api.RepositoriesResponse // the n-th
		want int                                  // names; -1: refused
	}{
		"one page": {func(int) api.RepositoriesResponse { return full(0, 3, "") }, 3},
		"three pages": {func(n int) api.RepositoriesResponse {
			next := name(2*n + 1)
			if n == 2 {
				next = ""
			}
			return full(2*n, 2, next)
		}, 6},
		"without an end":     {func(n int) api.RepositoriesResponse { return full(5000*n, 5000, name(5000*n+4999)) }, -1},
		"the same again":     {func(int) api.RepositoriesResponse { return full(0, 2, name(1)) }, -1},
		"back":               {func(n int) api.RepositoriesResponse { return full(100-2*n, 2, name(0)) }, -1},
		"empty, with a next": {func(n int) api.RepositoriesResponse { return api.RepositoriesResponse{Next: name(n)} }, -1},
		"what is no name": {func(int) api.RepositoriesResponse {
			return api.RepositoriesResponse{Repositories: []api.RepositorySummary{{Repository: "registry.example.com/\u202ea"}}}
		}, -1},
	} {
		b := newBench(t)
		p, _ := b.publisher()
		asked := 0
		b.server.setIntercept(func(w http.ResponseWriter, _ *http.Request) bool {
			page := c.page(asked)
			asked++
			if asked > 100 {
				t.Fatalf("%s: asked for %d pages", what, asked)
			}
			if err := json.NewEncoder(w).Encode(page); err != nil {
				t.Error(err)
			}
			return true
		})
		list, err := p.Repositories(t.Context())
		e, ok := errors.AsType[*ServerError](err)
		if c.want < 0 && (!ok || e.Trouble != TroubleAnswer) || c.want >= 0 && (err != nil || len(list) != c.want) {
			t.Errorf("%s: %d names, %v", what, len(list), err)
		}
	}
}
