package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signet-trust/signet/server/api"
)

// Health serves /healthz, /readyz and /metrics. It goes on a listener of its own:
// what it tells is the operator's.
func (s *Server) Health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	return mux
}

// health is the answer of /healthz and /readyz.
type health struct {
	Status string            `json:"status"` // ok, degraded, unavailable, stopping
	Parts  map[string]string `json:"parts,omitempty"`
}

// readyz says whether requests should be sent here. Without the signer, reads go
// on: that is degraded, and ready. Without the database nothing works.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	answer := health{Status: "ok", Parts: map[string]string{"database": "ok", "signer": "ok"}}
	if err := s.signer.Ready(ctx); err != nil {
		answer.Status = "degraded"
		answer.Parts["signer"] = "does not answer: reads go on, publishing and refreshing do not"
		s.log.Warn("not fully ready", "signer", err)
	}
	status := http.StatusOK
	if err := s.store.Ping(ctx); err != nil {
		answer.Status, status = "unavailable", http.StatusServiceUnavailable
		answer.Parts["database"] = api.NewProblem(public(err)).Detail
		s.log.Warn("not ready", "database", err, "cause", cause(err))
	}
	if s.stopping.Load() {
		answer.Status, status = "stopping", http.StatusServiceUnavailable
	}
	writeHealth(w, status, answer)
}

func writeHealth(w http.ResponseWriter, status int, v health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked has gone
}
