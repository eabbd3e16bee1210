package main

import (
	"fmt"
	"io"
	"sync"

	"golang.org/x/term"
)

// progressWidth fits every terminal: a line that wraps could not be wiped.
const progressWidth = 76

// A progress is one line at the bottom of a terminal that says how far a command
// has come. Whatever else is written to stderr takes its place, and it comes back
// with the next step. Elsewhere than at a terminal nothing is shown.
type progress struct {
	mu    sync.Mutex
	w     io.Writer // stderr, as it was
	raw   io.Writer // the terminal itself; nil: there is none
	shown bool
}

// startProgress takes over stderr until end is called.
func (a *app) startProgress() (p *progress, end func()) {
	before := a.stderr
	p = &progress{w: before}
	cleaned, ok := before.(cleanWriter)
	if !ok {
		return p, func() {}
	}
	if file, ok := cleaned.w.(interface{ Fd() uintptr }); !ok || !term.IsTerminal(int(file.Fd())) {
		return p, func() {}
	}
	p.raw, a.stderr = cleaned.w, p
	return p, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wipe()
		a.stderr = before
	}
}

// step shows that the done-th of all is being worked on.
func (p *progress) step(doing string, done, all int, what string) {
	if p.raw == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	line := []rune(clean(fmt.Sprintf("%s %d of %d: %s", doing, done, all, what)))
	fmt.Fprint(p.raw, string(line[:min(len(line), progressWidth)]))
	p.shown = true
}

// Write wipes the line and writes p in its place.
func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	return p.w.Write(text)
}

func (p *progress) wipe() {
	if p.shown {
		fmt.Fprintf(p.raw, "\r%*s\r", progressWidth, "")
		p.shown = false
	}
}
