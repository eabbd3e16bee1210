package faults

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// TestNoWrongYes plays rounds of news, faults and time against one engine, and asks
// more than 100,000 questions meanwhile.
func TestNoWrongYes(t *testing.T) {
	const (
		repositories = 12
		tags         = 4
		rounds       = 66
		questions    = 1600 // a round
		atOnce       = 64
	)
	s := newScene(t, repositories, impatience)
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"1.0", "1.1", "2.0", "latest"}
	var digests []string
	for i := range 8 {
		digests = append(digests, harness.Digest("image %d", i))
	}
	for _, p := range s.people {
		for i, name := range names[:tags-1] {
			s.sign(p, name, digests[i])
		}
	}
	s.answers.record(s)
	// What is replayed must be older than what the engine has seen. To play the newest
	// that it has seen is the freeze that no client sees through (SECURITY.md).
	for _, p := range s.people {
		s.sign(p, names[0], digests[tags])
		if got, rule := s.ask(question{p: p, tag: names[0]}); !got {
			t.Fatalf("%s is refused before there is any trouble: %s", p.Repository, rule)
		}
	}
	faults := []func(){
		func() { s.toxic(`{"type":"latency","attributes":{"latency":40,"jitter":30}}`) },
		func() { s.toxic(`{"type":"latency","attributes":{"latency":2000}}`) },
		func() { s.toxic(`{"type":"timeout","attributes":{"timeout":50}}`) },
		func() { s.toxic(`{"type":"reset_peer","attributes":{"timeout":20}}`) },
		func() { s.toxic(`{"type":"limit_data","attributes":{"bytes":3000}}`) },
		func() { s.toxic(`{"type":"bandwidth","attributes":{"rate":2}}`) },
		func() { s.toxic(`{"type":"slicer","attributes":{"average_size":64,"size_variation":32,"delay":10}}`) },
		func() { s.proxy.Stop() },
	}
	for _, mode := range []string{"garbage", "empty", "error", "missing", "redirect", "not modified", "silent", "half", "old"} {
		faults = append(faults, func() { s.answers.set(mode) })
	}
	for round := range rounds {
		// Every third round is without a fault, so that what was missed is seen again.
		if round%3 != 2 {
			faults[random.IntN(len(faults))]()
		}
		if round%11 == 10 {
			s.start()
		}
		var group sync.WaitGroup
		group.Go(func() { // news while questions are asked
			for range 1 + round%3 {
				p := s.people[random.IntN(len(s.people))]
				if tag := names[random.IntN(tags)]; random.IntN(4) == 0 {
					s.revoke(p, tag)
				} else {
					s.sign(p, tag, digests[random.IntN(len(digests))])
				}
			}
		})
		s.askAll(questions, atOnce, func(int) question {
			q := question{p: s.people[rand.IntN(repositories)], tag: names[rand.IntN(tags)]}
			if rand.IntN(3) == 0 {
				q.digest = digests[rand.IntN(len(digests))]
			}
			return q
		})
		group.Wait()
		s.answers.set("")
		s.toxic("")
		_ = s.proxy.Start() // it runs already, unless it was stopped
		steps := []time.Duration{time.Second, negative, refresh / 2, refresh, 2 * refresh, time.Hour, 7 * time.Hour}
		s.later(steps[random.IntN(len(steps))])
	}
	t.Logf("%d decisions, %d yeses, %d wrong", s.decisions.Load(), s.yeses.Load(), s.wrong.Load())
	if n := s.decisions.Load(); n < 100_000 {
		t.Errorf("only %d decisions", n)
	}
	if s.yeses.Load()*5 < s.decisions.Load() {
		t.Errorf("of %d decisions only %d are yes: that proves little", s.decisions.Load(), s.yeses.Load())
	}
}

// TestGoneForAnHour: who must ask refuses as soon as answers are older than the
// refresh interval, who may take the last verdict does until it expires, and both
// see what was done meanwhile as soon as the server is back.
func TestGoneForAnHour(t *testing.T) {
	s := newScene(t, 2, impatience)
	refuse, last := question{p: s.people[0], tag: "1"}, question{p: s.people[1], tag: "1"}
	for _, p := range s.people {
		s.sign(p, "1", harness.Digest("one"))
	}
	expect := func(when string, q question, want bool) {
		t.Helper()
		if got, rule := s.ask(q); got != want {
			t.Errorf("%s: %s: got %v (%s), expected %v", when, q.image(), got, rule, want)
		}
	}
	expect("at first", refuse, true)
	expect("at first", last, true)
	s.proxy.Stop()
	expect("just gone", refuse, true)
	s.h.Clock.Advance(refresh + time.Second)
	for _, p := range s.people {
		s.sign(p, "1", harness.Digest("two"))
	}
	expect("gone for a minute", refuse, false)
	expect("gone for a minute", last, true)
	s.h.Clock.Advance(time.Hour)
	expect("gone for an hour", refuse, false)
	expect("gone for an hour", last, true)
	s.start() // a gate that is restarted while the server is gone
	expect("restarted", refuse, false)
	expect("restarted", last, true)
	if err := s.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	s.h.Clock.Advance(refresh)
	for _, q := range []question{refuse, last} {
		expect("back", q, true)
		q.digest = harness.Digest("two")
		expect("back, what is new", q, true)
	}
	s.proxy.Stop()
	s.h.Clock.Advance(25 * time.Hour)
	expect("gone until all has expired", refuse, false)
	expect("gone until all has expired", last, false)
}

// TestExpiringWhileRunning: the signer is down, so that timestamps expire under a
// verifier that runs. That is a refusal by its rule, whatever the policy says.
func TestExpiringWhileRunning(t *testing.T) {
	s := newScene(t, 2, 0)
	for _, p := range s.people {
		s.sign(p, "1", harness.Digest("one"))
	}
	for _, p := range s.people {
		if got, rule := s.ask(question{p: p, tag: "1"}); !got {
			t.Fatalf("refused: %s", rule)
		}
	}
	s.h.SignerFaults.Down(errDown)
	s.later(23 * time.Hour)
	for _, p := range s.people {
		if got, rule := s.ask(question{p: p, tag: "1"}); !got {
			t.Errorf("refused an hour early: %s", rule)
		}
	}
	s.later(2 * time.Hour)
	for _, p := range s.people {
		if got, rule := s.ask(question{p: p, tag: "1"}); got || rule != tuf.RuleExpired {
			t.Errorf("got %v (%s), expected a refusal by the rule expired", got, rule)
		}
	}
	s.h.SignerFaults.Down(nil)
	s.later(negative + refresh)
	for _, p := range s.people {
		if got, rule := s.ask(question{p: p, tag: "1"}); !got {
			t.Errorf("still refused once it is signed again: %s", rule)
		}
	}
}

// TestTenThousandPods: all at once, to a gate that has seen nothing yet, and a slow
// server. Each gets an answer, and the server is asked about each repository once.
func TestTenThousandPods(t *testing.T) {
	const repositories = 10
	s := newScene(t, repositories, 0)
	for _, p := range s.people {
		s.sign(p, "1", harness.Digest("one"))
	}
	s.toxic(`{"type":"latency","attributes":{"latency":20}}`)
	s.askAll(10_000, 10_000, func(i int) question {
		return question{p: s.people[i%repositories], tag: "1"}
	})
	if n := s.yeses.Load(); n != 10_000 {
		t.Errorf("%d of 10,000 were answered with yes; the last refusal: %v", n, *s.refusal.Load())
	}
	if stats := s.watcher.Stats(); stats.Updates > 2*repositories {
		t.Errorf("%d updates for %d repositories", stats.Updates, repositories)
	}
}

var errDown = errors.New("the signer is down")
