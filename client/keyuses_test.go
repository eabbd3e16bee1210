package client

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// TestKeyUses tells from the state alone where keys are trusted.
func TestKeyUses(t *testing.T) {
	b := newBench(t)
	owner, ci, lead := b.repo.targetsKeys[0], newKey(t), newKey(t)
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: "ci", keys: []tuf.Signer{ci, owner}, paths: []string{appName + ":ci-*"}})
	b.repo.delegate("ci", []tuf.Signer{ci}, delegation{name: "lead", keys: []tuf.Signer{lead}, paths: []string{appName + ":ci-*"}})
	other := newRepo(t, appName+"/below", b.clock)
	other.rootKeys = b.repo.rootKeys
	other.start()
	b.server.repos[other.name] = other
	b.anchor.Pattern = "registry.example.com/team/**"
	uses := func() map[string][]KeyUse {
		t.Helper()
		uses, err := b.client().KeyUses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, online := range append(b.repo.snapshotKeys, b.repo.timestampKeys...) {
			if uses[online.Key().ID()] != nil {
				t.Error("an online key is nobody's key")
			}
		}
		return uses
	}
	if got := uses(); len(got) > 0 {
		t.Errorf("before anything was verified: %v", got)
	}
	for _, name := range []string{appName, other.name} {
		if _, err := b.client().View(t.Context(), name, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	b.server.Close()
	b.clock.Add(1000 * day)
	want := map[string][]KeyUse{
		b.repo.rootKeys[0].Key().ID():   {{appName, "root"}, {other.name, "root"}},
		owner.Key().ID():                {{appName, "targets"}, {appName, "ci"}},
		ci.Key().ID():                   {{appName, "ci"}},
		lead.Key().ID():                 {{appName, "lead"}},
		other.targetsKeys[0].Key().ID(): {{other.name, "targets"}},
	}
	if diff := cmp.Diff(want, uses()); diff != "" {
		t.Error(diff)
	}
	// A damaged root.json is healed from; without any root, the others are told.
	b.repo.must(os.WriteFile(filepath.Join(b.folder(), "root.json"), []byte("{"), 0o600))
	if diff := cmp.Diff(want, uses()); diff != "" {
		t.Error(diff)
	}
	b.repo.must(os.WriteFile(filepath.Join(b.folder(), ".roots", "1.json"), []byte("{"), 0o600))
	got, err := b.client().KeyUses(t.Context())
	if err == nil || len(got[other.targetsKeys[0].Key().ID()]) != 1 || got[ci.Key().ID()] != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestRepositoryIn reads a folder's name back, for roots that name no repository.
func TestRepositoryIn(t *testing.T) {
	c := New(Config{StateDir: t.TempDir()})
	for _, name := range []string{"localhost:5000/app", "registry.example.com/team/app"} {
		path, err := stateDir(c.config.StateDir, name)
		if err != nil || c.repositoryIn(path) != name {
			t.Errorf("%s: %s, %v", name, c.repositoryIn(path), err)
		}
	}
}
