package kubernetes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded are reviews that a real API server (kube-apiserver v1.35) sent, each with
// whether it passes where app:1.0 alone is trusted, and what is asked about.
// scripts/test-deploy --record writes them anew.
var recorded = map[string]struct {
	allowed bool
	asked   []string
}{
	"create-pod":                          {true, []string{":1.0"}},
	"create-podtemplate":                  {true, []string{":1.0"}},
	"create-replicationcontroller":        {true, []string{":1.0"}},
	"create-replicaset":                   {true, []string{":1.0"}},
	"create-deployment":                   {true, []string{":1.0"}},
	"create-statefulset":                  {true, []string{":1.0"}},
	"create-daemonset":                    {true, []string{":1.0"}},
	"create-job":                          {true, []string{":1.0"}},
	"create-cronjob":                      {true, []string{":1.0"}},
	"create-pod-unsigned":                 {false, []string{":3.0"}},
	"create-pod-volume":                   {false, []string{":1.0", ":3.0"}},
	"create-pod-break-glass":              {false, []string{":3.0"}},
	"create-pod-says-it-is-being-deleted": {false, []string{":3.0"}},
	"dry-run-pod":                         {true, []string{":1.0"}},
	"update-deployment-again":             {true, []string{":1.0"}},
	"update-deployment-unsigned":          {false, []string{":3.0"}},
	"update-pod-ephemeral":                {true, []string{":1.0"}},
	"update-pod-ephemeral-unsigned":       {false, []string{":3.0"}},
	"update-pod-unchanged":                {true, nil},
	"update-pod-being-deleted":            {true, nil},
}

func TestReviewsThatARealAPIServerSent(t *testing.T) {
	const app = "registry.example.com/team/app"
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(recorded)+1 { // and imagereview.json
		t.Fatalf("%d files for %d cases: %v", len(files), len(recorded), err)
	}
	for name, want := range recorded {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile("testdata/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var asked, uid = []string(nil), uidOf(t, body)
			b := newBench(t)
			b.gate.trusts = map[string]string{app + ":1.0": digest("a")}
			w := b.post(t, validatePath, string(body))
			var review admissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response.UID != uid {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if review.Response.Allowed != want.allowed {
				t.Errorf("allowed %v: %s", review.Response.Allowed, w.Body)
			}
			for _, image := range b.gate.asked {
				tag, _, _ := strings.Cut(strings.TrimPrefix(image, app), "@")
				asked = append(asked, tag)
			}
			slices.Sort(asked)
			if diff := cmp.Diff(want.asked, asked); diff != "" {
				t.Errorf("asked (-want +got): %s", diff)
			}
		})
	}
}

func uidOf(t *testing.T, body []byte) string {
	t.Helper()
	object, err := readObject(body)
	if err != nil {
		t.Fatal(err)
	}
	return object["request"].(map[string]any)["uid"].(string)
}

func TestAnImageReviewThatARealAPIServerSent(t *testing.T) {
	body, err := os.ReadFile("testdata/imagereview.json")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.gate.trusts = map[string]string{"registry.example.com/team/app:1.0": digest("a")}
	w := b.post(t, "/kubernetes/imagereview", string(body))
	if !strings.Contains(w.Body.String(), `"allowed":true`) || len(b.gate.asked) != 1 {
		t.Errorf("%s after %v", w.Body, b.gate.asked)
	}
}
