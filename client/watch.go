package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A WatchConfig bounds what a Watcher holds and how old its answers may be. Zero
// fields mean the defaults.
type WatchConfig struct {
	// Refresh is the oldest that an answer may be while servers answer, and so how
	// soon a new root or a revocation is seen; default 1 minute.
	Refresh time.Duration
	// Negative is how long refusals and troubles are held, at most 1 minute; default
	// 5 s.
	Negative time.Duration
	// MaxRepositories are watched at once, under however many anchors; default
	// 10,000. The one that was asked about least recently goes first.
	MaxRepositories int
	// MaxBytes bounds what is held in memory, roughly; default 256 MiB.
	MaxBytes int64
	// MaxAnswers are remembered for each repository; default 256.
	MaxAnswers int
	// Idle is how long a repository is watched that nobody asks about; default 1 hour.
	Idle time.Duration
	// Workers are refreshes at once in the background, for each set of servers;
	// default 8. Questions may start four times as many.
	Workers int
}

func (c WatchConfig) orDefault() WatchConfig {
	duration := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	duration(&c.Refresh, time.Minute)
	duration(&c.Negative, 5*time.Second)
	c.Negative = min(c.Negative, time.Minute)
	duration(&c.Idle, time.Hour)
	if c.MaxRepositories <= 0 {
		c.MaxRepositories = 10_000
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxAnswers <= 0 {
		c.MaxAnswers = 256
	}
	if c.Workers <= 0 {
		c.Workers = 8
	}
	return c
}

// ErrClosed says that a Watcher was closed.
var ErrClosed = errors.New("the verifier was closed")

// A Watcher verifies images in long-lived processes. It gives the answers of a
// Client, out of memory: what was answered is asked again in the background, so
// that it never gets older than WatchConfig.Refresh, and every expiry is judged
// anew at every answer. The client's state folder stays the truth, across restarts
// and among processes.
//
// One update runs for a repository at a time, for all who ask about it; whoever
// stops waiting does not stop it. While servers cannot be reached, what is younger
// than Refresh is still answered, then Verify returns the trouble; what was
// verified last is answered with Options.Offline, until it expires. What a refresh
// refuses (a step back, a bad signature) is refused from then on.
//
// Only answers are held, no metadata: what was not asked before is answered from the
// state folder, if a server has confirmed that less than Refresh ago. 10,000
// repositories with one answer each take 25 MiB, each further answer 1.2 KiB:
//
//	TMPDIR=/dev/shm go test ./client -run '^$' -bench WatcherMemory -benchtime 1x
//
// Warm answers take no lock that anybody holds for long; 256 askers at once, on two
// cores that were busy otherwise, got 140,000 a second, 99 of 100 within 25 µs:
//
//	go test ./client -run '^$' -bench 'Watcher$' -benchtime 500000x
//
// It is safe for concurrent use. Anchors that are given in Options must not be
// changed afterwards, but may be given anew for each question.
type Watcher struct {
	client *Client
	config WatchConfig

	mu        sync.RWMutex // of what follows
	entries   map[watchKey]*watched
	upstreams map[string]*upstream
	closed    bool

	shrinking sync.Mutex

	roomsMu sync.Mutex
	rooms   map[string]*room // by repository, while a flight is underway

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	group  sync.WaitGroup // all goroutines

	occupied occupied

	anchors anchorIDs
	turn    atomic.Int64 // counts the questions, to order them
	bytes   atomic.Int64 // that are held, roughly
	count   watchCounts
}

// NewWatcher returns a Watcher that asks by way of c. Close it.
func NewWatcher(c *Client, config WatchConfig) *Watcher {
	w := newWatcher(c, config)
	w.group.Go(w.background)
	w.group.Go(w.occupy)
	return w
}

// newWatcher returns one that does nothing in the background.
func newWatcher(c *Client, config WatchConfig) *Watcher {
	w := &Watcher{client: c, config: config.orDefault(), entries: map[watchKey]*watched{}, upstreams: map[string]*upstream{}, rooms: map[string]*room{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Verify answers as Client.Verify does, under the same contract. Options.Offline
// answers from what is held, in memory or else in the state folder, while none of
// it has expired, and asks nobody. Options.From is passed on to the client.
func (w *Watcher) Verify(ctx context.Context, image tuf.Image, options Options) (*Decision, error) {
	if options.From != "" {
		return w.client.Verify(ctx, image, options)
	}
	if options.Held {
		return w.verifyHeld(image, options)
	}
	w.count.questions.Add(1)
	e, err := w.about(image, options, w.entry)
	if err != nil {
		return refused(image, options, err)
	}
	now := w.asked(e)
	a, checked := w.known(e, image, now, options.Offline)
	if a != nil {
		w.count.known.Add(1)
		return a.decision(image, options, checked, now)
	}
	if a, err = w.wait(ctx, e, image, options.Offline); err != nil {
		return refused(image, options, err)
	}
	return a.decision(image, options, a.checked, w.client.config.Now())
}

// verifyHeld is Verify for Options.Held. What it does not answer was not asked: that
// is counted when it is asked to the end.
func (w *Watcher) verifyHeld(image tuf.Image, options Options) (*Decision, error) {
	e, err := w.about(image, options, func(repository string, anchor *Anchor) (*watched, error) {
		e, _, err := w.find(repository, anchor)
		return e, err
	})
	if err != nil {
		return refused(image, options, err)
	}
	if e != nil && !options.Offline { // without servers, the state folder has a say
		now := w.asked(e)
		if a, checked := w.known(e, image, now, false); a != nil && (a.err == nil || tuf.IsRefusal(a.err)) {
			w.count.questions.Add(1)
			w.count.known.Add(1)
			return a.decision(image, options, checked, now)
		}
	}
	return refused(image, options, ErrNotHeld)
}

// about returns what get has of the repository that a question is about, under its
// anchor.
func (w *Watcher) about(image tuf.Image, options Options, get func(repository string, anchor *Anchor) (*watched, error)) (*watched, error) {
	if err := checkImage(image); err != nil {
		return nil, err
	}
	anchor, err := w.client.anchor(image.Repository, options)
	if err != nil {
		return nil, err
	}
	return get(image.Repository, anchor)
}

// asked notes that somebody asks about e, now.
func (w *Watcher) asked(e *watched) (now time.Time) {
	now = w.client.config.Now()
	e.turn.Store(w.turn.Add(1))
	e.askedAt.Store(now.UnixNano())
	return now
}

// refused is the decision that a question is answered with when nothing was read.
func refused(image tuf.Image, options Options, err error) (*Decision, error) {
	d := &Decision{}
	return d, d.finish(image, options, err)
}

// known answers from memory, by what was confirmed at a time, or returns nil.
func (w *Watcher) known(e *watched, image tuf.Image, now time.Time, offline bool) (a *reply, checked time.Time) {
	h, f := e.held.Load(), e.failure.Load()
	if offline {
		if a := w.knownOffline(e, h, image, now); a != nil {
			return a, h.checked
		}
		return nil, checked
	}
	failing := f != nil && within(f.at, now, w.config.Negative)
	if f != nil && tuf.IsRefusal(f.err) { // nothing older is answered in its place
		if failing {
			return &reply{err: f.err}, checked
		}
		return nil, checked
	}
	if h.fresh(now, w.config.Refresh) {
		a := h.answers[image]
		if a != nil && a.inDate(now) && (a.err == nil || within(a.at, now, w.config.Negative)) {
			a.turn.Store(e.turn.Load())
			return a, h.checked
		}
	}
	if failing {
		return &reply{err: f.err}, checked
	}
	return nil, checked
}

// knownOffline answers from memory what nobody is asked about. It may be as old as
// its expiries allow, unless the state folder has moved on, by another process.
func (w *Watcher) knownOffline(e *watched, h *held, image tuf.Image, now time.Time) *reply {
	if h == nil || h.clock.at.Sub(now) > clockTolerance || e.anchor.Hardware != nil {
		return nil
	}
	a := h.answers[image]
	if a == nil || a.err != nil || !a.inDate(now) {
		return nil
	}
	path, err := stateDir(w.client.config.StateDir, e.repository)
	if err != nil {
		return nil
	}
	if d, err := OpenDir(path); err != nil || d.marks.Generation != h.generation {
		return nil
	}
	a.turn.Store(e.turn.Load())
	return a
}

// within tells whether at was less than most ago. Where the clock has gone back by
// more than clocks do, it was not.
func within(at, now time.Time, most time.Duration) bool {
	return elapsed(at, now) < most && at.Round(0).Sub(now.Round(0)) <= clockTolerance
}

// Close ends the background work, waits for it and saves what of the time was not
// saved yet. Questions that wait get ErrClosed.
func (w *Watcher) Close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.group.Wait()
	if again {
		return nil
	}
	return errors.Join(w.saveTimes(), w.occupied.leave())
}

// start runs f in a goroutine that Close waits for; false after Close.
func (w *Watcher) start(f func()) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return false
	}
	w.group.Go(f)
	return true
}
