package server

import (
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// FuzzCursor checks that whoever pages through what expires names a place by the one
// form that the page before gave, and that what reaches the store is a name.
func FuzzCursor(f *testing.F) {
	f.Add(cursor(api.ExpiringRole{Expires: time.Unix(1_900_000_000, 0), Repository: "registry.example/team/app", Role: tuf.RoleTargets}))
	f.Add("1 registry.example/team/app ci extra")
	f.Add("-1 r.io/a root")
	f.Add("9223372036854775808 r.io/a root")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := readCursor(text)
		if err != nil || text == "" {
			return
		}
		second := e.Repository == "" && e.Role == "" && e.Expires.Unix() > 0 // the start of one
		if !second && (tuf.CheckRepository(e.Repository) != nil || !isRole(e.Role)) {
			t.Fatalf("%q reaches the store as %+v", text, e)
		}
		back, err := readCursor(cursor(e))
		if err != nil || !back.Expires.Equal(e.Expires) || back.Repository != e.Repository || back.Role != e.Role {
			t.Fatalf("%q is %+v, and written again %+v, %v", text, e, back, err)
		}
	})
}

// FuzzNumber checks that a number in a query is within its bounds, or no number.
func FuzzNumber(f *testing.F) {
	f.Add("limit=1&after=2")
	f.Add("limit=+1&limit=99999")
	f.Add("limit=1001")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if n, err := number(values, "limit", 1000, 1, 1000); err == nil && (n < 1 || n > 1000) {
			t.Fatalf("%q has the limit %d", query, n)
		}
		if n, err := number(values, "after", 0, 0, math.MaxInt64); err == nil && n < 0 {
			t.Fatalf("%q goes on after %d", query, n)
		}
	})
}
