// Package limit bounds what one client can take of a service: requests a second,
// requests at work, connections. It keeps no more than a bounded number of names.
//
//	Buckets    requests a second, for each address or token
//	Counts     how much of something each address has at once
//	Places     work at once: so many in all, a quarter of them of one address
//	Listener   connections, in all and from one address
//	Address    how a client is known: an IPv6 client has a whole /64
package limit

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// MaxTracked bounds the memory for addresses and tokens: beyond it, those that
// were not seen for longest are forgotten, and start with a full allowance.
const MaxTracked = 50_000

// Share is the part of all places that one address may have.
func Share(places int) int { return max(places/4, 1) }

// Counts are of what each address has at once, so that one that is slow on purpose
// cannot take every place. Loopback ("") is not counted. The zero value is usable.
type Counts struct {
	mu sync.Mutex
	of map[string]int
}

// Take counts one more of address, up to most.
func (c *Counts) Take(address string, most int) (free func(), ok bool) {
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

// Buckets hold one bucket for each name in two generations: when the young one is
// full it becomes the old one, so that memory is bounded and nobody has to sweep.
type Buckets struct {
	perSecond float64

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

// NewBuckets returns buckets that let so many a second pass for each name, and ten
// times as many at once; below zero there is no limit.
func NewBuckets(perSecond float64) *Buckets {
	return &Buckets{perSecond: perSecond, young: map[string]*rate.Limiter{}}
}

// Allow counts one of name, and tells whether it may pass.
func (s *Buckets) Allow(name string) bool { return s.bucket(name).Allow() }

func (s *Buckets) bucket(name string) *rate.Limiter {
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
	if len(s.young) >= MaxTracked {
		s.old, s.young = s.young, make(map[string]*rate.Limiter)
	}
	s.young[name] = b
	return b
}

// held is how many names are remembered.
func (s *Buckets) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.young) + len(s.old)
}

// Address returns how the client at a remote address is known, "" for loopback. An
// IPv6 client has a whole /64 and is known by that.
func Address(remote string) string {
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
