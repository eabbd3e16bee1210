package door

import (
	"context"
	"fmt"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// offered asks decider about a name together with the digest that a registry gives
// for it, where that is known. A digest that was signed under the tag once, and is
// not what the tag means now, is what a registry would offer that takes people back:
// it is not trusted under the tag alone.
func offered(ctx context.Context, decider Decider, q Question) (*client.Decision, error) {
	if q.Offered == "" {
		return decider.Decide(ctx, q.Question)
	}
	if d, err := q.Malformed(); err != nil {
		return d, err
	}
	image, err := tuf.ParseImage(q.Image)
	if err != nil {
		return nil, err
	}
	switch image.Digest {
	case q.Offered:
		return decider.Decide(ctx, q.Question)
	case "":
	default:
		return nil, &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleDigest,
			Detail: fmt.Sprintf("%s was asked for, and the registry offers %s", image, q.Offered)}
	}
	if image.Tag == "" {
		image.Tag = "latest"
	}
	image.Digest = q.Offered
	decision, err := decider.Decide(ctx, policy.Question{Image: image.String(), Platform: q.Platform, Held: q.Held})
	if err != nil || decision == nil || !decision.Trusted || decision.Current {
		return decision, err
	}
	return earlier(decision, image, q)
}

// Malformed is the refusal of a question whose name or digest is none, with which part
// of it is wrong; nil for any other. It is the asker's mistake: no metadata was looked at.
func (q Question) Malformed() (*client.Decision, error) {
	image, err := tuf.ParseImage(q.Image)
	if err != nil {
		return nil, err
	}
	if q.Offered == "" {
		return nil, nil
	}
	if err := tuf.CheckDigest(q.Offered); err != nil {
		return &client.Decision{Image: image.String(), Repository: image.Repository, Tag: image.Tag, Signers: []string{},
			Hint: "correct the digest: sha256: and 64 lower-case hex digits, as the registry gives it"}, err
	}
	return nil, nil
}

// earlier is the decision on a digest that the tag meant before: the rule's mode says
// what becomes of it.
func earlier(d *client.Decision, image tuf.Image, q Question) (*client.Decision, error) {
	err := &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleDigest,
		Detail: fmt.Sprintf("the registry offers %s for the tag %s, which meant that once, and means another digest now", q.Offered, image.Tag)}
	if d.Policy == nil || !d.Policy.Allowed || (d.Policy.Mode != client.ModeWarn && d.Policy.Mode != client.ModeAudit) {
		d.Rule, d.Reason = err.Rule, ""
		return d, err
	}
	d.Trusted, d.Reference = false, ""
	d.Rule, d.Reason = err.Rule, err.Error()
	if d.Policy.Mode == client.ModeWarn {
		d.Policy.Warnings = append(d.Policy.Warnings, d.Reason)
	}
	return d, nil
}
