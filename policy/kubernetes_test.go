package policy

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestKubernetes(t *testing.T) {
	p, err := Load(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	k := p.Kubernetes()
	for _, test := range []struct {
		namespace, kind, container string
		want                       bool
	}{
		{"shop", "Deployment", "app", true},
		{"argocd", "Deployment", "app", false},
		{"argocd-2", "Deployment", "app", true},
		{"shop", "Deployment", "sidecar-proxy", false},
		{"shop", "Job", "sidecar-proxy", true},
	} {
		if got := k.Rewrites(test.namespace, test.kind, test.container); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
	for namespace, want := range map[string]bool{"kube-system": true, "kube-system2": false, "": false, "shop": false} {
		if k.Exempt(namespace) != want {
			t.Errorf("%q exempt: %t", namespace, !want)
		}
	}
	const key = "signet.example.com/break-glass"
	for _, test := range []struct {
		namespace, key, value, reason string
	}{
		{"ops", key, "the server burns", "the server burns"},
		{"team-a", key, " two\nlines\u202e ", "two lines"},
		{"ops", key, "", ""},
		{"ops", key, " \t\u200b", ""},
		{"ops", "example.com/other", "x", ""},
		{"ops", strings.ToUpper(key), "x", ""},
		{"shop", key, "x", ""},
		{"", key, "x", ""},
	} {
		reason, ok := k.BreakGlass(test.namespace, map[string]string{test.key: test.value})
		if reason != test.reason || ok != (test.reason != "") {
			t.Errorf("%+v: %q, %t", test, reason, ok)
		}
	}
	if reason, _ := k.BreakGlass("ops", map[string]string{key: strings.Repeat("x", 5000)}); len(reason) > MaxText+3 {
		t.Errorf("a reason of %d bytes", len(reason))
	}
}

// TestKubernetesUnsaid does nothing that the policy does not say.
func TestKubernetesUnsaid(t *testing.T) {
	for _, text := range []string{"version: 1\n", "version: 1\nkubernetes: {}\n"} {
		k := mustRead(t, text).Kubernetes()
		_, broken := k.BreakGlass("ops", map[string]string{"": "x", "signet.example.com/break-glass": "x"})
		if k.Rewrites("a", "Pod", "c") || k.Exempt("kube-system") || broken {
			t.Errorf("%q: %+v", text, k)
		}
	}
}
