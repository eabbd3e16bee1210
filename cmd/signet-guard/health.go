package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
)

// listening says whether the doors' listeners are up.
func listening(up *atomic.Bool) guard.Check {
	return guard.Check{Part: "listeners", Check: func() (guard.State, string) {
		if !up.Load() {
			return guard.Unavailable, "not up yet"
		}
		return guard.OK, ""
	}}
}

// inDate says whether the certificate that clients are shown is one that they take.
// Sockets need none.
func inDate(certs *program.Certificates, now func() time.Time) guard.Check {
	return guard.Check{Part: "certificate", Check: func() (guard.State, string) {
		if certs == nil {
			return guard.OK, ""
		}
		if expires := certs.Expires(); now().After(expires) {
			return guard.Unavailable, "expired at " + expires.UTC().Format(time.RFC3339) + ", and no other is there"
		}
		return guard.OK, ""
	}}
}

// A serversCheck says when no trust server has answered for long. The gate stays
// ready: it answers what has not expired, where the policy says so, and refuses with a
// reason, which is better than a door that does not answer.
type serversCheck struct {
	stats func() client.WatchStats
	most  time.Duration

	mu       sync.Mutex
	answered int64     // updates that found out, at the last look
	good     time.Time // when some were seen to
}

func (c *serversCheck) check() (guard.State, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats()
	now := time.Now()
	if answered := s.Updates - s.Troubles; c.good.IsZero() || answered > c.answered || s.Failing < s.Repositories || s.Repositories == 0 {
		c.answered, c.good = answered, now
	}
	if silent := now.Sub(c.good); silent >= c.most {
		return guard.Degraded, fmt.Sprintf("no trust server has answered for %s: of %d repositories, none can be refreshed: %v", silent.Round(time.Second), s.Repositories, s.Trouble)
	}
	if s.Failing > 0 {
		return guard.OK, fmt.Sprintf("%d of %d repositories could not be refreshed the last time: %v", s.Failing, s.Repositories, s.Trouble)
	}
	return guard.OK, ""
}

// A watchCollector shows a watcher's figures as metrics, taken at each scrape.
type watchCollector struct {
	stats func() client.WatchStats
	rows  []watchRow
}

type watchRow struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(client.WatchStats) float64
}

func newWatchCollector(stats func() client.WatchStats) *watchCollector {
	row := func(kind prometheus.ValueType, name, help string, value func(client.WatchStats) float64) watchRow {
		return watchRow{prometheus.NewDesc("signet_guard_"+name, help, nil, nil), kind, value}
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &watchCollector{stats, []watchRow{
		row(gauge, "repositories", "Repositories that are watched, each trust anchor for itself.", func(s client.WatchStats) float64 { return float64(s.Repositories) }),
		row(gauge, "repositories_failing", "Repositories of which the last refresh failed.", func(s client.WatchStats) float64 { return float64(s.Failing) }),
		row(gauge, "oldest_age_seconds", "Time since a server confirmed what is held longest without.", func(s client.WatchStats) float64 { return s.Oldest.Seconds() }),
		row(gauge, "held_bytes", "Metadata and answers held in memory, roughly.", func(s client.WatchStats) float64 { return float64(s.Bytes) }),
		row(gauge, "held_answers", "Answers held in memory.", func(s client.WatchStats) float64 { return float64(s.Answers) }),
		row(counter, "questions_total", "Questions to the verifier.", func(s client.WatchStats) float64 { return float64(s.Questions) }),
		row(counter, "questions_known_total", "Of these, those answered from memory.", func(s client.WatchStats) float64 { return float64(s.Known) }),
		row(counter, "refreshes_total", "Refreshes that asked trust servers.", func(s client.WatchStats) float64 { return float64(s.Updates) }),
		row(counter, "refresh_failures_total", "Of these, those that could not find out.", func(s client.WatchStats) float64 { return float64(s.Troubles) }),
		row(counter, "refresh_refusals_total", "Of these, those whose answer was refused.", func(s client.WatchStats) float64 { return float64(s.Refusals) }),
		row(counter, "repositories_dropped_total", "Repositories that are not watched any more.", func(s client.WatchStats) float64 { return float64(s.Dropped) }),
	}}
}

// Describe names the metrics.
func (c *watchCollector) Describe(to chan<- *prometheus.Desc) {
	for _, row := range c.rows {
		to <- row.desc
	}
}

// Collect takes the figures.
func (c *watchCollector) Collect(to chan<- prometheus.Metric) {
	s := c.stats()
	for _, row := range c.rows {
		to <- prometheus.MustNewConstMetric(row.desc, row.kind, row.value(s))
	}
}
