package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/signet-trust/signet/guard"
)

const (
	// stateEvery is how often the state folder is tried at most, however often somebody
	// asks /readyz: what it says of the folder is no older.
	stateEvery = 5 * time.Second
	// stateWait is how long a try may take before it counts as failed. Probes wait no
	// longer: they give up after a second, as a rule.
	stateWait = 800 * time.Millisecond
)

// A stateCheck says whether what was verified can be kept: a gate that forgets at every
// restart can be taken back to older metadata.
//
// A disk may hang. So one try is under way at a time, in a goroutine of its own, and
// nobody holds a lock for it: who asks meanwhile waits for its end, or till it is late.
type stateCheck struct {
	try func() (word string, err error)

	mu   sync.Mutex // of last, not of the try
	last *stateTry
}

// A stateTry is one try, which has ended when done is closed.
type stateTry struct {
	began time.Time
	done  chan struct{}
	word  string
	err   error
}

func (c *stateCheck) check() (guard.State, string) {
	t := c.current()
	late := time.NewTimer(time.Until(t.began.Add(stateWait)))
	defer late.Stop()
	select {
	case <-t.done:
	default:
		select {
		case <-t.done:
		case <-late.C:
			return guard.Unavailable, fmt.Sprintf("the folder does not answer: a write that began %s ago has not ended", time.Since(t.began).Round(100*time.Millisecond))
		}
	}
	if t.err != nil {
		return guard.Unavailable, "the folder cannot be written: " + t.err.Error()
	}
	return guard.OK, t.word
}

// current returns the try that is under way, or is not old yet, or a new one.
func (c *stateCheck) current() *stateTry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		select {
		case <-c.last.done:
			if time.Since(c.last.began) < stateEvery {
				return c.last
			}
		default:
			return c.last
		}
	}
	t := &stateTry{began: time.Now(), done: make(chan struct{})}
	c.last = t
	go func() {
		defer close(t.done)
		t.word, t.err = c.try()
	}()
	return t
}

// tryState writes a file to the folder and takes it away again, and says whether another
// verifier has the folder.
func tryState(folder string, shared func() (bool, error)) (string, error) {
	f, err := os.CreateTemp(folder, ".writable-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write([]byte("x"))
	if e := f.Close(); err == nil {
		err = e
	}
	if e := os.Remove(f.Name()); err == nil {
		err = e
	}
	if err != nil {
		return "", err
	}
	if is, err := shared(); err == nil && is {
		return sharedState, nil
	}
	return "", nil
}
