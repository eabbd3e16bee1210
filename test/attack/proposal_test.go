package attack_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// A hostile server between two people who have to sign the same: it shows one of them
// other bytes, lies about what they are, throws signatures away, and completes what was
// withdrawn. What is signed is what was shown, and one content for a version.
func TestProposalsOnAHostileServer(t *testing.T) {
	s := newScene(t)
	m := newMachine(t)
	secret := func(name, text string) string {
		path := filepath.Join(m.dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pass, token := secret("passphrase", passphrase), secret("token", s.h.AdminToken)
	for _, name := range []string{"alice", "bob"} {
		m.must("key", "generate", "--file", "--name", name, "--role", "targets", "--passphrase-file", pass)
	}
	m.must("login", s.url, "--token-file", token, "--yes")
	m.must("init", app, "--root-key", "alice", "--targets-key", "alice", "--targets-key", "bob", "--targets-threshold", "2", "--yes", "--passphrase-file", pass)
	alice, bob := m, m.clone(t)
	// A copied folder is open to others.
	if err := filepath.WalkDir(bob.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sign := []string{"--yes", "--passphrase-file", pass, "--output", "json"}
	propose := func(within string) *api.Proposal {
		t.Helper()
		out := filepath.Join(t.TempDir(), "proposal")
		alice.must(append([]string{"propose", "renew", app, "--role", "targets", "--within", "all", "--expires", within, "--key", "alice", "--out", out}, sign...)...)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var p api.Proposal
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		alice.must("propose", "send", out)
		return &p
	}
	approve := func(m *machine, who, id string, more ...string) outcome {
		return m.run(append(append([]string{"approve", app, id, "--key", who}, more...), sign...)...)
	}
	honest := propose("90d")

	// What the server makes of it: bob's tag app:1.0 is what the attacker wants.
	evil := *honest
	md, err := tuf.ReadTargets(honest.Files[0].Content)
	if err == nil {
		md.Signatures = []metadata.Signature{}
		err = tuf.SetTarget(md, app, "1.0", tuf.Target{Digest: harness.Digest("evil"), Length: 9})
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(md)
	if err != nil {
		t.Fatal(err)
	}
	evil.Files = []api.PublishFile{{Role: tuf.RoleTargets, Version: honest.Files[0].Version, Content: data}}
	if evil.ID, err = tuf.ProposalID(app, evil.Metadata()); err != nil {
		t.Fatal(err)
	}
	answer := func(change func(p *api.Proposal)) attack.Attack {
		return func(a *attack.Answer) {
			if !strings.HasPrefix(a.Path, "/v1/proposals/") {
				return
			}
			var p api.Proposal
			if a.Status/100 != 2 || json.Unmarshal(a.Body, &p) != nil || p.ID == "" {
				p = *honest
			}
			change(&p)
			body, err := json.Marshal(p)
			if err != nil {
				t.Error(err)
			}
			a.Status, a.Body = 200, body
			a.Header.Set("Content-Type", api.TypeJSON)
		}
	}

	t.Run("other bytes under the ID", func(t *testing.T) {
		s.proxy.Set(answer(func(p *api.Proposal) { p.Files = evil.Files }))
		o := approve(bob, "bob", honest.ID)
		if o.exit != 3 || !strings.Contains(o.stderr, `"rule":"hash"`) || strings.Contains(o.stderr, "signed by") {
			t.Errorf("exit status %d\n%s", o.exit, o.stderr)
		}
	})
	t.Run("a proposal of the server's own, that claims to be another", func(t *testing.T) {
		s.proxy.Set(answer(func(p *api.Proposal) { *p = evil; p.Note = "renews targets, nothing else" }))
		o := bob.run("propose", "show", app, evil.ID, "--output", "json")
		if o.exit != 0 || !strings.Contains(o.stdout, harness.Digest("evil")) || !strings.Contains(o.stdout, `"intent":"differs"`) {
			t.Errorf("exit status %d: what the bytes say is not shown\n%s%s", o.exit, o.stdout, o.stderr)
		}
		o = bob.run("approve", app, evil.ID, "--key", "bob", "--passphrase-file", pass)
		if o.exit != 1 || !strings.Contains(o.stderr, harness.Digest("evil")) || !strings.Contains(o.stderr, "not what its bytes say") {
			t.Errorf("exit status %d: bob is asked without being shown it\n%s", o.exit, o.stderr)
		}
	})
	t.Run("a signature thrown away", func(t *testing.T) {
		s.proxy.Set(func(a *attack.Answer) {
			if a.Method == "POST" {
				answer(func(p *api.Proposal) { p.Files = honest.Files })(a)
			}
		})
		o := approve(bob, "bob", honest.ID)
		if o.exit != 1 || !strings.Contains(o.stderr, "did not keep the signature") {
			t.Errorf("exit status %d\n%s", o.exit, o.stderr)
		}
	})
	t.Run("one that was withdrawn, completed later", func(t *testing.T) {
		s.proxy.Set()
		other := proposeOther(t, bob, pass)
		// alice takes hers back; the server keeps it, and shows it to nobody yet.
		alice.must("propose", "withdraw", app, honest.ID)
		o := approve(alice, "alice", other)
		if o.exit != 1 || !strings.Contains(o.stderr, "was signed here") || !strings.Contains(o.stderr, "with other content") {
			t.Errorf("alice signs two contents for one version: exit status %d\n%s", o.exit, o.stderr)
		}
		o = alice.run(append([]string{"renew", app, "--role", "targets", "--within", "all", "--expires", "30d"}, sign...)...)
		if o.exit != 1 || !strings.Contains(o.stderr, "with other content") {
			t.Errorf("and by ordinary signing: exit status %d\n%s", o.exit, o.stderr)
		}
	})
}

// proposeOther has bob propose another content for the same version.
func proposeOther(t *testing.T, bob *machine, pass string) string {
	t.Helper()
	o := bob.run("propose", "renew", app, "--role", "targets", "--within", "all", "--expires", "60d", "--key", "bob", "--yes", "--passphrase-file", pass, "--output", "json", "--sign-again")
	var result struct{ ID string }
	if err := json.Unmarshal([]byte(o.stdout), &result); err != nil || o.exit != 0 {
		t.Fatalf("exit status %d\n%s%s", o.exit, o.stdout, o.stderr)
	}
	return result.ID
}
