package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/kubernetes"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// A judgeByName answers by what an image is called.
type judgeByName struct{}

func (judgeByName) Decide(_ context.Context, q policy.Question) (*client.Decision, error) {
	d := &client.Decision{Image: q.Image, Policy: &client.Ruling{Rule: "app"}}
	switch {
	case q.Held:
		return nil, client.ErrNotHeld
	case strings.Contains(q.Image, "app:1.0"), q.Image == "tagonly:1":
		d.Trusted, d.Digest, d.Policy.Allowed, d.Policy.Mode = true, "sha256:"+strings.Repeat("a", 64), true, client.ModeEnforce
		return d, nil
	case strings.Contains(q.Image, "warned"):
		d.Policy.Allowed, d.Policy.Mode, d.Policy.Warnings = true, client.ModeWarn, []string{"it is not signed"}
		return d, nil
	case strings.Contains(q.Image, "audited"):
		d.Policy.Allowed, d.Policy.Mode = true, client.ModeAudit
		return d, nil
	case strings.Contains(q.Image, "unreachable"):
		return d, errors.New("nobody listens there")
	}
	return d, &tuf.Refusal{Repository: "registry.example.com/x", Rule: tuf.RuleAbsent, Detail: "nothing is signed under the tag"}
}

// A told is what somebody is told of a review, by a gate or by the command.
type told struct {
	Exit     int
	Verdicts []string // of the images
	Pinned   []string
}

// askGate asks a gate's webhooks as an API server does: what the mutating one lets
// pass, with its patch, goes to the validating one.
func askGate(t *testing.T, url string, review []byte) told {
	t.Helper()
	var got told
	for _, path := range []string{"/kubernetes/mutate", "/kubernetes/validate"} {
		answer, err := http.Post(url+path, "application/json", bytes.NewReader(review))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK {
			return told{Exit: exitTrouble}
		}
		var said struct {
			Response struct {
				Allowed          bool
				Status           struct{ Code int }
				Patch            []byte
				AuditAnnotations map[string]string
			}
		}
		if err := json.Unmarshal(body, &said); err != nil {
			t.Fatal(err)
		}
		r := said.Response
		if path == "/kubernetes/mutate" || !r.Allowed {
			got = told{Verdicts: verdictsOf(t, r.AuditAnnotations)}
		}
		if !r.Allowed {
			got.Exit = exitUntrusted
			if r.Status.Code >= 500 {
				got.Exit = exitTrouble
			}
			return got
		}
		if r.Patch != nil {
			review, got.Pinned = patched(t, review, r.Patch)
		}
	}
	return got
}

func verdictsOf(t *testing.T, notes map[string]string) []string {
	t.Helper()
	var all []string
	for i := 0; ; i++ {
		note, ok := notes[fmt.Sprintf("image-%d", i)]
		if !ok {
			return all
		}
		var image struct{ Verdict string }
		if err := json.Unmarshal([]byte(note), &image); err != nil {
			t.Fatal(err)
		}
		all = append(all, image.Verdict)
	}
}

// patched is a review after a webhook's patch, and the images that it writes.
func patched(t *testing.T, review, patch []byte) (after []byte, images []string) {
	t.Helper()
	var operations []struct{ Op, Path, Value string }
	var body map[string]any
	if err := errors.Join(json.Unmarshal(patch, &operations), json.Unmarshal(review, &body)); err != nil {
		t.Fatal(err)
	}
	for _, operation := range operations {
		if operation.Op != "replace" {
			continue
		}
		images = append(images, operation.Value)
		holder := body["request"].(map[string]any)["object"]
		steps := strings.Split(operation.Path, "/")[1:]
		for _, step := range steps[:len(steps)-1] {
			if list, ok := holder.([]any); ok {
				var i int
				if _, err := fmt.Sscan(step, &i); err != nil {
					t.Fatal(err)
				}
				holder = list[i]
				continue
			}
			holder = holder.(map[string]any)[step]
		}
		holder.(map[string]any)[steps[len(steps)-1]] = operation.Value
	}
	after, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return after, images
}

// askCommand asks policy test.
func askCommand(t *testing.T, rules kubernetes.Rules, file string) told {
	t.Helper()
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: io.Discard, output: outputJSON}
	err := a.admit(t.Context(), triedPolicy{"policy.yaml", rules, judgeByName{}}, file)
	got := told{Exit: exitCode(err)}
	for decoder := json.NewDecoder(&out); ; {
		var line struct{ Verdict, Pinned string }
		if end := decoder.Decode(&line); errors.Is(end, io.EOF) {
			return got
		} else if end != nil {
			t.Fatal(end)
		}
		if line.Verdict != "" {
			got.Verdicts = append(got.Verdicts, line.Verdict)
		}
		if line.Pinned != "" && err == nil { // a gate writes nothing into what it refuses
			got.Pinned = append(got.Pinned, line.Pinned)
		}
	}
}

const admissionPolicy = `version: 1
rules: [{name: app, images: ["**"]}]
kubernetes:
  exempt-namespaces: [kube-system]
  break-glass: {annotation: signet.example.com/break-glass, namespaces: [ops]}
`

// made are reviews that no recording has, each with the exit status where nothing is
// pinned.
func made() map[string]struct {
	review string
	exit   int
} {
	const app, unsigned = "registry.example.com/team/app:1.0", "registry.example.com/team/app:3.0"
	pod := func(image string) string {
		return `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "` + image + `"}]}}`
	}
	ephemeral := func(image string) string {
		return strings.Replace(pod(app), `"spec": {`, `"spec": {"ephemeralContainers": [{"name": "debug", "image": "`+image+`"}], `, 1)
	}
	of := func(operation, namespace, more, object, old string) string {
		return `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, ` + more +
			`"name": "web", "namespace": "` + namespace + `", "operation": "` + operation + `", "object": ` + object + `, "oldObject": ` + old + `}}`
	}
	glass := func(image string) string {
		return strings.Replace(pod(image), `"name": "web"`, `"name": "web", "annotations": {"signet.example.com/break-glass": "the server burns"}`, 1)
	}
	deleted := strings.Replace(pod(app), `"name": "web"`, `"name": "web", "deletionTimestamp": "2026-11-29T12:00:00Z"`, 1)
	return map[string]struct {
		review string
		exit   int
	}{
		"signed":                         {of("CREATE", "shop", "", pod(app), "null"), 0},
		"unsigned":                       {of("CREATE", "shop", "", pod(unsigned), "null"), 3},
		"mode warn":                      {of("CREATE", "shop", "", pod("warned:1"), "null"), 0},
		"mode audit":                     {of("CREATE", "shop", "", pod("audited:1"), "null"), 0},
		"a tag without its digest":       {of("CREATE", "shop", "", pod("tagonly:1"), "null"), 0}, // which is refused where it is pinned
		"no server":                      {of("CREATE", "shop", "", pod("unreachable:1"), "null"), 1},
		"runs already":                   {of("UPDATE", "shop", "", pod(unsigned), pod(unsigned)), 0},
		"a pinned tag is applied again":  {of("UPDATE", "shop", "", pod(app), pod(app+"@sha256:"+strings.Repeat("a", 64))), 0},
		"a pinned one that is revoked":   {of("UPDATE", "shop", "", pod(unsigned), pod(unsigned+"@sha256:"+strings.Repeat("a", 64))), 3}, // where nothing is pinned it is another image
		"an update to unsigned":          {of("UPDATE", "shop", "", pod(unsigned), pod(app)), 3},
		"a finalizer of what is deleted": {of("UPDATE", "shop", "", pod(unsigned), deleted), 0},
		"a deletion":                     {of("DELETE", "shop", "", "null", pod(unsigned)), 0},
		"a deletion with its object":     {of("DELETE", "shop", "", pod(unsigned), "null"), 0},
		"exec":                           {of("CONNECT", "shop", `"subResource": "exec", `, `{"apiVersion": "v1", "kind": "PodExecOptions"}`, "null"), 0},
		"a dry run":                      {of("CREATE", "shop", `"dryRun": true, `, pod(unsigned), "null"), 3},
		"a debugger":                     {of("UPDATE", "shop", `"subResource": "ephemeralcontainers", `, ephemeral(app), pod(app)), 0},
		"an unsigned debugger":           {of("UPDATE", "shop", `"subResource": "ephemeralcontainers", `, ephemeral(unsigned), pod(app)), 3},
		"an exempt namespace":            {of("CREATE", "kube-system", "", pod(unsigned), "null"), 0},
		"no namespace":                   {of("CREATE", "", "", pod(unsigned), "null"), 3},
		"break glass":                    {of("CREATE", "ops", "", glass(unsigned), "null"), 0},
		"break glass where it is not":    {of("CREATE", "shop", "", glass(unsigned), "null"), 3},
		"break glass where a server is":  {of("CREATE", "ops", "", glass("unreachable:1"), "null"), 0},
		"a bad shape":                    {of("CREATE", "shop", "", `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": "x"}}`, "null"), 3},
		"no object":                      {of("CREATE", "shop", "", "null", "null"), 3},
		"another object":                 {of("CREATE", "shop", "", `{"apiVersion": "v1", "kind": "Secret"}`, "null"), 3},
		"an operation that is none":      {of("MEND", "shop", "", pod(app), "null"), 3},
		"no uid":                         {strings.Replace(of("CREATE", "shop", "", pod(app), "null"), `"uid": "u", `, "", 1), 1},
		"no request":                     {`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`, 1},
		"another version":                {strings.Replace(of("CREATE", "shop", "", pod(app), "null"), "k8s.io/v1", "k8s.io/v1beta1", 1), 1},
	}
}

// TestPolicyTestIsAGate holds the command to what a gate's webhooks answer, for reviews
// that a real API server sent, and for others.
func TestPolicyTestIsAGate(t *testing.T) {
	reviews := map[string][]byte{}
	files, err := filepath.Glob("../../guard/kubernetes/testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d recorded reviews: %v", len(files), err)
	}
	for _, file := range files {
		if reviews[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	delete(reviews, "imagereview.json") // which is no AdmissionReview
	expected := made()
	for name, one := range expected {
		reviews[name] = []byte(one.review)
	}
	for policyName, text := range map[string]string{"checked": admissionPolicy, "pinned": admissionPolicy + "  rewrite: [{pin: true}]\n"} {
		p, err := policy.Read([]byte(text), "policy.yaml")
		if err != nil {
			t.Fatal(err)
		}
		gate := guard.New(guard.Config{Now: func() time.Time { return time.Unix(0, 0) }})
		gate.Use(judgeByName{}, "test")
		door := kubernetes.New(kubernetes.Config{Gate: gate, Rules: func() kubernetes.Rules { return p.Kubernetes() }, Log: slog.New(slog.DiscardHandler)})
		server := httptest.NewServer(guard.NewEntrance(gate, guard.Limits{}).Handler(door.Open()))
		defer server.Close()
		for name, review := range reviews {
			t.Run(policyName+"/"+name, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "review.json")
				if err := os.WriteFile(file, review, 0o600); err != nil {
					t.Fatal(err)
				}
				want, got := askGate(t, server.URL, review), askCommand(t, p.Kubernetes(), file)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the command says otherwise (-gate +command): %s", diff)
				}
				if one, ok := expected[name]; ok && policyName == "checked" && got.Exit != one.exit {
					t.Errorf("exit %d, expected %d", got.Exit, one.exit)
				}
			})
		}
	}
}

// TestManifestsAreAskedAboutOneByOne: each object of a list has its own namespace, as
// an API server sends it.
func TestManifestsAreAskedAboutOneByOne(t *testing.T) {
	p, err := policy.Read([]byte(admissionPolicy), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: NS}, spec: {containers: [{name: a, image: IMAGE}]}}`
	of := func(namespace, image string) string {
		return strings.NewReplacer("NS", namespace, "IMAGE", image).Replace(pod)
	}
	list := func(items ...string) string {
		return "{apiVersion: v1, kind: List, items: [" + strings.Join(items, ", ") + "]}"
	}
	for name, test := range map[string]struct {
		file string
		want told
	}{
		"one":                {of("shop", "app:1.0"), told{Verdicts: []string{"trusted"}}},
		"an exempt one":      {list(of("kube-system", "x:1"), of("shop", "app:1.0")), told{Verdicts: []string{"trusted"}}},
		"not its neighbour":  {list(of("kube-system", "app:1.0"), of("shop", "x:1")), told{Exit: 3, Verdicts: []string{"refused"}}},
		"a list in a list":   {list(list(of("shop", "x:1"))), told{Exit: 3, Verdicts: []string{"refused"}}},
		"lists without end":  {list(list(list(list(list(of("shop", "app:1.0")))))), told{Exit: 1}},
		"a PodList":          {`{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}, spec: {containers: [{name: a, image: "x:1"}]}}]}`, told{Exit: 3, Verdicts: []string{"refused"}}},
		"an empty list":      {list(), told{Exit: 1}},
		"an item that is no": {list("x"), told{Exit: 1}},
		"several documents":  {of("shop", "app:1.0") + "\n---\n" + of("shop", "warned:1"), told{Verdicts: []string{"trusted", "let pass"}}},
		"a bad shape":        {strings.Replace(of("shop", "x"), "[{name: a, image: x}]", "x", 1), told{Exit: 3}},
		"a review in YAML": {`{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {uid: u, operation: CREATE, namespace: shop, kind: {version: v1, kind: Pod}, object: ` + of("shop", "app:1.0") + "}}",
			told{Verdicts: []string{"trusted"}}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "manifest.yaml")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got := askCommand(t, p.Kubernetes(), file)
			if got.Exit != test.want.Exit || !slices.Equal(got.Verdicts, test.want.Verdicts) {
				t.Errorf("got %+v, expected %+v", got, test.want)
			}
		})
	}
}
