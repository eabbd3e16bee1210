package server

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// metrics are what an operator watches. No label has a repository, token or
// client in it: their number has no bound.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	publishes  *prometheus.CounterVec
	proposals  *prometheus.CounterVec
	refreshes  *prometheus.CounterVec
	races      prometheus.Counter
	recoveries prometheus.Counter
	oldest     prometheus.Gauge
	expiring   *prometheus.GaugeVec

	mu      sync.Mutex
	failing map[string]bool // repositories whose last refresh here failed
	unmet   unmet
}

// maxFailing bounds the memory for repositories that are failing to refresh.
const maxFailing = 100_000

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_http_requests_total", Help: "Requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signet_http_request_seconds", Help: "Time to answer by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_publishes_total", Help: "Publishes by result: ok, or the name of the problem.",
		}, []string{"result"}),
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_proposals_total", Help: "What was done to proposals, by action (propose, sign, withdraw) and result: ok, or the name of the problem.",
		}, []string{"action", "result"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_refreshes_total", Help: "Refreshes of timestamps by result: ok, or the name of the problem.",
		}, []string{"result"}),
		races: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signet_races_total", Help: "Commits that found the head moved by another publish or refresh.",
		}),
		recoveries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signet_recoveries_total", Help: "Publishes that were signed but not committed, and were finished later.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signet_oldest_timestamp_expiry_seconds", Help: "When the first timestamp expires, in Unix time, of repositories whose root has not expired; 0: there are none.",
		}),
		expiring: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signet_expiring_roles", Help: "Current root, targets and signers' files that have expired, or expire within 7 or 30 days, those that have expired among them.",
		}, []string{"role", "within"}),
		failing: map[string]bool{},
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "signet_server_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	failing := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "signet_refresh_failing", Help: "Repositories whose last refresh by this server failed.",
	}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(len(m.failing))
	})
	unmet := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "signet_hardware_unmet", Help: "Repositories whose keys do not meet the demand for hardware that holds for their names.",
	}, func() float64 { return float64(m.unmet.count()) })
	m.registry.MustRegister(unmet, m.oldest, m.expiring, m.requests, m.seconds, m.publishes, m.proposals, m.refreshes, m.races, m.recoveries, info, failing,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "DELETE":
	default:
		method = "other" // a client may send any word
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) publish(err error) { m.publishes.WithLabelValues(result(err)).Inc() }

func (m *metrics) proposal(action string, err error) {
	m.proposals.WithLabelValues(action, result(err)).Inc()
}

func (m *metrics) refresh(repository string, err error) {
	if errors.Is(err, tuf.ErrNotFound) {
		err = nil // nothing to refresh
	}
	m.refreshes.WithLabelValues(result(err)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.failing, repository)
	} else if len(m.failing) < maxFailing {
		m.failing[repository] = true
	}
}

// result is a bounded word for an error.
func result(err error) string {
	if err == nil {
		return "ok"
	}
	p := api.NewProblem(public(err))
	return p.Name()
}
