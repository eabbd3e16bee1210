package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
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

// slow is a transport that holds requests back, and notes for which repositories they
// are.
type slow struct {
	http.RoundTripper
	came    chan string
	release chan struct{}
	mu      sync.Mutex
	asked   map[string]bool
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	name := r.URL.Path[:strings.LastIndex(r.URL.Path, "/")]
	first := !s.asked[name]
	s.asked[name] = true
	s.mu.Unlock()
	if first {
		s.came <- name
	}
	<-s.release
	return s.RoundTripper.RoundTrip(r)
}

// TestWatcherAbandoned has many names asked about by those who do not wait, while the
// server is slow: nobody asks for them any more when its turn comes, so that they hold
// up nobody, and what is known stays known.
func TestWatcherAbandoned(t *testing.T) {
	b := newBench(t)
	c := b.client()
	w := newWatcher(c, WatchConfig{Workers: 1, MaxRepositories: 64})
	t.Cleanup(func() { w.Close() })
	b.watched(w, "1.0", "one", Options{})
	transport := &slow{RoundTripper: b.server.Client().Transport, came: make(chan string, 1000), release: make(chan struct{}), asked: map[string]bool{}}
	c.config.Transport = transport
	c.fetcher = fetchers{}
	ask := func(ctx context.Context, name string) error {
		_, err := w.Verify(ctx, tuf.Image{Repository: "registry.example.com/team/" + name, Tag: "1"}, Options{})
		return err
	}
	var askers sync.WaitGroup
	for i := range 4 { // as many as ask at once
		askers.Go(func() { ask(t.Context(), fmt.Sprintf("busy%d", i)) })
	}
	for range 4 {
		<-transport.came
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 1000 {
		if err := ask(gone, fmt.Sprintf("gone%d", i)); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	close(transport.release)
	if err := ask(t.Context(), "late"); !errors.Is(err, tuf.ErrNotFound) { // turns are taken in order
		t.Errorf("got %v", err)
	}
	askers.Wait()
	if len(transport.asked) != 5 {
		t.Errorf("the server was asked about %d repositories, expected the 5 that somebody waited for", len(transport.asked))
	}
	before := w.Stats().Updates
	b.watched(w, "1.0", "one", Options{})
	if s := w.Stats(); s.Updates != before || s.Repositories > 64 {
		t.Errorf("what was known was let go: %+v", s)
	}
}
