package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

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
	working                      counts // requests at work by address
}

func newRates(r Rates) *rates {
	setDefault(&r.Reads, 500)
	setDefault(&r.Writes, 20)
	setDefault(&r.Token, 50)
	setDefault(&r.Wrong, 1)
	set := func(perSecond float64) *bucketSet {
		return &bucketSet{perSecond: perSecond, young: map[string]*rate.Limiter{}}
	}
	return &rates{reads: set(r.Reads), writes: set(r.Writes), tokens: set(r.Token), wrong: set(r.Wrong)}
}

// counts are of what each address has at once, so that one that is slow on purpose
// cannot take every place. Loopback is not counted.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

// take counts one more of address, up to most.
func (c *counts) take(address string, most int) (free func(), ok bool) {
	if address == "" {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	if c.of[address] >= most {
		return nil, false
	}
	c.of[address]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.of[address]--; c.of[address] == 0 {
			delete(c.of, address)
		}
	}), true
}

// share is the part of all places that one address may have.
func share(places int) int { return max(places/4, 1) }

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

// wrongToken returns err, which tells what is wrong, or that there were too many.
// Tokens that are good pass whatever others from the same address do.
func (r *rates) wrongToken(address string, err error) error {
	if !r.wrong.bucket(address).Allow() {
		return fmt.Errorf("%w: too many wrong tokens", api.ErrTooManyRequests)
	}
	return err
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
func clientAddress(r *http.Request) string { return addressOf(r.RemoteAddr) }

func addressOf(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
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

// LimitListener returns a listener that holds at most n connections, and a quarter
// of them from one address: further ones wait in the system's queue, or are closed,
// rather than take memory here.
func LimitListener(l net.Listener, n int) net.Listener {
	return &limitListener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

type limitListener struct {
	net.Listener
	slots chan struct{}
	open  counts
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
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		free, ok := l.open.take(addressOf(conn.RemoteAddr().String()), share(cap(l.slots)))
		if !ok {
			_ = conn.Close() // it has enough of them
			continue
		}
		return &limitConn{Conn: conn, free: sync.OnceFunc(func() {
			free()
			<-l.slots
		})}, nil
	}
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
