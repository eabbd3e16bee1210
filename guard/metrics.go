package guard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/signet-trust/signet/client"
)

// metrics are what an operator watches. No label has an image, an object or a client
// in it: their number has no bound. Rules are those of the policy.
type metrics struct {
	registry     *prometheus.Registry
	decisions    *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	turnedAway   *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	breakGlass   *prometheus.CounterVec
	logFailures  prometheus.Counter
	policyLoaded prometheus.Gauge
	policyStale  prometheus.Gauge
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_guard_decisions_total", Help: "Decisions by door, verdict (allow, warn, deny), the policy's rule, its mode, and the cause of a deny (trouble: it could not be found out).",
		}, []string{"door", "verdict", "rule", "mode", "cause"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signet_guard_decision_seconds", Help: "Time to decide by door.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"door"}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_guard_turned_away_total", Help: "Requests that were refused before anything was decided, by door and why (rate, busy, certificate, panic).",
		}, []string{"door", "why"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_guard_policy_loads_total", Help: "Times a policy was loaded, by result (ok, failed).",
		}, []string{"result"}),
		breakGlass: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_guard_break_glass_total", Help: "Objects that somebody let pass unverified, by door.",
		}, []string{"door"}),
		logFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signet_guard_log_failures_total", Help: "Lines of the decision log that could not be written.",
		}),
		policyLoaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signet_guard_policy_loaded_seconds", Help: "When the policy in use was loaded, in Unix time; 0: there is none.",
		}),
		policyStale: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signet_guard_policy_stale", Help: "1 while a newer policy cannot be used and the one from before stays.",
		}),
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "signet_guard_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.decisions, m.seconds, m.turnedAway, m.reloads, m.breakGlass, m.logFailures, m.policyLoaded, m.policyStale, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) decided(door string, d *client.Decision, err error, took time.Duration) {
	cause := string(d.Rule)
	if err != nil && cause == "" {
		cause = "trouble"
	}
	m.decisions.WithLabelValues(door, verdict(d, err), d.Policy.Rule, string(d.Policy.Mode), cause).Inc()
	m.seconds.WithLabelValues(door).Observe(took.Seconds())
}
