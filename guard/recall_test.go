package guard

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// holds has the verdicts of some tags of registry.example.com/app in memory: that on
// 1.0 is a yes, that on 2.0 a refusal.
func holds(t *testing.T) decider {
	return func(q policy.Question) (*client.Decision, error) {
		if !q.Held {
			t.Errorf("asked to wait for %s", q.Image)
		}
		image, _ := tuf.ParseImage(q.Image)
		switch image.Tag {
		case "1.0":
			return signed(client.ModeEnforce)(q)
		case "2.0":
			return nil, &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
		case "silent":
			return nil, nil
		case "panic":
			panic("a bug")
		case "contradiction":
			return &client.Decision{Trusted: true, Reference: "x", Policy: &client.Ruling{Allowed: true}}, errors.New("no")
		case "untrusted":
			return &client.Decision{Trusted: true, Policy: &client.Ruling{}}, nil
		}
		return &client.Decision{Image: q.Image, Policy: &client.Ruling{}}, client.ErrNotHeld
	}
}

// TestRecall answers, logs and counts what is in memory, and nothing else.
func TestRecall(t *testing.T) {
	var log strings.Builder
	g := New(Config{Decisions: &log})
	g.Use(holds(t), "test")
	images := []string{"3.0", "1.0", "silent", "2.0", "panic", "contradiction", "untrusted", "1.0"}
	for i, tag := range images {
		images[i] = "registry.example.com/app:" + tag
	}
	answers := g.Recall(t.Context(), Asker{Door: "test", Who: "alice"}, images)
	if len(answers) != len(images) {
		t.Fatalf("%d answers", len(answers))
	}
	var verdicts []string
	for i, a := range answers {
		switch {
		case a.Decision == nil:
			if a.Err != nil {
				t.Errorf("%s: %v and no decision", images[i], a.Err)
			}
			verdicts = append(verdicts, "")
		case a.Err == nil && a.Decision.Allowed():
			verdicts = append(verdicts, VerdictAllow)
		case tuf.IsRefusal(a.Err) && !a.Decision.Trusted && a.Decision.Reason != "":
			verdicts = append(verdicts, VerdictDeny)
		default:
			t.Errorf("%s: %+v, %v", images[i], a.Decision, a.Err)
		}
	}
	if want := []string{"", VerdictAllow, "", VerdictDeny, "", "", "", VerdictAllow}; !slices.Equal(verdicts, want) {
		t.Errorf("got %q", verdicts)
	}
	var logged []string
	for text := range strings.Lines(log.String()) {
		var e Entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if e.Who != "alice" || e.Door != "test" {
			t.Errorf("logged %+v", e)
		}
		logged = append(logged, e.Name+" "+e.Verdict)
	}
	if want := []string{images[1] + " allow", images[3] + " deny", images[1] + " allow"}; !slices.Equal(logged, want) {
		t.Errorf("logged %q", logged)
	}
	if n := testutil.CollectAndCount(g.metrics.decisions); n != 2 {
		t.Errorf("%d kinds of decisions were counted", n)
	}
	if n := testutil.ToFloat64(g.metrics.decisions.WithLabelValues("test", VerdictAllow, "app", "enforce", "")); n != 2 {
		t.Errorf("%g yeses were counted", n)
	}
}

// TestNothingIsRecalledWithoutAPolicy also once it is taken away.
func TestNothingIsRecalledWithoutAPolicy(t *testing.T) {
	g := New(Config{})
	recalled := func() bool {
		return g.Recall(t.Context(), Asker{}, []string{"registry.example.com/app:1.0"})[0].Decision != nil
	}
	if recalled() {
		t.Error("before there was one")
	}
	if g.Use(holds(t), "test"); !recalled() {
		t.Error("not even with one")
	}
	if g.Drop(errors.New("revoked")); recalled() {
		t.Error("after it was revoked")
	}
}

// A stuck takes nothing until it is free.
type stuck struct{ began, free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	close(s.began)
	<-s.free
	return len(p), nil
}

// TestRecallWaitsForNoLog has somebody else write to a log that takes nothing.
func TestRecallWaitsForNoLog(t *testing.T) {
	log := stuck{make(chan struct{}), make(chan struct{})}
	g := New(Config{Decisions: log})
	g.Use(holds(t), "test")
	ended := make(chan struct{})
	go func() { defer close(ended); g.BreakGlass(Asker{}, "fire") }()
	<-log.began
	if a := g.Recall(t.Context(), Asker{Door: "test"}, []string{"registry.example.com/app:1.0"}); len(a) != 1 || a[0].Decision != nil || a[0].Err != nil {
		t.Errorf("an answer that is in no log: %+v", a)
	}
	if n := testutil.CollectAndCount(g.metrics.decisions); n != 0 {
		t.Errorf("%d decisions were counted", n)
	}
	close(log.free)
	<-ended
}

// TestAskIsAnswered also if it is said not to matter.
func TestAskIsAnswered(t *testing.T) {
	g := New(Config{})
	g.Use(decider(func(q policy.Question) (*client.Decision, error) {
		if q.Held {
			return nil, client.ErrNotHeld
		}
		return signed(client.ModeEnforce)(q)
	}), "test")
	q := question("registry.example.com/app:1.0", "")
	q.Held = true
	if d, err := g.Ask(t.Context(), Asker{}, q); err != nil || !d.Allowed() {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestLinesThatFailTogether are counted each, and what was cut off is not the beginning
// of the next.
func TestLinesThatFailTogether(t *testing.T) {
	d := &disk{room: 20}
	g := New(Config{Decisions: d})
	g.Use(holds(t), "test")
	images := []string{"registry.example.com/app:1.0", "registry.example.com/app:2.0"}
	if a := g.Recall(t.Context(), Asker{Door: "test"}, images); a[0].Err != nil || a[1].Decision == nil {
		t.Errorf("a full disk changes the answers: %+v", a)
	}
	if n := testutil.ToFloat64(g.metrics.logFailures); n != 2 {
		t.Errorf("%g lines are said to be lost", n)
	}
	d.room = 1 << 20
	g.Recall(t.Context(), Asker{Door: "test"}, images)
	whole := 0
	for text := range strings.Lines(d.String()) {
		var e Entry
		if json.Unmarshal([]byte(text), &e) == nil {
			whole++
		}
	}
	if whole != 2 {
		t.Errorf("%d lines of 2 can be read:\n%s", whole, d)
	}
}
