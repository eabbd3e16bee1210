package client

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// A watchKey tells apart what is watched: by repository, and by all that an anchor
// demands, for one repository may be asked about under several.
type watchKey struct {
	repository string
	anchor     [sha256.Size]byte
}

// anchorIDs remembers the IDs of anchors by their address, which stays an anchor's
// own while it stands here: to hash one costs more than all else in an answer.
type anchorIDs struct {
	mu  sync.RWMutex
	ids map[*Anchor][sha256.Size]byte
}

// maxAnchorIDs are remembered; those who give a new anchor for each question would
// else fill the memory.
const maxAnchorIDs = 4096

func (l *anchorIDs) of(a *Anchor) (id [sha256.Size]byte, err error) {
	l.mu.RLock()
	id, ok := l.ids[a]
	l.mu.RUnlock()
	if ok {
		return id, nil
	}
	if id, err = a.id(); err != nil {
		return id, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil || len(l.ids) >= maxAnchorIDs {
		l.ids = map[*Anchor][sha256.Size]byte{}
	}
	l.ids[a] = id
	return id, nil
}

// id is a hash of all that an anchor says.
func (a *Anchor) id() (id [sha256.Size]byte, err error) {
	data, err := json.Marshal(a)
	return sha256.Sum256(data), err
}

// An upstream is one set of servers.
type upstream struct {
	anchor Anchor        // its servers, authorities and whether HTTP will do; nothing else
	demand chan struct{} // one for each flight that somebody waits for
	done   chan struct{} // closed when its last refreshes ended; the background's goroutine alone looks
}

// find returns what is watched of a repository under an anchor; nil: nothing.
func (w *Watcher) find(repository string, anchor *Anchor) (*watched, watchKey, error) {
	id, err := w.anchors.of(anchor)
	if err != nil {
		return nil, watchKey{}, err
	}
	key := watchKey{repository, id}
	w.mu.RLock()
	e, closed := w.entries[key], w.closed
	w.mu.RUnlock()
	if closed {
		return nil, key, ErrClosed
	}
	return e, key, nil
}

// entry is find, and watches from now on what was not watched.
func (w *Watcher) entry(repository string, anchor *Anchor) (*watched, error) {
	e, key, err := w.find(repository, anchor)
	if e != nil || err != nil {
		return e, err
	}
	key.repository = strings.Clone(repository)
	e = &watched{key: key, repository: key.repository, anchor: anchor.clone()}
	e.turn.Store(w.turn.Add(1))
	e.askedAt.Store(w.client.config.Now().UnixNano())
	e.due.Store(never)
	w.mu.Lock()
	if known := w.entries[key]; known != nil {
		w.mu.Unlock()
		return known, nil
	}
	e.upstream = w.upstream(e.anchor)
	e.anchor.Servers, e.anchor.CA = e.upstream.anchor.Servers, e.upstream.anchor.CA
	w.entries[key] = e
	w.mu.Unlock()
	e.mu.Lock()
	w.account(e, e.fixed())
	e.mu.Unlock()
	w.shrink(e)
	return e, nil
}

// upstream returns the upstream of an anchor, which lends it its texts: they are
// held once for all. w.mu is held.
func (w *Watcher) upstream(a *Anchor) *upstream {
	name := strings.Join(a.Servers, "\n") + "\n\n" + a.CA
	if a.PlainHTTP {
		name += "\nplain HTTP"
	}
	u := w.upstreams[name]
	if u == nil {
		u = &upstream{anchor: Anchor{Servers: a.Servers, CA: strings.Clone(a.CA), PlainHTTP: a.PlainHTTP}, demand: make(chan struct{}, 4*w.config.Workers)}
		w.upstreams[name] = u
	}
	return u
}

// clone copies an anchor: whoever gave it may change it.
func (a *Anchor) clone() *Anchor {
	c := *a
	c.RootKeys, c.Servers, c.Require = slices.Clone(a.RootKeys), slices.Clone(a.Servers), slices.Clone(a.Require)
	for i := range c.Require {
		c.Require[i].Keys = slices.Clone(c.Require[i].Keys)
	}
	if a.Hardware != nil {
		demand := *a.Hardware
		c.Hardware = &demand
	}
	return &c
}

// shrink lets those go that were asked about least recently, while more is held than
// the configuration allows. It takes a little more than it must, so as not to look
// for every single one. keep stays, which somebody is about to ask for.
func (w *Watcher) shrink(keep *watched) {
	if !w.overfull() {
		return
	}
	w.shrinking.Lock() // two at once would take more than they must
	defer w.shrinking.Unlock()
	w.mu.RLock()
	count := len(w.entries)
	w.mu.RUnlock()
	most, bytes := w.config.MaxRepositories, w.config.MaxBytes
	if count <= most && w.bytes.Load() <= bytes {
		return
	}
	if count > most {
		most -= most / 64
	}
	if w.bytes.Load() > bytes {
		bytes -= bytes / 64
	}
	type candidate struct {
		e    *watched
		vain bool
		turn int64
	}
	var all []candidate
	for _, e := range w.all() {
		if e != keep {
			all = append(all, candidate{e, e.inVain(), e.turn.Load()})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.vain != b.vain {
			if a.vain { // names that nobody knows must not drive out what is known
				return -1
			}
			return 1
		}
		return cmp.Compare(a.turn, b.turn)
	})
	for _, c := range all {
		if count <= most && w.bytes.Load() <= bytes {
			return
		}
		w.drop(c.e)
		count--
	}
}

func (w *Watcher) overfull() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.entries) > w.config.MaxRepositories || w.bytes.Load() > w.config.MaxBytes
}

// inVain tells whether e was asked about, nothing was ever found, and nobody waits for
// what is being found out.
func (e *watched) inVain() bool {
	if e.held.Load() != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flights {
		if f.now != nil && f.now.waiting > 0 || f.next != nil && f.next.waiting > 0 {
			return false
		}
	}
	return e.boarded // else somebody is about to
}

// all lists what is watched.
func (w *Watcher) all() []*watched {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := make([]*watched, 0, len(w.entries))
	for _, e := range w.entries {
		list = append(list, e)
	}
	return list
}

// drop watches e no more. What was verified stays in the state folder.
func (w *Watcher) drop(e *watched) {
	w.mu.Lock()
	there := w.entries[e.key] == e
	if there {
		delete(w.entries, e.key)
	}
	w.mu.Unlock()
	if !there {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	w.account(e, 0)
	w.count.dropped.Add(1)
}

// A room is where the flights of one repository take turns: they share its folder.
type room struct {
	seat chan struct{}
	refs int
}

// enter waits for its turn at a repository.
func (w *Watcher) enter(ctx context.Context, repository string) (leave func(), err error) {
	w.roomsMu.Lock()
	r := w.rooms[repository]
	if r == nil {
		r = &room{seat: make(chan struct{}, 1)}
		w.rooms[repository] = r
	}
	r.refs++
	w.roomsMu.Unlock()
	out := func() {
		w.roomsMu.Lock()
		defer w.roomsMu.Unlock()
		if r.refs--; r.refs == 0 {
			delete(w.rooms, repository)
		}
	}
	select {
	case r.seat <- struct{}{}:
		return func() { <-r.seat; out() }, nil
	case <-ctx.Done():
		out()
		return nil, ErrClosed
	}
}

// never is the due time of what is not to be refreshed.
const never = int64(1<<63 - 1)

// schedule says when e is to be refreshed next: ahead of the end of the interval,
// and ahead of the first expiry of what is held, yet not all at once.
func (w *Watcher) schedule(e *watched, now time.Time) {
	refresh := w.config.Refresh
	// Between a half and three quarters of the interval, by the key.
	wait := refresh/2 + time.Duration(e.jitter())*refresh/1024
	if e.held.Load() == nil {
		e.due.Store(never) // a name that nobody knows is asked for by those who ask about it
		return
	}
	if e.failure.Load() != nil {
		wait = max(refresh/4, w.config.Negative)
	} else if h := e.held.Load(); h != nil {
		for _, a := range h.answers {
			if a.err == nil {
				wait = min(wait, max(a.first.Expires.Sub(now)-refresh/4, refresh/8))
			}
		}
	}
	e.due.Store(now.Add(wait).UnixNano())
}

// jitter is a number from 0 to 255 that differs between repositories.
func (e *watched) jitter() byte {
	sum := sha256.Sum256([]byte(e.repository))
	return sum[0]
}
