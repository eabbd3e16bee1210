//go:build deploy

package deploy

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/containerd"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// A list is a policy that trusts what it lists.
type list map[string]*client.Decision

func (l list) Decide(_ context.Context, q policy.Question) (*client.Decision, error) {
	if d := l[q.Image]; d != nil {
		copied := *d
		return &copied, nil
	}
	if strings.HasSuffix(q.Image, ":trouble") {
		return nil, errors.New("nobody could be asked")
	}
	return nil, &tuf.Refusal{Rule: tuf.RuleAbsent, Detail: "nothing is signed for " + q.Image}
}

// TestHosts tries what containerd 2 makes of the door's answers, with a hosts.toml as
// signet-guard config containerd prints it, and with one whose registry may resolve,
// too: what is refused is not pulled by either.
func TestHosts(t *testing.T) {
	images := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	host := strings.TrimPrefix(images.URL, "https://")
	app := host + "/team/app"
	trusted := list{}
	digests := map[string]string{}
	for _, tag := range []string{"signed", "unsigned", "trouble"} {
		ref, err := name.ParseReference(app + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		image, err := random.Image(1024, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image, remote.WithTransport(images.Client().Transport)); err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		size, err := image.Size()
		if err != nil {
			t.Fatal(err)
		}
		mediaType, err := image.MediaType()
		if err != nil {
			t.Fatal(err)
		}
		digests[tag] = digest.String()
		if tag == "signed" {
			d := &client.Decision{Image: app + ":signed", Trusted: true, Digest: digest.String(), Length: size, MediaType: string(mediaType), Policy: &client.Ruling{Allowed: true}}
			trusted[app+":signed"], trusted[app+"@"+digest.String()] = d, d
		}
	}
	g := guard.New(guard.Config{})
	g.Use(trusted, "a list")
	gate := httptest.NewUnstartedServer(guard.NewEntrance(g, guard.Limits{}).Handler(containerd.Door(g)))
	var challenged bytes.Buffer
	inner := gate.Config.Handler
	gate.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			challenged.WriteString(r.URL.Path + "\n")
		}
		inner.ServeHTTP(w, r)
	})
	gate.StartTLS()
	t.Cleanup(gate.Close)

	n := startNode(t)
	dir := t.TempDir()
	ca := writeFile(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: images.Certificate().Raw})))
	for _, resolve := range []bool{false, true} {
		var hosts bytes.Buffer
		if err := (containerd.Hosts{Registry: host, Gate: gate.URL, CA: ca, RegistryCA: ca, Resolve: resolve}).Write(&hosts); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, host)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, folder, "hosts.toml", hosts.String())
		for _, local := range []string{"--local=false", "--local=true"} {
			pull := func(image string) (string, error) {
				out, err := n.ctr(t, "images", "pull", local, "--user", "puller:secret", "--hosts-dir", dir, image)
				if rm, rmErr := n.ctr(t, "images", "rm", image); err == nil && rmErr != nil {
					t.Errorf("%v: %s", rmErr, rm)
				}
				return out, err
			}
			for _, image := range []string{app + ":signed", app + "@" + digests["signed"]} {
				if out, err := pull(image); err != nil {
					t.Errorf("resolve %t, %s: %s: %v: %s", resolve, local, image, err, out)
				}
			}
			for image, reason := range map[string]string{
				app + ":unsigned":               "300 signet: nothing is signed for ",
				app + "@" + digests["unsigned"]: "300 signet: nothing is signed for ",
				app + ":trouble":                "300 signet: nobody could be asked",
			} {
				out, err := pull(image)
				if err == nil || !strings.Contains(out, reason) {
					t.Errorf("resolve %t, %s: %s: %v, expected %q in %s", resolve, local, image, err, reason, out)
				}
			}
		}
	}
	if challenged.Len() > 0 {
		t.Errorf("the gate was sent credentials: %s", challenged.String())
	}
}
