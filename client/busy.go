package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// leastPause is how long a server is left alone that says to come back at once.
const leastPause = 100 * time.Millisecond

// do sends a request, again when the server says that it was asked too often, for as
// long as Timeouts.Busy allows. A server that says so has done nothing yet.
func (r *remote) do(ctx context.Context, method, path string, header http.Header, body []byte, max int64) (*answer, error) {
	for waited := time.Duration(0); ; {
		a, err := r.once(ctx, method, path, header, body, max)
		if err != nil || a.status != http.StatusTooManyRequests {
			return a, err
		}
		pause := leastPause
		if seconds, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 16); err == nil && seconds > 0 {
			pause = time.Duration(seconds) * time.Second
		}
		if waited += pause; waited > r.timeouts.Busy {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return nil, Explain(r.base, ctx.Err())
		case <-time.After(pause):
		}
	}
}
