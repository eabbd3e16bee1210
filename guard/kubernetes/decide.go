package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
)

// A ruling is what the gate said of one image.
type ruling struct {
	decision *client.Decision // nil when there is none
	err      error            // nil: the image may run
}

// trusted tells whether the image runs because its digest is signed, and not only
// because the policy lets it.
func (r ruling) trusted() bool { return r.err == nil && r.decision.Trusted }

// errLate says that the time was over first.
var errLate = errors.New("no decision came in the time that the API server waits")

// decide asks about images. Each gets a ruling: one that does not come in time, or
// breaks off, is a refusal.
//
// What the gate has in memory comes soonest by one hand, without a goroutine to wake:
// others help it only once it has been at work for as long as patience.
func (d *Door) decide(ctx context.Context, asker guard.Asker, images []string) map[string]ruling {
	rulings := make(map[string]ruling, len(images))
	different := make([]string, 0, len(images))
	for _, image := range images {
		if _, ok := rulings[image]; !ok {
			rulings[image] = ruling{err: errLate}
			different = append(different, image)
		}
	}
	if len(different) > maxImages {
		for image := range rulings {
			rulings[image] = ruling{err: fmt.Errorf("there are %d different images; at most %d are looked at together", len(different), maxImages)}
		}
		return rulings
	}
	var mu sync.Mutex // of rulings
	var taken atomic.Int64
	work := func() {
		for ctx.Err() == nil {
			i := int(taken.Add(1)) - 1
			if i >= len(different) {
				return
			}
			ruling := d.ask(ctx, asker, different[i])
			mu.Lock()
			rulings[different[i]] = ruling
			mu.Unlock()
		}
	}
	var others sync.WaitGroup
	others.Add(1) // for the timer
	slow := time.AfterFunc(patience, func() {
		defer others.Done()
		for range min(d.config.Parallel, len(different)) - 1 {
			others.Go(work)
		}
	})
	work()
	if !slow.Stop() {
		others.Wait()
	}
	return rulings
}

// patience is how long a review is looked at by one goroutine before others help.
const patience = time.Millisecond

// ask asks about one image. Only an answer that is a yes in every way counts as one.
func (d *Door) ask(ctx context.Context, asker guard.Asker, image string) (r ruling) {
	defer func() {
		if trouble := recover(); trouble != nil {
			d.panicked(ctx, trouble)
			r = ruling{err: errors.New("the gate broke off while it decided")}
		}
	}()
	decision, err := d.config.Gate.Decide(ctx, asker, image)
	switch {
	case err == nil && decision == nil:
		err = errors.New("the gate gave no answer")
	case err == nil && !decision.Allowed():
		err = errors.New("the gate gave neither a yes nor a reason")
	}
	return ruling{decision, err}
}
