package client

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/tuf"
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

// ServerStats tells how the refreshes go of what one set of servers has.
type ServerStats struct {
	Servers      []string // their addresses
	Repositories int      // watched under them, each anchor for itself, but for names that nobody knows
	Failing      int      // of these, those whose last update failed
	Trouble      error    // why, of the one whose update failed last; nil: none did
}

// Servers tells so of each set of servers. A name of which nothing is held is refreshed
// by nobody: it counts for WatchConfig.Refresh after its servers could not be asked, and
// not at all where they say that they have no such repository, or give what is refused.
func (w *Watcher) Servers() []ServerStats {
	now := w.client.config.Now()
	index := map[*upstream]int{}
	var all []ServerStats
	last := map[*upstream]time.Time{}
	for _, e := range w.all() {
		f := e.failure.Load()
		if e.held.Load() == nil && (f == nil || tuf.IsRefusal(f.err) || errors.Is(f.err, tuf.ErrNotFound) || !within(f.at, now, w.config.Refresh)) {
			continue
		}
		i, ok := index[e.upstream]
		if !ok {
			i = len(all)
			index[e.upstream] = i
			all = append(all, ServerStats{Servers: slices.Clone(e.upstream.anchor.Servers)})
		}
		s := &all[i]
		s.Repositories++
		if f == nil {
			continue
		}
		s.Failing++
		if s.Trouble == nil || f.at.After(last[e.upstream]) {
			s.Trouble, last[e.upstream] = fmt.Errorf("%s: %w", e.repository, f.err), f.at
		}
	}
	return all
}
