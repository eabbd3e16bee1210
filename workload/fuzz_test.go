package workload

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzImages checks that every image that is found stands in the object where its
// pointer says, and that in a pod none is missed: each container is either found or
// the reason for an error.
func FuzzImages(f *testing.F) {
	for _, seed := range []string{
		`{"apiVersion": "v1", "kind": "Pod", "spec": ` + pod + `}`,
		`{"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": ` + pod + `}}}}}`,
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "spec": ` + pod + `}]}`,
		`{"apiVersion": "v1", "kind": "PodList", "items": [{"spec": ` + pod + `}]}`,
		`{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [null]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var object map[string]any
		if json.Unmarshal(in, &object) != nil {
			return
		}
		found, err := Images(object)
		if err != nil {
			if _, ok := errors.AsType[*ShapeError](err); !ok || found != nil {
				t.Fatalf("%v with %v", err, found)
			}
			return
		}
		for _, image := range found {
			if at := follow(t, object, image.Key); at != image.Value || image.Value == "" || image.Container == "" {
				t.Fatalf("%+v is %v there", image, at)
			}
		}
		if object["kind"] == "Pod" && object["apiVersion"] == "v1" {
			spec := object["spec"].(map[string]any)
			want := 0
			for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
				containers, _ := spec[list].([]any)
				want += len(containers)
			}
			volumes, _ := spec["volumes"].([]any)
			for _, volume := range volumes {
				if volume.(map[string]any)["image"] != nil {
					want++
				}
			}
			if len(found) != want {
				t.Fatalf("found %d of %d images in %s", len(found), want, in)
			}
		}
	})
}

// follow goes where a pointer leads.
func follow(t *testing.T, value any, key []string) any {
	t.Helper()
	for _, step := range key {
		switch at := value.(type) {
		case map[string]any:
			value = at[step]
		case []any:
			var i int
			if err := json.Unmarshal([]byte(step), &i); err != nil || i >= len(at) {
				t.Fatalf("no %q in %v", step, at)
			}
			value = at[i]
		default:
			t.Fatalf("no %q in %v", step, at)
		}
	}
	return value
}
