package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// What a gate is asked and answers, which is what its doors know of it.
type (
	Decider  = door.Decider
	Question = door.Question
	Asker    = door.Asker
	Answer   = door.Answer
	Door     = door.Door
)

// A Config says what a gate works with.
type Config struct {
	// Decisions takes one line of JSON for each decision; nil: none is logged.
	Decisions io.Writer
	// Log takes the rest; nil: nobody does.
	Log *slog.Logger
	// Timeout bounds one decision; default 8 s, which is less than those who ask wait.
	Timeout time.Duration
	// Version is shown in the metrics.
	Version string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Gate decides, counts and logs for all doors. It is safe for concurrent use. It
// refuses everything until it is given a policy, by Use.
type Gate struct {
	config   Config
	decider  atomic.Pointer[current]
	trouble  atomic.Pointer[string] // why the newest policy is not used
	stopping atomic.Bool
	log      *decisionLog
	metrics  *metrics
}

// current is the policy in use.
type current struct {
	Decider
	name string
}

// New returns a gate.
func New(c Config) *Gate {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Timeout <= 0 {
		c.Timeout = 8 * time.Second
	}
	g := &Gate{config: c, metrics: newMetrics(c.Version)}
	if c.Decisions != nil {
		g.log = &decisionLog{to: c.Decisions, log: c.Log, failed: g.metrics.logFailures}
	}
	return g
}

// Use decides by decider from now on. name says in health checks and logs where its
// policy comes from. Questions that are being decided are not disturbed.
func (g *Gate) Use(decider Decider, name string) {
	g.decider.Store(&current{decider, name})
	g.trouble.Store(nil)
	g.metrics.reloads.WithLabelValues("ok").Inc()
	g.metrics.policyLoaded.Set(float64(g.config.Now().Unix()))
	g.metrics.policyStale.Set(0)
	g.config.Log.Info("policy in use", "policy", name)
}

// Keep says that a newer policy cannot be used, and why: the one from before stays.
func (g *Gate) Keep(err error) {
	why := oneLine(err.Error())
	g.trouble.Store(&why)
	g.metrics.reloads.WithLabelValues("failed").Inc()
	g.metrics.policyStale.Set(1)
	g.config.Log.Error("a newer policy cannot be used; the one from before stays", "error", why)
}

// Drop takes the policy away, and says why: everything is refused until there is
// another one.
func (g *Gate) Drop(err error) {
	why := oneLine(err.Error())
	g.trouble.Store(&why)
	g.decider.Store(nil)
	g.metrics.reloads.WithLabelValues("failed").Inc()
	g.metrics.policyLoaded.Set(0)
	g.metrics.policyStale.Set(0)
	g.config.Log.Error("the policy is not used any more, and there is no other: everything is refused", "error", why)
}

// Lack says why no policy could be had yet, in health checks and to those who ask. It
// does nothing while one is in use.
func (g *Gate) Lack(err error) {
	if g.decider.Load() != nil {
		return
	}
	why := oneLine(err.Error())
	g.trouble.Store(&why)
	g.metrics.reloads.WithLabelValues("failed").Inc()
}

// Decide tells whether an image may run, counts the decision and logs one line. The
// decision and its Policy are never nil; the error is nil if and only if the image
// may run. A *tuf.Refusal or *tuf.ExpiredError is a verdict, any other error says
// that it could not be found out. Both are refusals.
func (g *Gate) Decide(ctx context.Context, asker Asker, image string) (*client.Decision, error) {
	return g.Ask(ctx, asker, Question{Question: policy.Question{Image: image}})
}

// Ask is Decide for who knows more than the image's name.
func (g *Gate) Ask(ctx context.Context, asker Asker, q Question) (*client.Decision, error) {
	start := time.Now()
	q.Held = false // an answer is due
	if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(start) > g.config.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.config.Timeout)
		defer cancel()
	}
	decision, err := g.decide(ctx, q)
	took := time.Since(start)
	g.metrics.decided(asker.Door, decision, err, took)
	g.log.write(g.config.Now(), asker, line{q, Answer{Decision: decision, Err: err}, took})
	return decision, err
}

// Recall answers questions as Ask does, out of memory: at once. What the policy does
// not answer so, or would when ctx is done, has no Decision, is neither counted nor
// logged, and remains to be asked. Nobody is waited for.
func (g *Gate) Recall(ctx context.Context, asker Asker, questions []Question) []Answer {
	answers := make([]Answer, len(questions))
	lines := make([]line, 0, len(questions))
	start := time.Now()
	for i, q := range questions {
		if ctx.Err() != nil {
			break
		}
		q.Held = true
		decision, err := g.decide(ctx, q)
		now := time.Now()
		if err == nil || tuf.IsRefusal(err) {
			answers[i] = Answer{Decision: decision, Err: err}
			lines = append(lines, line{q, answers[i], now.Sub(start)})
			g.metrics.decided(asker.Door, decision, err, now.Sub(start))
		}
		start = now
	}
	g.log.write(g.config.Now(), asker, lines...)
	return answers
}

// Flush waits until the decision log has all lines, until ctx is done.
func (g *Gate) Flush(ctx context.Context) error { return g.log.flush(ctx) }

// decide asks the policy in use.
func (g *Gate) decide(ctx context.Context, q Question) (decision *client.Decision, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			if !q.Held { // or else it will be asked again
				g.config.Log.Error("a decision broke off", "panic", clean(fmt.Sprint(trouble)))
			}
			err = errors.New("could not find out: the decision broke off")
			decision = door.Refused(q, nil, err)
		}
	}()
	use := g.decider.Load()
	if use == nil {
		if d, err := q.Malformed(); err != nil {
			return door.Refused(q, d, err), err
		}
		err := errors.New("the gate has no policy yet")
		if why := g.trouble.Load(); why != nil {
			err = fmt.Errorf("the gate has no policy: %s", *why)
		}
		return door.Refused(q, nil, err), err
	}
	return door.Decide(ctx, use, q)
}

// BreakGlass says aloud that somebody let an object pass unverified, and counts it:
// whoever watches the gate is to see each.
func (g *Gate) BreakGlass(asker Asker, reason string) {
	g.metrics.breakGlass.WithLabelValues(asker.Door).Inc()
	g.log.breakGlass(g.config.Now(), asker, reason)
	g.config.Log.Warn("BREAK GLASS: an object passes unverified", "door", asker.Door, "who", clean(asker.Who), "peer", clean(asker.Peer),
		"object", clean(asker.Object), "namespace", clean(asker.Namespace), "reason", clean(reason))
}
