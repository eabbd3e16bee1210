package guard

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A State says how a part of the gate is doing.
type State int

// The states.
const (
	OK          State = iota
	Degraded          // it goes on, and somebody should look
	Unavailable       // send requests elsewhere
)

// A Check looks at one part. It says what is the matter where it is not OK.
type Check struct {
	Part  string
	Check func() (State, string)
}

// health is the answer of /healthz and /readyz.
type health struct {
	Status string            `json:"status"` // ok, degraded, unavailable, stopping
	Parts  map[string]string `json:"parts,omitempty"`
}

// Stopping makes the gate not ready from now on, and tells those who ask to come
// back on another connection. Questions are answered as before.
func (g *Gate) Stopping() { g.stopping.Store(true) }

// Register adds a collector to the metrics.
func (g *Gate) Register(c prometheus.Collector) error { return g.metrics.registry.Register(c) }

// Health serves /healthz, /readyz and /metrics. It goes on a listener of its own:
// what it tells is the operator's.
func (g *Gate) Health(checks ...Check) http.Handler {
	checks = append([]Check{{"policy", g.policyState}}, checks...)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		worst, parts := OK, map[string]string{}
		for _, c := range checks {
			state, text := c.Check()
			if state == OK && text == "" {
				text = "ok"
			}
			parts[c.Part] = oneLine(text)
			worst = max(worst, state)
		}
		status, word := http.StatusOK, "ok"
		switch {
		case g.stopping.Load():
			status, word = http.StatusServiceUnavailable, "stopping"
		case worst == Unavailable:
			status, word = http.StatusServiceUnavailable, "unavailable"
		case worst == Degraded:
			word = "degraded"
		}
		writeHealth(w, status, health{Status: word, Parts: parts})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	return mux
}

// policyState says whether there is a policy, and whether it is the newest.
func (g *Gate) policyState() (State, string) {
	loaded, why := g.decider.Load() != nil, g.trouble.Load()
	switch {
	case !loaded && why != nil:
		return Unavailable, "none is loaded: " + *why
	case !loaded:
		return Unavailable, "none is loaded"
	case why != nil:
		return Degraded, "a newer one cannot be used, the one from before stays: " + *why
	}
	return OK, ""
}

func writeHealth(w http.ResponseWriter, status int, v health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked has gone
}
