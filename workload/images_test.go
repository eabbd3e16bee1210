package workload

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pod = `{"initContainers": [{"name": "setup", "image": "a"}],
	"containers": [{"name": "app", "image": "b:1"}, {"name": "side", "image": "c@sha256:00"}],
	"ephemeralContainers": [{"name": "shell", "image": "d"}],
	"volumes": [{"name": "app", "emptyDir": {}}, {"name": "model", "image": {"reference": "e:2", "pullPolicy": "Always"}}]}`

func read(t testing.TB, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return object
}

func podAt(prefix ...string) []Image {
	at := func(kind Kind, name, value string, steps ...string) Image {
		key := append(append([]string{}, prefix...), steps...)
		image := Image{Key: key, Kind: kind, Container: name, Value: value}
		for _, step := range key {
			image.Pointer += "/" + step
		}
		return image
	}
	return []Image{
		at(KindInit, "setup", "a", "initContainers", "0", "image"),
		at(KindContainer, "app", "b:1", "containers", "0", "image"),
		at(KindContainer, "side", "c@sha256:00", "containers", "1", "image"),
		at(KindEphemeral, "shell", "d", "ephemeralContainers", "0", "image"),
		at(KindVolume, "model", "e:2", "volumes", "1", "image", "reference"),
	}
}

func TestImagesOfEveryKind(t *testing.T) {
	template := `{"spec": {"template": {"metadata": {"labels": {}}, "spec": ` + pod + `}}`
	inTemplate := podAt("spec", "template", "spec")
	for _, test := range []struct {
		name, object string
		want         []Image
	}{
		{"Pod", `{"apiVersion": "v1", "kind": "Pod", "spec": ` + pod + `}`, podAt("spec")},
		{"PodTemplate", `{"apiVersion": "v1", "kind": "PodTemplate", "template": {"spec": ` + pod + `}}`, podAt("template", "spec")},
		{"ReplicationController", template + `, "apiVersion": "v1", "kind": "ReplicationController"}`, inTemplate},
		{"ReplicaSet", template + `, "apiVersion": "apps/v1", "kind": "ReplicaSet"}`, inTemplate},
		{"Deployment", template + `, "apiVersion": "apps/v1", "kind": "Deployment"}`, inTemplate},
		{"Deployment of old", template + `, "apiVersion": "extensions/v1beta1", "kind": "Deployment"}`, inTemplate},
		{"StatefulSet", template + `, "apiVersion": "apps/v1", "kind": "StatefulSet"}`, inTemplate},
		{"DaemonSet", template + `, "apiVersion": "apps/v1", "kind": "DaemonSet"}`, inTemplate},
		{"Job", template + `, "apiVersion": "batch/v1", "kind": "Job"}`, inTemplate},
		{"CronJob", `{"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": ` + template + `}}}`,
			podAt("spec", "jobTemplate", "spec", "template", "spec")},
		{"List", `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service", "spec": 7}, {"apiVersion": "v1", "kind": "Pod", "spec": ` + pod + `}]}`,
			podAt("items", "1", "spec")},
		{"PodList whose items say nothing", `{"apiVersion": "v1", "kind": "PodList", "items": [{"spec": ` + pod + `}]}`, podAt("items", "0", "spec")},
		{"DeploymentList whose items say what they are", `{"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [` + template + `, "apiVersion": "apps/v1", "kind": "Deployment"}]}`,
			podAt("items", "0", "spec", "template", "spec")},
		{"empty List", `{"apiVersion": "v1", "kind": "List", "items": []}`, nil},
		{"a template's image volume without reference", `{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}],
			"volumes": [{"name": "v", "image": {"reference": ""}}, {"name": "w", "image": {"pullPolicy": "Always"}}, {"name": "x", "image": {"reference": "c"}}]}}}}`,
			[]Image{{Pointer: "/spec/template/spec/containers/0/image", Key: []string{"spec", "template", "spec", "containers", "0", "image"}, Kind: KindContainer, Container: "a", Value: "b"},
				{Pointer: "/spec/template/spec/volumes/2/image/reference", Key: []string{"spec", "template", "spec", "volumes", "2", "image", "reference"}, Kind: KindVolume, Container: "x", Value: "c"}}},
		{"null is absent", `{"apiVersion": "v1", "kind": "Pod", "spec": {"initContainers": null, "volumes": null, "containers": [{"name": "a", "image": "b"}]}}`,
			[]Image{{Pointer: "/spec/containers/0/image", Key: []string{"spec", "containers", "0", "image"}, Kind: KindContainer, Container: "a", Value: "b"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := read(t, test.object)
			if !Known(object["apiVersion"].(string), object["kind"].(string)) {
				t.Error("not known")
			}
			got, err := Images(object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOtherKindsAreNotKnown(t *testing.T) {
	for _, other := range [][2]string{
		{"v1", "Service"}, {"v1", "Deployment"}, {"apps/v1", "Pod"}, {"example.com/v1", "Deployment"}, {"/v1", "Pod"},
		{"v1", "pod"}, {"argoproj.io/v1alpha1", "Rollout"}, {"v1", "ServiceList"}, {"apps/v1", "List"}, {"", ""},
	} {
		if Known(other[0], other[1]) {
			t.Errorf("%q is known", other)
		}
	}
	got, err := Images(read(t, `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"template": {"spec": `+pod+`}}}`))
	if err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAMalformedObjectIsAnErrorThatNamesThePlace(t *testing.T) {
	inPod := func(spec string) string { return `{"apiVersion": "v1", "kind": "Pod", "spec": ` + spec + `}` }
	for _, test := range []struct{ name, object, pointer string }{
		{"nothing", `{}`, "/apiVersion"},
		{"null", `null`, ""},
		{"no kind", `{"apiVersion": "v1"}`, "/kind"},
		{"a kind that is no string", `{"apiVersion": "v1", "kind": 3}`, "/kind"},
		{"an apiVersion that is no string", `{"apiVersion": 1, "kind": "Pod"}`, "/apiVersion"},
		{"no spec", `{"apiVersion": "v1", "kind": "Pod"}`, "/spec"},
		{"no template", `{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}}`, "/spec/template"},
		{"a template that is a string", `{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": "x"}}`, "/spec/template"},
		{"no containers", inPod(`{}`), "/spec/containers"},
		{"containers empty", inPod(`{"containers": []}`), "/spec/containers"},
		{"containers a mapping", inPod(`{"containers": {"a": {"name": "a", "image": "b"}}}`), "/spec/containers"},
		{"a container that is a string", inPod(`{"containers": ["x"]}`), "/spec/containers/0"},
		{"a container that is null", inPod(`{"containers": [null]}`), "/spec/containers/0"},
		{"no image", inPod(`{"containers": [{"name": "a"}]}`), "/spec/containers/0/image"},
		{"an image that is empty", inPod(`{"containers": [{"name": "a", "image": ""}]}`), "/spec/containers/0/image"},
		{"an image that is a number", inPod(`{"containers": [{"name": "a", "image": 1.5}]}`), "/spec/containers/0/image"},
		{"an image in other case", inPod(`{"containers": [{"name": "a", "Image": "b"}]}`), "/spec/containers/0/image"},
		{"no name", inPod(`{"containers": [{"image": "b"}]}`), "/spec/containers/0/name"},
		{"a name twice", inPod(`{"containers": [{"name": "a", "image": "b"}, {"name": "a", "image": "c"}]}`), "/spec/containers/1/name"},
		{"a name of an init container again", inPod(`{"initContainers": [{"name": "a", "image": "b"}], "containers": [{"name": "a", "image": "c"}]}`), "/spec/containers/0/name"},
		{"init containers a string", inPod(`{"initContainers": "x", "containers": [{"name": "a", "image": "b"}]}`), "/spec/initContainers"},
		{"ephemeral containers false", inPod(`{"ephemeralContainers": false, "containers": [{"name": "a", "image": "b"}]}`), "/spec/ephemeralContainers"},
		{"volumes a mapping", inPod(`{"volumes": {}, "containers": [{"name": "a", "image": "b"}]}`), "/spec/volumes"},
		{"a volume that is a string", inPod(`{"volumes": ["x"], "containers": [{"name": "a", "image": "b"}]}`), "/spec/volumes/0"},
		{"an image volume that is a string", inPod(`{"volumes": [{"name": "v", "image": "x"}], "containers": [{"name": "a", "image": "b"}]}`), "/spec/volumes/0/image"},
		{"an image volume without reference", inPod(`{"volumes": [{"name": "v", "image": {}}], "containers": [{"name": "a", "image": "b"}]}`), "/spec/volumes/0/image/reference"},
		{"a pod's image volume whose reference is empty", inPod(`{"volumes": [{"name": "v", "image": {"reference": ""}}], "containers": [{"name": "a", "image": "b"}]}`), "/spec/volumes/0/image/reference"},
		{"a template's image volume whose reference is a number", `{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"volumes": [{"name": "v", "image": {"reference": 0}}], "containers": [{"name": "a", "image": "b"}]}}}}`, "/spec/template/spec/volumes/0/image/reference"},
		{"a list whose items are a string", `{"apiVersion": "v1", "kind": "List", "items": "x"}`, "/items"},
		{"an item that says nothing", `{"apiVersion": "v1", "kind": "List", "items": [{}]}`, "/items/0/apiVersion"},
		{"an item of a PodList that says half", `{"apiVersion": "v1", "kind": "PodList", "items": [{"kind": "Service"}]}`, "/items/0/apiVersion"},
		{"a bad item after a good one", `{"apiVersion": "v1", "kind": "List", "items": [` + inPod(pod) + `, ` + inPod(`{}`) + `]}`, "/items/1/spec/containers"},
		{"lists in lists", `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": [
			{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List"}]}]}]}]}`,
			"/items/0/items/0/items/0/items/0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Images(read(t, test.object))
			shape, ok := errors.AsType[*ShapeError](err)
			if !ok {
				t.Fatalf("got %v, %v; expected a *ShapeError", got, err)
			}
			if shape.Pointer != test.pointer {
				t.Errorf("%v: is about %q, expected %q", err, shape.Pointer, test.pointer)
			}
			if got != nil {
				t.Errorf("images beside an error: %v", got)
			}
		})
	}
}
