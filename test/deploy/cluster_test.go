//go:build deploy

package deploy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// adminToken is that of alice, who may do anything.
const adminToken = "token-of-alice"

// A cluster is an API server with its etcd: no nodes, so that pods stay pending.
type cluster struct {
	dir, url  string
	etcd      string
	http      *http.Client
	auditPath string
}

// startCluster starts etcd and an API server.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	etcd, peer := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t)
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, path, "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--log-level", "error", "--unsafe-no-fsync")
	return startAPIServer(t, dir, etcd)
}

// startAPIServer starts one on an etcd.
func startAPIServer(t *testing.T, dir, etcd string, flags ...string) *cluster {
	t.Helper()
	port := freePort(t)
	own := filepath.Join(dir, port)
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	accounts := writeFile(t, own, "accounts.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	tokens := writeFile(t, own, "tokens.csv", adminToken+",alice,1,system:masters\n")
	policy := writeFile(t, own, "audit.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  users: [alice]\n")
	c := &cluster{dir: own, url: "https://127.0.0.1:" + port, etcd: etcd, auditPath: filepath.Join(own, "audit.log")}
	run(t, own, program(t, "kube-apiserver"), append([]string{
		"--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", filepath.Join(own, "certs"), "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", accounts, "--service-account-signing-key-file", accounts, "--service-cluster-ip-range", "10.0.0.0/24",
		"--authorization-mode", "RBAC", "--token-auth-file", tokens, "--disable-admission-plugins", "ServiceAccount",
		"--audit-policy-file", policy, "--audit-log-path", c.auditPath, "--audit-log-mode", "blocking",
		"--endpoint-reconciler-type", "none", "--profiling=false",
	}, flags...)...)
	// Its certificate is made by itself; what is tried here is what it asks us.
	c.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(c.http.CloseIdleConnections)
	until(t, "an API server that is ready", func(ctx context.Context) error {
		status, body, err := c.ask(ctx, http.MethodGet, "/readyz", "", "")
		if err == nil && status == http.StatusOK {
			status, body, err = c.ask(ctx, http.MethodGet, "/api/v1/namespaces/default", "", "")
		}
		if err == nil && status != http.StatusOK {
			err = errors.New(body)
		}
		return err
	})
	return c
}

func writeFile(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask sends one request as alice.
func (c *cluster) ask(ctx context.Context, method, path, media, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// kubectl runs it with stdin, and returns what it said on both ways.
func (c *cluster) kubectl(t testing.TB, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "kubectl"), append([]string{"--server", c.url, "--token", adminToken,
		"--insecure-skip-tls-verify", "--cache-dir", filepath.Join(c.dir, "cache"), "--kubeconfig", os.DevNull}, args...)...)
	var out, says bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &says
	err = cmd.Run()
	return out.String(), says.String(), err
}

// must runs kubectl and demands that it succeed.
func (c *cluster) must(t testing.TB, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := c.kubectl(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout, stderr
}

// refused runs kubectl and demands that it fail, saying all of reasons.
func (c *cluster) refused(t testing.TB, stdin string, args []string, reasons ...string) string {
	t.Helper()
	stdout, stderr, err := c.kubectl(t, stdin, args...)
	if err == nil {
		t.Errorf("kubectl %v: it passes: %s", args, stdout)
		return stderr
	}
	for _, reason := range reasons {
		if !strings.Contains(stderr, reason) {
			t.Errorf("kubectl %v: expected %q in %s", args, reason, stderr)
		}
	}
	return stderr
}

// register registers the webhooks of deploy/kubernetes at an address of this machine,
// in place of a service, which would need nodes.
func (c *cluster) register(t testing.TB, address string, ca []byte) {
	t.Helper()
	for _, document := range documents(t, "webhooks.yaml") {
		c.registerHooks(t, document, address, ca)
	}
}

// registerHooks registers the webhooks of one document at an address of this machine.
func (c *cluster) registerHooks(t testing.TB, document map[string]any, address string, ca []byte) {
	t.Helper()
	for _, hook := range document["webhooks"].([]any) {
		client := hook.(map[string]any)["clientConfig"].(map[string]any)
		path := client["service"].(map[string]any)["path"]
		delete(client, "service")
		client["url"] = fmt.Sprintf("%s%s", address, path)
		client["caBundle"] = base64.StdEncoding.EncodeToString(ca)
	}
	c.must(t, asYAML(t, document), "apply", "-f", "-")
}

func asYAML(t testing.TB, document map[string]any) string {
	t.Helper()
	data, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// refuses waits until the cluster refuses an unsigned image.
func (c *cluster) refuses(t *testing.T, what string) {
	t.Helper()
	until(t, what, func(context.Context) error {
		if out, _, err := c.kubectl(t, object("Pod", "shop", "probe", appRepo+":none"), "create", "--dry-run=server", "-f", "-"); err == nil {
			return fmt.Errorf("it passes: %s", out)
		}
		return nil
	})
}
