package kubernetes

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/signet-trust/signet/internal/jsonline"
)

// admissionAPI is the one version of AdmissionReview that is taken.
const admissionAPI = "admission.k8s.io/v1"

// An admission is what an API server asks about.
type admission struct {
	uid              string
	apiVersion, kind string // of the object
	subResource      string
	name, namespace  string
	operation        string
	user             string // as the peer says
	peer             string // who asks
	dryRun           bool
	object, old      map[string]any // nil when there is none
	found            []finding      // what came out, once its images were looked at
}

// An admissionReview is the answer in its envelope.
type admissionReview struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Response   *admissionAnswer `json:"response"`
}

// An admissionAnswer is AdmissionResponse of admission.k8s.io/v1.
type admissionAnswer struct {
	UID              string            `json:"uid"`
	Allowed          bool              `json:"allowed"`
	Status           *status           `json:"status,omitempty"`
	Patch            []byte            `json:"patch,omitempty"` // base64 in JSON
	PatchType        string            `json:"patchType,omitempty"`
	AuditAnnotations map[string]string `json:"auditAnnotations,omitempty"`
	Warnings         []string          `json:"warnings,omitempty"`
}

// A status is the part of meta/v1's Status that an API server shows.
type status struct {
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

// appendTo writes the review as encoding/json would.
func (r *admissionReview) appendTo(buffer []byte) []byte {
	o := jsonline.New(buffer)
	o.MustText("apiVersion", r.APIVersion)
	o.MustText("kind", r.Kind)
	o.Object("response", func(o *jsonline.Object) {
		a := r.Response
		o.MustText("uid", a.UID)
		o.Bool("allowed", a.Allowed)
		if a.Status != nil {
			o.Object("status", func(o *jsonline.Object) {
				o.MustText("message", a.Status.Message)
				o.MustText("reason", a.Status.Reason)
				o.Number("code", float64(a.Status.Code))
			})
		}
		o.Bytes("patch", a.Patch)
		o.Text("patchType", a.PatchType)
		o.Map("auditAnnotations", a.AuditAnnotations)
		o.Texts("warnings", a.Warnings)
	})
	return o.End()
}

// The reasons that meta/v1 has for what we say.
const (
	reasonForbidden   = "Forbidden"          // 403: a verdict
	reasonInvalid     = "Invalid"            // 422: an object that cannot be looked into
	reasonUnavailable = "ServiceUnavailable" // 503: could not find out
	reasonInternal    = "InternalError"      // 500
)

// readEnvelope reads what has to be there before a review can be answered in its own
// form: its version, and the uid, which the answer echoes.
func readEnvelope(body map[string]any) (uid string, request map[string]any, err error) {
	if err := typed(body, admissionAPI, "AdmissionReview"); err != nil {
		return "", nil, badRequest{http.StatusBadRequest, fmt.Errorf("%w; admissionReviewVersions has to be [v1]", err)}
	}
	request, err = demand[map[string]any](body, "request")
	if err != nil {
		return "", nil, badRequest{http.StatusBadRequest, err}
	}
	uid, err = demand[string](request, "uid")
	if err != nil {
		return "", nil, badRequest{http.StatusBadRequest, fmt.Errorf("request: %w", err)}
	}
	return uid, request, nil
}

// readAdmission reads the rest.
func readAdmission(uid string, request map[string]any) (*admission, error) {
	a := &admission{uid: uid}
	var errs [8]error
	kind, err := demand[map[string]any](request, "kind")
	if err != nil {
		return nil, err
	}
	group, errGroup := member[string](kind, "group")
	version, errVersion := demand[string](kind, "version")
	a.kind, errs[0] = demand[string](kind, "kind")
	a.apiVersion = version
	if group != "" {
		a.apiVersion = group + "/" + version
	}
	a.operation, errs[1] = demand[string](request, "operation")
	a.subResource, errs[2] = member[string](request, "subResource")
	a.name, errs[3] = member[string](request, "name")
	a.namespace, errs[4] = member[string](request, "namespace")
	a.dryRun, errs[5] = member[bool](request, "dryRun")
	a.object, errs[6] = member[map[string]any](request, "object")
	a.old, errs[7] = member[map[string]any](request, "oldObject")
	user, errUser := member[map[string]any](request, "userInfo")
	if errUser == nil {
		a.user, errUser = member[string](user, "username")
	}
	return a, errors.Join(append(errs[:], errGroup, errVersion, errUser)...)
}

// allow lets an admission pass, and says in the audit log why nobody was asked.
func allow(uid, why string) *admissionAnswer {
	return &admissionAnswer{UID: uid, Allowed: true, AuditAnnotations: map[string]string{auditVerdict: why}}
}

// refuse turns an admission down.
func refuse(uid string, code int, reason, message string) *admissionAnswer {
	return &admissionAnswer{UID: uid, Status: &status{Message: message, Reason: reason, Code: code},
		AuditAnnotations: map[string]string{auditVerdict: "refused"}}
}
