package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/tuf"
	"github.com/signet-trust/signet/workload"
)

// podless are kinds that subresources of workloads have, and that name no image:
// rules such as "pods/*" send them.
var podless = map[string]bool{
	"Scale": true, "Binding": true, "Eviction": true, "PodAttachOptions": true, "PodExecOptions": true,
	"PodPortForwardOptions": true, "PodProxyOptions": true,
}

// validate answers the validating webhook.
func (d *Door) validate(ctx context.Context, who string, body map[string]any) (any, error) {
	return d.admit(ctx, who, body, false)
}

// mutate answers the mutating webhook.
func (d *Door) mutate(ctx context.Context, who string, body map[string]any) (any, error) {
	return d.admit(ctx, who, body, true)
}

// admit answers an AdmissionReview. Once its uid is known, every answer is one that
// the API server takes for an answer: an HTTP error would be left to the webhook's
// failurePolicy, which may be to let pass.
func (d *Door) admit(ctx context.Context, who string, body map[string]any, pin bool) (any, error) {
	_, answer, err := d.answer(ctx, who, body, pin)
	if err != nil {
		return nil, err
	}
	return &admissionReview{APIVersion: admissionAPI, Kind: "AdmissionReview", Response: answer}, nil
}

// answer is that answer, and the admission with what was found; it is empty where it
// cannot be read.
func (d *Door) answer(ctx context.Context, who string, body map[string]any, pin bool) (*admission, *admissionAnswer, error) {
	uid, request, err := readEnvelope(body)
	if err != nil {
		return nil, nil, err
	}
	of := &admission{uid: uid}
	answer := func() (answer *admissionAnswer) {
		defer func() {
			if trouble := recover(); trouble != nil {
				d.panicked(ctx, trouble)
				answer = refuse(uid, http.StatusInternalServerError, reasonInternal, "signet broke off while it looked at this object; ask its operator")
			}
		}()
		a, err := readAdmission(uid, request)
		if err != nil {
			return refuse(uid, http.StatusBadRequest, "BadRequest", "signet cannot read this admission: "+oneLine(err))
		}
		a.peer, of = who, a
		return d.review(ctx, a, pin)
	}()
	return of, answer, nil
}

// review decides about one admission.
func (d *Door) review(ctx context.Context, a *admission, pin bool) *admissionAnswer {
	rules := d.config.Rules()
	switch {
	case a.operation == "DELETE", a.operation == "CONNECT":
		return allow(a.uid, PassNoImage)
	case a.namespace != "" && rules.Exempt(a.namespace):
		return allow(a.uid, PassExempt)
	case a.operation != "CREATE" && a.operation != "UPDATE":
		return refuse(a.uid, http.StatusBadRequest, "BadRequest", fmt.Sprintf("signet does not know the operation %s; take it from the webhook's rules", show(a.operation)))
	case a.subResource != "" && podless[a.kind]:
		return allow(a.uid, PassNoImage)
	case a.object == nil:
		return refuse(a.uid, http.StatusBadRequest, "BadRequest", "signet was sent no object to look at")
	case a.object["apiVersion"] != a.apiVersion || a.object["kind"] != a.kind:
		return refuse(a.uid, http.StatusBadRequest, "BadRequest", fmt.Sprintf("signet was asked about a %s of %s, and sent a %s of %s", show(a.kind), show(a.apiVersion), show(a.object["kind"]), show(a.object["apiVersion"])))
	case !workload.Known(a.apiVersion, a.kind) || strings.HasSuffix(a.kind, "List"):
		return refuse(a.uid, http.StatusUnprocessableEntity, reasonInvalid, fmt.Sprintf("signet does not know where a %s of %s names its images; take it from the webhook's rules: the pods that it makes are looked at", show(a.kind), show(a.apiVersion)))
	case a.operation == "UPDATE" && beingDeleted(a.old):
		return allow(a.uid, PassDeleted)
	}
	images, err := workload.Images(a.object)
	if err != nil {
		return refuse(a.uid, http.StatusUnprocessableEntity, reasonInvalid, fmt.Sprintf("signet cannot find the images of this %s: %v", a.kind, err))
	}
	asker := a.asker(pin)
	a.found = d.look(ctx, a, asker, images, rules, pin)
	return d.conclude(a, asker, images, a.found, rules)
}

// Why an object passes in which no image is looked at, as audit logs have it.
const (
	PassNoImage = "no image" // what is done runs none
	PassExempt  = "exempt namespace"
	PassDeleted = "being deleted"
)

// beingDeleted tells whether the stored object is on its way out. Only the stored
// one says so truly: in a new object the user could have written it.
func beingDeleted(old map[string]any) bool {
	metadata, _ := old["metadata"].(map[string]any)
	at, _ := metadata["deletionTimestamp"].(string)
	return at != ""
}

// A finding is what came out about one image of an object.
type finding struct {
	image workload.Image
	ruling
	asked     bool   // the ruling is one
	verdict   string // for the audit log
	pinned    string // what to write in the image's place; "" to leave it
	warning   string
	forbidden bool // it may not run
}

// Verdicts on one image, as audit logs have them.
const (
	VerdictTrusted   = "trusted"
	VerdictLetPass   = "let pass" // untrusted, by the policy's mode or an exemption
	VerdictRefused   = "refused"
	VerdictUnknown   = "could not find out"
	VerdictUnchanged = "unchanged"
)

// look decides about the images of an object. What a running object has already is
// not asked about: refusing it would hold up a finalizer or a label, and stop nothing.
func (d *Door) look(ctx context.Context, a *admission, asker door.Asker, images []workload.Image, rules Rules, pin bool) []finding {
	before := imagesBefore(a)
	findings := make([]finding, len(images))
	var ask []door.Question
	for i, image := range images {
		was := before[slot(image)]
		findings[i] = finding{image: image, verdict: VerdictUnchanged}
		switch {
		case was == image.Value:
			continue
		case pin && isPinOf(was, image.Value) && rules.Rewrites(a.namespace, a.kind, image.Container):
			// A manifest that is applied again, and whose tag was pinned here before.
			findings[i].pinned = was
			ask = append(ask, about(was))
		default:
			findings[i].asked = true
			ask = append(ask, findings[i].question(a, rules, pin))
		}
	}
	rulings := d.decide(ctx, asker, ask)
	var again []door.Question
	for i := range findings {
		f := &findings[i]
		if f.pinned != "" {
			f.ruling = rulings[about(f.pinned)]
			if f.err != nil {
				again = append(again, about(f.image.Value))
			}
		}
		if f.asked {
			f.ruling = rulings[f.question(a, rules, pin)]
		}
	}
	if len(again) > 0 {
		rulings = d.decide(ctx, asker, again)
	}
	for i := range findings {
		f := &findings[i]
		switch {
		case f.pinned != "" && f.err != nil:
			f.repin(rulings[about(f.image.Value)])
		case f.pinned != "" || f.asked:
			f.judge(pin && rules.Rewrites(a.namespace, a.kind, f.image.Container))
		}
	}
	return findings
}

// question is what the gate is asked about an image. By the time that validating
// webhooks are asked, one that is to be pinned has its digest.
func (f *finding) question(a *admission, rules Rules, pin bool) door.Question {
	q := about(f.image.Value)
	q.Pinned = !pin && rules.Rewrites(a.namespace, a.kind, f.image.Container)
	return q
}

// imagesBefore is what each container ran until now.
func imagesBefore(a *admission) map[string]string {
	if a.operation != "UPDATE" || a.old == nil || a.old["apiVersion"] != a.apiVersion || a.old["kind"] != a.kind {
		return nil
	}
	images, err := workload.Images(a.old)
	if err != nil {
		return nil // then everything is new
	}
	before := map[string]string{}
	for _, image := range images {
		before[slot(image)] = image.Value
	}
	return before
}

// slot is the place of an image in its pod. Names are unique in a kind of place.
func slot(image workload.Image) string { return string(image.Kind) + "/" + image.Container }

// judge says what follows from the ruling; pin has the digest written where it is not.
func (f *finding) judge(pin bool) {
	switch {
	case f.err != nil && tuf.IsRefusal(f.err):
		f.verdict, f.forbidden = VerdictRefused, true
		return
	case f.err != nil:
		f.verdict, f.forbidden = VerdictUnknown, true
		return
	case !f.decision.Trusted:
		f.verdict = VerdictLetPass
		return
	}
	f.verdict = VerdictTrusted
	if !pin || f.pinned != "" || isPinned(f.image.Value) {
		return
	}
	if f.pinned, f.err = pinOf(f.image.Value, f.decision.Digest); f.err != nil {
		f.verdict, f.forbidden = VerdictUnknown, true
	}
}

// asker says who asks.
func (a *admission) asker(pin bool) door.Asker {
	name := doorValidate
	if pin {
		name = doorMutate
	}
	object := a.kind + "/" + a.objectName()
	if a.subResource != "" {
		object += "/" + a.subResource
	}
	if a.dryRun {
		object += " (dry run)"
	}
	return door.Asker{Door: name, Who: clip(a.user), Object: clip(object), Namespace: clip(a.namespace), Peer: a.peer}
}

// objectName is the object's, or the beginning of it where the API server makes it up.
func (a *admission) objectName() string {
	if a.name != "" {
		return a.name
	}
	metadata, _ := a.object["metadata"].(map[string]any)
	if name, _ := metadata["name"].(string); name != "" {
		return name
	}
	prefix, _ := metadata["generateName"].(string)
	return prefix + "*"
}
