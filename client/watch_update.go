package client

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// session returns the session that a flight's questions are asked in.
func (w *Watcher) session(f *flight) (*session, error) {
	path, err := stateDir(w.client.config.StateDir, f.e.repository)
	if err != nil {
		return nil, err
	}
	s := &session{client: w.client, repository: f.e.repository, anchor: f.e.anchor, path: path, token: w.client.token}
	if h := f.e.held.Load(); h != nil {
		s.seen = h.clock
	}
	s.question = func(ctx context.Context, x *Update) error { return w.questions(ctx, f, s, x) }
	return s, nil
}

// questions answers, by what x verified, all that is asked until nothing is left,
// and after something new was published what was asked before.
func (w *Watcher) questions(ctx context.Context, f *flight, s *session, x *Update) error {
	f.run = &run{x: x, state: x.fingerprint(), checked: x.checked, answers: map[tuf.Image]*reply{}}
	before := f.e.held.Load()
	if s.lately {
		if before == nil || before.state != f.run.state {
			return errUnsettled
		}
		f.run.checked = before.checked
	}
	f.begin()
	unsettled := false
	for image, o := f.take(); o != nil; image, o = f.take() {
		d, err := w.client.decide(ctx, x, image)
		if err != nil && (!final(err) || s.lately) {
			o.given, o.errs, unsettled = d, append(o.errs, err), true
			continue
		}
		f.run.answers[image] = w.answered(f, image, d, err)
	}
	if before != nil && before.state != f.run.state && f.kind == online {
		w.renew(ctx, f, before)
	}
	if unsettled {
		return errUnsettled
	}
	return nil
}

// begin begins the questions anew: what an earlier run answered counts only if it
// was settled by then.
func (f *flight) begin() {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	f.next, f.closed = 0, false
}

// take returns the next question that is not settled; nil when there is none, and
// nobody can join from then on.
func (f *flight) take() (tuf.Image, *outcome) {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	for f.next < len(f.asked) {
		image := f.asked[f.next]
		f.next++
		if o := f.outcomes[image]; o.answer == nil {
			return image, o
		}
	}
	f.closed = true
	return tuf.Image{}, nil
}

// renew asks again what was asked before.
func (w *Watcher) renew(ctx context.Context, f *flight, before *held) {
	images := recent(before.answers)
	for _, image := range images[:min(len(images), maxRenewals)] {
		if before.answers[image].err != nil || f.run.answers[image] != nil {
			continue
		}
		d, err := w.client.decide(ctx, f.run.x, image)
		if err != nil && !final(err) {
			continue // whoever asks for it will find out
		}
		a := w.answered(f, image, d, err)
		a.turn = before.answers[image].turn
		f.run.answers[image] = a
	}
}

// answered is the answer to one question.
func (w *Watcher) answered(f *flight, image tuf.Image, d *Decision, err error) *reply {
	err = d.finish(image, Options{}, err)
	a := &reply{given: d, err: err, at: w.client.config.Now(), first: f.run.x.firstToExpire(), checked: f.run.checked, turn: &atomic.Int64{}}
	a.turn.Store(w.turn.Load())
	return a
}

// update asks one server after the other, until all is settled.
func (w *Watcher) update(f *flight) error {
	s, err := w.session(f)
	if err != nil {
		return err
	}
	if len(s.anchor.Servers) == 0 {
		return errNoServer
	}
	var failed []error
	for _, address := range s.anchor.Servers {
		f.run = nil
		err := s.server(w.ctx, address)
		if _, lost := errors.AsType[*stateError](err); lost {
			return err // nothing counts that could not be remembered
		}
		if err == nil || errors.Is(err, errUnsettled) {
			w.commit(f, address)
			if err == nil {
				return nil
			}
			continue
		}
		failed = append(failed, err)
		f.each(func(o *outcome) { o.errs = append(o.errs, err) })
		if final(err) || w.ctx.Err() != nil {
			break
		}
	}
	if f.last != nil {
		return nil
	}
	return joinedErrors(failed)
}

// each visits the outcomes that are not settled.
func (f *flight) each(visit func(*outcome)) {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	for _, o := range f.outcomes {
		if o.answer == nil {
			visit(o)
		}
	}
}

// commit settles what a run answered, and holds what it showed.
func (w *Watcher) commit(f *flight, address string) {
	e, x := f.e, f.run.x
	d := x.u.Store.(*Dir)
	h := &held{checked: f.run.checked, state: f.run.state, generation: d.marks.Generation, clock: clockMark{at: d.marks.Time, marked: d.marks.Time}, marked: d.marks.Checked, expires: x.floor().Expires}
	if h.checked.After(h.clock.at) {
		h.clock.at = h.checked.Round(0)
	}
	if base, err := checkAddress(address, e.anchor.PlainHTTP); err == nil {
		h.confirm = confirmation{server: base, root: x.trusted.Root().Signed.Version, timestamp: digestHex(x.trusted.Bytes(tuf.RoleTimestamp))}
		if d.marks.Server == base && d.marks.ETagFor == h.confirm.timestamp {
			h.confirm.etag = d.marks.ETag
		}
	}
	f.last = f.run
	e.mu.Lock()
	defer e.mu.Unlock()
	for image, a := range f.run.answers {
		if o := f.outcomes[image]; o != nil {
			o.answer = a
		}
	}
	var before map[tuf.Image]*reply
	if known := e.held.Load(); known != nil && known.state == h.state {
		before = known.answers
		if address == "" { // nobody was asked
			h.confirm = known.confirm
			// The folder is not told each time; it may have been told to forget a clock that
			// ran ahead.
			if known.checked.After(h.checked) && !d.marks.Time.Before(known.clock.marked) && known.checked.Round(0).Sub(w.client.config.Now().Round(0)) <= clockTolerance {
				h.checked, h.clock.at = known.checked, later(known.clock.at, h.clock.at)
				for _, a := range f.run.answers {
					a.checked = h.checked
				}
			}
		}
	}
	h.answers = withAnswers(before, f.run.answers, w.config.MaxAnswers)
	w.put(e, h)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// read answers out of the state folder. What has expired, as some anchors allow, is
// answered but not held.
func (w *Watcher) read(f *flight) error {
	s, err := w.session(f)
	if err != nil {
		return err
	}
	err = s.stale(func() error { f.run = nil; return s.offline(w.ctx) })
	if err != nil && !errors.Is(err, errUnsettled) {
		return err
	}
	if s.late {
		f.e.mu.Lock()
		defer f.e.mu.Unlock()
		for image, a := range f.run.answers {
			f.outcomes[image].answer = a
		}
		return nil
	}
	w.commit(f, "")
	return nil
}

// readLately answers, by what a server has confirmed less than Refresh ago, what was
// not asked before. It is no way to a refusal: what was signed since then would be
// refused.
func (w *Watcher) readLately(f *flight) bool {
	h := f.e.held.Load()
	if !h.fresh(w.client.config.Now(), w.config.Refresh) || len(f.e.anchor.Servers) == 0 {
		return false
	}
	s, err := w.session(f)
	if err != nil {
		return false
	}
	s.lately = true
	err = s.server(w.ctx, f.e.anchor.Servers[0])
	if err == nil {
		w.commit(f, "")
		return true
	}
	f.run = nil
	f.each(func(o *outcome) { o.given, o.errs = nil, nil })
	return false
}

// lately is a FetchFunc that does not ask for what is known to be the newest.
func lately(fetch FetchFunc) FetchFunc {
	return func(ctx context.Context, name string, max int64, etag string) (Fetched, error) {
		switch {
		case name == tuf.FileName(tuf.RoleTimestamp, 0):
			return Fetched{ETag: etag, NotModified: true}, nil
		case strings.HasSuffix(name, ".root.json"):
			return Fetched{}, tuf.ErrNotFound
		}
		return fetch(ctx, name, max, etag)
	}
}

// confirm asks for the next root and for the timestamp alone. There being none, and
// it being the one that is held, a whole update would verify the very files again
// that are in the state folder, by the same keys: it could find but an expiry, which
// is judged at every answer, or a chain of attestations that has expired, for which
// reason demands for hardware are not taken this way. Whatever else is the case is
// left to a whole update.
func (w *Watcher) confirm(f *flight) bool {
	e, h := f.e, f.e.held.Load()
	if h == nil || h.confirm.server == "" || e.failure.Load() != nil || e.anchor.Hardware != nil {
		return false
	}
	s, err := w.session(f)
	if err != nil {
		return false
	}
	began := w.client.config.Now()
	d, err := s.open()
	if err != nil || d.marks.Generation != h.generation || !h.expires.After(began) {
		return false
	}
	r, err := w.client.remote(e.anchor.Servers[0], e.anchor.CA, e.anchor.PlainHTTP, s.token(e.anchor.Servers[0], e.anchor.CA))
	if err != nil || r.base != h.confirm.server {
		return false
	}
	fetch := r.fetch(e.repository)
	if _, err := fetch(w.ctx, tuf.FileName(tuf.RoleRoot, h.confirm.root+1), maxRoot, ""); !errors.Is(err, tuf.ErrNotFound) {
		return false
	}
	fetched, err := fetch(w.ctx, tuf.FileName(tuf.RoleTimestamp, 0), maxTimestamp, h.confirm.etag)
	if err != nil || !fetched.NotModified && digestHex(fetched.Bytes) != h.confirm.timestamp || d.moved() {
		return false
	}
	again := *h
	again.checked = began
	if d.markChecked(began, h.state, clockTolerance) {
		if err := d.Save(context.WithoutCancel(w.ctx), nil); err != nil {
			return false
		}
		again.generation, again.marked = d.marks.Generation, d.marks.Checked
	}
	again.clock = clockMark{at: later(began.Round(0), d.marks.Time), marked: d.marks.Time}
	e.mu.Lock()
	defer e.mu.Unlock()
	again.answers = e.held.Load().answers
	w.put(e, &again)
	return true
}
