package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const trialName = "registry.example.com/team/app"

// A trial is a repository on a real server with one signed tag, and a machine that
// trusts it.
type trial struct {
	t             *testing.T
	h             *harness.Harness
	anchor        client.Anchor
	config, state string
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	h := harness.Start(t)
	identity, err := h.Signer.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root := harness.NewKey(t)
	p := &client.Publisher{Client: client.New(client.Config{StateDir: t.TempDir(), Now: h.Clock.Now}),
		Server: client.Server{URL: h.URL, CA: string(h.CA), Token: h.AdminToken, Identity: identity.Key}}
	made, err := p.Init(t.Context(), client.InitRequest{Repository: trialName, Root: tuf.RoleKeys{Keys: []*tuf.Key{root.Key()}}, Targets: tuf.RoleKeys{Keys: []*tuf.Key{root.Key()}}, Signers: []tuf.Signer{root}})
	if err != nil {
		t.Fatal(err)
	}
	p.Anchor = made.Anchor
	digest := "sha256:" + strings.Repeat("ab", 32)
	if _, err := p.Sign(t.Context(), client.SignRequest{Repository: trialName, Signers: []tuf.Signer{root}, Tags: []client.TagTarget{{Tag: "1.0", Target: tuf.Target{Digest: digest, Length: 1}}}}); err != nil {
		t.Fatal(err)
	}
	return &trial{t: t, h: h, anchor: *made.Anchor, config: t.TempDir(), state: t.TempDir()}
}

// trust pins the anchor on the machine.
func (r *trial) trust() {
	r.t.Helper()
	a := newApp(nil, nil, nil)
	a.configDir, a.stderr = r.config, cleanWriter{&bytes.Buffer{}}
	if err := a.saveAnchor(r.anchor, false); err != nil {
		r.t.Fatal(err)
	}
}

// signet runs a command that has to end with a status.
func (r *trial) signet(status int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	var out, errs bytes.Buffer
	a := newApp(nil, nil, nil)
	a.stdout, a.stderr, a.now = cleanWriter{&out}, cleanWriter{&errs}, r.h.Clock.Now
	if got := run(r.t.Context(), a, append(args, "--config-dir", r.config, "--state-dir", r.state, "--data-dir", r.config)); got != status {
		r.t.Fatalf("%v: %d, expected %d: %s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// TestEveryAnswerSaysStale asks a machine without a network, whose anchor takes what has
// expired: no answer may read as if it were fresh, nor leave out a voice that is lacking.
func TestEveryAnswerSaysStale(t *testing.T) {
	r, qa := newTrial(t), harness.NewKey(t)
	r.anchor.MaxStale = client.Duration(30 * 24 * time.Hour)
	r.anchor.Require = []client.Voice{{Name: "qa", Keys: []string{qa.Key().ID()}}}
	r.trust()
	dir := t.TempDir()
	r.signet(exitYes, "export", trialName, dir)
	if _, fresh := r.signet(exitYes, "list", trialName); strings.Contains(fresh, "STALE") {
		t.Errorf("fresh: %s", fresh)
	}
	r.h.Clock.Advance(20 * 24 * time.Hour)
	if stdout, _ := r.signet(exitYes, "import", dir); !strings.Contains(stdout, "STALE") {
		t.Errorf("import: %s", stdout)
	}
	for _, args := range [][]string{{"list", "--offline", trialName}, {"inspect", "--offline", trialName}} {
		if _, stderr := r.signet(exitYes, args...); !strings.Contains(stderr, "STALE") {
			t.Errorf("%v: it is not said that this is stale: %s", args, stderr)
		}
		if stdout, _ := r.signet(exitYes, append(args, "--output", "json")...); !strings.Contains(stdout, `"stale":"`) {
			t.Errorf("%v: %s", args, stdout)
		}
	}
	stdout, _ := r.signet(exitYes, "inspect", "--offline", trialName)
	for _, want := range []string{"1 tag lacks a voice that this machine requires", "qa by key " + qa.Key().ID()[:12], "up to 30 days"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("inspect does not say %q: %s", want, stdout)
		}
	}
	if stdout, _ := r.signet(exitYes, "trust", "list"); !strings.Contains(stdout, "up to 30 days") {
		t.Errorf("trust list: %s", stdout)
	}
}

// TestImportGoesOn has a folder in which one repository is nobody's that this machine
// trusts: it stands in no other's way, and is told.
func TestImportGoesOn(t *testing.T) {
	r := newTrial(t)
	r.trust()
	dir := t.TempDir()
	r.signet(exitYes, "export", trialName, dir)
	for _, name := range []string{"a.example.com/x", "registry.example.com/team/apple", "z.example.com/x"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "timestamp.json"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.state = t.TempDir()
	stdout, stderr := r.signet(exitUntrusted, "import", dir)
	if !strings.Contains(stdout, trialName+": verified and remembered") || strings.Contains(stdout, "example.com/x") {
		t.Errorf("%s", stdout)
	}
	for _, name := range []string{"a.example.com/x", "registry.example.com/team/apple", "z.example.com/x"} {
		if !strings.Contains(stderr, name) {
			t.Errorf("%s is not told: %s", name, stderr)
		}
	}
	r.signet(exitYes, "verify", "--offline", trialName+":1.0")
	// An export goes on, too.
	dir = t.TempDir()
	if stdout, _ := r.signet(exitUntrusted, "export", "a.example.com/x", trialName, dir); !strings.Contains(stdout, trialName) {
		t.Errorf("%s", stdout)
	}
}
