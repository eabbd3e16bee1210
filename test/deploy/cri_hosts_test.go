//go:build deploy

package deploy

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/containerd"
	"github.com/signet-trust/signet/policy"
)

// A criGate is a gate with the door containerd, and a folder with the hosts.toml that
// leads a shop's registry there.
type criGate struct {
	folder     string
	asked      atomic.Int64
	challenged atomic.Int64 // times that it was sent credentials
}

func startCRIGate(t *testing.T, s *shop) *criGate {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir, "ca.pem", string(s.trust.CA))
	p, err := policy.Load(writeFile(t, dir, "policy.yaml", fmt.Sprintf(
		"version: 1\nrules:\n  - {name: team, images: [%q], anchors: [{root-keys: [%q], servers: [%q], ca: ca.pem}]}\n",
		s.app.Repository, s.app.RootKey.Key().ID(), s.trust.URL)))
	if err != nil {
		t.Fatal(err)
	}
	verifier := client.New(client.Config{StateDir: filepath.Join(dir, "state"), Now: s.trust.Clock.Now})
	gate := guard.New(guard.Config{Now: s.trust.Clock.Now})
	gate.Use(policy.New(policy.Config{Policy: p, Verifier: verifier, Now: s.trust.Clock.Now}), p.Name)
	g := &criGate{folder: filepath.Join(dir, "certs.d")}
	door := guard.NewEntrance(gate, guard.Limits{}).Handler(containerd.Door(gate))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			g.challenged.Add(1)
		}
		door.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var hosts bytes.Buffer
	ca := writeFile(t, dir, "gate-ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if err := (containerd.Hosts{Registry: s.host, Gate: server.URL, CA: ca}).Write(&hosts); err != nil {
		t.Fatal(err)
	}
	registry := filepath.Join(g.folder, s.host)
	if err := os.MkdirAll(registry, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, registry, "hosts.toml", hosts.String())
	return g
}

// registrySection is the CRI's section with where hosts.toml is.
func registrySection(configPath string) string {
	return imagesSection + fmt.Sprintf(".registry]\n  config_path = %q\n", configPath)
}

// TestCRIHosts tries the door containerd where Kubernetes pulls: the CRI goes through
// hosts.toml whether it pulls by way of the transfer service or itself.
func TestCRIHosts(t *testing.T) {
	for _, itself := range []bool{false, true} {
		t.Run(fmt.Sprintf("use_local_image_pull = %t", itself), func(t *testing.T) {
			s, n := startShop(t), newNode(t)
			g := startCRIGate(t, s)
			n.start(t, n.criSettings(t, fmt.Sprintf("  use_local_image_pull = %t\n", itself)+registrySection(g.folder))+n.verifier())
			app, secret := s.app.Repository, []string{"--creds", "puller:secret"}

			n.criPulls(t, app+":1.0", s.digests["1.0"], secret...)
			n.criPulls(t, app+"@"+s.digests["1.0"], s.digests["1.0"], secret...)
			n.criPulls(t, app+":moved", s.digests["moved"], secret...) // what was signed, not what the registry says
			n.criRefuses(t, app+":unsigned", "300 signet: ", secret...)
			n.criRefuses(t, app+":unsigned", "nothing is signed under ")
			n.criRefuses(t, app+"@"+s.digests["unsigned"], "is not signed")
			n.criRefuses(t, s.other+":1.0", "no rule")
			s.revoke(t, s.app, "2.0")
			n.criRefuses(t, app+":2.0", "nothing is signed under ")
			if times := g.challenged.Load(); times > 0 {
				t.Errorf("the gate was sent credentials %d times", times)
			}
		})
	}
}
