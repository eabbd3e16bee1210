package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/signet-trust/signet/internal/limit"
	"github.com/signet-trust/signet/server/api"
)

// A gate bounds the publishes that are under way: how many there are, and how
// many bytes their bodies may have together. No token gets more than a quarter of
// either, so that one whose bodies never end keeps nobody else from publishing.
type gate struct {
	places int
	most   int64 // bytes
	bytes  *semaphore.Weighted
	wait   time.Duration // for bytes to be free

	mu    sync.Mutex
	under int // way
	of    map[string]*guest
}

// A guest is a token with publishes under way.
type guest struct {
	under int
	bytes *semaphore.Weighted // its quarter
}

func newGate(places int, most int64, wait time.Duration) *gate {
	return &gate{places: places, most: most, bytes: semaphore.NewWeighted(most), wait: wait, of: map[string]*guest{}}
}

// enter lets in a publish with token whose body may have size bytes, at most a
// quarter of all. A token that has its share of places is refused at once; bytes
// are waited for, those of the token's own share first.
func (g *gate) enter(ctx context.Context, token string, size int64) (leave func(), err error) {
	guest, err := g.place(token)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	if err := guest.bytes.Acquire(waiting, size); err != nil {
		g.leave(token)
		return nil, gaveUp(ctx, fmt.Errorf("%w: bodies of %d bytes at once with token %s", api.ErrTooManyRequests, g.most/4, token))
	}
	if err := g.bytes.Acquire(waiting, size); err != nil {
		guest.bytes.Release(size)
		g.leave(token)
		return nil, gaveUp(ctx, fmt.Errorf("%w: publishes of %d bytes at once", api.ErrBusy, g.most))
	}
	return func() {
		g.bytes.Release(size)
		guest.bytes.Release(size)
		g.leave(token)
	}, nil
}

// place counts one more of token.
func (g *gate) place(token string) (*guest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under >= g.places {
		return nil, fmt.Errorf("%w: %d publishes under way", api.ErrBusy, g.under)
	}
	t := g.of[token]
	if t == nil {
		t = &guest{bytes: semaphore.NewWeighted(g.most / 4)}
	}
	if t.under >= limit.Share(g.places) {
		return nil, fmt.Errorf("%w: %d publishes under way with token %s", api.ErrTooManyRequests, t.under, token)
	}
	g.of[token] = t
	t.under++
	g.under++
	return t, nil
}

func (g *gate) leave(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under--
	if t := g.of[token]; t.under == 1 {
		delete(g.of, token)
	} else {
		t.under--
	}
}

// gaveUp returns why, unless the caller itself has gone or run out of time.
func gaveUp(ctx context.Context, why error) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	return why
}
