package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
)

const (
	// refreshesEvery is how often it is looked at how refreshes go.
	refreshesEvery = 5 * time.Second
	// refreshesSaid is how long nothing more is said of a set of servers.
	refreshesSaid = time.Minute
)

// A refreshLog says when refreshes begin to fail and when they work again: once for a
// set of servers, however many repositories it has, and once a minute at most. What
// begins and ends in between is not told.
type refreshLog struct {
	servers func() []client.ServerStats
	log     *slog.Logger
	told    map[string]*refreshesTold // by the servers' addresses
}

// refreshesTold is what was said last of a set of servers.
type refreshesTold struct {
	failing, all bool
	at, since    time.Time
}

// run looks until ctx ends.
func (r *refreshLog) run(ctx context.Context) {
	tick := time.NewTicker(refreshesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.look(now)
		}
	}
}

// look says what has changed.
func (r *refreshLog) look(now time.Time) {
	if r.told == nil {
		r.told = map[string]*refreshesTold{}
	}
	for _, s := range r.servers() {
		name := strings.Join(s.Servers, " ")
		told := r.told[name]
		if told == nil {
			told = &refreshesTold{}
			r.told[name] = told
		}
		if !told.at.IsZero() && now.Sub(told.at) < refreshesSaid {
			continue
		}
		all := s.Failing == s.Repositories
		switch {
		case s.Failing > 0 && (!told.failing || all && !told.all):
			if !told.failing {
				told.since = now
			}
			told.failing, told.all, told.at = true, all, now
			r.log.Warn("refreshes fail: rules with unreachable: last answer by the last verdict until it expires, others refuse",
				"servers", name, "failing", s.Failing, "repositories", s.Repositories, "error", s.Trouble,
				"hint", "look whether the trust server is well (its /readyz), and whether this machine reaches it")
		case s.Failing == 0 && s.Repositories > 0 && told.failing:
			r.log.Info("refreshes work again", "servers", name, "repositories", s.Repositories, "after", now.Sub(told.since).Round(time.Second))
			*told = refreshesTold{at: now}
		}
	}
}
