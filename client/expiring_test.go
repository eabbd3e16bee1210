package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestExpiringPages reads all pages, and believes no list that goes nowhere, or whose
// lines people could not copy into a command.
func TestExpiringPages(t *testing.T) {
	line := func(repository, role string) string {
		return fmt.Sprintf(`{"repository":%q,"role":%q,"version":1,"expires":"2030-01-31T00:00:00Z"}`, repository, role)
	}
	asked := 0
	pages := map[string]func(w http.ResponseWriter, r *http.Request) string{
		"two pages": func(_ http.ResponseWriter, r *http.Request) string {
			if r.URL.Query().Get("after") == "" {
				return `{"roles":[` + line(appName, "root") + `],"next":"1 a/b c"}`
			}
			return `{"roles":[` + line(appName, "bob") + `]}`
		},
		"an empty page between": func(_ http.ResponseWriter, r *http.Request) string {
			if r.URL.Query().Get("after") == "" {
				return `{"roles":[],"next":"1 a/b c"}`
			}
			return `{"roles":[` + line(appName, "targets") + `,` + line(appName, "root") + `]}`
		},
		"the same page for ever": func(http.ResponseWriter, *http.Request) string { return `{"roles":[],"next":"x"}` },
		"pages without an end": func(http.ResponseWriter, *http.Request) string {
			asked++
			return fmt.Sprintf(`{"roles":[],"next":"%d"}`, asked)
		},
		"a name that is a command": func(http.ResponseWriter, *http.Request) string { return `{"roles":[` + line("a;rm -rf", "root") + `]}` },
		"a role that is none": func(http.ResponseWriter, *http.Request) string {
			return `{"roles":[` + line(appName, "\u001b[2J") + `]}`
		},
		"no list": func(http.ResponseWriter, *http.Request) string { return `[]` },
		"an older release": func(w http.ResponseWriter, _ *http.Request) string {
			w.WriteHeader(http.StatusNotFound)
			return `{"type":"urn:signet:problem:not-found","title":"not found","status":404}`
		},
	}
	for name, want := range map[string]struct {
		count int
		err   error
	}{
		"two pages": {2, nil}, "an empty page between": {2, nil}, "an older release": {0, tuf.ErrNotFound},
		"the same page for ever": {0, errAny}, "pages without an end": {0, errAny},
		"a name that is a command": {0, errAny}, "a role that is none": {0, errAny}, "no list": {0, errAny},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != api.ExpiringPage {
					return false
				}
				w.Header().Set("Content-Type", api.TypeJSON)
				fmt.Fprint(w, pages[name](w, r))
				return true
			})
			p := Publisher{Client: b.client(), Server: Server{URL: b.server.URL, CA: b.server.ca(), Token: "secret"}}
			list, err := p.Expiring(context.Background(), b.clock.Now().Add(30*24*time.Hour))
			_, isServer := errors.AsType[*ServerError](err)
			switch {
			case want.err == errAny && !isServer:
				t.Errorf("%v, expected trouble with the server", err)
			case want.err != errAny && !errors.Is(err, want.err), len(list) != want.count:
				t.Errorf("%d roles, %v; expected %d, %v", len(list), err, want.count, want.err)
			}
		})
	}
}

// errAny stands for any trouble with the server.
var errAny = errors.New("trouble")
