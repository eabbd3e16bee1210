package client

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestBusyServer waits for a server that is asked too often, if it may, and no longer
// than it may.
func TestBusyServer(t *testing.T) {
	for name, c := range map[string]struct {
		busy     time.Duration
		refuse   int // answers before the server has time
		after    string
		succeeds bool
	}{
		"patient":                {time.Minute, 3, "0", true},
		"impatient":              {0, 1, "0", false},
		"for longer than it may": {time.Second, 1, "2", false},
		"for ever":               {250 * time.Millisecond, 1 << 20, "0", false},
		"without a time to wait": {time.Minute, 1, "soon", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Timeouts.Busy = c.busy
			p, _ := b.publisher()
			gets, posts := 0, 0
			b.server.setIntercept(func(w responseWriter, r *request) bool {
				n := &gets
				if r.Method == http.MethodPost {
					n = &posts
				}
				if *n++; *n > c.refuse || r.Method == http.MethodGet && !strings.HasSuffix(r.URL.Path, "/timestamp.json") {
					return false
				}
				w.Header().Set("Retry-After", c.after)
				problem(w, api.ErrTooManyRequests)
				return true
			})
			r := b.signRequest("2.0", "two")
			r.Signers = []tuf.Signer{b.repo.targetsKeys[0]}
			_, err := p.Sign(t.Context(), r)
			if (err == nil) != c.succeeds || err != nil && !errors.Is(err, api.ErrTooManyRequests) {
				t.Errorf("%v after %d reads and %d publishes", err, gets, posts)
			}
			if c.succeeds && posts != c.refuse+1 {
				t.Errorf("%d publishes, expected %d", posts, c.refuse+1)
			}
		})
	}
}
