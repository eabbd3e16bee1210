package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// The database comes from a backup that is three roots old, and clients have kept
// the roots.
func TestRecoverRoots(t *testing.T) {
	const app = "registry.example/team/app"
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	p := harness.NewPublisher(t, s.client(t), app)
	p.Init(t)
	s.stop()
	database := filepath.Join(data, "signet.db")
	backup, err := os.ReadFile(database) // a server that has stopped has written all
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t, data)
	p.Client = s.client(t)
	var args []string
	for version := int64(2); version <= 4; version++ {
		old, next := p.RootKey, harness.NewKey(t)
		if err := tuf.SetRoleKeys(p.Root, tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{next.Key()}}); err != nil {
			t.Fatal(err)
		}
		p.Root.Signed.Version, p.RootKey = version, next
		root := p.SignRoot(t, old)
		if _, err := p.Client.Publish(t.Context(), app, root); err != nil {
			t.Fatal(err)
		}
		if version < 4 {
			args = append(args, "--root", write(t, root.Name(), string(root.Bytes), 0o600))
		}
	}
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	s.stop()
	if err := os.WriteFile(database, backup, 0o600); err != nil {
		t.Fatal(err)
	}

	if status, _, stderr := call(t, nil, "--data", data, "recover", "--root", args[1]); status != 1 || !strings.Contains(stderr, "root version 3 is missing") {
		t.Fatalf("with one of two roots: exit %d %s", status, stderr)
	}
	status, stdout, stderr := call(t, nil, append([]string{"--data", data, "recover"}, args...)...)
	if status != 0 || !strings.Contains(stdout, app+": brought up to what the signer signed last") {
		t.Fatalf("exit %d %s%s", status, stdout, stderr)
	}
	s = startServer(t, data)
	state, err := s.client(t).State(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if state.Root.Version != 4 || state.Roles[tuf.RoleTargets].Version != 2 {
		t.Fatalf("%v", state.Versions())
	}
	p.Client = s.client(t)
	p.Publish(t)
}

func TestRecoverMistakes(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for name, c := range map[string]struct{ root, says string }{
		"no file": {"/nowhere/2.json", "--root: open /nowhere/2.json"},
		"no root": {write(t, "2.json", "{}", 0o600), "2.json"},
	} {
		if status, _, stderr := call(t, nil, "--data", data, "recover", "--root", c.root); status != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d %q", name, status, stderr)
		}
	}
}

// A reader's state has repositories of other makes beside this server's. They are no
// reason to refuse the rest.
func TestSeenPassesOthersOver(t *testing.T) {
	state := t.TempDir()
	put := func(folder, name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(state, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := harness.NewKey(t)
	keys := tuf.RoleKeys{Keys: []*tuf.Key{key.Key()}, Threshold: 1}
	for _, repository := range []string{"registry.example/team/app", "registry.example/other"} {
		root, err := tuf.NewRoot(tuf.RootSpec{Repository: repository, Version: 1, Expires: time.Now().Add(time.Hour), Root: keys, Targets: keys, Snapshot: keys, Timestamp: keys})
		if err != nil {
			t.Fatal(err)
		}
		if repository == "registry.example/other" {
			delete(root.Signed.UnrecognizedFields, tuf.MemberRepository)
		}
		if err := tuf.Sign(t.Context(), root, key); err != nil {
			t.Fatal(err)
		}
		data, err := tuf.Encode(root)
		if err != nil {
			t.Fatal(err)
		}
		put(filepath.Base(repository), "root.json", data)
	}
	var stderr strings.Builder
	held, err := readSeen(nil, []string{state}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if len(held) != 1 || len(held["registry.example/team/app"].Roots) != 1 || !strings.Contains(stderr.String(), "passed over") {
		t.Errorf("held %v; told %q", held, stderr.String())
	}
	if _, err := readSeen([]string{filepath.Join(state, "other", "root.json")}, nil, &stderr); !errors.Is(err, errNameless) {
		t.Errorf("given as --root: %v", err)
	}
	put("app", "2.root.json", []byte(`{"signed":{"_type":"root"}}`))
	if _, err := readSeen(nil, []string{state}, &stderr); err == nil {
		t.Error("a root that cannot be read was passed over")
	}
}
