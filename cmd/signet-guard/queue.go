package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queued  = 4096            // lines that wait for a reader
	lastFor = 2 * time.Second // how long they are handed over for at the end
)

// A lineQueue hands lines on to what may take them slowly, such as a pipe whose reader
// stalls: whoever is answered waits for no reader. What finds the queue full is lost,
// and that is an error. Nil is none.
type lineQueue struct {
	to     io.Writer
	failed atomic.Pointer[error] // of a line that was handed on
	ended  chan struct{}

	mu    sync.Mutex
	lines chan []byte // nil once it is closed
}

func newLineQueue(to io.Writer) *lineQueue {
	q := &lineQueue{to: to, ended: make(chan struct{}), lines: make(chan []byte, queued)}
	go q.run(q.lines)
	return q
}

func (q *lineQueue) run(lines <-chan []byte) {
	defer close(q.ended)
	for line := range lines {
		if _, err := q.to.Write(line); err != nil {
			q.failed.Store(&err)
		}
	}
}

// Write adds a line. Its error may be about one before it.
func (q *lineQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case q.lines <- bytes.Clone(line):
	default:
		return 0, errors.New("its reader does not keep up")
	}
	if err := q.failed.Swap(nil); err != nil {
		return 0, *err
	}
	return len(line), nil
}

// Close hands over what waits, and does not wait for a reader that takes nothing.
func (q *lineQueue) Close() error {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	close(q.lines)
	q.lines = nil
	q.mu.Unlock()
	timer := time.NewTimer(lastFor)
	defer timer.Stop()
	select {
	case <-q.ended:
		return nil
	case <-timer.C:
		return errors.New("the last lines of the decision log are lost: nobody reads standard output")
	}
}
