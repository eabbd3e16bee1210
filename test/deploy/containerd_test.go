//go:build deploy

package deploy

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// A node is a containerd 2 with a folder for image verifier plugins.
type node struct {
	socket  string
	plugins string
	config  string // the file
}

// startNode starts one that only ctr pulls with: see startCRI for the other.
func startNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	n.start(t, `version = 3
disabled_plugins = ["io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"]
`+n.verifier())
	return n
}

// newNode makes the folders of one. It runs no container: what is tried is what it pulls.
func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{socket: filepath.Join(dir, "c.sock"), plugins: filepath.Join(dir, "plugins")}
	if err := os.Mkdir(n.plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	return n
}

// verifier is the section that has containerd look into the folder of plugins.
func (n *node) verifier() string {
	return fmt.Sprintf(`[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = %q
  max_verifiers = 10
  per_verifier_timeout = "20s"
`, n.plugins)
}

// start starts it with settings of which the first lines are not in a section.
func (n *node) start(t *testing.T, settings string) {
	t.Helper()
	dir := filepath.Dir(n.socket)
	n.config = writeFile(t, dir, "config.toml", fmt.Sprintf("root = %q\nstate = %q\n", filepath.Join(dir, "root"), filepath.Join(dir, "state"))+
		settings+fmt.Sprintf("[grpc]\n  address = %q\n[ttrpc]\n  address = %q\n", n.socket, n.socket+".ttrpc"))
	run(t, dir, program(t, "containerd"), "--config", n.config)
	until(t, "a containerd that answers", func(context.Context) error {
		out, err := n.ctr(t, "version")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// ctr runs it, and returns all that it says.
func (n *node) ctr(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program(t, "ctr"), append([]string{"--address", n.socket}, args...)...).CombinedOutput()
	return string(out), err
}

// pull pulls an image by way of containerd's transfer service, as Kubernetes does.
func (n *node) pull(t testing.TB, image string) (string, error) {
	t.Helper()
	return n.ctr(t, "images", "pull", "--plain-http", image)
}

// refused demands that an image is not pulled, and that the reason stands in the error.
func (n *node) refused(t testing.TB, image, reason string) {
	t.Helper()
	out, err := n.pull(t, image)
	if err == nil || !strings.Contains(out, reason) {
		t.Errorf("pull %s: %v, expected %q in %s", image, err, reason, out)
	}
	t.Logf("%s", out)
	if out, err := n.ctr(t, "images", "ls", "-q"); err != nil || strings.Contains(out, image) {
		t.Errorf("after the refusal: %v, %s", err, out)
	}
}

// push puts an image of its own into the registry, and returns its digest.
func push(t testing.TB, image string) string {
	t.Helper()
	content, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	return upload(t, image, onThisMachine(t, content))
}

// onThisMachine makes content an image of this machine's platform.
func onThisMachine(t testing.TB, content v1.Image, entrypoint ...string) v1.Image {
	t.Helper()
	file, err := content.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Entrypoint = "linux", runtime.GOARCH, entrypoint
	if content, err = mutate.ConfigFile(content, file); err != nil {
		t.Fatal(err)
	}
	return content
}

// upload puts content into a registry, and returns its digest.
func upload(t testing.TB, image string, content v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, content); err != nil {
		t.Fatal(err)
	}
	digest, err := content.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// TestVerifierPlugin tries signet-guard as an image verifier plugin of containerd 2,
// and looks at what ctr tells the person who pulls.
func TestVerifierPlugin(t *testing.T) {
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	host := "localhost" + images.URL[strings.LastIndexByte(images.URL, ':'):]
	app, stranger := host+"/team/app", host+"/team/other"

	trust := harness.Start(t)
	publisher := trust.Publisher(t, app)
	publisher.Init(t)
	publisher.Tag(t, "1.0", push(t, app+":1.0"))
	publisher.Tag(t, "2.0", push(t, app+":2.0"))
	publisher.Tag(t, "moved", push(t, app+":moved"))
	publisher.Publish(t)
	// Nobody has renewed what this one says since the day before yesterday.
	before := harness.Start(t)
	before.Clock.Advance(-48 * time.Hour)
	stale := before.Publisher(t, host+"/team/stale")
	stale.Init(t)
	stale.Tag(t, "1.0", push(t, stale.Repository+":1.0"))
	stale.Publish(t)

	push(t, app+":moved") // by somebody who can write to the registry
	push(t, app+":unsigned")
	push(t, stranger+":1.0")

	n := startNode(t)
	t.Run("an empty folder of plugins lets everything pass", func(t *testing.T) {
		if out, err := n.pull(t, app+":unsigned"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if out, err := n.ctr(t, "images", "rm", app+":unsigned"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	install(t, n, map[*harness.Publisher]*harness.Harness{publisher: trust, stale: before})

	if out, err := n.pull(t, app+":1.0"); err != nil {
		t.Errorf("signed: %v: %s", err, out)
	}
	n.refused(t, app+":unsigned", "nothing is signed under the tag unsigned")
	n.refused(t, app+":moved", "is not signed under it")
	n.refused(t, stranger+":1.0", "no rule")
	if out, err := n.pull(t, app+":2.0"); err != nil {
		t.Errorf("signed: %v: %s", err, out)
	}
	if out, err := n.ctr(t, "images", "rm", app+":2.0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if removed := tuf.RemoveTag(publisher.Targets, app, "2.0", ""); len(removed) != 2 {
		t.Fatalf("removed %v", removed)
	}
	publisher.Publish(t)
	n.refused(t, app+":2.0", "nothing is signed under the tag 2.0")

	n.refused(t, stale.Repository+":1.0", "timestamp version 2 expired")

	if out, err := n.ctr(t, "images", "rm", app+":1.0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	trust.HTTPD.Close()
	n.refused(t, app+":1.0", "could not find out")
	t.Run("what the plugin is not asked about", func(t *testing.T) {
		// ctr --local pulls by itself, and never asks: whoever can run it on a node is root there.
		if out, err := n.ctr(t, "images", "pull", "--local", "--plain-http", app+":unsigned"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// install links signet-guard into the folder of plugins. It decides alone, and trusts
// each publisher at a server.
func install(t *testing.T, n *node, trusted map[*harness.Publisher]*harness.Harness) {
	t.Helper()
	dir := t.TempDir()
	binary := buildGuard(t, dir)
	rules := "version: 1\nrules:\n"
	for publisher, server := range trusted {
		name := publisher.RootKey.Key().ID()[:8]
		ca := writeFile(t, dir, name+".pem", string(server.CA))
		rules += fmt.Sprintf("  - {name: %q, images: [%q], anchors: [{root-keys: [%q], servers: [%q], ca: %q}]}\n",
			name, publisher.Repository, publisher.RootKey.Key().ID(), server.URL, filepath.Base(ca))
	}
	policy := writeFile(t, dir, "policy.yaml", rules)
	writeFile(t, dir, "verifier.yaml", fmt.Sprintf("policy: %s\nstate: %s\ntimeout: 15s\n", policy, filepath.Join(dir, "state")))
	if err := os.Symlink(binary, filepath.Join(n.plugins, "signet")); err != nil {
		t.Fatal(err)
	}
}
