package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/guard/kubernetes"
	"github.com/signet-trust/signet/policy"
)

// policyAdmitted is what policy test prints of one image of a Kubernetes object.
type policyAdmitted struct {
	File      string `json:"file"`
	Object    string `json:"object"` // KIND/NAME
	Namespace string `json:"namespace"`
	Container string `json:"container,omitempty"`
	Pointer   string `json:"pointer"` // to the image in the object, RFC 6901
	Image     string `json:"image"`
	Verdict   string `json:"verdict"` // as in an API server's audit log
	Pinned    string `json:"pinned,omitempty"`
	*client.Decision
}

// policyPassed is what it prints of an object that is not looked at.
type policyPassed struct {
	File      string `json:"file"`
	Object    string `json:"object"`
	Namespace string `json:"namespace"`
	Passes    string `json:"passes"` // why
}

// policyTurnedDown is what it prints of an object in which no image can be looked at.
type policyTurnedDown struct {
	File      string `json:"file"`
	Object    string `json:"object"`
	Namespace string `json:"namespace"`
	Refused   string `json:"refused"` // why
}

// A triedPolicy is one that is tried, and what decides by it.
type triedPolicy struct {
	name    string // as it was named
	rules   kubernetes.Rules
	decider door.Decider
}

// A gatePolicy decides as a gate does, and counts and logs nothing.
type gatePolicy struct{ door.Decider }

// Ask decides about one image.
func (g gatePolicy) Ask(ctx context.Context, _ door.Asker, q door.Question) (*client.Decision, error) {
	return door.Decide(ctx, g.Decider, q)
}

// Recall has nothing in memory.
func (gatePolicy) Recall(_ context.Context, _ door.Asker, questions []door.Question) []door.Answer {
	return make([]door.Answer, len(questions))
}

// BreakGlass is told with the verdict.
func (gatePolicy) BreakGlass(door.Asker, string) {}

// admit decides on the Kubernetes objects in a file as the webhooks of a gate do.
func (a *app) admit(ctx context.Context, p triedPolicy, file string) error {
	reviews, err := readReviews(file)
	if err != nil {
		return err
	}
	webhooks := kubernetes.New(kubernetes.Config{Gate: gatePolicy{p.decider}, Rules: func() kubernetes.Rules { return p.rules }, Log: slog.New(slog.NewTextHandler(a.stderr, nil))})
	var refused error
	for _, review := range reviews {
		if review.passed != "" {
			a.note("%s: %s is no kind that runs images, as far as is known: it is not looked at", file, clip(review.passed, 200))
			continue
		}
		trial, err := webhooks.Try(ctx, review.json)
		if err != nil {
			refused = errors.Join(refused, advise(fmt.Errorf("%s: a gate gives no answer to this AdmissionReview: %w", file, err),
				"give it one as an API server sends it, with its request and uid; or the object alone, which is asked about as one that is created"))
			continue
		}
		refused = errors.Join(refused, a.printTrial(trial, p.name, file))
	}
	return refused
}

// printTrial prints what the webhooks say of one object, and returns why it may not
// run.
func (a *app) printTrial(t *kubernetes.Trial, by, file string) error {
	where := clip(t.Object, 200)
	if t.Namespace != "" {
		where += " in " + clip(t.Namespace, 200)
	}
	pass := func(why string) error {
		return a.print(policyPassed{file, t.Object, t.Namespace, why}, func(w io.Writer) { fmt.Fprintf(w, "passes %s: %s\n", where, clip(why, maxSentence)) })
	}
	switch {
	case len(t.Images) == 0 && t.Allowed:
		return pass(whyPasses(t))
	case len(t.Images) == 0:
		err := a.print(policyTurnedDown{file, t.Object, t.Namespace, t.Message}, func(w io.Writer) { fmt.Fprintf(w, "refused %s: %s\n", where, clip(t.Message, maxSentence)) })
		refused := fmt.Errorf("%s: %s: %s", file, clip(t.Object, 200), t.Message)
		if t.Code != http.StatusInternalServerError {
			refused = advise(&objectError{refused}, "a gate turns it down whatever its images are: mend the object, or the webhook's rules by which it is sent")
		}
		return errors.Join(refused, err)
	}
	var refused error
	for _, image := range t.Images {
		err, printed := a.printTried(t, image, where, by, file)
		if refused = errors.Join(refused, err); printed != nil {
			return errors.Join(refused, printed)
		}
	}
	if t.Allowed && refused != nil {
		return pass("although it is refused, by break-glass: " + t.BreakGlass)
	}
	return refused
}

// printTried prints what they say of one image, and returns why it may not run.
func (a *app) printTried(t *kubernetes.Trial, image kubernetes.Tried, where, by, file string) (refused, printed error) {
	decision := image.Decision
	if decision == nil && image.Err != nil {
		decision = door.Refused(door.Question{Question: policy.Question{Image: image.Value}}, nil, image.Err)
	}
	admitted := policyAdmitted{File: file, Object: t.Object, Namespace: t.Namespace, Container: image.Container, Pointer: image.Pointer,
		Image: image.Value, Verdict: image.Verdict, Pinned: image.Pinned, Decision: decision}
	where += ", " + clip(image.Container, 200) + ": "
	if image.Verdict == kubernetes.VerdictUnchanged {
		if image.Warning != "" {
			a.note("warning: %s%s %s", where, clip(image.Value, 300), clip(image.Warning, maxSentence))
		}
		return nil, a.print(admitted, func(w io.Writer) {
			as := ""
			if image.Pinned != "" {
				as = ", as " + clip(image.Pinned, 300)
			}
			fmt.Fprintf(w, "unchanged %s%s: it runs already%s\n", where, clip(image.Value, 300), as)
		})
	}
	admitted.Image = decision.Image
	if image.Err != nil {
		refused = ofObject(by, decision, image.Image, t.Object, file, image.Err)
	}
	return refused, a.printRuled(admitted, decision, where, image.Pinned, refused)
}

// whyPasses says in a few words why an object is not looked at.
func whyPasses(t *kubernetes.Trial) string {
	switch t.Why {
	case kubernetes.PassExempt:
		return "the namespace is exempt"
	case kubernetes.PassDeleted:
		return "it is being deleted"
	}
	return t.Operation + " of it runs no image"
}
