package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUsersNames demands that a label or an annotation may have any name, those of
// members that are passed over, too.
func TestUsersNames(t *testing.T) {
	b := newBench(t)
	object := strings.Replace(podOf("app=app:1"), `"name": "web"`, `"name": "web", "labels": {"managedFields": "x", "status": "x"}, "annotations": {"managedFields": "x", "labels": "x"}`, 1)
	if answer := b.review(t, validatePath, ask{object: object}); !answer.Allowed {
		t.Errorf("got %+v", answer.Status)
	}
	b.rules.glass = "labels"
	object = strings.Replace(object, "app:1", "app:evil", 1)
	if answer := b.review(t, validatePath, ask{object: object}); !answer.Allowed || answer.AuditAnnotations["break-glass"] != "x" {
		t.Errorf("an annotation that the policy names is not read: %+v", answer)
	}
}

// TestReviewsAtOnceAreKeptApart has reviews of one object each asked about at once, in
// buffers that they share: each has its own answer.
func TestReviewsAtOnceAreKeptApart(t *testing.T) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 50 {
				uid := fmt.Sprintf("u-%d-%d", i, k)
				image := []string{"app:1", "side:1", "app:evil"}[(i+k)%3]
				w := b.post(t, mutatePath, strings.Replace(ask{object: podOf("app=" + image)}.body(), "u-1", uid, 1))
				var review admissionReview
				if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
					t.Errorf("%v: %s", err, w.Body)
					return
				}
				a := review.Response
				patched := strings.Contains(string(a.Patch), image+"@"+b.gate.trusts[image])
				if a.UID != uid || a.Allowed != (image != "app:evil") || patched != a.Allowed {
					t.Errorf("asked about %s as %s, got %s", image, uid, w.Body)
				}
			}
		})
	}
	all.Wait()
}

func TestBodiesThatAreNotTaken(t *testing.T) {
	good := ask{object: podOf("app=app:1")}.body()
	for _, test := range []struct {
		name, method, media, body string
		status                    int
	}{
		{"GET", "GET", "application/json", "", http.StatusMethodNotAllowed},
		{"no content type", "POST", "", good, http.StatusUnsupportedMediaType},
		{"a form", "POST", "application/x-www-form-urlencoded", good, http.StatusUnsupportedMediaType},
		{"too large", "POST", "application/json", good + strings.Repeat(" ", maxReview), http.StatusRequestEntityTooLarge},
		{"more values than any object has", "POST", "application/json", strings.Replace(good, `"uid": "u-1"`, `"uid": "u-1", "x": [`+strings.Repeat(`{"a":1},`, maxValues/2)+`0]`, 1), http.StatusBadRequest},
		{"empty", "POST", "application/json", "", http.StatusBadRequest},
		{"two objects", "POST", "application/json", good + good, http.StatusBadRequest},
		{"a member twice", "POST", "application/json", strings.Replace(good, `"uid": "u-1"`, `"uid": "u-1", "uid": "u-2"`, 1), http.StatusBadRequest},
		{"v1beta1", "POST", "application/json", strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), http.StatusBadRequest},
		{"another kind", "POST", "application/json", strings.Replace(good, "AdmissionReview", "ImageReview", 1), http.StatusBadRequest},
		{"no kind", "POST", "application/json", `{}`, http.StatusBadRequest},
		{"no request", "POST", "application/json", `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`, http.StatusBadRequest},
		{"no uid", "POST", "application/json", strings.Replace(good, `"u-1"`, `""`, 1), http.StatusBadRequest},
		{"uid in other case", "POST", "application/json", strings.Replace(good, `"uid"`, `"UID"`, 1), http.StatusBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			r := httptest.NewRequest(test.method, validatePath, strings.NewReader(test.body))
			if test.media != "" {
				r.Header.Set("Content-Type", test.media)
			}
			w := httptest.NewRecorder()
			b.door.Handler().ServeHTTP(w, r)
			if strings.Contains(w.Body.String(), "<nil>") {
				t.Errorf("nobody understands: %s", w.Body)
			}
			if w.Code != test.status || strings.Contains(w.Body.String(), `"allowed":true`) || len(b.gate.asked) > 0 {
				t.Errorf("status %d, expected %d: %s", w.Code, test.status, w.Body)
			}
		})
	}
}

// TestARequestOfAWrongShapeIsAnsweredInItsForm holds what comes after the uid to an
// answer that no failurePolicy can turn into a yes.
func TestARequestOfAWrongShapeIsAnsweredInItsForm(t *testing.T) {
	good := ask{object: podOf("app=app:1")}.body()
	for _, change := range [][2]string{
		{`"kind": {"group": "", "version": "v1", "kind": "Pod"}`, `"kind": "Pod"`},
		{`"version": "v1"`, `"version": 1`},
		{`"operation": "CREATE"`, `"operation": true`},
		{`"namespace": "shop"`, `"namespace": ["kube-system"]`},
		{`"dryRun": false`, `"dryRun": "no"`},
		{`"userInfo": {"username": "alice", "groups": ["dev"]}`, `"userInfo": {"username": {}}`},
		{`"oldObject": null`, `"oldObject": []`},
		{`"subResource": ""`, `"subResource": 0`},
	} {
		changed := strings.Replace(good, change[0], change[1], 1)
		if changed == good {
			t.Fatalf("%s is not there", change[0])
		}
		if answer := newBench(t).answer(t, validatePath, changed); answer.Allowed || answer.Status.Code != http.StatusBadRequest {
			t.Errorf("%s: %+v", change[1], answer)
		}
	}
}

func TestWithin(t *testing.T) {
	for query, want := range map[string]string{
		"": "8s", "?timeout=10s": "8s", "?timeout=5s": "4s", "?timeout=1s": "800ms", "?timeout=30s": "8s", "?timeout=-1s": "8s", "?timeout=x": "8s",
	} {
		r := httptest.NewRequest(http.MethodPost, validatePath+query, nil)
		if got := within(r, newBench(t).door.config.Timeout); got.String() != want {
			t.Errorf("%s: %s, expected %s", query, got, want)
		}
	}
}

func TestImageReview(t *testing.T) {
	const path, envelope = "/kubernetes/imagereview", `{"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": `
	b := newBench(t)
	b.rules = fakeRules{exempt: []string{"kube-system"}, glass: "glass.image-policy.k8s.io/reason"}
	for _, test := range []struct {
		name, spec, want string
	}{
		{"signed", `{"containers": [{"image": "app:1"}, {"image": "side:1"}], "namespace": "shop"}`, `"allowed":true`},
		{"unsigned", `{"containers": [{"image": "app:1"}, {"image": "app:evil"}], "namespace": "shop"}`, `"allowed":false,"reason":"1 of 2 images may not run\napp:evil\n  why: `},
		{"exempt", `{"containers": [{"image": "app:evil"}], "namespace": "kube-system"}`, `"allowed":true`},
		{"break glass", `{"containers": [{"image": "app:evil"}], "namespace": "shop", "annotations": {"glass.image-policy.k8s.io/reason": "fire"}}`, `"break-glass":"fire"`},
	} {
		w := b.post(t, path, envelope+test.spec+`, "status": {"allowed": false}}`)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: status %d: %s", test.name, w.Code, w.Body)
		}
	}
	if len(b.gate.glass) != 1 {
		t.Errorf("broken: %q", b.gate.glass)
	}
	for _, spec := range []string{`{}`, `{"containers": []}`, `{"containers": [{}]}`, `{"containers": ["app:1"]}`, `{"containers": [{"image": "app:1"}], "namespace": 7}`, `{"containers": {"image": "app:1"}}`, `null`} {
		if w := b.post(t, path, envelope+spec+`}`); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", spec, w.Code, w.Body)
		}
	}
	if w := b.post(t, path, `{"apiVersion": "imagepolicy.k8s.io/v1", "kind": "ImageReview", "spec": {"containers": [{"image": "app:1"}]}}`); w.Code != http.StatusBadRequest {
		t.Errorf("another version: status %d", w.Code)
	}
}

func TestProvider(t *testing.T) {
	const path, envelope = "/kubernetes/provider", `{"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": `
	b := newBench(t)
	b.gate.do["old:1"] = warns("unsigned")
	w := b.post(t, path, envelope+`{"keys": ["app:1", "app:evil", "old:1", "app:1@`+digest("a")+`", "app:1"]}}`)
	var got providerResponse
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	want := providerResponse{APIVersion: "externaldata.gatekeeper.sh/v1beta1", Kind: "ProviderResponse", Response: providerBody{Idempotent: true, Items: []providerItem{
		{Key: "app:1", Value: "app:1@" + digest("a")},
		{Key: "app:evil", Error: "registry.example.com/app: targets version 3: nothing is signed under the tag (TUF §5.6.7) (policy rule prod); next: correct the tag or, if the image is yours, sign it: signet sign app:evil"},
		{Key: "old:1", Value: "old:1"},
		{Key: "app:1@" + digest("a"), Value: "app:1@" + digest("a")},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w := b.post(t, path, envelope+`{"keys": []}}`); w.Code != http.StatusBadRequest && !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("no keys: status %d: %s", w.Code, w.Body)
	}
	for _, request := range []string{`null`, `{"keys": "app:1"}`, `{"keys": [1]}`} {
		if w := b.post(t, path, envelope+request+`}`); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", request, w.Code, w.Body)
		}
	}
}
