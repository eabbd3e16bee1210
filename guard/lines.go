package guard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// A decisionLog writes one line of JSON for each decision. Who decides waits for no
// disk and no reader: lines are written by a goroutine that is there while some wait.
// What finds no room among those that wait is lost, counted, and said once, as is what
// cannot be written: a full disk must not keep a cluster from starting what is trusted.
// Nil is none.
type decisionLog struct {
	to     io.Writer
	log    *slog.Logger
	failed prometheus.Counter

	mu      sync.Mutex
	waiting []byte        // whole lines
	written chan struct{} // closed once none waits; nil: none does
	full    bool          // lines were lost since then

	// The writing goroutine's own:
	silent bool // the last lines could not be written, and that was said
	torn   bool // what stands last in the log is the beginning of a line
}

const (
	maxWaiting = 4 << 20   // bytes of lines that wait, beside as many that are being written
	maxPiece   = 4<<10 - 1 // bytes that are written at once: a pipe keeps so many together, and a newline ahead of them
)

// add has n lines written.
func (l *decisionLog) add(n int, lines []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := maxWaiting - len(l.waiting); len(lines) > room {
		lines = lines[:bytes.LastIndexByte(lines[:room], '\n')+1]
		l.failed.Add(float64(n - bytes.Count(lines, []byte{'\n'})))
		if !l.full {
			go l.log.Error("the decision log does not take lines as fast as they come; some are lost")
		}
		l.full = true
		if len(lines) == 0 {
			return
		}
	}
	l.waiting = append(l.waiting, lines...)
	if l.written == nil {
		l.written = make(chan struct{})
		go l.run()
	}
}

// run writes until no line waits.
func (l *decisionLog) run() {
	var lines []byte
	for {
		l.mu.Lock()
		lines, l.waiting = l.waiting, lines[:0]
		if len(lines) == 0 {
			close(l.written)
			l.written, l.full = nil, false
			if cap(l.waiting) > maxPiece {
				l.waiting = nil
			}
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for rest := lines; len(rest) > 0; {
			piece := rest[:pieceOf(rest)]
			rest = rest[len(piece):]
			l.put(piece)
		}
	}
}

// pieceOf is how many bytes of lines are written at once: as many whole ones as go
// together, and one at least.
func pieceOf(lines []byte) int {
	if len(lines) <= maxPiece {
		return len(lines)
	}
	if end := bytes.LastIndexByte(lines[:maxPiece], '\n'); end >= 0 {
		return end + 1
	}
	return bytes.IndexByte(lines, '\n') + 1
}

// put writes some lines.
func (l *decisionLog) put(lines []byte) {
	left := bytes.Count(lines, []byte{'\n'})
	begin := 0
	if l.torn { // what is left of a line becomes one that can be told from others
		begin, lines = 1, append([]byte{'\n'}, lines...)
	}
	n, err := l.to.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err == nil {
		l.torn, l.silent = false, false
		return
	}
	if n = max(min(n, len(lines)), 0); n > 0 {
		left -= bytes.Count(lines[begin:max(n, begin)], []byte{'\n'})
		l.torn = lines[n-1] != '\n'
		if l.torn && n < len(lines) && lines[n] == '\n' {
			left-- // a line of which its newline alone is missing, which the next ones bring
		}
	}
	l.failed.Add(float64(left))
	if !l.silent {
		l.log.Error("the decision log cannot be written", "error", err)
	}
	l.silent = true
}

// flush waits until all lines are written that waited.
func (l *decisionLog) flush(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	written := l.written
	l.mu.Unlock()
	if written == nil {
		return nil
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return errors.New("the last lines of the decision log are lost: whatever they are written to takes none")
	}
}
