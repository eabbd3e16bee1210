package guard

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/internal/limit"
)

// Limits bound what clients take. Rates below zero have no limit; ten times as many
// may come at once. Loopback and sockets of this machine count for Total only.
type Limits struct {
	Address  float64       // requests a second from one address; default 2,000
	Total    float64       // requests a second in all; default 20,000
	Requests int           // at work at once, a quarter of them of one address; further ones wait; default 1,024
	Wait     time.Duration // for one request, its body included; default 10 s
	// Certified are the names of doors that demand a client's certificate.
	Certified []string
}

func (l Limits) orDefault() Limits {
	if l.Address == 0 {
		l.Address = 2_000
	}
	if l.Total == 0 {
		l.Total = 20_000
	}
	if l.Requests <= 0 {
		l.Requests = 1_024
	}
	if l.Wait <= 0 {
		l.Wait = 10 * time.Second
	}
	return l
}

// An Entrance serves doors, within limits that all of them share. Several listeners
// may have some of the doors each.
type Entrance struct {
	gate    *Gate
	limits  Limits
	address *limit.Buckets
	total   *rate.Limiter
	work    *limit.Places
	large   *limit.Places // for bodies that are
}

// Bodies of more than largeBody bytes, which grow when they are read, are read a few
// at once. Real ones are rare: an object has some kilobytes.
const (
	largeBody   = 256 << 10
	largeAtOnce = 4
)

// NewEntrance returns an entrance to the gate.
func NewEntrance(g *Gate, limits Limits) *Entrance {
	limits = limits.orDefault()
	total := rate.NewLimiter(rate.Limit(limits.Total), int(10*limits.Total)+1)
	if limits.Total < 0 {
		total = rate.NewLimiter(rate.Inf, 0)
	}
	return &Entrance{gate: g, limits: limits, address: limit.NewBuckets(limits.Address), total: total,
		work: limit.NewPlaces(limits.Requests), large: limit.NewPlaces(largeAtOnce)}
}

// Handler serves doors. Paths are compared as they were sent: nothing is decoded,
// cleaned or redirected before a door has looked at it.
func (e *Entrance) Handler(doors ...Door) http.Handler {
	for _, door := range doors {
		for _, name := range door.BreakGlass {
			e.gate.metrics.breakGlass.WithLabelValues(name)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if e.gate.stopping.Load() {
			// Who comes back on this connection would be cut off: say so now.
			w.Header().Set("Connection", "close")
		}
		path := r.URL.EscapedPath()
		for _, door := range doors {
			if slices.ContainsFunc(door.Paths, func(p string) bool {
				return path == p || (strings.HasSuffix(p, "/") && strings.HasPrefix(path, p))
			}) {
				e.enter(w, r, door)
				return
			}
		}
		door.RefuseJSON(w, r, http.StatusNotFound, "no door of this gate is here; which are open is a matter of its configuration")
	})
}

// Wait waits until no request is at work, and lets none begin after that.
func (e *Entrance) Wait(ctx context.Context) error { return e.work.TakeAll(ctx) }

// enter lets a request through a door, if there is room for it.
func (e *Entrance) enter(w http.ResponseWriter, r *http.Request, to Door) {
	refuse := func(status int, why, reason string) {
		e.gate.metrics.turnedAway.WithLabelValues(to.Name, why).Inc()
		if to.Refuse != nil {
			to.Refuse(w, r, status, reason)
			return
		}
		door.RefuseJSON(w, r, status, reason)
	}
	defer func() {
		if trouble := recover(); trouble != nil {
			e.gate.config.Log.Error("a door broke off", "door", to.Name, "panic", clean(fmt.Sprint(trouble)), "stack", string(debug.Stack()))
			refuse(http.StatusInternalServerError, "panic", "the gate could not find out: it broke off")
		}
	}()
	if slices.Contains(e.limits.Certified, to.Name) && !door.Certified(r) && !door.UnixSocket(r) {
		refuse(http.StatusForbidden, "certificate", "this door is for clients with a certificate by the gate's client-ca")
		return
	}
	address := limit.Address(r.RemoteAddr)
	if door.UnixSocket(r) {
		address = ""
	}
	if (address != "" && !e.address.Allow(address)) || !e.total.Allow() {
		refuse(http.StatusTooManyRequests, "rate", "the gate is asked too often; ask again in a moment")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.limits.Wait)
	defer cancel()
	most := to.MaxBody
	if most <= 0 {
		most = 64 << 10
	}
	wanted := []*limit.Places{e.work}
	if most > largeBody && (r.ContentLength > largeBody || r.ContentLength < 0) {
		wanted = []*limit.Places{e.large, e.work}
	}
	for _, places := range wanted {
		free, err := places.Take(ctx, address)
		if err != nil {
			refuse(http.StatusServiceUnavailable, "busy", "the gate is too busy; ask again in a moment")
			return
		}
		defer free()
	}
	r = r.WithContext(ctx)
	if r.ContentLength != 0 {
		// A body that never ends must not hold a place; doors see the error.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.limits.Wait))
		r.Body = http.MaxBytesReader(w, r.Body, most)
	}
	to.Handler.ServeHTTP(w, r)
}
