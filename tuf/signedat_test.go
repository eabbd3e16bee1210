package tuf_test

import (
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

func TestSignedAt(t *testing.T) {
	md := tuf.NewTargets(1, now)
	if at := tuf.SignedAt(md); !at.IsZero() {
		t.Errorf("a file that does not say: %v", at)
	}
	at := time.Date(2026, 5, 1, 14, 0, 0, 999, time.FixedZone("", 7200))
	tuf.SetSigned(md, at)
	if got := tuf.SignedAt(md); !got.Equal(at.Truncate(time.Second)) || got.Location() != time.UTC {
		t.Errorf("%v", got)
	}
	tuf.SetSigned(md, time.Time{})
	if len(md.Signed.UnrecognizedFields) != 0 {
		t.Errorf("%v", md.Signed.UnrecognizedFields)
	}
}

// TestPublishSigned takes no other form than that of TUF's dates, and no date in the
// future.
func TestPublishSigned(t *testing.T) {
	for _, test := range []struct {
		claim string
		value any
		rule  tuf.Rule
	}{
		{"now", now.Format(time.RFC3339), ""},
		{"long ago", "2001-01-01T00:00:00Z", ""},
		{"a clock that runs ahead a little", now.Add(time.Hour).Format(time.RFC3339), ""},
		{"tomorrow", now.Add(time.Hour + time.Second).Format(time.RFC3339), tuf.RuleClock},
		{"another zone", "2026-01-01T00:00:00+02:00", tuf.RuleShape},
		{"fractions", "2026-01-01T00:00:00.5Z", tuf.RuleShape},
		{"a day that is none", "2026-02-30T00:00:00Z", tuf.RuleShape},
		{"words", "yesterday", tuf.RuleShape},
		{"nothing", "", tuf.RuleShape},
		{"a number", number("1767225600"), tuf.RuleShape},
		{"a list", []any{now.Format(time.RFC3339)}, tuf.RuleShape},
	} {
		t.Run(test.claim, func(t *testing.T) {
			w := team(t)
			file := sealed(t, w.newTargets(nil), func(signed object) { signed[tuf.MemberSigned] = test.value }, w.targets)
			_, changed, err := tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now})
			if tuf.RuleOf(err) != test.rule || test.rule == "" && (err != nil || len(changed) != 1) {
				t.Errorf("%v, expected %q", err, test.rule)
			}
			if _, err := tuf.ReadTargets(file.Bytes); (test.rule == tuf.RuleShape) != (err != nil) {
				t.Errorf("read: %v", err)
			}
		})
	}
}
