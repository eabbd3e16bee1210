package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
)

// remembers has a gate answer out of memory about some images as it would, asked.
func (b *bench) remembers(images ...string) {
	b.gate.recall = func(ctx context.Context, asker guard.Asker, asked []guard.Question) []guard.Answer {
		answers := make([]guard.Answer, len(asked))
		for i, q := range asked {
			if slices.Contains(images, q.Image) {
				answers[i].Decision, answers[i].Err = b.gate.Ask(ctx, asker, q)
			}
		}
		return answers
	}
}

// TestWhatIsRememberedIsAnsweredAlike compares answers out of memory, in part or all,
// with those that are found out.
func TestWhatIsRememberedIsAnsweredAlike(t *testing.T) {
	deployment := ask{kind: "apps/v1 Deployment", object: `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": ` + specOf("app=app:1", "side=side:1", "old=warn:1") + `}}}`}
	for name, a := range map[string]ask{
		"signed": {object: podOf("app=app:1", "side=side:1")}, "unsigned": {object: podOf("app=app:evil", "side=side:1")},
		"warned of": deployment, "twice": {object: podOf("app=app:1", "side=app:1")},
	} {
		for _, path := range []string{validatePath, mutatePath} {
			var want *admissionAnswer
			var asked []string
			for _, remembered := range [][]string{nil, {"app:1"}, {"side:1", "app:evil"}, {"app:1", "side:1", "app:evil", "warn:1"}} {
				b := newBench(t)
				b.rules.pins = []string{"shop/Pod/app"}
				if path == mutatePath {
					b.rules.pins = append(b.rules.pins, "shop/Deployment/side")
				}
				b.gate.do["warn:1"] = warns("not signed")
				b.remembers(remembered...)
				got := b.review(t, path, a)
				slices.Sort(b.gate.asked)
				if want == nil {
					want, asked = got, b.gate.asked
				}
				if diff := cmp.Diff(want, got) + cmp.Diff(asked, b.gate.asked); diff != "" {
					t.Errorf("%s, %s, with %q in memory: %s", name, path, remembered, diff)
				}
			}
		}
	}
}

// TestAMemoryThatIsNoneIsNotBelieved has a gate remember what is no clear yes, or break
// off, or forget to answer.
func TestAMemoryThatIsNoneIsNotBelieved(t *testing.T) {
	yes := guard.Answer{Decision: &client.Decision{Trusted: true, Digest: digest("a"), Policy: &client.Ruling{Allowed: true}}}
	for name, test := range map[string]struct {
		recall  func() []guard.Answer
		allowed bool // since the gate is asked after that
	}{
		"neither yes nor reason": {func() []guard.Answer { return []guard.Answer{yes, {Decision: &client.Decision{}}} }, false},
		"not by the policy": {func() []guard.Answer {
			return []guard.Answer{yes, {Decision: &client.Decision{Trusted: true, Policy: &client.Ruling{}}}}
		}, false},
		"a yes with an error": {func() []guard.Answer {
			return []guard.Answer{yes, {Decision: yes.Decision, Err: errors.New("trouble")}}
		}, false},
		"an error, no decision":   {func() []guard.Answer { return []guard.Answer{yes, {Err: errors.New("trouble")}} }, true},
		"too few answers":         {func() []guard.Answer { return []guard.Answer{yes} }, true},
		"no answers":              {func() []guard.Answer { return nil }, true},
		"more than was asked for": {func() []guard.Answer { return []guard.Answer{yes, {}, yes} }, true},
		"a panic":                 {func() []guard.Answer { panic("boom") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.gate.recall = func(context.Context, guard.Asker, []guard.Question) []guard.Answer { return test.recall() }
			answer := b.review(t, validatePath, ask{object: podOf("side=side:1", "app=app:1")})
			if answer.Allowed != test.allowed || slices.Contains(b.gate.asked, "app:1") != test.allowed {
				t.Errorf("got %+v, asked %q", answer, b.gate.asked)
			}
			if answer := b.review(t, validatePath, ask{object: podOf("side=side:1", "app=app:evil")}); answer.Allowed {
				t.Errorf("unsigned: got %+v", answer)
			}
		})
	}
}

// TestWhatIsRememberedWaitsForNobody has a gate that is stuck with another image.
func TestWhatIsRememberedWaitsForNobody(t *testing.T) {
	b := newBench(t)
	free := make(chan struct{})
	defer close(free)
	b.gate.do["slow:1"] = func(context.Context) (*client.Decision, error) { <-free; return nil, errors.New("late") }
	b.remembers("app:1")
	answer := b.answer(t, validatePath+"?timeout=20ms", ask{object: podOf("slow=slow:1", "app=app:1")}.body())
	if answer.Allowed || answer.Status.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Status.Message, "1 of 2 images may not run") {
		t.Errorf("got %+v", answer)
	}
}
