package client

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// panics is a transport that breaks off while broken is set.
type panics struct {
	http.RoundTripper
	broken *bool
}

func (p panics) RoundTrip(r *http.Request) (*http.Response, error) {
	if *p.broken {
		panic("out of bounds")
	}
	return p.RoundTripper.RoundTrip(r)
}

// TestWatcherPanic has an update break off: those who wait for it learn so, the process
// lives, and the next one is none the worse.
func TestWatcherPanic(t *testing.T) {
	b := newBench(t)
	broken := true
	c := b.client()
	c.config.Transport = panics{b.server.Client().Transport, &broken}
	w := newWatcher(c, WatchConfig{})
	t.Cleanup(func() { w.Close() })
	if err := b.unwatched(w, "1.0", "", Options{}); !strings.Contains(err.Error(), "broke off") {
		t.Errorf("got %v", err)
	}
	broken = false
	b.clock.Add(time.Minute)
	b.watched(w, "1.0", "one", Options{})
}
