package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/signet-trust/signet/workload"
)

// FuzzReadObject checks the strict reader against encoding/json: what it takes means
// the same there, so that no byte is read in one way here and in another elsewhere. It
// names the same images with and without what is passed over.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a": [1, -2.5e3, "x\u00e9\n", true, false, null, {}], "b": {"c": ""}}`, `{"a":1,"a":2}`, `{"a": 01}`, `{"a": "\ud800"}`, ` {"a" : [ ] } `, `[1]`,
		`{"metadata": {"managedFields": [{"a": "]}\\""}, []], "name": "x"}, "managedFields": {}}`, `{"managedFields": 1, "a": {"managedFields": null}}`, `{"managedFields": [}`,
		`{"status": "\u12", "env": "\x"}`, `{"annotations": {"status": "a", "b": {"env": 01}}}`, `{"annotations": {"status": "a", "env": [{"env": 1}]}, "st\u0061tus": 1, "status": 2, "status": 3}`,
		podOf("app=app:1", "side=side:1"), strings.Replace(podOf("a=b"), `"name": "web"`, `"annotations": {"labels": "x"}, "labels": {"managedFields": "y"}`, 1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readObject(in)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(in))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("took %q, which encoding/json refuses: %v", in, err)
		}
		sameImages(t, got, want)
		if leaveOut(want, false); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %v here and %v there", in, got, want)
		}
	})
}

// sameImages checks that an object names the images, and has the annotations, that it
// has when all of it is read.
func sameImages(t *testing.T, got, whole map[string]any) {
	t.Helper()
	images, err := workload.Images(got)
	want, wantErr := workload.Images(whole)
	if !reflect.DeepEqual(images, want) || (err == nil) != (wantErr == nil) {
		t.Fatalf("the images are %v (%v), and %v (%v) when all is read", images, err, want, wantErr)
	}
	if notes, want := annotations(got, images), annotations(whole, images); !reflect.DeepEqual(notes, want) {
		t.Fatalf("the annotations are %v, and %v when all is read", notes, want)
	}
}

// leaveOut takes what is not read out of what encoding/json has read.
func leaveOut(value any, whole bool) {
	switch in := value.(type) {
	case map[string]any:
		for name, member := range in {
			if members[name].unread && !whole {
				delete(in, name)
				continue
			}
			leaveOut(member, whole || name == annotated)
		}
	case []any:
		for _, element := range in {
			leaveOut(element, whole)
		}
	}
}

// TestNothingThatIsReadIsPassedOver demands of every kind that each of its images is
// found in what is read of it, beside members of names that are passed over.
func TestNothingThatIsReadIsPassedOver(t *testing.T) {
	var beside strings.Builder
	for name, known := range members {
		if known.unread {
			fmt.Fprintf(&beside, "%q: {\"name\": [\"x\"]}, ", name)
		}
	}
	containers := func(name string) string {
		return fmt.Sprintf(`[{%[2]s"name": "%[1]s-1", "image": "%[1]s:1"}, {"name": "%[1]s-2", %[2]s"image": "%[1]s:2"}]`, name, &beside)
	}
	spec := fmt.Sprintf(`{%s"initContainers": %s, "containers": %s, "ephemeralContainers": %s, "volumes": [{"name": "v", "image": {%s"reference": "volume:1"}}]}`,
		&beside, containers("init"), containers("app"), containers("shell"), &beside)
	metadata := fmt.Sprintf(`%s"metadata": {%s"name": "web", "annotations": {%s"signet/glass": "fire"}}`, &beside, &beside, &beside)
	template := fmt.Sprintf(`{%s, "spec": %s}`, metadata, spec)
	within := func(inner string, path ...string) string {
		for _, step := range slices.Backward(path) {
			inner = fmt.Sprintf(`{%s, %q: %s}`, metadata, step, inner)
		}
		return inner
	}
	for kind, object := range map[string]string{
		"v1 Pod": template, "v1 PodTemplate": within(template, "template"), "v1 ReplicationController": within(template, "spec", "template"),
		"apps/v1 ReplicaSet": within(template, "spec", "template"), "apps/v1 Deployment": within(template, "spec", "template"),
		"apps/v1 StatefulSet": within(template, "spec", "template"), "apps/v1 DaemonSet": within(template, "spec", "template"),
		"batch/v1 Job": within(template, "spec", "template"), "batch/v1 CronJob": within(template, "spec", "jobTemplate", "spec", "template"),
	} {
		apiVersion, name, _ := strings.Cut(kind, " ")
		in := fmt.Sprintf(`{"apiVersion": %q, "kind": %q, %s`, apiVersion, name, object[1:])
		got, err := readObject([]byte(in))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if images, err := workload.Images(got); err != nil || len(images) != 7 {
			t.Errorf("%s: %v: %v", kind, images, err)
		}
		var whole map[string]any
		if err := json.Unmarshal([]byte(in), &whole); err != nil {
			t.Fatal(err)
		}
		sameImages(t, got, whole)
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
