package client

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A Watcher tells whether another one has its state folder. Whoever comes later has it to
// itself as soon as the one before has ended, without being asked.
func TestWatcherShared(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	shared := func(w *Watcher) bool {
		t.Helper()
		is, err := w.Shared()
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	one := NewWatcher(New(Config{StateDir: state}), WatchConfig{})
	for range 2 {
		if shared(one) {
			t.Error("the only one shares")
		}
	}
	two := NewWatcher(New(Config{StateDir: state}), WatchConfig{})
	elsewhere := newWatcher(New(Config{StateDir: filepath.Join(state, "other")}), WatchConfig{})
	if !shared(two) || shared(one) || shared(elsewhere) {
		t.Error("the second one of a folder, and no other, shares")
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	two.occupy() // returns once it has the folder
	if shared(two) {
		t.Error("the one that is left shares")
	}
	three := newWatcher(New(Config{StateDir: state}), WatchConfig{})
	if !shared(three) {
		t.Error("the one that was second is not known of")
	}
	for _, w := range []*Watcher{two, three, elsewhere} {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	// A probe that comes late takes nothing back.
	if _, err := two.Shared(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	four := newWatcher(New(Config{StateDir: state}), WatchConfig{})
	if shared(four) {
		t.Error("one that was closed has the folder")
	}
	if err := four.Close(); err != nil {
		t.Error(err)
	}
	if w := newWatcher(New(Config{}), WatchConfig{}); shared(w) {
		t.Error("no folder is shared")
	}
	file := filepath.Join(state, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newWatcher(New(Config{StateDir: file}), WatchConfig{}).Shared(); err == nil {
		t.Error("a file is taken for a folder")
	}
}
