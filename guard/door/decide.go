package door

import (
	"context"
	"errors"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// A Decider tells whether an image may run. *policy.Engine does. The error is nil
// if and only if the decision's policy allows it. Asked for what is held, it answers at
// once, or with client.ErrNotHeld.
type Decider interface {
	Decide(ctx context.Context, q policy.Question) (*client.Decision, error)
}

// A Question is one image that somebody wants to run.
type Question struct {
	policy.Question
	// Offered is the digest that a registry gives for the image's name: the answer
	// has to be about it, and it must be what a tag means now. "" when not known.
	Offered string
	// Pinned demands that Image names a digest, where it is trusted: the policy has
	// digests written into such names, and this one was passed over.
	Pinned bool
}

// An Answer is what Decide returns.
type Answer struct {
	Decision *client.Decision // nil when there is none
	Err      error
}

// Decide asks a policy, and holds its answer to the contract: what says no in one
// member must not be a yes in another. The decision and its Policy are never nil; the
// error is nil if and only if the image may run.
func Decide(ctx context.Context, decider Decider, q Question) (*client.Decision, error) {
	decision, err := offered(ctx, decider, q)
	switch {
	case err != nil:
		return Refused(q, decision, err), err
	case decision == nil || decision.Policy == nil || !decision.Policy.Allowed:
		err := errors.New("could not find out: the policy gave no answer")
		return Refused(q, decision, err), err
	case q.Pinned && decision.Trusted && !strings.Contains(q.Image, "@"):
		err := &tuf.Refusal{Repository: decision.Repository, Rule: tuf.RulePin, Clause: "policy: kubernetes, rewrite",
			Detail: "the policy pins this image to its digest, and it came without one: the mutating webhook is not registered for it, or another webhook took the digest away"}
		decision.Rule = err.Rule
		return Refused(q, decision, err), err
	}
	return decision, nil
}

// Refused makes a decision one that lets nothing run; d may be nil.
func Refused(q Question, d *client.Decision, err error) *client.Decision {
	if d == nil {
		d = &client.Decision{Image: Clean(q.Image), Signers: []string{}}
	}
	if d.Policy == nil {
		d.Policy = &client.Ruling{}
	}
	d.Trusted, d.Current, d.Reference, d.Policy.Allowed = false, false, "", false
	if d.Reason == "" {
		d.Reason = Clean(err.Error())
	}
	if d.Rule == "" {
		d.Rule = tuf.RuleOf(err)
	}
	return d
}
