package client

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An occupied is a state folder as its Watcher's own: the lock of a file in it, which
// lasts as long as the process does. It keeps nobody out.
type occupied struct {
	mu    sync.Mutex
	file  *os.File // locked, or nil
	ended bool     // by Close: it takes none any more
}

// Shared tells whether another Watcher has the same state folder, in this process or in
// another one. That does no harm: whoever saves holds a lock, and what another one saved
// is verified again. It costs, though: each does over what the other has done, and where
// their anchors differ, each follows the whole chain of roots anew. So two that live on
// have a folder each; at a restart the new one shares for as long as the old one lasts.
// After Close it returns ErrClosed.
func (w *Watcher) Shared() (bool, error) {
	folder := w.client.config.StateDir
	if folder == "" {
		return false, nil
	}
	o := &w.occupied
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false, ErrClosed
	}
	if o.file != nil {
		return false, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(filepath.Join(folder, ".watcher"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	locked, err := tryLock(f)
	if !locked {
		_ = f.Close() // nothing was written
		return err == nil, err
	}
	o.file = f
	return false, nil
}

// occupy has others know of this Watcher, at once or when the one before it has ended.
func (w *Watcher) occupy() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if shared, err := w.Shared(); !shared && err == nil {
			return
		}
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leave ends it.
func (o *occupied) leave() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	if o.file == nil {
		return nil
	}
	err := o.file.Close() // which releases the lock
	o.file = nil
	return err
}
