//go:build deploy

package deploy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/harness"
)

// object is one of a kind, whose pod runs image.
func object(kind, namespace, name, image string) string {
	return objectOf(kind, namespace, name, "", fmt.Sprintf("containers: [{name: app, image: %q}]", image))
}

// objectOf is one of a kind, with metadata and the pod's specification in YAML's flow form.
func objectOf(kind, namespace, name, metadata, spec string) string {
	labels := "{labels: {app: x}, " + metadata + "}"
	pod := func(restart string) string { return "{metadata: " + labels + ", spec: {" + restart + spec + "}}" }
	head := func(api string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s, %s}\n", api, kind, name, namespace, metadata)
	}
	const selector = "selector: {matchLabels: {app: x}}, "
	switch kind {
	case "Pod":
		return head("v1") + "spec: {" + spec + "}\n"
	case "PodTemplate":
		return head("v1") + "template: " + pod("") + "\n"
	case "ReplicationController":
		return head("v1") + "spec: {selector: {app: x}, template: " + pod("") + "}\n"
	case "StatefulSet":
		return head("apps/v1") + "spec: {serviceName: x, " + selector + "template: " + pod("") + "}\n"
	case "Deployment", "ReplicaSet", "DaemonSet":
		return head("apps/v1") + "spec: {" + selector + "template: " + pod("") + "}\n"
	case "Job":
		return head("batch/v1") + "spec: {template: " + pod("restartPolicy: Never, ") + "}\n"
	case "CronJob":
		return head("batch/v1") + "spec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: " + pod("restartPolicy: Never, ") + "}}}\n"
	}
	panic(kind)
}

var kinds = []string{"Pod", "PodTemplate", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}

// TestKubernetes tries the webhooks that deploy/kubernetes registers on a real API
// server, and looks at what kubectl tells the person who used it.
func TestKubernetes(t *testing.T) {
	g, c := startGate(t), startCluster(t)
	for _, namespace := range []string{"shop", "tags", "ops", "lab"} {
		c.must(t, "", "create", "namespace", namespace)
	}
	t.Run("the manifests are what the API server takes", func(t *testing.T) {
		for _, file := range []string{"namespace.yaml", "config.yaml", "gate.yaml", "webhooks.yaml"} {
			c.must(t, "", "apply", "--validate=strict", "-f", "../../deploy/kubernetes/"+file)
		}
	})
	t.Run("the manifests go together", func(t *testing.T) {
		if out, _ := c.must(t, "", "kustomize", "../../deploy/kubernetes"); strings.Contains(out, "WebhookConfiguration") || strings.Count(out, "kind: Certificate\n") != 2 {
			t.Errorf("kustomize: %s", out)
		}
	})
	t.Run("the configuration in the manifests is what signet-guard takes", func(t *testing.T) {
		dir := t.TempDir()
		config := writeFile(t, dir, "guard.yaml", at(t, manifest(t, "config.yaml", "ConfigMap"), "data/guard.yaml").(string))
		out, err := exec.Command(buildGuard(t, dir), "config", "--config", config).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `doors: ["kubernetes"]`) {
			t.Errorf("%v: %s", err, out)
		}
	})
	c.register(t, g.http.URL, g.ca())
	c.refuses(t, "webhooks that are in force")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *gate, *cluster)
	}{
		{"signed passes and is pinned, in every kind", signed},
		{"what is refused says why to the person at kubectl", refusals},
		{"a policy that pins nothing leaves tags alone", unpinned},
		{"dry run", dryRun},
		{"ephemeral containers, init containers and image volumes", otherContainers},
		{"exempt namespaces", exempt},
		{"break-glass", breakGlass},
		{"a policy's warning reaches the person", warned},
		{"what runs already goes on, revoked or not", running},
		{"the audit log says what was decided", audited},
		{"ImagePolicyWebhook", imagePolicy},
		{"metadata that expires while the gate runs", expired},
		{"no gate, no pod", down},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, g, c) })
	}
}

func signed(t *testing.T, g *gate, c *cluster) {
	for _, kind := range kinds {
		g.keep("create-" + strings.ToLower(kind))
		c.must(t, object(kind, "shop", "signed", appRepo+":1.0"), "create", "-f", "-")
		stored, _ := c.must(t, "", "get", "-n", "shop", kind, "signed", "-o", "yaml")
		if !strings.Contains(stored, "image: "+appRepo+":1.0@"+current+"\n") {
			t.Errorf("%s is stored as %s", kind, stored)
		}
		c.refused(t, object(kind, "shop", "unsigned", appRepo+":none"), []string{"create", "-f", "-"}, "nothing is signed under \"registry.example.com/team/app:none\"")
	}
	c.must(t, object("Pod", "shop", "no-tag", otherRepo+":1.0@"+other), "create", "-f", "-")
	// Applied again, a manifest changes nothing, though its tag was pinned.
	manifest := object("Deployment", "shop", "again", appRepo+":1.0")
	c.must(t, manifest, "apply", "-f", "-")
	g.keep("update-deployment-again")
	if out, _ := c.must(t, manifest, "apply", "-f", "-"); !strings.Contains(out, "again") {
		t.Errorf("applied again: %s", out)
	}
	generation, _ := c.must(t, "", "get", "-n", "shop", "deployment", "again", "-o", "jsonpath={.metadata.generation}")
	if generation != "1" {
		t.Errorf("applying it again made generation %s of it", generation)
	}
}

func refusals(t *testing.T, g *gate, c *cluster) {
	for _, test := range []struct{ name, image, reason string }{
		{"unsigned", appRepo + ":3.0", "nothing is signed under \"registry.example.com/team/app:3.0\""},
		{"tampered", appRepo + ":1.0@" + harness.Digest("tampered"), "is not signed under it"},
		{"moved tag", appRepo + ":latest@" + earlier, "is no longer what its tag means"},
		{"wrong repository", appRepo + ":1.0@" + other, "is not signed under it"},
		{"a repository of which nothing is known", "registry.example.com/team/nowhere:1.0", "no rule"},
		{"no image's name", "registry.example.com/Team/app:1.0", "repository"},
	} {
		if test.name == "unsigned" {
			g.keep("create-pod-unsigned")
		}
		said := c.refused(t, object("Pod", "shop", "refused", test.image), []string{"create", "-f", "-"},
			`admission webhook "pin.signet.example.com" denied the request`, test.image, test.reason, "next: ")
		t.Logf("%s:\n%s", test.name, said)
	}
	said := c.refused(t, objectOf("Pod", "shop", "several", "", fmt.Sprintf("containers: [{name: one, image: %q}, {name: two, image: %q}, {name: three, image: %q}]",
		appRepo+":1.0", appRepo+":3.0", "registry.example.com/team/nowhere:1.0")), []string{"create", "-f", "-"},
		"2 of 3 images may not run", "container two: "+appRepo+":3.0", "container three: registry.example.com/team/nowhere:1.0")
	t.Logf("several:\n%s", said)
}

func unpinned(t *testing.T, _ *gate, c *cluster) {
	c.must(t, object("Pod", "tags", "signed", appRepo+":1.0"), "create", "-f", "-")
	if image, _ := c.must(t, "", "get", "-n", "tags", "pod", "signed", "-o", "jsonpath={.spec.containers[0].image}"); image != appRepo+":1.0" {
		t.Errorf("stored as %s", image)
	}
	c.refused(t, object("Pod", "tags", "unsigned", appRepo+":3.0"), []string{"create", "-f", "-"}, "nothing is signed under \"registry.example.com/team/app:3.0\"")
}

func dryRun(t *testing.T, g *gate, c *cluster) {
	g.keep("dry-run-pod")
	out, _ := c.must(t, object("Pod", "shop", "tried", appRepo+":1.0"), "create", "--dry-run=server", "-o", "yaml", "-f", "-")
	if !strings.Contains(out, "@"+current) {
		t.Errorf("dry run: %s", out)
	}
	c.refused(t, object("Pod", "shop", "tried", appRepo+":3.0"), []string{"create", "--dry-run=server", "-f", "-"}, "nothing is signed under \"registry.example.com/team/app:3.0\"")
	c.refused(t, "", []string{"get", "-n", "shop", "pod", "tried"}, "not found")
}

func otherContainers(t *testing.T, g *gate, c *cluster) {
	const path = "/api/v1/namespaces/shop/pods/signed/ephemeralcontainers"
	add := func(name, image string) (int, string) {
		status, body, err := c.ask(t.Context(), http.MethodPatch, path, "application/strategic-merge-patch+json",
			fmt.Sprintf(`{"spec": {"ephemeralContainers": [{"name": %q, "image": %q}]}}`, name, image))
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	g.keep("update-pod-ephemeral-unsigned")
	if status, body := add("shell", appRepo+":3.0"); status != http.StatusForbidden || !strings.Contains(body, "ephemeral container shell") {
		t.Errorf("status %d: %s", status, body)
	}
	g.keep("update-pod-ephemeral")
	if status, body := add("tool", appRepo+":1.0"); status != http.StatusOK || strings.Count(body, appRepo+":1.0@"+current) < 2 {
		t.Errorf("status %d: %s", status, body)
	}
	c.refused(t, objectOf("Pod", "shop", "init", "", fmt.Sprintf("initContainers: [{name: setup, image: %q}], containers: [{name: app, image: %q}]", appRepo+":3.0", appRepo+":1.0")),
		[]string{"create", "-f", "-"}, "init container setup")
	g.keep("create-pod-volume")
	volume := func(image string) string {
		return objectOf("Pod", "shop", "volume", "", fmt.Sprintf("containers: [{name: app, image: %q}], volumes: [{name: model, image: {reference: %q}}]", appRepo+":1.0", image))
	}
	c.refused(t, volume(appRepo+":3.0"), []string{"create", "-f", "-"}, "volume model")
	c.must(t, volume(appRepo+":1.0"), "create", "-f", "-")
	if image, _ := c.must(t, "", "get", "-n", "shop", "pod", "volume", "-o", "jsonpath={.spec.volumes[0].image.reference}"); image != appRepo+":1.0@"+current {
		t.Errorf("stored as %s", image)
	}
}

func exempt(t *testing.T, _ *gate, c *cluster) {
	c.must(t, object("Pod", "kube-system", "any", "anything:1"), "create", "-f", "-")
	c.must(t, object("Pod", "lab", "any", "anything:1"), "create", "-f", "-")
	// A label cannot make a namespace an exempt one.
	c.must(t, "", "label", "--overwrite", "namespace", "shop", "kubernetes.io/metadata.name=kube-system")
	c.refused(t, object("Pod", "shop", "any", "registry.example.com/anything:1"), []string{"create", "-f", "-"}, "may not run")
}

func breakGlass(t *testing.T, g *gate, c *cluster) {
	const glass = `annotations: {signet.example.com/break-glass: "INC-1: the signer's key is lost"}`
	spec := fmt.Sprintf("containers: [{name: app, image: %q}]", appRepo+":3.0")
	c.refused(t, objectOf("Pod", "shop", "glass", glass, spec), []string{"create", "-f", "-"}, "nothing is signed")
	g.keep("create-pod-break-glass")
	_, said := c.must(t, objectOf("Pod", "ops", "glass", glass, spec), "create", "-f", "-")
	if !strings.Contains(said, "BREAK GLASS") || !strings.Contains(said, "INC-1") {
		t.Errorf("kubectl said %q", said)
	}
	c.must(t, objectOf("Deployment", "ops", "glass", glass, spec), "create", "-f", "-")
	const told = `"door":"kubernetes/mutate","who":"alice","namespace":"ops","object":"Pod/glass","verdict":"break-glass","reason":"INC-1: the signer's key is lost"`
	if log := g.logged(t); !strings.Contains(log, told) {
		t.Errorf("the decision log lacks %s: %s", told, log)
	}
}

func warned(t *testing.T, _ *gate, c *cluster) {
	_, said := c.must(t, object("Pod", "shop", "warned", "alpine:3"), "create", "-f", "-")
	if !strings.HasPrefix(said, "Warning: signet: container app: alpine:3: ") {
		t.Errorf("kubectl said %q", said)
	}
}

func running(t *testing.T, g *gate, c *cluster) {
	c.must(t, object("Deployment", "shop", "later-revoked", appRepo+":2.0"), "create", "-f", "-")
	c.must(t, object("Pod", "shop", "later-revoked", appRepo+":2.0"), "create", "-f", "-")
	g.revoke(t)
	c.refused(t, object("Pod", "shop", "revoked", appRepo+":2.0"), []string{"create", "-f", "-"}, "nothing is signed under \"registry.example.com/team/app:2.0\"")
	c.refused(t, object("Pod", "shop", "revoked", appRepo+":2.0@"+bad), []string{"create", "-f", "-"}, "nothing is signed under the tag 2.0")

	g.keep("update-pod-unchanged")
	c.must(t, "", "label", "-n", "shop", "pod", "later-revoked", "a=b")
	c.must(t, "", "scale", "-n", "shop", "deployment", "later-revoked", "--replicas=2")
	c.must(t, "", "annotate", "-n", "shop", "deployment", "later-revoked", "a=b")
	_, said := c.must(t, object("Deployment", "shop", "later-revoked", appRepo+":2.0"), "apply", "-f", "-")
	if !strings.Contains(said, "no longer trusted") {
		t.Errorf("applied again, kubectl said %q", said)
	}
	g.keep("update-deployment-unsigned")
	c.refused(t, "", []string{"set", "image", "-n", "shop", "deployment/later-revoked", "app=" + appRepo + ":3.0"}, "nothing is signed under \"registry.example.com/team/app:3.0\"")
	c.must(t, "", "set", "image", "-n", "shop", "deployment/later-revoked", "app="+appRepo+":1.0")

	// On its way out, an object can still lose its finalizer.
	c.must(t, "", "patch", "-n", "shop", "pod", "later-revoked", "-p", `{"metadata": {"finalizers": ["example.com/hold"]}}`)
	c.must(t, "", "delete", "-n", "shop", "pod", "later-revoked", "--wait=false", "--grace-period=0", "--force")
	g.keep("update-pod-being-deleted")
	c.must(t, "", "patch", "-n", "shop", "pod", "later-revoked", "-p", `{"metadata": {"finalizers": null}}`)
	c.refused(t, "", []string{"get", "-n", "shop", "pod", "later-revoked"}, "not found")

	// A user's own word that it is being deleted counts for nothing.
	dying := strings.Replace(object("Pod", "shop", "dying", appRepo+":3.0"), "name: dying", "name: dying, deletionTimestamp: '2026-01-01T00:00:00Z'", 1)
	g.keep("create-pod-says-it-is-being-deleted")
	c.refused(t, dying, []string{"create", "-f", "-"}, "nothing is signed")
}

func audited(t *testing.T, g *gate, c *cluster) {
	data, err := os.ReadFile(c.auditPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"pin.signet.example.com/verdict":"allowed"`, `"validate.signet.example.com/verdict":"allowed"`, `"pin.signet.example.com/verdict":"refused"`,
		`"pin.signet.example.com/verdict":"break glass"`, `\"verdict\":\"trusted\",\"rule\":\"team\",\"digest\":\"` + current,
		`"pin.signet.example.com/break-glass":"INC-1: the signer's key is lost"`,
	} {
		if !strings.Contains(string(data), part) {
			t.Errorf("the audit log lacks %s", part)
		}
	}
	for _, part := range []string{
		`"door":"kubernetes/validate","who":"alice","namespace":"shop","object":"Pod/signed","name":"` + appRepo + `:1.0@` + current + `"`,
		`"object":"Pod/tried (dry run)"`, `"object":"Pod/signed/ephemeralcontainers"`,
	} {
		if !strings.Contains(g.logged(t), part) {
			t.Errorf("the decision log lacks %s", part)
		}
	}
}

// imagePolicy asks by the other way, on an API server of its own.
func imagePolicy(t *testing.T, g *gate, c *cluster) {
	dir := t.TempDir()
	kubeconfig := writeFile(t, dir, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: signet, cluster: {server: %q, certificate-authority: %s}}]
users: [{name: api, user: {}}]
contexts: [{name: signet, context: {cluster: signet, user: api}}]
current-context: signet
`, g.http.URL+"/kubernetes/imagereview", writeFile(t, dir, "ca.pem", string(g.ca()))))
	admission := writeFile(t, dir, "admission.yaml", fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ImagePolicyWebhook
  configuration: {imagePolicy: {kubeConfigFile: %s, allowTTL: 1, denyTTL: 1, retryBackoff: 500, defaultAllow: false}}
- name: MutatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration}
`, kubeconfig))
	second := startAPIServer(t, t.TempDir(), c.etcd, "--enable-admission-plugins", "ImagePolicyWebhook",
		"--disable-admission-plugins", "ServiceAccount,MutatingAdmissionWebhook,ValidatingAdmissionWebhook", "--admission-control-config-file", admission)
	g.keep("imagereview")
	second.must(t, object("Pod", "shop", "reviewed", appRepo+":1.0"), "create", "-f", "-")
	said := second.refused(t, object("Pod", "shop", "reviewed-unsigned", appRepo+":3.0"), []string{"create", "-f", "-"},
		"image policy webhook backend denied one or more images", "nothing is signed under \"registry.example.com/team/app:3.0\"", "next: ")
	t.Logf("ImagePolicyWebhook:\n%s", said)
	second.must(t, object("Pod", "lab", "reviewed", appRepo+":3.0"), "create", "-f", "-")
}

func expired(t *testing.T, g *gate, c *cluster) {
	image := staleRepo + ":1.0"
	c.must(t, object("Pod", "shop", "fresh", image), "create", "-f", "-")
	g.grow(t)
	said := c.refused(t, object("Pod", "shop", "stale", image), []string{"create", "-f", "-"}, "expired", "next: ")
	t.Logf("stale:\n%s", said)
}

func down(t *testing.T, g *gate, c *cluster) {
	g.http.Close()
	for _, kind := range kinds {
		c.refused(t, object(kind, "shop", "alone", appRepo+":1.0"), []string{"create", "-f", "-"}, "failed calling webhook")
	}
	c.must(t, "", "delete", "-n", "shop", "pod", "signed", "--wait=false")
	c.must(t, object("Pod", "kube-system", "network", "anything:1"), "create", "-f", "-")
}
