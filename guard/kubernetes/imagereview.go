package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/workload"
)

// imageReviewAPI is the version of ImageReview that API servers' ImagePolicyWebhook sends.
const imageReviewAPI = "imagepolicy.k8s.io/v1alpha1"

// An imageReview is the answer in its envelope.
type imageReview struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Spec       struct{}          `json:"spec"`
	Status     imageReviewStatus `json:"status"`
}

// An imageReviewStatus is ImageReviewStatus.
type imageReviewStatus struct {
	Allowed          bool              `json:"allowed"`
	Reason           string            `json:"reason,omitempty"`
	AuditAnnotations map[string]string `json:"auditAnnotations,omitempty"`
}

// imageReview answers an API server's ImagePolicyWebhook. It is asked about pods
// only, is not told what ran before, and cannot rewrite.
func (d *Door) imageReview(ctx context.Context, who string, body map[string]any) (any, error) {
	if err := typed(body, imageReviewAPI, "ImageReview"); err != nil {
		return nil, badRequest{http.StatusBadRequest, err}
	}
	spec, err := demand[map[string]any](body, "spec")
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, err}
	}
	images, namespace, notes, err := readImageReview(spec)
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, fmt.Errorf("spec: %w", err)}
	}
	review := &imageReview{APIVersion: imageReviewAPI, Kind: "ImageReview"}
	rules := d.config.Rules()
	if namespace != "" && rules.Exempt(namespace) {
		review.Status = imageReviewStatus{Allowed: true, AuditAnnotations: map[string]string{auditVerdict: "exempt namespace"}}
		return review, nil
	}
	asker := door.Asker{Door: doorImageReview, Who: who, Object: "Pod", Namespace: clip(namespace)}
	questions := make([]door.Question, len(images))
	for i, image := range images {
		questions[i] = about(image)
	}
	rulings := d.decide(ctx, asker, questions)
	findings := make([]finding, len(images))
	for i, image := range images {
		findings[i] = finding{image: workload.Image{Kind: workload.KindContainer, Value: image}, ruling: rulings[about(image)], asked: true}
		findings[i].judge(false)
	}
	// Of the object it is sent the annotations alone, of names with .image-policy.k8s.io/.
	a := &admission{kind: "Pod", namespace: namespace, object: map[string]any{"metadata": map[string]any{"annotations": notes}}}
	answer := d.conclude(a, asker, nil, findings, rules)
	review.Status = imageReviewStatus{Allowed: answer.Allowed, AuditAnnotations: answer.AuditAnnotations}
	if answer.Status != nil {
		review.Status.Reason = answer.Status.Message
	}
	return review, nil
}

// readImageReview reads what is asked. A review of no image is not answered: nothing
// checked must not read as allowed.
func readImageReview(spec map[string]any) (images []string, namespace string, notes map[string]any, err error) {
	containers, err := member[[]any](spec, "containers")
	if err != nil {
		return nil, "", nil, err
	}
	if len(containers) == 0 {
		return nil, "", nil, errors.New("containers: there are none")
	}
	for i, value := range containers {
		container, ok := value.(map[string]any)
		if !ok {
			return nil, "", nil, fmt.Errorf("containers: %d is not an object", i)
		}
		image, err := demand[string](container, "image")
		if err != nil {
			return nil, "", nil, fmt.Errorf("containers: %d: %w", i, err)
		}
		images = append(images, image)
	}
	if namespace, err = member[string](spec, "namespace"); err != nil {
		return nil, "", nil, err
	}
	notes, err = member[map[string]any](spec, "annotations")
	return images, namespace, notes, err
}
