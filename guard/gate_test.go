package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// A decider answers as a test says.
type decider func(q policy.Question) (*client.Decision, error)

func (f decider) Decide(_ context.Context, q policy.Question) (*client.Decision, error) { return f(q) }

// signed trusts registry.example.com/app: the tag 1.0 means A, and meant B once.
func signed(mode client.Mode) decider {
	return func(q policy.Question) (*client.Decision, error) {
		image, err := tuf.ParseImage(q.Image)
		d := &client.Decision{Image: q.Image, Repository: image.Repository, Tag: image.Tag, Policy: &client.Ruling{Rule: "app", Mode: mode}}
		if err == nil && image.Repository == "registry.example.com/app" && (image.Digest == "" || image.Digest == digestA || image.Digest == digestB) {
			d.Trusted, d.Policy.Allowed, d.Signers = true, true, []string{"alice"}
			d.Digest = image.Digest
			if d.Digest == "" {
				d.Digest = digestA
			}
			d.Current = d.Digest == digestA
			d.Reference = d.Repository + "@" + d.Digest
			return d, nil
		}
		if err == nil {
			err = &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
		}
		d.Rule, d.Reason = tuf.RuleOf(err), err.Error()
		return d, err
	}
}

func ask(t *testing.T, d Decider, q Question) (*client.Decision, Entry, error) {
	t.Helper()
	var log bytes.Buffer
	g := New(Config{Decisions: &log})
	if d != nil {
		g.Use(d, "test")
	}
	decision, err := g.Ask(t.Context(), Asker{Door: "decide", Who: "CN=alice"}, q)
	flush(t, g)
	var e Entry
	if err := json.Unmarshal(log.Bytes(), &e); err != nil {
		t.Fatalf("%v in the log: %s", err, log.Bytes())
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("not one line: %s", log.String())
	}
	return decision, e, err
}

func question(image, offered string) Question {
	return Question{Question: policy.Question{Image: image}, Offered: offered}
}

// What a registry offers for a name has to be what is signed for it now.
func TestOffered(t *testing.T) {
	for name, test := range map[string]struct {
		mode    client.Mode
		q       Question
		verdict string
		cause   tuf.Rule
	}{
		"a tag":                            {client.ModeEnforce, question("registry.example.com/app:1.0", ""), VerdictAllow, ""},
		"a tag, its digest":                {client.ModeEnforce, question("registry.example.com/app:1.0", digestA), VerdictAllow, ""},
		"a tag, its digest from before":    {client.ModeEnforce, question("registry.example.com/app:1.0", digestB), VerdictDeny, tuf.RuleDigest},
		"the same, warned of":              {client.ModeWarn, question("registry.example.com/app:1.0", digestB), VerdictWarn, tuf.RuleDigest},
		"the same, audited":                {client.ModeAudit, question("registry.example.com/app:1.0", digestB), VerdictWarn, tuf.RuleDigest},
		"the same, asked for":              {client.ModeEnforce, question("registry.example.com/app:1.0@"+digestB, digestB), VerdictAllow, ""},
		"another digest than is asked for": {client.ModeWarn, question("registry.example.com/app:1.0@"+digestA, digestB), VerdictDeny, tuf.RuleDigest},
		"another repository":               {client.ModeEnforce, question("registry.example.com/other:1.0", digestA), VerdictDeny, tuf.RuleAbsent},
		"no name":                          {client.ModeEnforce, question("REGISTRY.example.com/../app", digestA), VerdictDeny, tuf.RuleName},
		"no digest":                        {client.ModeEnforce, question("registry.example.com/app:1.0", "sha256:AA"), VerdictDeny, tuf.RuleName},
	} {
		t.Run(name, func(t *testing.T) {
			d, e, err := ask(t, signed(test.mode), test.q)
			if (err == nil) != (test.verdict != VerdictDeny) || (err == nil) != d.Policy.Allowed {
				t.Errorf("error %v, allowed %t", err, d.Policy.Allowed)
			}
			if d.Trusted != (test.verdict == VerdictAllow) {
				t.Errorf("trusted: %t", d.Trusted)
			}
			if e.Verdict != test.verdict || tuf.RuleOf(err) != "" && tuf.RuleOf(err) != test.cause {
				t.Errorf("logged as %+v, error %v", e, err)
			}
			if e.Verdict != VerdictAllow && e.Reason == "" {
				t.Error("no reason in the log")
			}
			if e.Cause != test.cause || d.Rule != test.cause {
				t.Errorf("the cause is %q in the log, %q in the answer, expected %q", e.Cause, d.Rule, test.cause)
			}
		})
	}
}

// What an asker got wrong is the asker's: it is refused, it counts as no trouble, and it
// says which part is wrong, also while the gate has no policy.
func TestQuestionThatIsNone(t *testing.T) {
	for name, test := range map[string]struct {
		q    Question
		hint string
	}{
		"a name":            {question("registry.example.com/../app:1.0", ""), "correct the image's name"},
		"a digest in it":    {question("registry.example.com/app@sha256:00", ""), "correct the image's name"},
		"the one offered":   {question("registry.example.com/app:1.0", "sha256:00"), "correct the digest"},
		"both of them":      {question("registry.example.com/../app:1.0", "sha256:00"), "correct the image's name"},
		"what is not asked": {question("", digestA), "correct the image's name"},
	} {
		for _, decider := range []Decider{nil, signed(client.ModeEnforce), signed(client.ModeWarn)} {
			d, e, err := ask(t, decider, test.q)
			if tuf.RuleOf(err) != tuf.RuleName || d.Allowed() || e.Verdict != VerdictDeny || e.Cause != tuf.RuleName {
				t.Errorf("%s: %v, logged as %+v", name, err, e)
			}
			if next := door.Next(d.Image, d, err); !strings.Contains(next, test.hint) {
				t.Errorf("%s: next: %s, expected %q", name, next, test.hint)
			}
		}
	}
}

// A policy that gives no clear answer lets nothing run.
func TestNoClearAnswerIsARefusal(t *testing.T) {
	for name, d := range map[string]Decider{
		"no policy":   nil,
		"no decision": decider(func(policy.Question) (*client.Decision, error) { return nil, nil }),
		"no ruling":   decider(func(policy.Question) (*client.Decision, error) { return &client.Decision{Trusted: true}, nil }),
		"trusted, refused": decider(func(policy.Question) (*client.Decision, error) {
			return &client.Decision{Trusted: true, Policy: &client.Ruling{}}, nil
		}),
		"trusted, and an error": decider(func(policy.Question) (*client.Decision, error) {
			return &client.Decision{Trusted: true, Reference: "x", Policy: &client.Ruling{Allowed: true}}, errors.New("no")
		}),
		"a panic": decider(func(policy.Question) (*client.Decision, error) { panic("a bug") }),
	} {
		t.Run(name, func(t *testing.T) {
			decision, e, err := ask(t, d, question("registry.example.com/app:1.0", ""))
			if err == nil || decision.Trusted || decision.Allowed() || decision.Reference != "" || e.Verdict != VerdictDeny || decision.Reason == "" {
				t.Errorf("%+v %+v, error %v, logged as %+v", decision, decision.Policy, err, e)
			}
		})
	}
}

// What somebody else chose gets into the log as one line of printable characters.
func TestTheLogIsOneLine(t *testing.T) {
	var log bytes.Buffer
	g := New(Config{Decisions: &log})
	g.Use(signed(client.ModeEnforce), "test")
	bad := "a\n{\"verdict\":\"allow\"}\x1b[2J\u2028\u202e" + strings.Repeat("x", 1<<20)
	_, err := g.Ask(t.Context(), Asker{Door: "decide", Who: bad, Object: bad, Namespace: bad}, Question{Question: policy.Question{Image: bad, Platform: bad}, Offered: bad})
	if err == nil {
		t.Error("it was let pass")
	}
	g.BreakGlass(Asker{Door: "admission", Who: bad}, bad)
	flush(t, g)
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 2 || strings.ContainsAny(log.String(), "\x1b\u2028\u202e\r") || log.Len() > 20_000 {
		t.Errorf("%d lines, %d bytes", len(lines), log.Len())
	}
}
