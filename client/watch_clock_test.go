package client

import (
	"testing"
	"time"
	"unsafe"

	"github.com/signet-trust/signet/tuf"
)

// setBy is what time.Now gives after the wall clock was set by some seconds: the
// monotonic reading beside it goes on. Nothing but package time can make such a time,
// so its first word is changed, whose upper half are the seconds.
func setBy(t time.Time, by time.Duration) time.Time {
	word := (*uint64)(unsafe.Pointer(&t))
	*word += uint64(by/time.Second) << 30
	return t
}

// TestWatcherSeesTheWallClockGoBack sets the clock back under a process that goes on,
// as its times have a monotonic reading, too: what has expired would be in date again.
func TestWatcherSeesTheWallClockGoBack(t *testing.T) {
	t.Run("after a whole update", func(t *testing.T) { wallClockGoesBack(t, func(*Watcher) {}) })
	t.Run("after a cheap confirmation", func(t *testing.T) { wallClockGoesBack(t, (*Watcher).refreshAllDue) })
}

func wallClockGoesBack(t *testing.T, refresh func(*Watcher)) {
	b := newBench(t)
	started := time.Now()
	set := b.clock.Now().Sub(started.Round(0)).Truncate(time.Second)
	ran := time.Duration(0)
	now := func() time.Time { return setBy(started.Add(ran), set) }
	c := b.client()
	c.config.Now = now
	w := newWatcher(c, WatchConfig{})
	t.Cleanup(func() { w.Close() })
	b.watched(w, "1.0", "one", Options{})
	ran = 10 * time.Minute
	refresh(w)
	b.watched(w, "1.0", "one", Options{})
	b.watched(w, "1.0", "one", Options{Offline: true})
	ran += time.Second
	set -= time.Hour
	if wall := now().Round(0).Sub(b.clock.Now()); wall > 0 || now().Sub(started) < 10*time.Minute {
		t.Fatalf("the clocks are not set as they should be: %v, %v", wall, now().Sub(started))
	}
	b.unwatched(w, "1.0", tuf.RuleClock, Options{Offline: true})
	b.unwatched(w, "1.0", tuf.RuleClock, Options{})
	set += time.Hour
	b.watched(w, "1.0", "one", Options{Offline: true})
	ran += time.Minute // what was refused is held for seconds
	b.watched(w, "1.0", "one", Options{})
}
