package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/signet-trust/signet/server/api"
)

// Rates say how often one client address or one token may ask, in requests a
// second; ten times as many may come at once. Zero is the default, below zero no
// limit. Loopback addresses are limited by token only: there, a proxy in front
// sets its own limits.
type Rates struct {
	Reads  float64 // GET and HEAD, by address; default 500
	Writes float64 // POST, by address; default 20
	Token  float64 // by token; default 50
	Wrong  float64 // wrong tokens, by address; default 1
}

// maxTracked bounds the memory for addresses and tokens: beyond it, those that
// were not seen for longest are forgotten, and start with a full allowance.
const maxTracked = 50_000

type rates struct {
	reads, writes, tokens, wrong *bucketSet
}

func newRates(r Rates, now func() time.Time) *rates {
	setDefault(&r.Reads, 500)
	setDefault(&r.Writes, 20)
	setDefault(&r.Token, 50)
	setDefault(&r.Wrong, 1)
	set := func(perSecond float64) *bucketSet {
		return &bucketSet{perSecond: perSecond, young: map[string]*rate.Limiter{}}
	}
	return &rates{set(r.Reads), set(r.Writes), set(r.Token), set(r.Wrong)}
}

// address counts a request of one address.
func (r *rates) address(address string, method string) error {
	if address == "" {
		return nil // loopback
	}
	set := r.reads
	if method != http.MethodGet && method != http.MethodHead {
		set = r.writes
	}
	if !set.bucket(address).Allow() {
		return fmt.Errorf("%w from %s", api.ErrTooManyRequests, address)
	}
	return nil
}

// token counts a request with one token.
func (r *rates) token(id string) error {
	if !r.tokens.bucket(id).Allow() {
		return fmt.Errorf("%w with token %s", api.ErrTooManyRequests, id)
	}
	return nil
}

// failed counts a wrong token, and mayTry refuses who showed too many.
func (r *rates) failed(address string) error {
	r.wrong.bucket(address).Allow()
	return nil
}

func (r *rates) mayTry(address string) error {
	if b := r.wrong.bucket(address); b.Limit() != rate.Inf && b.Tokens() < 1 {
		return fmt.Errorf("%w: too many wrong tokens", api.ErrTooManyRequests)
	}
	return nil
}

// A bucketSet holds one bucket for each name in two generations: when the young
// one is full it becomes the old one, so that memory is bounded and nobody has
// to sweep.
type bucketSet struct {
	perSecond float64

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

func (s *bucketSet) bucket(name string) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.young[name]; ok {
		return b
	}
	b, ok := s.old[name]
	if !ok {
		b = rate.NewLimiter(rate.Limit(s.perSecond), int(10*s.perSecond)+1)
		if s.perSecond < 0 {
			b = rate.NewLimiter(rate.Inf, 0)
		}
	}
	if len(s.young) >= maxTracked {
		s.old, s.young = s.young, make(map[string]*rate.Limiter)
	}
	s.young[name] = b
	return b
}

// clientAddress returns the address that a request came from, "" for loopback. An
// IPv6 client has a whole /64 and is known by that. Headers that a client could
// set are not believed.
func clientAddress(r *http.Request) string {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := address.Addr().Unmap()
	switch {
	case ip.IsLoopback():
		return ""
	case ip.Is6():
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// LimitListener returns a listener that holds at most n connections: further
// ones wait in the system's queue rather than take memory here.
func LimitListener(l net.Listener, n int) net.Listener {
	return &limitListener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

// Accept waits for a slot, then for a connection.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends a waiting Accept too.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	free func()
}

// Close frees the connection's slot.
func (c *limitConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
