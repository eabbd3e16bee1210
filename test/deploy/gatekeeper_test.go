//go:build deploy

package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/kubernetes"
	"github.com/signet-trust/signet/test/harness"
)

// A keeper is a Gatekeeper that runs on loopback, in all of its operations.
type keeper struct {
	cluster *cluster
	ca      []byte // of its own certificate, which it shows to providers, too
	// What docs/kubernetes.md says to apply.
	template, constraint string
}

// startGatekeeper installs Gatekeeper as its own release does, but for the address of
// its webhooks, and for its memory of what providers answered.
func startGatekeeper(t *testing.T, c *cluster) *keeper {
	t.Helper()
	dir := t.TempDir()
	var hooks []map[string]any
	for _, document := range documentsIn(t, program(t, "gatekeeper.yaml")) {
		if document["webhooks"] != nil {
			hooks = append(hooks, document)
			continue
		}
		c.must(t, asYAML(t, document), "apply", "-f", "-")
	}
	k := &keeper{cluster: c, ca: certify(t, dir)}
	kubeconfig := writeFile(t, dir, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: alice, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: alice}}]
current-context: test
`, c.url, adminToken))
	port, health := freePort(t), "127.0.0.1:"+freePort(t)
	run(t, dir, program(t, "gatekeeper"), "--kubeconfig", kubeconfig, "--debug-use-fake-pod", "--exempt-namespace=gatekeeper-system",
		"--host=127.0.0.1", "--port", port, "--cert-dir", dir, "--disable-cert-rotation", "--health-addr", health,
		// Of its ways to tell metrics, the one that does not listen: nobody is there.
		"--metrics-backend=opentelemetry", "--otlp-endpoint=127.0.0.1:"+freePort(t),
		"--disable-opa-builtin={http.send}", "--external-data-provider-response-cache-ttl=0s",
		"--audit-interval=2", "--api-cache-dir", t.TempDir(), "--shutdown-delay=0")
	until(t, "a Gatekeeper that is ready", func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+health+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		if response != nil {
			response.Body.Close()
		}
		return err
	})
	for _, document := range hooks {
		c.registerHooks(t, document, "https://127.0.0.1:"+port, k.ca)
	}
	k.template, k.constraint = gatekeeperPaper(t)
	return k
}

// certify writes tls.crt and tls.key for 127.0.0.1 into a folder, and returns the
// authority's certificate.
func certify(t *testing.T, dir string) []byte {
	t.Helper()
	now := time.Now()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	}
	authority := template("gatekeeper-ca")
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf := template("gatekeeper")
	leaf.IPAddresses, leaf.KeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, x509.KeyUsageDigitalSignature
	// Those that Gatekeeper's own rotation takes.
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	var keys []*ecdsa.PrivateKey
	for range 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	issue := func(of *x509.Certificate, key *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, of, authority, &key.PublicKey, keys[0])
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	key, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "tls.crt", string(issue(leaf, keys[1])))
	writeFile(t, dir, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return issue(authority, keys[0])
}

// gatekeeperPaper reads the two files that docs/kubernetes.md tells people to paste.
func gatekeeperPaper(t *testing.T) (template, constraint string) {
	t.Helper()
	paper, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```text\n# ([a-z-]+\\.yaml)\n(.*?)^```$").FindAllStringSubmatch(string(paper), -1) {
		files[m[1]] = m[2]
	}
	template, constraint = files["signet-template.yaml"], files["signet-constraint.yaml"]
	if template == "" || constraint == "" {
		t.Fatalf("docs/kubernetes.md has %d files", len(files))
	}
	return template, constraint
}

// ask makes an address the provider, as the paper does with a service.
func (k *keeper) ask(t *testing.T, url string, ca []byte) {
	t.Helper()
	k.cluster.must(t, strings.NewReplacer("https://signet-guard.signet.svc/kubernetes/provider", url,
		"BASE64_OF_THE_CA", base64.StdEncoding.EncodeToString(ca)).Replace(k.template), "apply", "--validate=strict", "-f", "-")
}

// signedPod has a signed image in every place that is pinned, and others beside them.
func signedPod(name string) string {
	return objectOf("Pod", "shop", name, "", fmt.Sprintf("initContainers: [{name: setup, image: %[1]q}], containers: [{name: app, image: %[1]q}, {name: side, image: %[2]q}], "+
		"volumes: [{name: model, image: {reference: %[1]q}}, {name: scratch, emptyDir: {}}]", appRepo+":1.0", otherRepo+":1.0@"+other))
}

// comes waits until a signed pod is answered in some way: what Gatekeeper is told
// takes a moment.
func (k *keeper) comes(t *testing.T, what func(out, said string, err error) error) {
	t.Helper()
	until(t, "the answer to a signed pod", func(context.Context) error {
		return what(k.cluster.kubectl(t, signedPod("probe"), "create", "--dry-run=server", "-o", "yaml", "-f", "-"))
	})
}

// refuses waits until it is refused, for reasons.
func (k *keeper) refuses(t *testing.T, reasons ...string) {
	t.Helper()
	k.comes(t, func(_, said string, err error) error {
		if err == nil {
			return errors.New("it passes")
		}
		for _, reason := range append(reasons, `admission webhook "validation.gatekeeper.sh" denied the request: [signet] `) {
			if !strings.Contains(said, reason) {
				return fmt.Errorf("expected %q in %s", reason, said)
			}
		}
		t.Log(said)
		return nil
	})
}

// pins waits until it is pinned.
func (k *keeper) pins(t *testing.T) {
	t.Helper()
	k.comes(t, func(out, said string, err error) error {
		if err != nil || strings.Count(out, ": "+appRepo+":1.0@"+current+"\n") != 3 {
			return fmt.Errorf("%v: %s%s", err, out, said)
		}
		return nil
	})
}

// TestGatekeeper tries what docs/kubernetes.md has for Gatekeeper on a real one.
func TestGatekeeper(t *testing.T) {
	g, c := startGate(t), startCluster(t)
	c.must(t, "", "create", "namespace", "shop")
	k := startGatekeeper(t, c)
	k.ask(t, g.http.URL+"/kubernetes/provider", g.ca())
	c.must(t, "", "wait", "--for=jsonpath={.status.created}=true", "constrainttemplate/signetimages", "--timeout=60s")
	c.must(t, k.constraint, "apply", "--validate=strict", "-f", "-")
	k.pins(t)
	c.refuses(t, "a constraint that is in force")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *gate, *keeper)
	}{
		{"signed passes and is pinned", keeperPins},
		{"what is refused says why to the person at kubectl", keeperRefuses},
		{"a change is asked about, and has to name its digest", keeperChanges},
		{"what runs already goes on, and the audit tells of it", keeperRunning},
		{"a gate that takes no question is no yes", keeperTurnedAway},
		{"mutual TLS", keeperCertified},
		{"no gate, no pod", keeperDown},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, g, k) })
	}
}

func keeperPins(t *testing.T, g *gate, k *keeper) {
	c := k.cluster
	c.must(t, signedPod("signed"), "apply", "-f", "-")
	stored, _ := c.must(t, "", "get", "-n", "shop", "pod", "signed", "-o", "jsonpath={.spec.initContainers[0].image} {.spec.containers[*].image} {.spec.volumes[*].image}")
	pinned := appRepo + ":1.0@" + current
	if want := pinned + " " + pinned + " " + otherRepo + ":1.0@" + other + ` {"pullPolicy":"IfNotPresent","reference":"` + pinned + `"}`; stored != want {
		t.Errorf("stored as %s\nexpected  %s", stored, want)
	}
	// A mutation at creation alone: applied again, a tag is a change.
	c.must(t, object("Pod", "shop", "bare", appRepo+":1.0"), "apply", "-f", "-")
	c.refused(t, object("Pod", "shop", "bare", appRepo+":1.0"), []string{"apply", "-f", "-"}, "may run, by its digest: write "+pinned)
	// The policy lets it run without a signature: there is no digest to write.
	c.must(t, object("Pod", "shop", "warned", "alpine:3"), "create", "-f", "-")
	if said := g.logged(t); !strings.Contains(said, `"door":"kubernetes/provider","who":"127.0.0.1"`) {
		t.Errorf("the decision log: %s", said)
	}
}

func keeperRefuses(t *testing.T, _ *gate, k *keeper) {
	for _, test := range []struct{ name, image, reason string }{
		{"unsigned", appRepo + ":3.0", "nothing is signed under \"registry.example.com/team/app:3.0\""},
		{"tampered", appRepo + ":1.0@" + harness.Digest("tampered"), "is not signed under it"},
		{"moved tag", appRepo + ":latest@" + earlier, "is no longer what its tag means"},
		{"wrong repository", appRepo + ":1.0@" + other, "is not signed under it"},
		{"a repository of which nothing is known", "registry.example.com/team/nowhere:1.0", "no rule"},
	} {
		said := k.cluster.refused(t, object("Pod", "shop", "refused", test.image), []string{"create", "-f", "-"},
			`admission webhook "validation.gatekeeper.sh" denied the request: [signet] `+test.image+": ", test.reason, "next: ")
		t.Logf("%s:\n%s", test.name, said)
	}
	for _, spec := range []string{
		"initContainers: [{name: setup, image: %[2]q}], containers: [{name: app, image: %[1]q}]",
		"containers: [{name: app, image: %[1]q}, {name: side, image: %[2]q}]",
		"containers: [{name: app, image: %[1]q}], volumes: [{name: model, image: {reference: %[2]q}}]",
	} {
		k.cluster.refused(t, objectOf("Pod", "shop", "refused", "", fmt.Sprintf(spec, appRepo+":1.0", appRepo+":3.0")), []string{"create", "-f", "-"},
			"[signet] "+appRepo+":3.0: ", "nothing is signed")
	}
}

func keeperChanges(t *testing.T, _ *gate, k *keeper) {
	change := func(image string) []string {
		return []string{"set", "image", "-n", "shop", "pod/signed", "side=" + image}
	}
	k.cluster.refused(t, "", change(appRepo+":3.0"), "nothing is signed")
	k.cluster.refused(t, "", change(otherRepo+":1.0"), "may run, by its digest: write "+otherRepo+":1.0@"+other)
	k.cluster.must(t, "", change(appRepo+":1.0@"+current)...)
	add := func(image string) (int, string) {
		status, body, err := k.cluster.ask(t.Context(), http.MethodPatch, "/api/v1/namespaces/shop/pods/signed/ephemeralcontainers",
			"application/strategic-merge-patch+json", fmt.Sprintf(`{"spec": {"ephemeralContainers": [{"name": "shell", "image": %q}]}}`, image))
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	if status, body := add(appRepo + ":3.0"); status != http.StatusForbidden || !strings.Contains(body, "nothing is signed") {
		t.Errorf("status %d: %s", status, body)
	}
	if status, body := add(otherRepo + ":1.0"); status != http.StatusForbidden || !strings.Contains(body, "may run, by its digest") {
		t.Errorf("status %d: %s", status, body)
	}
	if status, body := add(otherRepo + ":1.0@" + other); status != http.StatusOK {
		t.Errorf("status %d: %s", status, body)
	}
}

func keeperRunning(t *testing.T, g *gate, k *keeper) {
	c := k.cluster
	c.must(t, object("Pod", "shop", "later-revoked", appRepo+":2.0"), "create", "-f", "-")
	g.revoke(t)
	c.refused(t, object("Pod", "shop", "revoked", appRepo+":2.0"), []string{"create", "-f", "-"}, "[signet] ", "nothing is signed under \"registry.example.com/team/app:2.0\"")
	c.refused(t, object("Pod", "shop", "revoked", appRepo+":2.0@"+bad), []string{"create", "-f", "-"}, "nothing is signed under the tag 2.0")
	c.must(t, "", "label", "-n", "shop", "pod", "later-revoked", "a=b")
	until(t, "an audit that tells of what runs though it is revoked", func(context.Context) error {
		violations, _, err := c.kubectl(t, "", "get", "signetimages", "signet", "-o", "jsonpath={.status.violations}")
		if err == nil && (!strings.Contains(violations, `"name":"later-revoked"`) || !strings.Contains(violations, appRepo+":2.0@"+bad)) {
			err = errors.New(violations)
		}
		return err
	})
	c.must(t, "", "patch", "-n", "shop", "pod", "later-revoked", "-p", `{"metadata": {"finalizers": ["example.com/hold"]}}`)
	c.must(t, "", "delete", "-n", "shop", "pod", "later-revoked", "--wait=false", "--grace-period=0", "--force")
	c.must(t, "", "patch", "-n", "shop", "pod", "later-revoked", "-p", `{"metadata": {"finalizers": null}}`)
	c.refused(t, "", []string{"get", "-n", "shop", "pod", "later-revoked"}, "not found")
}

// keeperTurnedAway has answers come that are no ProviderResponse with items: by the
// gate at its limits, and from other addresses of it.
func keeperTurnedAway(t *testing.T, g *gate, k *keeper) {
	full := g.again(t, guard.Limits{Total: 1e-9}, nil)
	k.ask(t, full.URL+"/kubernetes/provider", g.ca())
	k.refuses(t, "[signet] the gate could not be asked: signet: the gate is asked too often", appRepo+":1.0: the gate gave no answer")
	k.ask(t, g.http.URL+"/kubernetes/providers", g.ca())
	k.refuses(t, "[signet] the gate could not be asked: signet: nothing is asked here", appRepo+":1.0: the gate gave no answer")
	k.ask(t, g.http.URL+"/v1/decide", g.ca())
	k.refuses(t, appRepo+":1.0: the gate gave no answer")
	k.ask(t, g.http.URL+"/kubernetes/provider", k.ca)
	k.refuses(t, "[signet] the gate could not be asked: ", "x509")
	k.ask(t, g.http.URL+"/kubernetes/provider", g.ca())
	k.pins(t)
}

func keeperCertified(t *testing.T, g *gate, k *keeper) {
	// Gatekeeper shows its certificate to whoever asks for one: a gate that knows
	// other clients' authority alone breaks off.
	strange := g.again(t, guard.Limits{Certified: []string{"kubernetes"}}, g.ca())
	k.ask(t, strange.URL+"/kubernetes/provider", g.ca())
	k.refuses(t, "[signet] the gate could not be asked: ", "tls: ")
	known := g.again(t, guard.Limits{Certified: []string{"kubernetes"}}, append(k.ca, g.ca()...))
	k.ask(t, known.URL+"/kubernetes/provider", g.ca())
	k.pins(t)
	if said := g.logged(t); !strings.Contains(said, `"door":"kubernetes/provider","who":"CN=gatekeeper"`) {
		t.Errorf("the decision log: %s", said)
	}
	k.ask(t, g.http.URL+"/kubernetes/provider", g.ca())
	k.pins(t)
}

func keeperDown(t *testing.T, g *gate, k *keeper) {
	g.http.Close()
	k.refuses(t, "[signet] the gate could not be asked: failed to send external data request", "connection refused", appRepo+":1.0: the gate gave no answer")
	k.cluster.must(t, "", "label", "-n", "shop", "pod", "signed", "a=b")
	k.cluster.must(t, object("Pod", "kube-system", "network", "anything:1"), "create", "-f", "-")
	k.cluster.must(t, "", "delete", "-n", "shop", "pod", "signed", "--wait=false")
}

// again opens the gate's door a second time, with limits, and a client-ca unless that
// is nil.
func (g *gate) again(t *testing.T, limits guard.Limits, clients []byte) *httptest.Server {
	t.Helper()
	door := kubernetes.New(kubernetes.Config{Gate: g.gate, Rules: g.rules, Log: slog.New(slog.DiscardHandler)})
	s := httptest.NewUnstartedServer(guard.NewEntrance(g.gate, limits).Handler(door.Open()))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that break off
	if clients != nil {
		s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
		s.TLS.ClientCAs.AppendCertsFromPEM(clients)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
