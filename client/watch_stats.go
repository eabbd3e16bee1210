package client

import (
	"fmt"
	"sync/atomic"
	"time"
)

// WatchStats tells how a Watcher is doing. Counts are since it was made.
type WatchStats struct {
	Repositories int   // watched now, each anchor for itself
	Answers      int   // remembered now
	Bytes        int64 // held in memory, roughly
	Dropped      int64 // not watched any more, for want of questions or of room

	Questions int64 // asked
	Known     int64 // of these, answered from memory
	Updates   int64 // that asked servers
	Confirmed int64 // of these, where nothing was new
	Reads     int64 // that asked the state folder alone

	Troubles int64 // updates that could not find out
	Refusals int64 // updates that were refused
	Failing  int   // repositories of which the last update failed
	Trouble  error // why, of the one whose update failed last; nil: none did

	// Oldest is how long ago that was confirmed which is held longest without a word
	// from its server, of what is not idle.
	Oldest time.Duration
}

type watchCounts struct {
	questions, known, updates, confirmed, reads, troubles, refusals, dropped atomic.Int64
}

// Stats tells how w is doing.
func (w *Watcher) Stats() WatchStats {
	s := WatchStats{Bytes: w.bytes.Load(), Dropped: w.count.dropped.Load(), Questions: w.count.questions.Load(), Known: w.count.known.Load(),
		Updates: w.count.updates.Load(), Confirmed: w.count.confirmed.Load(), Reads: w.count.reads.Load(),
		Troubles: w.count.troubles.Load(), Refusals: w.count.refusals.Load()}
	now := w.client.config.Now()
	var last time.Time
	for _, e := range w.all() {
		s.Repositories++
		if f := e.failure.Load(); f != nil {
			s.Failing++
			if s.Trouble == nil || f.at.After(last) {
				s.Trouble, last = fmt.Errorf("%s: %w", e.repository, f.err), f.at
			}
		}
		if h := e.held.Load(); h != nil {
			s.Answers += len(h.answers)
			if !h.checked.IsZero() {
				s.Oldest = max(s.Oldest, elapsed(h.checked, now))
			}
		}
	}
	return s
}
