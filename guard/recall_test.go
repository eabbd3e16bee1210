package guard

import (
	"context"
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

// questions ask about images.
func questions(images ...string) []Question {
	list := make([]Question, len(images))
	for i, image := range images {
		list[i].Image = image
	}
	return list
}

// flush waits for the log.
func flush(t *testing.T, g *Gate) {
	t.Helper()
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRecall answers, logs and counts what is in memory, and nothing else.
func TestRecall(t *testing.T) {
	var log strings.Builder
	g := New(Config{Decisions: &log})
	g.Use(holds(t), "test")
	var images []string
	for _, tag := range []string{"3.0", "1.0", "silent", "2.0", "panic", "contradiction", "untrusted", "1.0"} {
		images = append(images, "registry.example.com/app:"+tag)
	}
	answers := g.Recall(t.Context(), Asker{Door: "test", Who: "alice"}, questions(images...))
	flush(t, g)
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
		return g.Recall(t.Context(), Asker{}, questions("registry.example.com/app:1.0"))[0].Decision != nil
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
type stuck struct {
	began, free chan struct{}
	lines       *strings.Builder
}

func (s stuck) Write(p []byte) (int, error) {
	if s.lines.Len() == 0 {
		close(s.began)
		<-s.free
	}
	return s.lines.Write(p)
}

// TestNobodyWaitsForTheLog has it written to what takes nothing until it is free.
func TestNobodyWaitsForTheLog(t *testing.T) {
	log := stuck{began: make(chan struct{}), free: make(chan struct{}), lines: new(strings.Builder)}
	g := New(Config{Decisions: log})
	g.Use(decider(func(q policy.Question) (*client.Decision, error) { return signed(client.ModeEnforce)(q) }), "test")
	asker := Asker{Door: "test", Object: strings.Repeat("x", 900)}
	all := questions(slices.Repeat([]string{"registry.example.com/app:1.0"}, 500)...)
	const rounds = 12 // of half a megabyte
	for range rounds {
		for _, a := range g.Recall(t.Context(), asker, all) {
			if a.Err != nil || !a.Decision.Allowed() {
				t.Fatalf("%+v, %v", a.Decision, a.Err)
			}
		}
	}
	if _, err := g.Decide(t.Context(), asker, "registry.example.com/app:1.0"); err != nil {
		t.Error(err)
	}
	g.BreakGlass(asker, "fire")
	<-log.began
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Flush(late); err == nil {
		t.Error("lines that nobody took were written")
	}
	close(log.free)
	flush(t, g)
	lost := int(testutil.ToFloat64(g.metrics.logFailures))
	if n := strings.Count(log.lines.String(), "\n"); n+lost != rounds*500+2 || lost == 0 || log.lines.Len() > 3*maxWaiting {
		t.Errorf("%d lines, %d bytes; %d are said to be lost of %d", n, log.lines.Len(), lost, rounds*500+2)
	}
	if n := strings.Count(log.lines.String(), "\n"); wholeLines(log.lines.String()) != n {
		t.Errorf("%d lines of %d can be read", wholeLines(log.lines.String()), n)
	}
}

// TestOneReviewIsTooMuch for the log at once: what there is room for is in it.
func TestOneReviewIsTooMuch(t *testing.T) {
	var log strings.Builder
	g := New(Config{Decisions: &log})
	g.Use(decider(func(q policy.Question) (*client.Decision, error) {
		return nil, &tuf.Refusal{Rule: tuf.RuleName, Detail: "bad: " + q.Image}
	}), "test")
	const asked = 500
	bad := strings.Repeat("<", 1000) // JSON takes six bytes for each
	g.Recall(t.Context(), Asker{Door: "test", Object: bad}, questions(slices.Repeat([]string{bad}, asked)...))
	flush(t, g)
	lost := int(testutil.ToFloat64(g.metrics.logFailures))
	if n := wholeLines(log.String()); n == 0 || lost == 0 || n+lost != asked || log.Len() > maxWaiting {
		t.Errorf("%d lines, %d lost, %d bytes", n, lost, log.Len())
	}
}

// TestRecallHasAnEnd asks no further once the time is over.
func TestRecallHasAnEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := New(Config{})
	asked := 0
	g.Use(decider(func(q policy.Question) (*client.Decision, error) {
		if asked++; asked == 2 {
			cancel()
		}
		return signed(client.ModeEnforce)(q)
	}), "test")
	one := "registry.example.com/app:1.0"
	answers := g.Recall(ctx, Asker{}, questions(one, one, one))
	if asked != 2 || answers[1].Decision == nil || len(answers) != 3 || answers[2].Decision != nil {
		t.Errorf("asked %d times: %+v", asked, answers)
	}
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

// TestPinned refuses what is trusted under a name that should have its digest, and says
// so in the log.
func TestPinned(t *testing.T) {
	for image, rule := range map[string]tuf.Rule{
		"registry.example.com/app:1.0": tuf.RulePin, "registry.example.com/app:1.0@" + digestA: "",
		"registry.example.com/other:1.0": tuf.RuleAbsent,
	} {
		q := question(image, "")
		q.Pinned = true
		d, e, err := ask(t, signed(client.ModeEnforce), q)
		if tuf.RuleOf(err) != rule || d.Allowed() != (rule == "") || d.Trusted != (rule == "") || e.Cause != rule || (e.Verdict == VerdictDeny) != (rule != "") || (e.Reason == "") != (rule == "") {
			t.Errorf("%s: %+v, %v, logged as %+v", image, d, err, e)
		}
	}
}

// TestLinesThatFailTogether are counted each, and what was cut off is not the beginning
// of the next.
func TestLinesThatFailTogether(t *testing.T) {
	d := &disk{room: 20}
	g := New(Config{Decisions: d})
	g.Use(holds(t), "test")
	both := questions("registry.example.com/app:1.0", "registry.example.com/app:2.0")
	if a := g.Recall(t.Context(), Asker{Door: "test"}, both); a[0].Err != nil || a[1].Decision == nil {
		t.Errorf("a full disk changes the answers: %+v", a)
	}
	flush(t, g)
	if n := testutil.ToFloat64(g.metrics.logFailures); n != 2 {
		t.Errorf("%g lines are said to be lost", n)
	}
	d.room = 1 << 20
	g.Recall(t.Context(), Asker{Door: "test"}, both)
	flush(t, g)
	first := strings.LastIndex(strings.TrimSuffix(d.String(), "\n"), "\n")
	d.room = first - strings.Index(d.String(), "\n") + 5 // one line and a little
	g.Recall(t.Context(), Asker{Door: "test"}, both)
	flush(t, g)
	if n := testutil.ToFloat64(g.metrics.logFailures); n != 3 {
		t.Errorf("%g lines are said to be lost", n)
	}
	d.room = 1 << 20
	if whole := wholeLines(d.String()); whole != 3 {
		t.Errorf("%d lines of 3 can be read:\n%s", whole, d)
	}
}
