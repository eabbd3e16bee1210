package docs

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTrustFilesAreMade holds each block that starts a gate with a trust.json of its
// folder to the line that makes one.
func TestTrustFilesAreMade(t *testing.T) {
	for _, p := range papers(t) {
		for _, b := range p.blocks() {
			if strings.Contains(b.text, "--trust trust.json") && !strings.Contains(b.text, "--config-dir .") {
				t.Errorf("%s: nothing makes the trust.json of\n%s", p.path, b.text)
			}
		}
	}
}

// TestDemoSaysWhatToReadNext looks that the papers that the demo names are there, those
// on enforcing among them.
func TestDemoSaysWhatToReadNext(t *testing.T) {
	story, err := os.ReadFile(filepath.Join(root, "test", "demo", "story.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, next, _ := strings.Cut(string(story), "\nRead next:\n")
	next, _, _ = strings.Cut(next, "`")
	named := regexp.MustCompile(`(?m)^  (\S+\.md) `).FindAllStringSubmatch(next, -1)
	var list []string
	for _, m := range named {
		list = append(list, m[1])
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, paper := range []string{"README.md", "docs/deploy.md", "docs/guard.md"} {
		if !slices.Contains(list, paper) {
			t.Errorf("the demo does not name %s, but %v", paper, list)
		}
	}
}

// TestFirstStepsLeaveNothingToCommit has git ignore what README and "Try it on one
// machine" make when they are followed in the repository: keys, most of all.
func TestFirstStepsLeaveNothingToCommit(t *testing.T) {
	dir := t.TempDir()
	rules, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), rules, 0o644); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := git("init", "-q"); err != nil {
		t.Fatal(out, err)
	}
	for _, made := range []string{"bin/signet", "signet-data/ca.pem", "registry-data/docker", "server.log", "layer.tar", "root.pem", "trust.json",
		"key.pem", "cert.pem", "policy.yaml", "guard.log", "decisions.log", "signet-guard-state/x", "hosts/localhost:5000/hosts.toml"} {
		if out, err := git("check-ignore", made); err != nil || out != made {
			t.Errorf("%s would be committed", made)
		}
	}
	for _, kept := range []string{"attestation/certs/yubico-ca-1.pem", "deploy/kubernetes/policy.yaml", "policy/policy.go", "docs/policy.md"} {
		if out, err := git("check-ignore", kept); err == nil {
			t.Errorf("%s would not be committed", out)
		}
	}
}

// TestRegistryOnABusyPort has make registry say what to do about it.
func TestRegistryOnABusyPort(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cmd := exec.Command("make", "-C", root, "-o", "packages-demo", "registry")
	cmd.Env = append(os.Environ(), "REGISTRY_HTTP_ADDR="+busy.Addr().String(), "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") || !strings.Contains(string(out), "REGISTRY_HTTP_ADDR=127.0.0.1:5001 make registry") {
		t.Errorf("%v: %s", err, out)
	}
}
