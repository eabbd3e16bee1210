package limit

import (
	"context"
	"errors"
	"sync"
)

// Places are for work at once: so many in all, and a Share of them for one address, so
// that one that is slow on purpose cannot take every place. Who finds none waits for
// one: ahead of the places of all, for one of its own, and with no more of its kind than
// four times what its address may have.
type Places struct {
	all chan struct{}

	mu  sync.Mutex
	own map[string]*own
}

// waiting is how many may have or want a place of an address, for each that it has.
const waiting = 4

var errCrowd = errors.New("too many of this address wait already")

// own are the places of one address, and how many have or want one.
type own struct {
	places chan struct{}
	users  int
}

// NewPlaces returns n places.
func NewPlaces(n int) *Places {
	return &Places{all: make(chan struct{}, n), own: map[string]*own{}}
}

// Take takes a place for address. Loopback ("") has no share of its own.
func (p *Places) Take(ctx context.Context, address string) (free func(), err error) {
	leave, err := p.takeOwn(ctx, address)
	if err != nil {
		return nil, err
	}
	select {
	case p.all <- struct{}{}:
		return sync.OnceFunc(func() { <-p.all; leave() }), nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func (p *Places) takeOwn(ctx context.Context, address string) (leave func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	p.mu.Lock()
	o := p.own[address]
	if o == nil {
		o = &own{places: make(chan struct{}, Share(cap(p.all)))}
		p.own[address] = o
	}
	if o.users >= waiting*cap(o.places) {
		p.mu.Unlock()
		return nil, errCrowd
	}
	o.users++
	p.mu.Unlock()
	forget := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if o.users--; o.users == 0 {
			delete(p.own, address)
		}
	}
	select {
	case o.places <- struct{}{}:
		return func() { <-o.places; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

// TakeAll waits until every place is free, and takes them for good.
func (p *Places) TakeAll(ctx context.Context) error {
	for range cap(p.all) {
		select {
		case p.all <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
