package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// The two ways to find out.
const (
	online  = iota // by servers
	offline        // by the state folder alone
)

// errUnsettled says that an update came through, and that not all questions could
// be settled by it; each has its own error.
var errUnsettled = errors.New("not all questions are settled")

// errAbandoned says that a flight did not begin, since nobody waited for it any more.
var errAbandoned = errors.New("nobody waited for the answer")

// maxRenewals is how many questions are asked again of their own accord when
// something new was published: those that were asked most recently.
const maxRenewals = 64

// A flight is one update of a repository for all who ask about it meanwhile. Its
// context is the watcher's: those who stop waiting do not stop it.
type flight struct {
	e    *watched
	kind int
	done chan struct{} // closed when outcomes are final

	// By e.mu, until done:
	asked    []tuf.Image
	outcomes map[tuf.Image]*outcome
	closed   bool // nobody can join any more
	waiting  int  // that many wait for it

	// The flight's own:
	waited bool  // somebody waits for it since it began
	next   int   // of asked, in this run
	run    *run  // the one underway
	last   *run  // the last one that came through
	err    error // it came back with nothing
}

// An outcome is what came of one question.
type outcome struct {
	answer *reply
	given  *Decision // of the last error
	errs   []error
}

// A run is what one server, or the folder, showed.
type run struct {
	x       *Update
	state   string
	checked time.Time
	answers map[tuf.Image]*reply
}

func newFlight(e *watched, kind int, asked ...tuf.Image) *flight {
	f := &flight{e: e, kind: kind, done: make(chan struct{}), outcomes: map[tuf.Image]*outcome{}, waited: len(asked) > 0}
	for _, image := range asked {
		f.ask(image)
	}
	return f
}

// ask adds a question. Its texts are copied: they may be parts of a large request.
func (f *flight) ask(image tuf.Image) {
	if f.outcomes[image] == nil {
		image = tuf.Image{Repository: f.e.repository, Tag: strings.Clone(image.Tag), Digest: strings.Clone(image.Digest)}
		f.outcomes[image] = &outcome{}
		f.asked = append(f.asked, image)
	}
}

// wait has a flight find out, and waits for it.
func (w *Watcher) wait(ctx context.Context, e *watched, image tuf.Image, isOffline bool) (*reply, error) {
	kind := online
	if isOffline {
		kind = offline
	}
	f, a := w.board(e, image, kind)
	if f == nil {
		return a, nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		f.leave()
		return nil, fmt.Errorf("%s: the answer was not waited for: %w", image.Repository, ctx.Err())
	}
	a = f.outcomes[image].answer
	// Another question of the same flight may have taken long.
	if now := w.client.config.Now(); kind == online && a.err == nil && !a.inDate(now) {
		return nil, a.first.expired(e.repository, now)
	}
	return a, nil
}

// board joins the flight underway, or begins one. When one has just come back with
// the answer, that is returned.
func (w *Watcher) board(e *watched, image tuf.Image, kind int) (*flight, *reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if kind == online {
		if a, checked := w.known(e, image, w.client.config.Now(), false); a != nil {
			later := *a
			later.checked = checked
			return nil, &later
		}
	}
	e.boarded = true
	flights := &e.flights[kind]
	switch f := flights.now; {
	case f == nil:
		f = newFlight(e, kind, image)
		if !w.start(func() { w.fly(f) }) {
			return nil, &reply{err: ErrClosed}
		}
		flights.now = f
		f.waiting++
		return f, nil
	case !f.closed:
		f.ask(image)
		f.waiting++
		return f, nil
	}
	if flights.next == nil {
		flights.next = newFlight(e, kind)
		flights.next.waited = true
	}
	flights.next.ask(image)
	flights.next.waiting++
	return flights.next, nil
}

// leave counts one who waits no more.
func (f *flight) leave() {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	f.waiting--
}

// abandoned tells whether nobody waits for the flight any more, and then keeps others
// from joining.
func (f *flight) abandoned() bool {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	if f.waiting == 0 {
		f.closed = true
	}
	return f.waiting == 0
}

// fly runs a flight, and then the one that waits for it to end.
func (w *Watcher) fly(f *flight) {
	f.err = w.travel(f)
	for next := w.land(f); next != nil; next = w.land(next) {
		flight := next
		if w.start(func() { w.fly(flight) }) {
			break
		}
		next.err = ErrClosed
	}
	w.shrink(nil)
}

// travel takes its turn and finds out. That it breaks off is trouble for those who
// wait for it, not the end of the process.
func (w *Watcher) travel(f *flight) (err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("%s: could not find out: verifying broke off: %v", f.e.repository, trouble)
		}
	}()
	if f.kind == online && f.waited {
		select {
		case f.e.upstream.demand <- struct{}{}:
			defer func() { <-f.e.upstream.demand }()
			// It may have waited for long, behind what others ask about and give up: for a
			// server that is silent, their questions would pile up.
			if f.abandoned() {
				return errAbandoned
			}
		case <-w.ctx.Done():
			return ErrClosed
		}
	}
	leave, err := w.enter(w.ctx, f.e.repository)
	if err != nil {
		return err
	}
	defer leave()
	if f.kind == offline {
		w.count.reads.Add(1)
		return w.read(f)
	}
	if !f.waited && w.confirm(f) {
		w.count.confirmed.Add(1)
		w.count.updates.Add(1)
		if f.close() {
			return nil
		}
	}
	if failed := f.e.failure.Load(); failed == nil && f.hasQuestions() && w.readLately(f) {
		w.count.reads.Add(1)
		return nil
	}
	w.count.updates.Add(1)
	return w.update(f)
}

// close keeps others from joining, unless somebody has.
func (f *flight) close() bool {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	f.closed = len(f.asked) == 0
	return f.closed
}

func (f *flight) hasQuestions() bool {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	return len(f.asked) > 0
}

// land makes what came of a flight known, and returns the one that follows it.
func (w *Watcher) land(f *flight) *flight {
	e, now := f.e, w.client.config.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.err != nil && w.ctx.Err() != nil && !tuf.IsRefusal(f.err) {
		f.err = ErrClosed
	}
	refusals := map[tuf.Image]*reply{}
	for image, o := range f.outcomes {
		if o.answer != nil && f.err == nil {
			continue
		}
		err := f.err
		if err == nil {
			err = joinedErrors(o.errs)
		}
		o.answer = &reply{err: err, at: now, turn: &atomic.Int64{}}
		if f.err == nil && f.last != nil && o.given != nil {
			o.answer.err = o.given.finish(image, Options{}, err)
			o.answer.given, o.answer.checked, o.answer.first = o.given, f.last.checked, f.last.x.floor()
			refusals[image] = o.answer
		}
	}
	if f.kind == online && !errors.Is(f.err, errAbandoned) {
		w.judge(f, refusals, now)
	}
	f.closed = true
	flights := &e.flights[f.kind]
	flights.now, flights.next = flights.next, nil
	close(f.done)
	return flights.now
}

// judge notes how the servers did. e.mu is held.
func (w *Watcher) judge(f *flight, refusals map[tuf.Image]*reply, now time.Time) {
	e := f.e
	switch {
	case f.err == nil:
		e.failure.Store(nil)
	default:
		e.failure.Store(&failure{err: f.err, at: now})
		if tuf.IsRefusal(f.err) {
			w.count.refusals.Add(1)
		} else {
			w.count.troubles.Add(1)
		}
	}
	if h := e.held.Load(); h != nil && len(refusals) > 0 {
		again := *h
		again.answers = withAnswers(h.answers, refusals, w.config.MaxAnswers)
		w.put(e, &again)
	}
	w.schedule(e, now)
}

func joinedErrors(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
