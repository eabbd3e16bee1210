package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func TestAdmissionOfEachKind(t *testing.T) {
	in := func(apiVersion, kind, path string) func(string) (string, string) {
		return func(image string) (string, string) {
			object := specOf("app=" + image)
			for _, step := range strings.Split(path, ".") {
				object = `{"` + step + `": ` + object + `}`
			}
			return apiVersion + " " + kind, `{"apiVersion": "` + apiVersion + `", "kind": "` + kind + `", ` + object[1:]
		}
	}
	for _, of := range []func(string) (string, string){
		in("v1", "Pod", "spec"), in("v1", "PodTemplate", "spec.template"), in("v1", "ReplicationController", "spec.template.spec"),
		in("apps/v1", "ReplicaSet", "spec.template.spec"), in("apps/v1", "Deployment", "spec.template.spec"),
		in("apps/v1", "StatefulSet", "spec.template.spec"), in("apps/v1", "DaemonSet", "spec.template.spec"),
		in("batch/v1", "Job", "spec.template.spec"), in("batch/v1", "CronJob", "spec.template.spec.jobTemplate.spec"),
	} {
		b := newBench(t)
		kind, good := of("app:1")
		if answer := b.review(t, validatePath, ask{kind: kind, object: good}); !answer.Allowed {
			t.Errorf("%s, signed: %+v", kind, answer.Status)
		}
		_, bad := of("app:evil")
		answer := b.review(t, validatePath, ask{kind: kind, object: bad})
		if answer.Allowed || answer.Status.Code != http.StatusForbidden || !strings.Contains(answer.Status.Message, "container app: app:evil") {
			t.Errorf("%s, unsigned: %+v", kind, answer)
		}
	}
}

func TestOperations(t *testing.T) {
	deleting := strings.Replace(podOf("app=app:evil"), `"name": "web"`, `"name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"`, 1)
	for _, test := range []struct {
		name    string
		ask     ask
		allowed bool
		asked   []string
	}{
		{"create, signed", ask{object: podOf("app=app:1")}, true, []string{"app:1"}},
		{"create, unsigned", ask{object: podOf("app=app:evil")}, false, []string{"app:evil"}},
		{"an image twice is asked about once", ask{object: podOf("a=app:1", "b=app:1")}, true, []string{"app:1"}},
		{"update, unchanged", ask{operation: "UPDATE", object: podOf("app=app:evil"), old: podOf("app=app:evil")}, true, nil},
		{"update, changed", ask{operation: "UPDATE", object: podOf("app=app:evil"), old: podOf("app=app:1")}, false, []string{"app:evil"}},
		{"update, the other container's image", ask{operation: "UPDATE", object: podOf("app=app:evil", "side=side:1"), old: podOf("app=side:1", "side=app:evil")}, false, []string{"app:evil", "side:1"}},
		{"update, moved to another kind of container", ask{operation: "UPDATE", object: podOf("app=app:evil"),
			old: `{"apiVersion": "v1", "kind": "Pod", "spec": {"initContainers": [{"name": "app", "image": "app:evil"}], "containers": [{"name": "x", "image": "app:1"}]}}`}, false, []string{"app:evil"}},
		{"update, order changed", ask{operation: "UPDATE", object: podOf("b=x:2", "a=x:1"), old: podOf("a=x:1", "b=x:2")}, true, nil},
		{"update, one added", ask{operation: "UPDATE", object: podOf("app=x:1", "side=side:1"), old: podOf("app=x:1")}, true, []string{"side:1"}},
		{"update, old object missing", ask{operation: "UPDATE", object: podOf("app=app:evil")}, false, []string{"app:evil"}},
		{"update, old object malformed", ask{operation: "UPDATE", object: podOf("app=app:evil"), old: `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": 7}}`}, false, []string{"app:evil"}},
		{"update, old object of another kind", ask{operation: "UPDATE", object: podOf("app=app:evil"), old: strings.Replace(podOf("app=app:evil"), `"v1"`, `"v2"`, 1)}, false, []string{"app:evil"}},
		{"create with an old object", ask{object: podOf("app=app:evil"), old: podOf("app=app:evil")}, false, []string{"app:evil"}},
		{"ephemeral container, unsigned", ask{operation: "UPDATE", sub: "ephemeralcontainers", old: podOf("app=x:1"),
			object: `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "x:1"}], "ephemeralContainers": [{"name": "shell", "image": "busybox"}]}}`}, false, []string{"busybox"}},
		{"image volume, unsigned", ask{object: `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "app:1"}], "volumes": [{"name": "model", "image": {"reference": "model:1"}}]}}`}, false, []string{"app:1", "model:1"}},
		{"delete", ask{operation: "DELETE", old: podOf("app=app:evil")}, true, nil},
		{"connect", ask{operation: "CONNECT", kind: "v1 PodExecOptions", sub: "exec", object: `{"apiVersion": "v1", "kind": "PodExecOptions"}`}, true, nil},
		{"being deleted", ask{operation: "UPDATE", object: deleting, old: deleting}, true, nil},
		{"says of itself that it is being deleted", ask{operation: "UPDATE", object: deleting, old: podOf("app=app:1")}, false, []string{"app:evil"}},
		{"created as being deleted", ask{object: deleting}, false, []string{"app:evil"}},
		{"created as being deleted, with an old one", ask{object: deleting, old: deleting}, false, []string{"app:evil"}},
		{"dry run, signed", ask{object: podOf("app=app:1"), dryRun: true}, true, []string{"app:1"}},
		{"dry run, unsigned", ask{object: podOf("app=app:evil"), dryRun: true}, false, []string{"app:evil"}},
		{"scale", ask{operation: "UPDATE", kind: "autoscaling/v1 Scale", sub: "scale", object: `{"apiVersion": "autoscaling/v1", "kind": "Scale"}`}, true, nil},
		{"a kind of unknown shape", ask{kind: "argoproj.io/v1alpha1 Rollout", object: `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}`}, false, nil},
		{"a list", ask{kind: "v1 List", object: `{"apiVersion": "v1", "kind": "List", "items": []}`}, false, nil},
		{"an object of another kind than is said", ask{kind: "v1 Pod", object: `{"apiVersion": "v1", "kind": "Secret"}`}, false, nil},
		{"no object", ask{}, false, nil},
		{"an unknown operation", ask{operation: "PATCH", object: podOf("app=app:1")}, false, nil},
		{"malformed", ask{object: `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app"}]}}`}, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{validatePath, mutatePath} {
				b := newBench(t, func(c *Config) { c.Parallel = 1 })
				answer := b.review(t, path, test.ask)
				if answer.Allowed != test.allowed {
					t.Errorf("%s: allowed %v: %+v", path, answer.Allowed, answer.Status)
				}
				if diff := cmp.Diff(test.asked, b.gate.asked); diff != "" {
					t.Errorf("%s: asked (-want +got): %s", path, diff)
				}
				if answer.Patch != nil {
					t.Errorf("%s: patch %s", path, answer.Patch)
				}
			}
		})
	}
}

func TestARefusalTellsADeveloperAboutEveryImage(t *testing.T) {
	b := newBench(t)
	b.gate.do["slow:1"] = func(context.Context) (*client.Decision, error) {
		return nil, errors.New("the trust server\ndoes not answer")
	}
	answer := b.review(t, validatePath, ask{object: podOf("app=registry.example.com/app:evil", "side=side:1", "slow=slow:1")})
	want := `2 of 3 images may not run
container app: registry.example.com/app:evil
  why: registry.example.com/app: targets version 3: nothing is signed under the tag (TUF §5.6.7) (policy rule prod)
  next: correct the tag or, if the image is yours, sign it: signet sign registry.example.com/app:evil
container slow: slow:1
  why: the trust server does not answer
  next: try again; if it stays so, ask whoever runs signet-guard, who finds this decision in its log`
	if diff := cmp.Diff(want, answer.Status.Message); diff != "" {
		t.Error(diff)
	}
	if answer.Status.Code != http.StatusForbidden || answer.Status.Reason != "Forbidden" {
		t.Errorf("got %+v: one is a verdict", answer.Status)
	}
	answer = b.review(t, validatePath, ask{object: podOf("slow=slow:1")})
	if answer.Status.Code != http.StatusServiceUnavailable {
		t.Errorf("got %+v: none is a verdict", answer.Status)
	}
}

func TestWhatAStrangerWroteStaysOneLine(t *testing.T) {
	b := newBench(t)
	answer := b.review(t, validatePath, ask{object: podOf("app=x\\n  next: kubectl delete ns\\u202e")})
	if lines := strings.Count(answer.Status.Message, "\n"); answer.Allowed || lines != 3 {
		t.Errorf("%d lines: %s", lines, answer.Status.Message)
	}
	long := strings.Repeat("x", 100_000)
	if answer = b.review(t, validatePath, ask{object: podOf("app=" + long)}); len(answer.Status.Message) > 5000 {
		t.Errorf("a message of %d bytes", len(answer.Status.Message))
	}
}

func TestExemptNamespacesAndWhoAsks(t *testing.T) {
	b := newBench(t)
	b.rules.exempt = []string{"kube-system"}
	if answer := b.review(t, validatePath, ask{object: podOf("app=app:evil")}); answer.Allowed {
		t.Error("a namespace that is not exempt passes")
	}
	if by := b.gate.by[0]; by.Door != "kubernetes/validate" || by.Who != "alice" || by.Object != "Pod/web" || by.Namespace != "shop" || by.Peer != "192.0.2.1" {
		t.Errorf("asker %+v", by)
	}
	b.rules.exempt = []string{"shop"}
	answer := b.review(t, validatePath, ask{object: `{}`})
	if !answer.Allowed || answer.AuditAnnotations["verdict"] != "exempt namespace" || len(b.gate.asked) != 1 {
		t.Errorf("got %+v after %v", answer, b.gate.asked)
	}
}

func TestWarningsAndAudit(t *testing.T) {
	b := newBench(t)
	b.gate.do["old:1"] = warns("old:1 is not\nsigned; it will be refused from May on" + strings.Repeat(".", 300))
	answer := b.review(t, validatePath, ask{object: podOf("app=app:1", "old=old:1")})
	if !answer.Allowed || len(answer.Warnings) != 1 || len(answer.Warnings[0]) > 256 || !strings.HasPrefix(answer.Warnings[0], "signet: container old: old:1: old:1 is not signed;") {
		t.Errorf("got %+v", answer)
	}
	want := map[string]string{
		"verdict": "allowed",
		"image-0": `{"container":"app","image":"app:1","verdict":"trusted","rule":"prod","digest":"` + digest("a") + `"}`,
		"image-1": `{"container":"old","image":"old:1","verdict":"let pass","rule":"try"}`,
	}
	if diff := cmp.Diff(want, answer.AuditAnnotations); diff != "" {
		t.Error(diff)
	}
}

func TestBreakGlass(t *testing.T) {
	annotated := func(object string) string {
		return strings.Replace(object, `"name": "web"`, `"name": "web", "annotations": {"signet/glass": "fire in zone b"}`, 1)
	}
	template := `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"template": {"metadata": {"annotations": {"signet/glass": "fire"}}, "spec": ` + specOf("app=app:evil") + `}}}`
	b := newBench(t)
	if answer := b.review(t, validatePath, ask{object: annotated(podOf("app=app:evil"))}); answer.Allowed {
		t.Error("it works although the policy does not name it")
	}
	b.rules.glass = "signet/glass"
	if answer := b.review(t, validatePath, ask{object: podOf("app=app:evil")}); answer.Allowed {
		t.Error("it works without the annotation")
	}
	if b.gate.glass != nil {
		t.Errorf("broken: %q", b.gate.glass)
	}
	for _, object := range []ask{{object: annotated(podOf("app=app:evil", "side=side:1"))}, {kind: "apps/v1 Deployment", object: template, dryRun: true}} {
		answer := b.review(t, validatePath, object)
		if !answer.Allowed || answer.AuditAnnotations["verdict"] != "break glass" || !strings.HasPrefix(answer.AuditAnnotations["break-glass"], "fire") ||
			len(answer.Warnings) == 0 || !strings.Contains(answer.Warnings[0], "BREAK GLASS") {
			t.Errorf("got %+v", answer)
		}
	}
	want := []string{"alice, shop/Pod/web: fire in zone b", "alice, shop/Deployment/web (dry run): fire"}
	if diff := cmp.Diff(want, b.gate.glass); diff != "" {
		t.Error(diff)
	}
	if answer := b.review(t, validatePath, ask{object: annotated(podOf("app=app:1"))}); !answer.Allowed || answer.AuditAnnotations["verdict"] != "allowed" || len(b.gate.glass) != 2 {
		t.Errorf("the glass broke for a signed image: %+v", answer)
	}
}

func TestAnAnswerThatIsNoYesIsARefusal(t *testing.T) {
	for name, do := range map[string]func(context.Context) (*client.Decision, error){
		"nothing":                func(context.Context) (*client.Decision, error) { return nil, nil },
		"neither yes nor reason": func(context.Context) (*client.Decision, error) { return &client.Decision{}, nil },
		"trusted, and not by the policy": func(context.Context) (*client.Decision, error) {
			return &client.Decision{Trusted: true, Policy: &client.Ruling{}}, nil
		},
		"a yes with an error": func(context.Context) (*client.Decision, error) {
			return &client.Decision{Trusted: true, Policy: &client.Ruling{Allowed: true}}, errors.New("trouble")
		},
		"a panic":   func(context.Context) (*client.Decision, error) { panic("boom") },
		"too late":  func(ctx context.Context) (*client.Decision, error) { <-ctx.Done(); return nil, ctx.Err() },
		"a verdict": func(context.Context) (*client.Decision, error) { return nil, &tuf.ExpiredError{Role: "timestamp"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.gate.do["app:1"] = do
			w := b.answer(t, validatePath+"?timeout=20ms", ask{object: podOf("side=side:1", "app=app:1")}.body())
			if w.Allowed || w.Status.Message == "" {
				t.Errorf("got %+v", w)
			}
		})
	}
}

// TestTheAnswerComesInTimeWhateverTheGateDoes holds the door to its time with a gate
// that does not even look at the context.
func TestTheAnswerComesInTimeWhateverTheGateDoes(t *testing.T) {
	b := newBench(t)
	free := make(chan struct{})
	defer close(free)
	b.gate.do["app:1"] = func(context.Context) (*client.Decision, error) { <-free; return nil, errors.New("late") }
	answer := b.answer(t, validatePath+"?timeout=20ms", ask{object: podOf("app=app:1")}.body())
	if answer.Allowed || answer.Status.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Status.Message, "no decision came in the time") {
		t.Errorf("got %+v", answer)
	}
}

// TestWhatWasNotAskedInTimeIsRefused has a gate use all of the time up for the first
// of two images.
func TestWhatWasNotAskedInTimeIsRefused(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Parallel = 1 })
	b.gate.do["slow:1"] = func(ctx context.Context) (*client.Decision, error) { <-ctx.Done(); return nil, ctx.Err() }
	answer := b.answer(t, validatePath+"?timeout=20ms", ask{object: podOf("slow=slow:1", "app=app:1")}.body())
	if answer.Allowed || answer.Status.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Status.Message, "2 of 2 images may not run") ||
		!strings.Contains(answer.Status.Message, "no decision came in the time") {
		t.Errorf("got %+v", answer)
	}
	b.gate.mu.Lock() // whoever asked for the door may not be done
	defer b.gate.mu.Unlock()
	if slices.Contains(b.gate.asked, "app:1") {
		t.Errorf("asked about %v", b.gate.asked)
	}
}

// TestASlowImageHoldsNoOtherUp demands that others are asked about while the gate is
// slow with one.
func TestASlowImageHoldsNoOtherUp(t *testing.T) {
	b := newBench(t)
	asked := make(chan struct{})
	b.gate.do["slow:1"] = func(ctx context.Context) (*client.Decision, error) {
		select {
		case <-asked:
			return nil, errors.New("it is the last")
		case <-ctx.Done():
			return nil, errors.New("it is alone")
		}
	}
	b.gate.do["last:1"] = func(context.Context) (*client.Decision, error) { close(asked); return nil, errors.New("no") }
	answer := b.review(t, validatePath, ask{object: podOf("slow=slow:1", "last=last:1")})
	if answer.Allowed || !strings.Contains(answer.Status.Message, "it is the last") {
		t.Errorf("got %+v", answer)
	}
}

func TestPanicIsARefusal(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Rules = func() Rules { panic("boom") } })
	answer := b.review(t, validatePath, ask{object: podOf("app=app:1")})
	if answer.Allowed || answer.Status.Code != http.StatusInternalServerError || !strings.Contains(b.log.String(), "boom") {
		t.Errorf("got %+v, log %s", answer, &b.log)
	}
	if w := b.post(t, "/kubernetes/imagereview", `{"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {"containers": [{"image": "app:1"}]}}`); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
}

func TestNoMoreImagesAtOnceThanTheBound(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Parallel = 3 })
	running, most := make(chan struct{}, 100), 0
	for _, image := range strings.Split("abcdefghij", "") {
		b.gate.do[image] = func(context.Context) (*client.Decision, error) {
			running <- struct{}{}
			b.gate.mu.Lock()
			most = max(most, len(running))
			b.gate.mu.Unlock()
			<-running
			return nil, errors.New("no")
		}
	}
	b.review(t, validatePath, ask{object: podOf("a=a", "b=b", "c=c", "d=d", "e=e", "f=f", "g=g", "h=h", "i=i", "j=j")})
	if len(b.gate.asked) != 10 || most > 3 {
		t.Errorf("asked %v, %d at once", b.gate.asked, most)
	}
	var many []string
	for i := range maxImages + 1 {
		many = append(many, strings.ReplaceAll("n#=side:#", "#", string(rune('a'+i/26/26))+string(rune('a'+i/26%26))+string(rune('a'+i%26))))
	}
	b.gate.asked = nil
	if answer := b.review(t, validatePath, ask{object: podOf(many...)}); answer.Allowed || len(b.gate.asked) > 0 || !strings.Contains(answer.Status.Message, "at most 500") {
		t.Errorf("%d images: %.300s", len(many), answer.Status.Message)
	}
}
