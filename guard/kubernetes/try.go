package kubernetes

import (
	"context"
	"strconv"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/workload"
)

// A Trial is what the webhooks say to one AdmissionReview.
type Trial struct {
	Operation string // CREATE, UPDATE, DELETE, CONNECT
	Object    string // KIND/NAME
	Namespace string
	Allowed   bool
	// Why is the verdict on the whole, as audit logs have it: "allowed", "unchanged",
	// "refused", "break glass", or why nothing was looked at.
	Why        string
	BreakGlass string // the reason given, where it is only for that that it passes
	// Code and Message are of a refusal, as an API server shows it.
	Code    int
	Message string
	// Images are what was found, in the order in which a pod runs them; nil where
	// nothing was looked at, or the object cannot be looked into.
	Images []Tried
}

// A Tried is what was found out about one image.
type Tried struct {
	workload.Image
	Verdict   string           // one of those that audit logs have
	Decision  *client.Decision // nil where nobody was asked, or gave an answer
	Pinned    string           // what the mutating webhook writes in its place; "": it leaves it
	Warning   string           // what is said to whoever sent the object
	Forbidden bool
	Err       error // why, where it is forbidden
}

// Try tells what an API server is told that asks about a review: at the mutating
// webhook first, and then, of what that wrote, at the validating one. Its error says
// that the review gets no answer, which is no yes.
func (d *Door) Try(ctx context.Context, review []byte) (*Trial, error) {
	body, err := readObject(review)
	if err != nil {
		return nil, err
	}
	mutated, answer, err := d.answer(ctx, "", body, true)
	if err != nil {
		return nil, err
	}
	trial := tried(mutated, answer)
	if !answer.Allowed {
		return trial, nil
	}
	for i := range mutated.found {
		if f := &mutated.found[i]; f.pinned != "" && !f.forbidden {
			put(mutated.object, f.image.Key, f.pinned)
		}
	}
	if validated, answer, err := d.answer(ctx, "", body, false); err != nil || !answer.Allowed {
		return tried(validated, answer), err
	}
	return trial, nil
}

// tried puts together what came of an admission.
func tried(a *admission, answer *admissionAnswer) *Trial {
	if a == nil {
		return nil
	}
	t := &Trial{Operation: a.operation, Object: a.kind + "/" + a.objectName(), Namespace: a.namespace,
		Allowed: answer.Allowed, Why: answer.AuditAnnotations[auditVerdict], BreakGlass: answer.AuditAnnotations[auditBreakGlass]}
	if answer.Status != nil {
		t.Code, t.Message = answer.Status.Code, answer.Status.Message
	}
	for _, f := range a.found {
		one := Tried{Image: f.image, Verdict: f.verdict, Decision: f.decision, Warning: f.warning, Forbidden: f.forbidden, Err: f.err}
		if !f.forbidden {
			one.Pinned = f.pinned
		}
		t.Images = append(t.Images, one)
	}
	return t
}

// put writes an image in its place in an object, as the patch does.
func put(object map[string]any, key []string, image string) {
	var holder any = object
	for i, step := range key {
		switch at := holder.(type) {
		case map[string]any:
			if i == len(key)-1 {
				at[step] = image
				return
			}
			holder = at[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(at) {
				return // no image was found there
			}
			holder = at[n]
		}
	}
}
