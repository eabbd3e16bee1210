package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// verify asks what a rule's image means, and lets the last verdict count where the
// rule does. The decision is never nil, and is the caller's own.
func (e *Engine) verify(ctx context.Context, match *Match, ruling *client.Ruling, held bool) (*client.Decision, error) {
	anchor, err := e.anchor(match)
	if err != nil {
		return blank("", match.Image), err
	}
	options := client.Options{Offline: e.config.Offline, From: e.config.From, Anchor: anchor, Held: held}
	if held || !match.Rule.Last || options.Offline || options.From != "" {
		return e.ask(ctx, match.Image, options)
	}
	first, cancel := withShare(ctx)
	defer cancel()
	decision, err := e.ask(first, match.Image, options)
	if err == nil || tuf.IsRefusal(err) || errors.Is(ctx.Err(), context.Canceled) {
		return decision, err
	}
	options.Offline = true
	last, lastErr := e.ask(ctx, match.Image, options)
	switch {
	case lastErr == nil:
		ruling.Warnings = append(ruling.Warnings, fmt.Sprintf("no trust server could be asked, so the last verdict counts%s: %s", age(last), reason(err)))
		return last, nil
	case tuf.IsRefusal(lastErr) && tuf.RuleOf(lastErr) != tuf.RuleExpired:
		return last, lastErr // the last verdict was a refusal
	}
	return decision, fmt.Errorf("%w; nor does the last verdict hold: %s", err, reason(lastErr))
}

// age says how old the last verdict is, where that is known.
func age(d *client.Decision) string {
	if d.Checked == nil {
		return ""
	}
	return fmt.Sprintf(" (of %s)", d.Checked.UTC().Format(time.RFC3339))
}

// withShare leaves a part of the time for asking again what is remembered.
func withShare(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	return context.WithDeadline(ctx, deadline.Add(-left/4))
}

// anchor returns whom a rule trusts for an image.
func (e *Engine) anchor(match *Match) (*client.Anchor, error) {
	base := e.base(match.Rule)
	chosen, err := base.For(match.Image.Repository)
	if err != nil {
		return nil, err
	}
	for i := range base {
		if &base[i] == chosen {
			found := e.anchors[match.Rule][i]
			if found.err != nil {
				return nil, fmt.Errorf("rule %s cannot be held against %s: %w", match.Rule.Name, match.Image, plain(found.err))
			}
			return found.anchor, nil
		}
	}
	return nil, fmt.Errorf("rule %s: the trust anchor for %s was lost", match.Rule.Name, match.Image)
}

// plain takes the verdict out of an error about the configuration.
func plain(err error) error { return errors.New(detail(err)) }

// ask asks the verifier, and believes only an answer to what was asked: one that
// fails, contradicts itself or has run out is none.
func (e *Engine) ask(ctx context.Context, image tuf.Image, options client.Options) (decision *client.Decision, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			decision, err = blank("", image), fmt.Errorf("%s: could not find out: verifying broke off: %v", image, trouble)
		}
	}()
	answer, err := e.config.Verifier.Verify(ctx, image, options)
	if answer == nil {
		return blank("", image), errors.Join(err, fmt.Errorf("%s: could not find out: the verifier gave no answer", image))
	}
	own := *answer // a verifier may keep it, and give it to others
	own.Policy = nil
	if err != nil {
		return &own, err
	}
	now := e.config.Now()
	switch {
	case !own.Trusted:
		return blank("", image), fmt.Errorf("%s: could not find out: the verifier gave neither trust nor a reason", image)
	case own.Repository != image.Repository, image.Tag != "" && own.Tag != image.Tag,
		image.Digest != "" && own.Digest != image.Digest, tuf.CheckDigest(own.Digest) != nil:
		return blank("", image), fmt.Errorf("%s: could not find out: the verifier answered for %s@%s", image, tidy(clip(own.Image)), tidy(clip(own.Digest)))
	case own.Expires != nil && !now.Before(*own.Expires) && own.Stale == 0:
		return &own, &tuf.ExpiredError{Repository: image.Repository, Role: "metadata", Expired: *own.Expires, Now: now}
	}
	return &own, nil
}

// maxAhead is how far a signer's clock may be ahead, whatever its time zone.
const maxAhead = 24 * time.Hour

// judge holds a trusted decision to what its rule demands beside trust.
func judge(rule *Rule, d *client.Decision, runsOn string, now time.Time) error {
	refuse := func(by tuf.Rule, key, format string, args ...any) error {
		return &tuf.Refusal{Repository: d.Repository, Rule: by, Clause: clause(rule.Name + ", " + key), Detail: fmt.Sprintf(format, args...)}
	}
	if rule.Current && !d.Current {
		return refuse(tuf.RuleCurrent, "current", "%s is signed from before, and is no longer what its tag means", d.Image)
	}
	if most := rule.MaxChecked; most > 0 {
		switch {
		case d.Checked == nil:
			return refuse(tuf.RuleAge, "max-age", "it is not known when a server last confirmed what %s means; at most %s ago is taken", d.Image, span(most))
		case max(time.Duration(d.Age), now.Sub(*d.Checked)) > most:
			return refuse(tuf.RuleAge, "max-age", "a server last confirmed what %s means %s ago, at %s; at most %s ago is taken", d.Image,
				span(max(time.Duration(d.Age), now.Sub(*d.Checked))), d.Checked.UTC().Format(time.RFC3339), span(most))
		}
	}
	if most := rule.MaxSigned; most > 0 {
		switch {
		case d.Signed == nil:
			return refuse(tuf.RuleAge, "max-age", "it is not known when %s was last signed; at most %s ago is taken", d.Image, span(most))
		case d.Signed.Sub(now) > maxAhead: // it would be young for as long as its signer likes
			return refuse(tuf.RuleAge, "max-age", "what vouches for %s says that it was signed at %s, which is yet to come", d.Image, d.Signed.UTC().Format(time.RFC3339))
		case now.Sub(*d.Signed) > most:
			return refuse(tuf.RuleAge, "max-age", "what vouches for %s was last signed %s ago, at %s; at most %s ago is taken", d.Image,
				span(now.Sub(*d.Signed)), d.Signed.UTC().Format(time.RFC3339), span(most))
		}
	}
	return judgePlatforms(rule, d, runsOn, refuse)
}

func judgePlatforms(rule *Rule, d *client.Decision, runsOn string, refuse func(tuf.Rule, string, string, ...any) error) error {
	if len(rule.Platforms) == 0 {
		return nil
	}
	demanded := slices.Clone(rule.Platforms)
	if runsOn != "" {
		demanded = append(demanded, samePlatform(runsOn))
	}
	signed := "no platform is"
	if len(d.Platforms) > 0 {
		signed = strings.Join(d.Platforms, ", ") + " are"
	}
	for _, one := range demanded {
		if !slices.ContainsFunc(d.Platforms, func(p string) bool { return covered(samePlatform(p), one) }) {
			return refuse(tuf.RulePlatform, "platforms", "%s is not signed as an image for %s; %s signed", d.Image, one, signed)
		}
	}
	return nil
}

// covered tells whether a platform that is signed is the one that is wanted. Where no
// variant is wanted, any will do.
func covered(signed, wanted string) bool {
	return signed == wanted || strings.Count(wanted, "/") == 1 && strings.HasPrefix(signed, wanted+"/")
}

// samePlatform is the one form of platforms that have two: arm64 is arm64/v8.
func samePlatform(s string) string {
	if s == "linux/arm64/v8" {
		return "linux/arm64"
	}
	return s
}

// span is a length of time for people.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Second).String()
}
