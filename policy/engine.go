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

// A Verifier answers what an image's name means. *client.Client does, and so does
// *client.Watcher, which answers from memory. Asked with Options.Held, it waits for
// nobody: what it does not know at once is client.ErrNotHeld.
type Verifier interface {
	Verify(ctx context.Context, image tuf.Image, options client.Options) (*client.Decision, error)
}

// A Question is one image that somebody wants to run.
type Question struct {
	// Image is the reference as it was written: "registry.example.com/team/app:1.0".
	Image string
	// Platform is where it is to run, such as "linux/amd64"; "" when not known.
	Platform string
	// Held demands an answer at once, out of the verifier's memory. Where that holds
	// no verdict, the error is client.ErrNotHeld, and the question remains to be asked.
	Held bool
}

// A Config says what an engine decides with.
type Config struct {
	Policy   *Policy
	Verifier Verifier
	// Anchors are those of the machine (trust.json), for rules that bring none.
	Anchors client.Anchors
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Offline and From are those of client.Options, for every question.
	Offline bool
	From    string
}

// An Engine holds images against a policy. It is safe for concurrent use.
type Engine struct {
	config  Config
	anchors map[*Rule][]anchored
}

// anchored is an anchor with what a rule demands beside it, or why they do not go
// together.
type anchored struct {
	anchor *client.Anchor
	err    error
}

// New returns an engine. Without a policy or a verifier it refuses everything.
func New(c Config) *Engine {
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{config: c, anchors: map[*Rule][]anchored{}}
	if c.Policy == nil {
		return e
	}
	for _, rule := range c.Policy.Rules {
		anchors := e.base(rule)
		list := make([]anchored, len(anchors))
		for i := range anchors {
			list[i].anchor, list[i].err = withSigners(&anchors[i], rule.Signers)
			if list[i].err == nil && !c.Offline && c.From == "" {
				// Where servers can be asked, the last verdict holds until its metadata
				// expires, never longer.
				list[i].anchor.MaxStale = 0
			}
		}
		e.anchors[rule] = list
	}
	return e
}

// base returns the anchors that a rule trusts.
func (e *Engine) base(rule *Rule) client.Anchors {
	if len(rule.Anchors) > 0 {
		return rule.Anchors
	}
	return e.config.Anchors
}

// withSigners returns a copy of an anchor that requires some signers, too. One whom
// both name must vouch by a key that both name.
func withSigners(anchor *client.Anchor, signers []client.Voice) (*client.Anchor, error) {
	merged := *anchor
	merged.Require = slices.Clone(anchor.Require)
	for _, signer := range signers {
		i := slices.IndexFunc(merged.Require, func(v client.Voice) bool { return strings.EqualFold(v.Name, signer.Name) })
		if i < 0 {
			merged.Require = append(merged.Require, signer)
			continue
		}
		both := slices.DeleteFunc(slices.Clone(signer.Keys), func(id string) bool { return !slices.Contains(merged.Require[i].Keys, id) })
		if len(both) == 0 || merged.Require[i].Name != signer.Name {
			return nil, fmt.Errorf("the trust anchor for %s knows the signer %s by other keys than the rule does", anchor.Pattern, signer.Name)
		}
		merged.Require[i].Keys = both
	}
	if err := merged.Check(); err != nil {
		return nil, err
	}
	return &merged, nil
}

// Decide tells whether an image may run. The decision is never nil, and neither is
// its Policy. The error is nil if it may: because it is trusted, exempt, or because
// the rule's mode lets it pass. A *tuf.Refusal or *tuf.ExpiredError means that it is
// not trusted, any other error that it could not be found out; both are refusals.
func (e *Engine) Decide(ctx context.Context, q Question) (decision *client.Decision, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("%s: could not find out: the decision broke off: %v", tidy(clip(q.Image)), trouble)
			decision = refused(blank(q.Image, tuf.Image{}), &client.Ruling{}, err)
		}
	}()
	return e.decide(ctx, q)
}

func (e *Engine) decide(ctx context.Context, q Question) (*client.Decision, error) {
	asked, err := tuf.ParseImage(q.Image)
	if err != nil {
		return refused(blank(q.Image, tuf.Image{}), &client.Ruling{}, err), err
	}
	if asked.Tag == "" && asked.Digest == "" {
		asked.Tag = "latest"
	}
	ruling := &client.Ruling{}
	if e.config.Policy == nil || e.config.Verifier == nil {
		err := errors.New("there is no policy to decide by")
		return refused(blank(q.Image, asked), ruling, err), err
	}
	match, err := e.config.Policy.Match(asked)
	if err != nil {
		err = &tuf.Refusal{Repository: asked.Repository, Rule: tuf.RulePolicy, Clause: clause("mirrors"), Detail: detail(err)}
		return refused(blank(q.Image, asked), ruling, err), err
	}
	names := []tuf.Image{asked}
	if match != nil {
		ruling.Rule, ruling.Mode = match.Rule.Name, match.Rule.Mode
		if match.Mirror != nil {
			ruling.Asked = asked.String()
			names = append(names, match.Image)
		}
	}
	now := e.config.Now()
	if exemption := e.config.Policy.exemption(now, names...); exemption != nil {
		return exempt(blank(q.Image, names[len(names)-1]), ruling, exemption), nil
	}
	if match == nil {
		err := &tuf.Refusal{Repository: asked.Repository, Rule: tuf.RulePolicy, Clause: clause("rules"),
			Detail: fmt.Sprintf("no rule of %s fits %s", e.config.Policy.Name, asked)}
		return refused(blank(q.Image, asked), ruling, err), err
	}
	decision, err := e.verify(ctx, match, ruling, q.Held)
	if q.Held && err != nil && !tuf.IsRefusal(err) {
		// Trouble has more than memory to be got over with, and no mode lets it pass yet.
		return refused(decision, ruling, client.ErrNotHeld), client.ErrNotHeld
	}
	if err == nil {
		err = judge(match.Rule, decision, q.Platform, e.config.Now())
	}
	if err == nil {
		ruling.Allowed = true
		decision.Policy = ruling
		// What is pulled by is what was asked for: the mirror serves the same bytes, or none.
		decision.Reference = asked.Repository + "@" + decision.Digest
		return decision, nil
	}
	decision = refused(decision, ruling, err)
	switch match.Rule.Mode {
	case client.ModeWarn:
		ruling.Allowed = true
		ruling.Warnings = append(ruling.Warnings, decision.Reason)
		return decision, nil
	case client.ModeAudit:
		ruling.Allowed = true
		return decision, nil
	}
	return decision, err
}

// clause names a part of the policy in refusals.
func clause(key string) string { return "policy: " + key }

// blank is the decision on what was not verified.
func blank(written string, image tuf.Image) *client.Decision {
	d := &client.Decision{Image: image.String(), Repository: image.Repository, Tag: image.Tag, Digest: image.Digest, Signers: []string{}}
	if image.Repository == "" {
		d.Image = tidy(clip(written))
	}
	return d
}

// refused makes a decision one that trusts nothing, whatever it said before: whoever
// reads one member alone must not get a yes.
func refused(d *client.Decision, ruling *client.Ruling, err error) *client.Decision {
	d.Trusted, d.Current, d.Reference = false, false, ""
	d.Signers, d.Voices, d.Tags = []string{}, nil, nil
	d.Length, d.MediaType, d.Annotations = 0, "", nil
	image, parseErr := tuf.ParseImage(d.Image)
	if d.Digest = image.Digest; parseErr != nil {
		d.Digest = ""
	}
	d.Rule, d.Reason = tuf.RuleOf(err), reason(err)
	ruling.Allowed = false
	d.Policy = ruling
	return d
}

// reason is an error in one line.
func reason(err error) string { return tidy(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// exempt lets an image run that was not verified.
func exempt(d *client.Decision, ruling *client.Ruling, exemption *Exemption) *client.Decision {
	ruling.Allowed, ruling.Exempt = true, exemption.Reason
	ruling.Until = exemption.Until.UTC().Format(time.RFC3339)
	d.Reason = fmt.Sprintf("not verified: exempt until %s: %s", ruling.Until, exemption.Reason)
	ruling.Warnings = append(ruling.Warnings, fmt.Sprintf("%s was %s", d.Image, d.Reason))
	d.Policy = ruling
	return d
}
