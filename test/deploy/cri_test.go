//go:build deploy

package deploy

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const imagesSection = `[plugins."io.containerd.cri.v1.images"`

// criSettings are those of a containerd 2 whose CRI is on, as on a node of Kubernetes,
// with further lines of the CRI's section for images. It keeps to its own folder.
func (n *node) criSettings(t testing.TB, images string) string {
	t.Helper()
	return fmt.Sprintf(`version = 3
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = %q
[plugins."io.containerd.cri.v1.runtime".cni]
  conf_dir = %q
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/%s"
  snapshotter = "native"
`, program(t, "containerd-shim-runc-v2"), filepath.Join(filepath.Dir(n.socket), "cni"), runtime.GOARCH) +
		imagesSection + "]\n  snapshotter = \"native\"\n" + images
}

// crictl asks the CRI, as the kubelet does, and returns all that it says.
func (n *node) crictl(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := writeFile(t, filepath.Dir(n.socket), "crictl.yaml", fmt.Sprintf("runtime-endpoint: unix://%[1]s\nimage-endpoint: unix://%[1]s\ntimeout: 60\n", n.socket))
	out, err := exec.CommandContext(ctx, program(t, "crictl"), append([]string{"--config", config}, args...)...).CombinedOutput()
	return string(out), err
}

// criPulls demands that the CRI pulls an image, and that it is the one with a digest.
func (n *node) criPulls(t testing.TB, image, digest string, flags ...string) {
	t.Helper()
	if out, err := n.crictl(t, slices.Concat([]string{"pull"}, flags, []string{image})...); err != nil {
		t.Errorf("crictl pull %s: %v: %s", image, err, out)
		return
	}
	if out, err := n.crictl(t, "inspecti", image); err != nil || !strings.Contains(out, digest) {
		t.Errorf("crictl inspecti %s: %v, expected %s in %s", image, err, digest, out)
	}
}

// criRefuses demands that the CRI does not pull an image, with the reason in what crictl
// says.
func (n *node) criRefuses(t testing.TB, image, reason string, flags ...string) {
	t.Helper()
	out, err := n.crictl(t, slices.Concat([]string{"pull"}, flags, []string{image})...)
	if err == nil || !strings.Contains(out, reason) {
		t.Errorf("crictl pull %s: %v, expected %q in %s", image, err, reason, out)
	}
	t.Logf("%s", out)
}

// A shop has signed app:1.0, app:2.0, which can be revoked, and app:moved, which somebody
// moved in the registry; not app:unsigned, other:1.0 and pause:1, which waits to be ended.
type shop struct {
	trust      *harness.Harness
	app, pause *harness.Publisher
	host       string            // the registry's
	other      string            // a repository that no rule is for
	digests    map[string]string // of app's tags as they were first, and of pause
}

func startShop(t *testing.T) *shop {
	t.Helper()
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	host := "localhost" + images.URL[strings.LastIndexByte(images.URL, ':'):]
	s := &shop{trust: harness.Start(t), host: host, other: host + "/team/other", digests: map[string]string{}}
	s.app, s.pause = s.trust.Publisher(t, host+"/team/app"), s.trust.Publisher(t, host+"/pause")
	for _, tag := range []string{"1.0", "2.0", "moved", "unsigned"} {
		s.digests[tag] = push(t, s.app.Repository+":"+tag)
	}
	s.app.Init(t)
	for _, tag := range []string{"1.0", "2.0", "moved"} {
		sign(t, s.app, tag)
	}
	s.app.Publish(t)
	s.pause.Init(t)
	s.digests["pause"] = pushPause(t, s.pause.Repository+":1")
	push(t, s.app.Repository+":moved") // by somebody who can write to the registry
	push(t, s.other+":1.0")
	return s
}

// sign makes a tag mean what the registry has for it now, as signet sign does.
func sign(t testing.TB, publisher *harness.Publisher, tag string) {
	t.Helper()
	ref, err := name.ParseReference(publisher.Repository+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	target := tuf.Target{Digest: found.Digest.String(), Length: found.Size, MediaType: string(found.MediaType)}
	if err := tuf.SetTarget(publisher.Targets, publisher.Repository, tag, target); err != nil {
		t.Fatal(err)
	}
}

// trusted is for install.
func (s *shop) trusted() map[*harness.Publisher]*harness.Harness {
	return map[*harness.Publisher]*harness.Harness{s.app: s.trust, s.pause: s.trust}
}

func (s *shop) revoke(t testing.TB, publisher *harness.Publisher, tag string) {
	t.Helper()
	if removed := tuf.RemoveTag(publisher.Targets, publisher.Repository, tag, ""); len(removed) != 2 {
		t.Fatalf("removed %v", removed)
	}
	publisher.Publish(t)
}

// pushPause puts an image that waits to be ended into the registry, and returns its digest.
func pushPause(t testing.TB, image string) string {
	t.Helper()
	dir := t.TempDir()
	source := writeFile(t, dir, "pause.go", "package main\n\nimport (\n\t\"os\"\n\t\"os/signal\"\n\t\"syscall\"\n)\n\nfunc main() {\n\tc := make(chan os.Signal, 1)\n\tsignal.Notify(c, syscall.SIGTERM)\n\t<-c\n}\n")
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "pause"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build pause: %v: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "pause"))
	if err != nil {
		t.Fatal(err)
	}
	return pushFiles(t, image, map[string]string{"pause": string(program)}, nil)
}

// pushFiles puts an image of these files, which runs /pause, into the registry, and
// returns its digest.
func pushFiles(t testing.TB, image string, files, annotations map[string]string) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for path, content := range files {
		w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))})
		io.WriteString(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	content, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	content = onThisMachine(t, content, "/pause")
	return upload(t, image, mutate.MediaType(mutate.Annotations(content, annotations).(v1.Image), types.OCIManifestSchema1))
}

// TestCRIVerifier tries signet-guard as an image verifier plugin where Kubernetes pulls,
// and looks at what crictl tells the person at the node.
func TestCRIVerifier(t *testing.T) {
	s, n := startShop(t), newNode(t)
	install(t, n, s.trusted())
	n.start(t, n.criSettings(t, "")+n.verifier())
	app := s.app.Repository

	n.criPulls(t, app+":1.0", s.digests["1.0"])
	n.criPulls(t, app+"@"+s.digests["1.0"], s.digests["1.0"])
	n.criPulls(t, app+":1.0@"+s.digests["1.0"], s.digests["1.0"]) // as the webhook writes it
	n.criRefuses(t, app+":unsigned", "nothing is signed under the tag unsigned")
	n.criRefuses(t, app+"@"+s.digests["unsigned"], "is not signed")
	n.criRefuses(t, app+":moved", "is not signed under it")
	n.criRefuses(t, s.other+":1.0", "no rule")
	s.revoke(t, s.app, "2.0")
	n.criRefuses(t, app+":2.0", "nothing is signed under the tag 2.0")

	s.trust.HTTPD.Close()
	n.criRefuses(t, app+":2.0", "could not find out")
	if out, err := n.crictl(t, "images"); err != nil || strings.Contains(out, "unsigned") || strings.Contains(out, "moved") || strings.Contains(out, "2.0") || strings.Contains(out, s.other) {
		t.Errorf("after the refusals: crictl images: %v: %s", err, out)
	}
}

// TestCRIPod tries what the kubelet does with an image: the one that holds a pod together
// is pulled, and so asked about; what is on the node already runs unasked, and the base of
// a checkpoint is pulled unasked.
func TestCRIPod(t *testing.T) {
	s, n := startShop(t), newNode(t)
	install(t, n, s.trusted())
	pause := s.pause.Repository + ":1"
	n.start(t, n.criSettings(t, imagesSection+fmt.Sprintf(".pinned_images]\n  sandbox = %q\n", pause))+n.verifier())
	dir := filepath.Dir(n.socket)
	// On the host's network: there is no CNI plugin here.
	pod := writeFile(t, dir, "pod.json", `{"metadata": {"name": "app", "namespace": "shop", "uid": "1"}, "linux": {"security_context": {"namespace_options": {"network": 2}}}}`)
	container := writeFile(t, dir, "container.json", fmt.Sprintf(`{"metadata": {"name": "app"}, "image": {"image": %q}, "linux": {}}`, pause))
	must := func(args ...string) string {
		t.Helper()
		out, err := n.crictl(t, args...)
		if err != nil {
			t.Fatalf("crictl %s: %v: %s", args[0], err, out)
		}
		words := strings.Fields(out)
		return words[len(words)-1]
	}

	out, err := n.crictl(t, "runp", pod)
	if reason := "nothing is signed under the tag 1"; err == nil || !strings.Contains(out, reason) {
		t.Fatalf("crictl runp: %v, expected %q in %s", err, reason, out)
	}
	t.Logf("%s", out)
	sign(t, s.pause, "1")
	s.pause.Publish(t)
	sandbox := must("runp", pod)
	t.Cleanup(func() { must("rmp", "--force", sandbox) })
	s.revoke(t, s.pause, "1")
	n.criRefuses(t, pause+"@"+s.digests["pause"], "is not signed")
	must("start", must("create", sandbox, container, pod))
	if out, err := n.crictl(t, "ps"); err != nil || !strings.Contains(out, "Running") {
		t.Errorf("crictl ps: %v: %s", err, out)
	}

	// A checkpoint that somebody has signed names a base that nobody has: containerd
	// pulls it unasked when a pod is restored, and gives it whatever name it is told to,
	// here one with the digest of another image, which is signed.
	base, named := s.app.Repository+"@"+s.digests["unsigned"], s.app.Repository+"@"+s.digests["1.0"]
	pushFiles(t, s.pause.Repository+":checkpoint", map[string]string{
		"spec.dump":   `{"ociVersion": "1.2.0"}`,
		"config.dump": fmt.Sprintf(`{"id": "1", "name": "app", "rootfsImageRef": %q, "rootfsImageName": %q}`, base, named),
		"status.dump": fmt.Sprintf(`{"metadata": {"name": "app"}, "annotations": {}, "labels": {}, "image": {"image": %q}}`, base),
	}, map[string]string{"org.criu.checkpoint.container.name": "app"})
	sign(t, s.pause, "checkpoint")
	s.pause.Publish(t)
	must("pull", s.pause.Repository+":checkpoint")
	n.criRefuses(t, base, "is not signed")
	restore := writeFile(t, dir, "restore.json", fmt.Sprintf(`{"metadata": {"name": "restored"}, "image": {"image": %q}, "linux": {}}`, s.pause.Repository+":checkpoint"))
	if out, err := n.crictl(t, "create", sandbox, restore, pod); err == nil {
		t.Errorf("a base without a program runs: %s", out)
	}
	if out, err := n.crictl(t, "inspecti", named); err != nil || !strings.Contains(out, s.digests["unsigned"]) {
		t.Errorf("the base of a checkpoint is not on the node (docs/guard.md says it is): crictl inspecti %s: %v: %s", named, err, out)
	}
}
