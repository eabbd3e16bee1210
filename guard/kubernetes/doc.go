// Package kubernetes is the gate's door for Kubernetes: HTTP handlers that an API
// server or Gatekeeper asks before an object is stored.
//
//	/kubernetes/mutate       AdmissionReview v1; also pins tags to digests    admission.go, review.go, pin.go
//	/kubernetes/validate     AdmissionReview v1                               admission.go, review.go
//	/kubernetes/imagereview  ImageReview v1alpha1 (ImagePolicyWebhook)        imagereview.go
//	/kubernetes/provider     ProviderRequest v1beta1 (Gatekeeper)             provider.go
//	what a person is told                                                     tell.go
//	what both webhooks would say, for the command line                        try.go
//	strict reading of JSON                                                    json.go
//
// What is in a namespace that the policy exempts passes, as do deletions, objects
// that are being deleted, and images that a running object has already. Everything
// else is asked about: all images of an object at once, within a time that is less
// than the API server waits. Whatever goes wrong, down to a panic, is a refusal that
// says why: an answer that does not come would be left to the failurePolicy.
//
// Who may be evil: whoever writes objects. Of an object's metadata only what the API
// server itself keeps is believed: on creation a deletionTimestamp is the user's own
// word. The API server is believed; mutual TLS, which is the listener's, keeps others
// from asking.
package kubernetes
