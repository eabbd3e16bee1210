package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// TestEveryAnswerSaysStale asks a machine without a network, whose anchor takes what has
// expired: no answer may read as if it were fresh, nor leave out a voice that is lacking.
func TestEveryAnswerSaysStale(t *testing.T) {
	const name = "registry.example.com/team/app"
	h := harness.Start(t)
	identity, err := h.Signer.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root, qa := harness.NewKey(t), harness.NewKey(t)
	p := &client.Publisher{Client: client.New(client.Config{StateDir: t.TempDir(), Now: h.Clock.Now}),
		Server: client.Server{URL: h.URL, CA: string(h.CA), Token: h.AdminToken, Identity: identity.Key}}
	made, err := p.Init(t.Context(), client.InitRequest{Repository: name, Root: tuf.RoleKeys{Keys: []*tuf.Key{root.Key()}}, Targets: tuf.RoleKeys{Keys: []*tuf.Key{root.Key()}}, Signers: []tuf.Signer{root}})
	if err != nil {
		t.Fatal(err)
	}
	p.Anchor = made.Anchor
	digest := "sha256:" + strings.Repeat("ab", 32)
	if _, err := p.Sign(t.Context(), client.SignRequest{Repository: name, Signers: []tuf.Signer{root}, Tags: []client.TagTarget{{Tag: "1.0", Target: tuf.Target{Digest: digest, Length: 1}}}}); err != nil {
		t.Fatal(err)
	}
	anchor := *made.Anchor
	anchor.MaxStale = client.Duration(30 * 24 * time.Hour)
	anchor.Require = []client.Voice{{Name: "qa", Keys: []string{qa.Key().ID()}}}
	config, state := t.TempDir(), t.TempDir()
	signet := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		a := newApp(nil, nil, nil)
		a.stdout, a.stderr, a.now = cleanWriter{&out}, cleanWriter{&errs}, h.Clock.Now
		if status := run(t.Context(), a, append(args, "--config-dir", config, "--state-dir", state, "--data-dir", config)); status != exitYes {
			t.Fatalf("%v: %d, %s", args, status, errs.String())
		}
		return out.String(), errs.String()
	}
	a := newApp(nil, nil, nil)
	a.configDir, a.stderr = config, cleanWriter{&bytes.Buffer{}}
	if err := a.saveAnchor(anchor, false); err != nil {
		t.Fatal(err)
	}
	if _, fresh := signet("list", name); strings.Contains(fresh, "STALE") {
		t.Errorf("fresh: %s", fresh)
	}
	h.Clock.Advance(20 * 24 * time.Hour)
	for _, args := range [][]string{{"list", "--offline", name}, {"inspect", "--offline", name}} {
		if _, stderr := signet(args...); !strings.Contains(stderr, "STALE") {
			t.Errorf("%v: it is not said that this is stale: %s", args, stderr)
		}
		if stdout, _ := signet(append(args, "--output", "json")...); !strings.Contains(stdout, `"stale":"`) {
			t.Errorf("%v: %s", args, stdout)
		}
	}
	stdout, _ := signet("inspect", "--offline", name)
	for _, want := range []string{"1 tag lacks a voice that this machine requires", "qa by key " + qa.Key().ID()[:12], "up to 30 days"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("inspect does not say %q: %s", want, stdout)
		}
	}
	if stdout, _ := signet("trust", "list"); !strings.Contains(stdout, "up to 30 days") {
		t.Errorf("trust list: %s", stdout)
	}
}
