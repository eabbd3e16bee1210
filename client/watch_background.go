package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// background refreshes what is due until Close.
func (w *Watcher) background() {
	tick := time.NewTicker(min(max(w.config.Refresh/32, 5*time.Millisecond), 2*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
			w.refreshDue()
		}
	}
}

// refreshDue begins to refresh what is due, each set of servers for itself, so that
// one that is slow holds up no other. It returns when all of it is underway.
func (w *Watcher) refreshDue() {
	now := w.client.config.Now().UnixNano()
	due := map[*upstream][]*watched{}
	for _, e := range w.all() {
		switch {
		case now-e.askedAt.Load() > int64(w.config.Idle):
			w.drop(e)
		case e.due.Load() <= now:
			due[e.upstream] = append(due[e.upstream], e)
		}
	}
	for u, list := range due {
		if u.done != nil {
			select {
			case <-u.done:
			default:
				continue // still at the last ones
			}
		}
		slices.SortFunc(list, func(a, b *watched) int { return int(a.due.Load() - b.due.Load()) })
		done := make(chan struct{})
		if w.start(func() { defer close(done); w.refreshAll(list) }) {
			u.done = done
		}
	}
}

// refreshAll refreshes what is listed, Workers at a time.
func (w *Watcher) refreshAll(list []*watched) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(w.config.Workers, len(list)) {
		workers.Go(func() {
			for w.ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(list)) {
					return
				}
				if f := list[i].depart(); f != nil {
					w.fly(f)
				}
			}
		})
	}
	workers.Wait()
}

// depart begins a flight without a question, unless one is underway.
func (e *watched) depart() *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone || e.flights[online].now != nil {
		return nil
	}
	f := newFlight(e, online)
	e.flights[online].now = f
	return f
}

// saveTimes marks, for what was confirmed since it was saved last, when that was. It
// stops after two seconds: what is not saved makes answers look older than they are.
func (w *Watcher) saveTimes() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var list []*watched
	for _, e := range w.all() {
		if h := e.held.Load(); h != nil && h.checked.Sub(h.marked) > clockGrain {
			list = append(list, e)
		}
	}
	var mu sync.Mutex
	var errs []error
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(w.config.Workers, len(list)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(list)) {
					return
				}
				if err := w.saveTime(ctx, list[i]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

// saveTime does so for one repository, where nobody else has saved meanwhile.
func (w *Watcher) saveTime(ctx context.Context, e *watched) error {
	path, err := stateDir(w.client.config.StateDir, e.repository)
	if err != nil {
		return err
	}
	h := e.held.Load()
	d, err := OpenDir(path)
	if err != nil || d.marks.Generation != h.generation || d.marks.CheckedFor != h.state {
		return err
	}
	d.markChecked(h.checked, h.state, 0)
	if err := d.Save(ctx, nil); !errors.Is(err, errMoved) && ctx.Err() == nil {
		return remembering(path, err)
	}
	return nil
}

// markChecked marks when state was confirmed, and that time as seen, if that is
// grain later than what is marked. It tells whether it did.
func (d *Dir) markChecked(checked time.Time, state string, grain time.Duration) bool {
	at := checked.UTC().Truncate(time.Second)
	if d.marks.CheckedFor == state && at.Sub(d.marks.Checked) <= grain {
		return false
	}
	d.marks.Checked, d.marks.CheckedFor = at, state
	if at.After(d.marks.Time) {
		d.marks.Time = at
	}
	return true
}
