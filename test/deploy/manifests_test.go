package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/workload"
)

// documents reads the YAML documents of a file in deploy/kubernetes.
func documents(t testing.TB, name string) []map[string]any {
	t.Helper()
	return documentsIn(t, filepath.Join("../../deploy/kubernetes", name))
}

// documentsIn reads the YAML documents of a file. A key that stands twice is an error.
func documentsIn(t testing.TB, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, document)
	}
}

// manifest returns the object of a kind.
func manifest(t testing.TB, file, kind string) map[string]any {
	t.Helper()
	for _, document := range documents(t, file) {
		if document["kind"] == kind {
			return document
		}
	}
	t.Fatalf("%s has no %s", file, kind)
	return nil
}

// at follows a path of members; a number is an index.
func at(t testing.TB, value any, path string) any {
	t.Helper()
	for _, step := range strings.Split(path, "/") {
		switch in := value.(type) {
		case map[string]any:
			value = in[step]
		case []any:
			value = in[int(step[0]-'0')]
		default:
			t.Fatalf("nothing at %s", path)
		}
	}
	return value
}

// demand holds members of an object to what they have to be.
func demand(t *testing.T, object map[string]any, want map[string]any) {
	t.Helper()
	for path, value := range want {
		if got := at(t, object, path); got != value {
			t.Errorf("%s %s is %v, expected %v", object["kind"], path, got, value)
		}
	}
}

func TestTheWebhooksFailClosed(t *testing.T) {
	hooks := documents(t, "webhooks.yaml")
	if len(hooks) != 2 {
		t.Fatalf("%d documents", len(hooks))
	}
	for _, hook := range hooks {
		demand(t, hook, map[string]any{
			"webhooks/0/failurePolicy": "Fail", "webhooks/0/sideEffects": "None", "webhooks/0/matchPolicy": "Equivalent",
			"webhooks/0/timeoutSeconds": 10, "webhooks/0/admissionReviewVersions/0": "v1",
			"webhooks/0/namespaceSelector/matchExpressions/0/key":      "kubernetes.io/metadata.name", // which nobody can write
			"webhooks/0/namespaceSelector/matchExpressions/0/operator": "NotIn",
		})
		exempt := at(t, hook, "webhooks/0/namespaceSelector/matchExpressions/0/values").([]any)
		if !slices.Equal(exempt, []any{"kube-system", "signet"}) {
			t.Errorf("exempt: %v", exempt)
		}
		if hook := at(t, hook, "webhooks/0").(map[string]any); hook["objectSelector"] != nil || hook["matchConditions"] != nil {
			t.Error("whoever writes an object could leave the webhook out")
		}
	}
	if hooks[0]["kind"] != "MutatingWebhookConfiguration" || at(t, hooks[0], "webhooks/0/reinvocationPolicy") != "IfNeeded" {
		t.Errorf("got %v", hooks[0])
	}
}

// TestTheWebhooksAreAskedAboutEveryKind holds the rules to the kinds whose images the
// gate knows how to find.
func TestTheWebhooksAreAskedAboutEveryKind(t *testing.T) {
	kinds := map[string]string{
		"v1/pods": "Pod", "v1/podtemplates": "PodTemplate", "v1/replicationcontrollers": "ReplicationController",
		"apps/v1/deployments": "Deployment", "apps/v1/replicasets": "ReplicaSet", "apps/v1/statefulsets": "StatefulSet", "apps/v1/daemonsets": "DaemonSet",
		"batch/v1/jobs": "Job", "batch/v1/cronjobs": "CronJob",
	}
	for _, hook := range documents(t, "webhooks.yaml") {
		found, ephemeral := 0, false
		for _, rule := range at(t, hook, "webhooks/0/rules").([]any) {
			group, version := at(t, rule, "apiGroups/0").(string), at(t, rule, "apiVersions/0").(string)
			apiVersion := strings.TrimPrefix(group+"/"+version, "/")
			operations := at(t, rule, "operations").([]any)
			for _, resource := range at(t, rule, "resources").([]any) {
				if resource == "pods/ephemeralcontainers" {
					ephemeral = slices.Equal(operations, []any{"UPDATE"})
					continue
				}
				kind := kinds[apiVersion+"/"+resource.(string)]
				if !workload.Known(apiVersion, kind) || !slices.Equal(operations, []any{"CREATE", "UPDATE"}) {
					t.Errorf("%v of %s, %v", resource, apiVersion, operations)
				}
				found++
			}
		}
		if found != len(kinds) || !ephemeral {
			t.Errorf("%d of %d kinds, ephemeral containers %v", found, len(kinds), ephemeral)
		}
	}
}

func TestTheGateIsConfined(t *testing.T) {
	const pod, container = "spec/template/spec/", "spec/template/spec/containers/0/"
	deployment := manifest(t, "gate.yaml", "Deployment")
	demand(t, deployment, map[string]any{
		"spec/replicas": 3, "spec/strategy/rollingUpdate/maxUnavailable": 0,
		pod + "automountServiceAccountToken": false, pod + "enableServiceLinks": false, pod + "hostNetwork": nil, pod + "hostPID": nil,
		pod + "securityContext/runAsNonRoot": true, pod + "securityContext/seccompProfile/type": "RuntimeDefault",
		pod + "topologySpreadConstraints/0/topologyKey":        "kubernetes.io/hostname",
		container + "securityContext/allowPrivilegeEscalation": false,
		container + "securityContext/readOnlyRootFilesystem":   true,
		container + "securityContext/capabilities/drop/0":      "ALL",
		container + "readinessProbe/httpGet/path":              "/readyz",
		container + "livenessProbe/httpGet/path":               "/healthz",
		container + "resources/limits/memory":                  "512Mi",
		container + "resources/requests/cpu":                   "100m",
	})
	images, err := workload.Images(deployment)
	if err != nil || len(images) != 1 || !strings.Contains(images[0].Value, "@sha256:") {
		t.Errorf("the gate's own image is not by digest: %v, %v", images, err)
	}
	demand(t, manifest(t, "gate.yaml", "ServiceAccount"), map[string]any{"automountServiceAccountToken": false})
	demand(t, manifest(t, "gate.yaml", "PodDisruptionBudget"), map[string]any{"spec/minAvailable": 2})
	demand(t, manifest(t, "namespace.yaml", "Namespace"), map[string]any{"metadata/name": "signet"})
	labels := at(t, manifest(t, "namespace.yaml", "Namespace"), "metadata/labels").(map[string]any)
	if labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("labels %v", labels)
	}
	types := at(t, manifest(t, "gate.yaml", "NetworkPolicy"), "spec/policyTypes")
	if !slices.Equal(types.([]any), []any{"Ingress", "Egress"}) {
		t.Errorf("the network policy is about %v", types)
	}
}

func TestThePolicyInTheManifestsIsOne(t *testing.T) {
	text := at(t, manifest(t, "config.yaml", "ConfigMap"), "data/policy.yaml").(string)
	p, err := policy.Read([]byte(text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	k := p.Kubernetes()
	if !k.Rewrites("shop", "Pod", "app") || k.Rewrites("shop", "Deployment", "app") {
		t.Error("pods are to be pinned, and what makes them is not")
	}
	if _, ok := k.BreakGlass("ops", map[string]string{"signet.example.com/break-glass": "reason"}); ok {
		t.Error("break-glass is on")
	}
}
