package kubernetes

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzReadObject checks the strict reader against encoding/json: what it takes means
// the same there, so that no byte is read in one way here and in another elsewhere.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a": [1, -2.5e3, "x\u00e9\n", true, false, null, {}], "b": {"c": ""}}`, `{"a":1,"a":2}`, `{"a": 01}`, `{"a": "\ud800"}`, ` {"a" : [ ] } `, `[1]`,
		`{"metadata": {"managedFields": [{"a": "]}\\""}, []], "name": "x"}, "managedFields": {}}`, `{"managedFields": 1, "a": {"managedFields": null}}`, `{"managedFields": [}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readObject(in)
		decoder := json.NewDecoder(bytes.NewReader(in))
		decoder.UseNumber()
		var want map[string]any
		if theirs := decoder.Decode(&want); err == nil && theirs != nil {
			t.Fatalf("took %q, which encoding/json refuses: %v", in, theirs)
		}
		if leaveOut(want); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %v here and %v there", in, got, want)
		}
	})
}

// leaveOut takes the values that are not read out of what encoding/json has read.
func leaveOut(value any) {
	switch in := value.(type) {
	case map[string]any:
		for name, member := range in {
			if name == unread {
				in[name] = nil
				continue
			}
			leaveOut(member)
		}
	case []any:
		for _, element := range in {
			leaveOut(element)
		}
	}
}

// fuzzWebhook checks that whatever comes is answered, that nothing passes of which an
// image was refused, and that what passes on creation was asked about.
func fuzzWebhook(t *testing.T, path string, in []byte) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	w := b.post(t, path, string(in))
	if strings.Contains(b.log.String(), "panic") {
		t.Fatalf("%q: %s", in, &b.log)
	}
	if w.Code != http.StatusOK {
		return
	}
	var review admissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if !review.Response.Allowed {
		return
	}
	for _, image := range b.gate.asked {
		if _, ok := b.gate.trusts[image]; !ok {
			t.Fatalf("%q passes with %q: %s", in, image, w.Body)
		}
	}
	body, err := readObject(in)
	if err != nil {
		t.Fatal(err)
	}
	if request := body["request"].(map[string]any); request["operation"] == "CREATE" && review.Response.AuditAnnotations[auditVerdict] == "allowed" && len(b.gate.asked) == 0 {
		t.Fatalf("%q passes and nobody was asked", in)
	}
}

// FuzzAdmissionReview is fuzzWebhook on validating.
func FuzzAdmissionReview(f *testing.F) {
	f.Add([]byte(ask{object: podOf("app=app:1")}.body()))
	f.Add([]byte(ask{object: podOf("app=app:evil", "side=side:1")}.body()))
	f.Add([]byte(ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=x")}.body()))
	f.Add([]byte(ask{operation: "DELETE", old: podOf("app=x")}.body()))
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		fuzzWebhook(t, validatePath, in)
		fuzzWebhook(t, mutatePath, in)
	})
}

// FuzzImageReview checks that a review passes only if each image is trusted.
func FuzzImageReview(f *testing.F) {
	f.Add([]byte(`{"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {"containers": [{"image": "app:1"}, {"image": "x"}], "namespace": "shop", "annotations": {"a": "b"}}}`))
	f.Add([]byte(`{"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {"containers": [{"image": "app:1"}]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newBench(t)
		w := b.post(t, "/kubernetes/imagereview", string(in))
		if strings.Contains(b.log.String(), "panic") {
			t.Fatalf("%q: %s", in, &b.log)
		}
		if w.Code != http.StatusOK {
			return
		}
		var review imageReview
		if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
			t.Fatal(err)
		}
		trusted := len(b.gate.asked) > 0
		for _, image := range b.gate.asked {
			trusted = trusted && b.gate.trusts[image] != ""
		}
		if review.Status.Allowed != trusted {
			t.Fatalf("%q: %s after %v", in, w.Body, b.gate.asked)
		}
	})
}

// FuzzProviderRequest checks that an image has a value only if it is trusted.
func FuzzProviderRequest(f *testing.F) {
	f.Add([]byte(`{"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": {"keys": ["app:1", "x", "app:1"]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newBench(t)
		w := b.post(t, "/kubernetes/provider", string(in))
		if strings.Contains(b.log.String(), "panic") {
			t.Fatalf("%q: %s", in, &b.log)
		}
		if w.Code != http.StatusOK {
			return
		}
		var response providerResponse
		if err := json.Unmarshal(w.Body.Bytes(), &response); err != nil {
			t.Fatal(err)
		}
		for _, item := range response.Response.Items {
			if digest := b.gate.trusts[item.Key]; (item.Error == "") != (digest != "") || item.Error == "" && !strings.HasSuffix(item.Value, "@"+digest) {
				t.Fatalf("%q: %+v", in, item)
			}
		}
	})
}
