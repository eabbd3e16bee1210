package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// TestWatcherTriesTheNextServer has the first server fail in several ways.
func TestWatcherTriesTheNextServer(t *testing.T) {
	b := newBench(t)
	alice := newKey(t)
	b.mayAlice(alice)
	b.repo.signAs("alice", "a1", digestOf("one"), alice)
	good := b.repo.served()
	bad := newRepo(t, appName, b.clock)
	bad.serve(good)
	bad.files["2.alice.json"] = []byte(strings.Repeat("x", len(good["2.alice.json"])))
	second := newServer(t, bad)
	b.anchor.CA += second.ca()
	b.anchor.Servers = []string{second.URL, b.server.URL}
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{}) // the first one will do
	b.watched(w, "a1", "one", Options{})
	b.clock.Add(time.Minute)
	bad.serve(map[string][]byte{})
	b.watched(w, "1.0", "one", Options{})
	b.watched(w, "a1", "one", Options{})
}

// TestWatcherOneFlight has many ask at once for what nobody knows. The first one
// stops waiting; the others get their answer.
func TestWatcherOneFlight(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	arrived, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.server.setIntercept(func(_ responseWriter, r *request) bool {
		if strings.HasSuffix(r.URL.Path, "timestamp.json") {
			once.Do(func() { close(arrived); <-leave })
		}
		return false
	})
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := w.Verify(first, b.tag("1.0"), Options{})
		gone <- err
	}()
	<-arrived
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || tuf.IsRefusal(err) {
		t.Errorf("%v", err)
	}
	var waiting sync.WaitGroup
	var asked atomic.Int64
	for i := range 300 {
		waiting.Go(func() {
			tag, word := "1.0", "one"
			if i%3 == 0 {
				tag = fmt.Sprint("none", i)
			}
			asked.Add(1)
			d, err := w.Verify(context.Background(), b.tag(tag), Options{})
			if tag == "1.0" && (err != nil || d.Digest != digestOf(word)) || tag != "1.0" && tuf.RuleOf(err) != tuf.RuleAbsent {
				t.Errorf("%s: %+v, %v", tag, d, err)
			}
		})
	}
	for asked.Load() < 300 {
		runtime.Gosched()
	}
	close(leave)
	waiting.Wait()
	timestamps := 0
	for _, request := range b.server.taken() {
		if strings.HasSuffix(request, "timestamp.json") {
			timestamps++
		}
	}
	if timestamps > 3 {
		t.Errorf("the server was asked for the timestamp %d times", timestamps)
	}
}

// TestWatcherGoesOnFromTheFolder restarts, and looks offline at what another process
// has verified.
func TestWatcherGoesOnFromTheFolder(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	b.clock.Add(10 * time.Minute)
	w := b.watcher(WatchConfig{})
	for range 2 { // from the folder, then from memory
		if d := b.watched(w, "1.0", "one", Options{Offline: true}); d.Age != Duration(10*time.Minute) {
			t.Errorf("age %v", d.Age)
		}
	}
	if s := w.Stats(); s.Reads != 1 || s.Updates != 0 {
		t.Errorf("%+v", s)
	}
	b.repo.sign("1.0", digestOf("two"))
	b.trusts("1.0", "two")
	if d := b.watched(w, "1.0", "two", Options{Offline: true}); d.Age != 0 {
		t.Errorf("age %v", d.Age)
	}
	b.watched(w, "1.0", "two", Options{})
}

// TestWatcherRemembersOnClose has a later process tell how old its answers are.
func TestWatcherRemembersOnClose(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	for range 4 {
		b.clock.Add(55 * time.Second)
		w.refreshAllDue()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.unwatched(w, "1.0", "", Options{})
	d, err := b.client().Verify(t.Context(), b.tag("1.0"), Options{Offline: true})
	if err != nil || d.Age != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestWatcherCloses closes while many wait for a server that is silent.
func TestWatcherCloses(t *testing.T) {
	b := newBench(t)
	before := runtime.NumGoroutine()
	w := NewWatcher(b.client(), WatchConfig{})
	arrived, leave := make(chan struct{}, 100), make(chan struct{})
	b.server.setIntercept(func(_ responseWriter, r *request) bool {
		arrived <- struct{}{}
		select {
		case <-leave:
		case <-r.Context().Done():
		}
		return true
	})
	var waiting sync.WaitGroup
	for i := range 20 {
		waiting.Go(func() {
			d, err := w.Verify(context.Background(), b.tag(fmt.Sprint("t", i%3)), Options{})
			if !errors.Is(err, ErrClosed) || d.Trusted {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	<-arrived
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	waiting.Wait()
	close(leave)
	b.server.Close()
	w.client.closeIdle()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buffer := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, buffer[:runtime.Stack(buffer, true)])
		}
	}
}

// closeIdle ends the connections that wait to be used again.
func (c *Client) closeIdle() {
	c.fetcher.mu.Lock()
	defer c.fetcher.mu.Unlock()
	for _, t := range c.fetcher.transports {
		t.(*http.Transport).CloseIdleConnections()
	}
}

// TestWatcherInTheBackground has the real background work, by the real clock.
func TestWatcherInTheBackground(t *testing.T) {
	b := newBench(t)
	now := newClock()
	now.at = time.Now()
	repo := newRepo(t, "registry.example.com/team/now", now)
	repo.rootKeys = b.repo.rootKeys
	repo.start().sign("1.0", digestOf("one"))
	b.server.repos[repo.name] = repo
	b.config.Now = time.Now
	w := NewWatcher(b.client(), WatchConfig{Refresh: 200 * time.Millisecond})
	defer w.Close()
	image := tuf.Image{Repository: repo.name, Tag: "1.0"}
	if d, err := w.Verify(t.Context(), image, Options{}); err != nil || d.Digest != digestOf("one") {
		t.Fatalf("%+v, %v", d, err)
	}
	again := make(chan struct{}, 1000)
	b.server.setIntercept(func(_ responseWriter, r *request) bool {
		if strings.HasSuffix(r.URL.Path, "timestamp.json") {
			again <- struct{}{}
		}
		return false
	})
	for range 3 {
		<-again // nobody asked
	}
}

// TestWatcherUnderLoad has many ask while the repository is published to and the
// background refreshes. What they are told never steps back.
func TestWatcherUnderLoad(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{MaxAnswers: 8})
	done := make(chan struct{})
	var asking sync.WaitGroup
	for i := range 32 {
		asking.Go(func() {
			var last int64
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				options := Options{Offline: n%50 == 49}
				image := b.tag("1.0")
				if n%10 == 9 {
					image.Tag = fmt.Sprint("none", i)
				}
				d, err := w.Verify(context.Background(), image, options)
				if image.Tag != "1.0" {
					if d.Trusted || err == nil {
						t.Errorf("%+v, %v", d, err)
					}
					continue
				}
				version := d.Versions["targets"]
				if err != nil || version < last || d.Digest != digestOf(fmt.Sprint(version-2)) && version > 2 {
					t.Errorf("after version %d: %+v, %v", last, d, err)
					return
				}
				last = version
			}
		})
	}
	for n := 1; n <= 30; n++ {
		b.repo.sign("1.0", digestOf(fmt.Sprint(n)))
		b.clock.Add(48 * time.Second)
		w.refreshAllDue()
	}
	close(done)
	asking.Wait()
	if _, err := os.Stat(b.folder()); err != nil {
		t.Error(err)
	}
}
