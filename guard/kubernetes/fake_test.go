package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/tuf"
)

// digest of a letter.
func digest(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// A fakeGate trusts the images that it knows.
type fakeGate struct {
	trusts map[string]string // image to digest
	do     map[string]func(context.Context) (*client.Decision, error)
	recall func(ctx context.Context, asker guard.Asker, questions []guard.Question) []guard.Answer // nil: nothing is in memory

	mu    sync.Mutex
	asked []string
	by    []guard.Asker
	glass []string // who broke it, and why
}

func (g *fakeGate) BreakGlass(asker guard.Asker, reason string) {
	g.glass = append(g.glass, asker.Who+", "+asker.Namespace+"/"+asker.Object+": "+reason)
}

func (g *fakeGate) Recall(ctx context.Context, asker guard.Asker, questions []guard.Question) []guard.Answer {
	if g.recall == nil {
		return make([]guard.Answer, len(questions))
	}
	return g.recall(ctx, asker, questions)
}

func (g *fakeGate) Ask(ctx context.Context, asker guard.Asker, q guard.Question) (*client.Decision, error) {
	image := q.Image
	g.mu.Lock()
	g.asked, g.by = append(g.asked, image), append(g.by, asker)
	g.mu.Unlock()
	if do := g.do[image]; do != nil {
		return do(ctx)
	}
	decision := &client.Decision{Image: image, Policy: &client.Ruling{Rule: "prod", Mode: client.ModeEnforce}}
	if d, ok := g.trusts[image]; ok {
		if q.Pinned && !strings.Contains(image, "@") {
			return decision, &tuf.Refusal{Repository: "registry.example.com/app", Rule: tuf.RulePin, Detail: "it came without its digest"}
		}
		decision.Trusted, decision.Digest, decision.Policy.Allowed = true, d, true
		return decision, nil
	}
	decision.Rule = tuf.RuleAbsent
	return decision, &tuf.Refusal{Repository: "registry.example.com/app", Role: tuf.RoleTargets, Version: 3, Rule: tuf.RuleAbsent, Clause: "TUF §5.6.7", Detail: "nothing is signed under the tag"}
}

// warns lets an untrusted image pass, as mode warn does.
func warns(warning string) func(context.Context) (*client.Decision, error) {
	return func(context.Context) (*client.Decision, error) {
		return &client.Decision{Rule: tuf.RuleAbsent, Policy: &client.Ruling{Allowed: true, Rule: "try", Mode: client.ModeWarn, Warnings: []string{warning}}}, nil
	}
}

// fakeRules pin what they are told to.
type fakeRules struct {
	pins   []string // "namespace/kind/container"
	exempt []string
	glass  string // an annotation
}

func (r fakeRules) Rewrites(namespace, kind, container string) bool {
	return slices.Contains(r.pins, namespace+"/"+kind+"/"+container)
}
func (r fakeRules) Exempt(namespace string) bool { return slices.Contains(r.exempt, namespace) }
func (r fakeRules) BreakGlass(namespace string, annotations map[string]string) (string, bool) {
	reason := annotations[r.glass]
	return reason, r.glass != "" && reason != ""
}

// A bench is a door with all that is around it.
type bench struct {
	gate  *fakeGate
	rules fakeRules
	log   bytes.Buffer
	door  *Door
}

func newBench(t testing.TB, configure ...func(*Config)) *bench {
	b := &bench{gate: &fakeGate{trusts: map[string]string{
		"app:1": digest("a"), "side:1": digest("b"), "app:1@" + digest("a"): digest("a"),
	}, do: map[string]func(context.Context) (*client.Decision, error){}}}
	config := Config{Gate: b.gate, Rules: func() Rules { return b.rules }, Log: slog.New(slog.NewTextHandler(&b.log, nil))}
	for _, f := range configure {
		f(&config)
	}
	b.door = New(config)
	return b
}

// post sends a body and returns what came.
func (b *bench) post(t testing.TB, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	b.door.Handler().ServeHTTP(w, r)
	return w
}

// An ask is an admission to make a body of.
type ask struct {
	operation string // default CREATE
	kind      string // "v1 Pod" by default
	sub       string
	object    string // JSON
	old       string
	dryRun    bool
}

func (a ask) body() string {
	if a.operation == "" {
		a.operation = "CREATE"
	}
	if a.kind == "" {
		a.kind = "v1 Pod"
	}
	apiVersion, kind, _ := strings.Cut(a.kind, " ")
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	if a.object == "" {
		a.object = "null"
	}
	if a.old == "" {
		a.old = "null"
	}
	return fmt.Sprintf(`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
		"uid": "u-1", "kind": {"group": %q, "version": %q, "kind": %q}, "resource": {"group": %q, "version": %q, "resource": "x"},
		"subResource": %q, "name": "web", "namespace": "shop", "operation": %q, "userInfo": {"username": "alice", "groups": ["dev"]},
		"object": %s, "oldObject": %s, "dryRun": %v, "options": null}}`,
		group, version, kind, group, version, a.sub, a.operation, a.object, a.old, a.dryRun)
}

// review sends an admission to a webhook and reads the answer as an API server would.
func (b *bench) review(t testing.TB, path string, a ask) *admissionAnswer {
	t.Helper()
	return b.answer(t, path, a.body())
}

func (b *bench) answer(t testing.TB, path, body string) *admissionAnswer {
	t.Helper()
	w := b.post(t, path, body)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var review admissionReview
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&review); err != nil {
		t.Fatal(err)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Response == nil || review.Response.UID != "u-1" {
		t.Fatalf("got %+v", review)
	}
	if review.Response.Allowed == (review.Response.Status != nil) {
		t.Fatalf("allowed %v with status %+v", review.Response.Allowed, review.Response.Status)
	}
	return review.Response
}

const (
	validatePath = "/kubernetes/validate"
	mutatePath   = "/kubernetes/mutate"
)

// podOf is a pod of containers "name=image".
func podOf(containers ...string) string {
	return `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": ` + specOf(containers...) + `}`
}

func specOf(containers ...string) string {
	var list []string
	for _, c := range containers {
		name, image, _ := strings.Cut(c, "=")
		list = append(list, fmt.Sprintf(`{"name": %q, "image": %q}`, name, image))
	}
	return `{"containers": [` + strings.Join(list, ", ") + `]}`
}
