package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
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

// about asks about an image.
func about(image string) door.Question {
	return door.Question{Question: policy.Question{Image: image}}
}

// decide asks about images, some at once. Each gets a ruling: one that does not come
// in time, or breaks off, is a refusal. It returns when the time is over, even if the
// gate goes on.
func (d *Door) decide(ctx context.Context, asker door.Asker, questions []door.Question) map[door.Question]ruling {
	rulings := make(map[door.Question]ruling, len(questions))
	different := make([]door.Question, 0, len(questions))
	for _, q := range questions {
		if _, ok := rulings[q]; !ok {
			rulings[q] = ruling{err: errLate}
			different = append(different, q)
		}
	}
	switch {
	case len(different) == 0:
		return rulings
	case len(different) > maxImages:
		for q := range rulings {
			rulings[q] = ruling{err: fmt.Errorf("there are %d different images; at most %d are looked at together", len(different), maxImages)}
		}
		return rulings
	}
	different = d.recall(ctx, asker, different, rulings)
	if len(different) == 0 {
		return rulings
	}
	var (
		taken atomic.Int64
		mu    sync.Mutex // of the rest
		left  = len(different)
		late  bool // what comes now goes nowhere
	)
	all := make(chan struct{}) // closed once all rulings are there: whoever waits is woken once
	work := func() {
		for ctx.Err() == nil {
			i := int(taken.Add(1)) - 1
			if i >= len(different) {
				return
			}
			r := d.ask(ctx, asker, different[i])
			mu.Lock()
			if !late {
				rulings[different[i]] = r
				if left--; left == 0 {
					close(all)
				}
			}
			mu.Unlock()
		}
	}
	go work() // what the gate can answer soon comes sooner one after another than by many hands
	slow := time.NewTimer(patience)
	defer slow.Stop()
	for {
		select {
		case <-all:
			return rulings
		case <-slow.C:
			for range min(d.config.Parallel, len(different)) - 1 {
				go work()
			}
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			late = true
			return rulings
		}
	}
}

// patience is how long a review is looked at by one goroutine before others help.
const patience = time.Millisecond

// recall puts what the gate answers out of memory among the rulings, and returns the
// others.
func (d *Door) recall(ctx context.Context, asker door.Asker, questions []door.Question, rulings map[door.Question]ruling) (rest []door.Question) {
	defer func() {
		if recover() != nil { // that is told where it is asked again
			rest = questions
		}
	}()
	answers := d.config.Gate.Recall(ctx, asker, questions)
	for i, q := range questions {
		if i < len(answers) && answers[i].Decision != nil {
			rulings[q] = rule(answers[i].Decision, answers[i].Err)
			continue
		}
		rest = append(rest, q)
	}
	return rest
}

// ask asks about one image.
func (d *Door) ask(ctx context.Context, asker door.Asker, q door.Question) (r ruling) {
	defer func() {
		if trouble := recover(); trouble != nil {
			d.panicked(ctx, trouble)
			r = ruling{err: errors.New("the gate broke off while it decided")}
		}
	}()
	return rule(d.config.Gate.Ask(ctx, asker, q))
}

// rule makes a ruling of an answer. Only one that is a yes in every way counts as one.
func rule(decision *client.Decision, err error) ruling {
	switch {
	case err == nil && decision == nil:
		err = errors.New("the gate gave no answer")
	case err == nil && !decision.Allowed():
		err = errors.New("the gate gave neither a yes nor a reason")
	}
	return ruling{decision, err}
}
