//go:build deploy

package deploy

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/kubernetes"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const (
	appRepo   = "registry.example.com/team/app"
	otherRepo = "registry.example.com/team/other"
	staleRepo = "registry.example.com/stale/app"
)

// What is signed: see startGate.
var (
	current = harness.Digest("app, current")
	earlier = harness.Digest("app, earlier")
	bad     = harness.Digest("app, revoked")
	other   = harness.Digest("other")
)

// A gate is one in this process, with a trust server, its policy and its webhooks.
type gate struct {
	trust *harness.Harness
	app   *harness.Publisher
	http  *httptest.Server
	gate  *guard.Gate
	rules func() kubernetes.Rules
	log   syncBuffer // of decisions; see logged

	mu     sync.Mutex
	record string // name of the file to keep the next review in
}

// A syncBuffer is written and read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// logged is the decision log with all that was decided.
func (g *gate) logged(t *testing.T) string {
	t.Helper()
	if err := g.gate.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g.log.String()
}

// policyText is the policy that the tests go by.
const policyText = `
version: 1
rules:
  - name: current
    images: [registry.example.com/team/app:latest]
    anchors: [{root-keys: [%[1]s], servers: [%[3]s], ca: ca.pem}]
    current: true
  - name: team
    images: [registry.example.com/team/app]
    anchors: [{root-keys: [%[1]s], servers: [%[3]s], ca: ca.pem}]
  - name: other
    images: [registry.example.com/team/other]
    anchors: [{root-keys: [%[2]s], servers: [%[3]s], ca: ca.pem}]
  - name: stale
    images: [registry.example.com/stale/app]
    anchors: [{root-keys: [%[4]s], servers: [%[3]s], ca: ca.pem}]
  - name: trial
    images: [docker.io/library/*]
    anchors: [{root-keys: [%[1]s], servers: [%[3]s], ca: ca.pem}]
    mode: warn
kubernetes:
  rewrite:
    - {namespaces: [tags], pin: false}
    - {pin: true}
  exempt-namespaces: [lab]
  break-glass: {annotation: signet.example.com/break-glass, namespaces: [ops]}
`

// startGate signs app:1.0, which meant earlier before it meant current, app:latest
// the same way, and app:2.0, which can be revoked; and other:1.0.
func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{trust: harness.Start(t)}
	g.app = g.trust.Publisher(t, appRepo)
	g.app.Init(t)
	for _, tag := range []string{"1.0", "latest"} {
		g.app.Tag(t, tag, earlier)
	}
	g.app.Tag(t, "2.0", bad)
	g.app.Publish(t)
	for _, tag := range []string{"1.0", "latest"} {
		g.app.Tag(t, tag, current)
	}
	g.app.Publish(t)
	strangers := g.trust.Publisher(t, otherRepo)
	strangers.Init(t)
	strangers.Tag(t, "1.0", other)
	strangers.Publish(t)
	stale := g.trust.Publisher(t, staleRepo)
	stale.Init(t)
	stale.Tag(t, "1.0", other)
	stale.Publish(t)

	dir := t.TempDir()
	writeFile(t, dir, "ca.pem", string(g.trust.CA))
	p, err := policy.Load(writeFile(t, dir, "policy.yaml", fmt.Sprintf(policyText,
		g.app.RootKey.Key().ID(), strangers.RootKey.Key().ID(), g.trust.URL, stale.RootKey.Key().ID())))
	if err != nil {
		t.Fatal(err)
	}
	verifier := client.New(client.Config{StateDir: filepath.Join(dir, "state"), Now: g.trust.Clock.Now})
	log := slog.New(slog.DiscardHandler)
	g.gate = guard.New(guard.Config{Decisions: &g.log, Log: log, Now: g.trust.Clock.Now})
	g.gate.Use(policy.New(policy.Config{Policy: p, Verifier: verifier, Now: g.trust.Clock.Now}), p.Name)
	g.rules = func() kubernetes.Rules { return p.Kubernetes() }
	door := kubernetes.New(kubernetes.Config{Gate: g.gate, Rules: g.rules, Log: log})
	g.http = httptest.NewUnstartedServer(g.recording(t, guard.NewEntrance(g.gate, guard.Limits{}).Handler(door.Open())))
	g.http.EnableHTTP2 = true
	g.http.StartTLS()
	t.Cleanup(g.http.Close)
	return g
}

// ca is the certificate that vouches for the webhooks.
func (g *gate) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.http.Certificate().Raw})
}

// keep records the next review under a name, if scripts/test-deploy --record asks.
func (g *gate) keep(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record = name
}

func (g *gate) recording(t testing.TB, next http.Handler) http.Handler {
	dir := os.Getenv("SIGNET_TEST_DEPLOY_RECORD")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		name := g.record
		if dir == "" || name == "" || strings.HasSuffix(r.URL.Path, "/validate") {
			g.mu.Unlock()
			next.ServeHTTP(w, r)
			return
		}
		g.record = ""
		g.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), append(body, '\n'), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// revoke withdraws app:2.0 and its digest.
func (g *gate) revoke(t testing.TB) {
	t.Helper()
	if removed := tuf.RemoveTag(g.app.Targets, appRepo, "2.0", ""); len(removed) != 2 {
		t.Fatalf("removed %v", removed)
	}
	g.app.Publish(t)
}

// grow makes the trust server unable to vouch for its freshness, for longer than it
// has done so.
func (g *gate) grow(t testing.TB) {
	t.Helper()
	g.trust.SignerFaults.Down(fmt.Errorf("the signer is away"))
	g.trust.Clock.Advance(8 * 24 * time.Hour)
}
