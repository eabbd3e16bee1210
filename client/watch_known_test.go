package client

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// unheld asks w for what is held of a tag, and fails the test unless it is ErrNotHeld,
// of which nobody was asked.
func (b *bench) unheld(w *Watcher, tag string, options Options) {
	b.t.Helper()
	options.Held = true
	b.server.taken()
	d, err := w.Verify(b.t.Context(), b.tag(tag), options)
	if !errors.Is(err, ErrNotHeld) || tuf.IsRefusal(err) || d.Trusted || d.Digest != "" || d.Reference != "" {
		b.t.Errorf("%s: got %+v, %v", tag, d, err)
	}
	if taken := b.server.taken(); len(taken) > 0 {
		b.t.Errorf("the server was asked for %v", taken)
	}
}

// TestHeld asks for what is held while that comes, ages, and goes.
func TestHeld(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.unheld(w, "1.0", Options{})
	if entries, err := os.ReadDir(w.client.config.StateDir); len(entries) > 0 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
	want := b.watched(w, "1.0", "one", Options{})
	if diff := cmp.Diff(want, b.watched(w, "1.0", "one", Options{Held: true})); diff != "" {
		t.Error(diff)
	}
	b.unheld(w, "2.0", Options{})
	b.unwatched(w, "2.0", tuf.RuleAbsent, Options{})
	b.unwatched(w, "2.0", tuf.RuleAbsent, Options{Held: true})
	b.unheld(w, "1.0", Options{Offline: true})
	b.unheld(w, "1.0", Options{From: t.TempDir()})
	stranger := b.anchor
	stranger.RootKeys = ids(newKey(t))
	b.unheld(w, "1.0", Options{Anchor: &stranger})
	if s := w.Stats(); s.Questions != 4 || s.Known != 2 || s.Repositories != 1 {
		t.Errorf("%+v", s)
	}
	b.clock.Add(5 * time.Second)
	b.unheld(w, "2.0", Options{}) // somebody may have signed it
	b.clock.Add(55 * time.Second)
	b.unheld(w, "1.0", Options{}) // a server may know better
	b.repo.stamp(9)
	b.watched(w, "1.0", "one", Options{})
	b.repo.stamp(8)
	b.clock.Add(time.Minute)
	b.unwatched(w, "1.0", tuf.RuleRollback, Options{})
	b.unwatched(w, "1.0", tuf.RuleRollback, Options{Held: true})
	b.clock.Add(5 * time.Second)
	b.unheld(w, "1.0", Options{}) // and nothing older in its place
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err := w.Verify(t.Context(), b.tag("1.0"), Options{Held: true}); !errors.Is(err, ErrClosed) || d.Trusted {
		t.Errorf("closed: %+v, %v", d, err)
	}
}

// TestHeldExpires moves the clock past the expiry of what is young enough.
func TestHeldExpires(t *testing.T) {
	b := newBench(t)
	b.repo.expire(tuf.RoleTimestamp, b.clock.Now().Add(30*time.Second), nil)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(29 * time.Second)
	b.watched(w, "1.0", "one", Options{Held: true})
	b.clock.Add(time.Second)
	b.unheld(w, "1.0", Options{})
}

// TestAClientHoldsNothing since it has no memory, whatever its folder has.
func TestAClientHoldsNothing(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	for _, options := range []Options{{Held: true}, {Held: true, Offline: true}, {Held: true, From: filepath.Join(t.TempDir(), "none")}} {
		if d, err := b.client().Verify(t.Context(), b.tag("1.0"), options); !errors.Is(err, ErrNotHeld) || d.Trusted || d.Reference != "" {
			t.Errorf("%+v: %+v, %v", options, d, err)
		}
	}
}

// TestWatcherForgetsAClockThatRanAhead with the folder, where it was told to.
func TestWatcherForgetsAClockThatRanAhead(t *testing.T) {
	b := newBench(t)
	b.repo.sign("1.1", digestOf("one"))
	w := b.watcher(WatchConfig{})
	const ahead = 10 * time.Minute
	b.clock.Add(ahead)
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(50 * time.Second)
	w.refreshAllDue()
	b.clock.Add(-ahead)
	if err := b.client().ResetClock(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	for _, options := range []Options{{Offline: true}, {}, {Offline: true}, {}} {
		if d := b.watched(w, "1.1", "one", options); d.Checked != nil && d.Checked.After(b.clock.Now()) {
			t.Errorf("%+v: checked %v, and now it is %v", options, d.Checked, b.clock.Now())
		}
	}
}

// TestOfflineIsAsFreshAsMemory reads out of the folder what was not asked before, which
// a server has confirmed since the folder was told.
func TestOfflineIsAsFreshAsMemory(t *testing.T) {
	b := newBench(t)
	b.repo.sign("1.1", digestOf("one"))
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(50 * time.Second)
	w.refreshAllDue()
	confirmed := b.clock.Now()
	if s := w.Stats(); s.Confirmed != 1 {
		t.Fatalf("%+v", s)
	}
	b.clock.Add(10 * time.Second)
	for _, tag := range []string{"1.0", "1.1"} {
		if d := b.watched(w, tag, "one", Options{Offline: true}); !d.Checked.Equal(confirmed) || d.Age != Duration(10*time.Second) {
			t.Errorf("%s: checked %v, %v ago; expected %v", tag, d.Checked, d.Age, confirmed)
		}
	}
}
