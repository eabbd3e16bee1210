package client

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

func anchorFor(pattern string) Anchor {
	return Anchor{Pattern: pattern, RootKeys: []string{digestHex([]byte(pattern))}, Servers: []string{"https://signet.example.com"}}
}

func TestMostSpecificAnchorWins(t *testing.T) {
	var anchors Anchors
	for _, pattern := range []string{"**", "registry.example.com/**", "registry.example.com/team/*", "registry.example.com/team/app",
		"a.example/x*/y", "a.example/x*/*"} {
		anchors = append(anchors, anchorFor(pattern))
	}
	for name, want := range map[string]string{
		"registry.example.com/team/app":   "registry.example.com/team/app",
		"registry.example.com/team/other": "registry.example.com/team/*",
		"registry.example.com/a/b/c":      "registry.example.com/**",
		"docker.io/library/alpine":        "**",
		"a.example/xa/y":                  "", // two fit equally well
		"a.example/xa/z":                  "a.example/x*/*",
	} {
		anchor, err := anchors.For(name)
		switch {
		case want == "" && tuf.RuleOf(err) != tuf.RuleAnchor:
			t.Errorf("%s: %+v, %v; expected a refusal", name, anchor, err)
		case want != "" && (err != nil || anchor.Pattern != want):
			t.Errorf("%s: %+v, %v; expected %s", name, anchor, err, want)
		}
	}
	if _, err := anchors[1:2].For("docker.io/library/alpine"); tuf.RuleOf(err) != tuf.RuleAnchor {
		t.Errorf("no anchor: %v", err)
	}
}

func TestTrustFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signet", "trust.json")
	if anchors, err := LoadAnchors(path); err != nil || len(anchors) != 0 {
		t.Errorf("no file: %v, %v", anchors, err)
	}
	var group sync.WaitGroup
	for i := range 8 { // at once
		group.Go(func() {
			err := EditAnchors(path, func(anchors Anchors) (Anchors, error) {
				return append(anchors, anchorFor("registry.example.com/"+string(rune('a'+i))+"/*")), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	anchors, err := LoadAnchors(path)
	if err != nil || len(anchors) != 8 {
		t.Fatalf("%d anchors, %v", len(anchors), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if err := EditAnchors(path, func(Anchors) (Anchors, error) { return nil, no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if err := EditAnchors(path, func(a Anchors) (Anchors, error) { return append(a, Anchor{Pattern: "x.example/*"}), nil }); err == nil {
		t.Error("an anchor that pins nothing was saved")
	}
	if after, err := os.ReadFile(path); err != nil || !cmp.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestBadTrustFileNamesFileAndEntry(t *testing.T) {
	id := digestHex(nil)
	good := `{"pattern":"a.example/*","rootKeys":["` + id + `"],"servers":["https://s.example"]}`
	for name, test := range map[string]struct{ file, says string }{
		"not JSON":            {`{"anchors":[`, "not JSON"},
		"an unknown member":   {`{"anchors":[],"extra":1}`, "extra"},
		"unknown in an entry": {`{"anchors":[{"pattern":"a.example/*","rootKey":"x"}]}`, "rootKey"},
		"another type":        {`{"anchors":[{"pattern":1}]}`, "pattern"},
		"two documents":       {`{"anchors":[]}{}`, "document"},
		"a bad pattern":       {`{"anchors":[` + good + `,{"pattern":"..","rootKeys":["` + id + `"],"servers":["https://s"]}]}`, "anchor 2"},
		"a bad key ID":        {`{"anchors":[{"pattern":"a.example/*","rootKeys":["abc"],"servers":["https://s"]}]}`, "abc"},
		"one key twice":       {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `","` + id + `"],"servers":["https://s"]}]}`, "twice"},
		"too high":            {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `"],"threshold":2,"servers":["https://s"]}]}`, "threshold"},
		"keys and a file":     {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `"],"rootSHA256":"` + id + `","servers":["https://s"]}]}`, "either"},
		"no server":           {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `"],"servers":[]}]}`, "server"},
		"plain HTTP":          {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `"],"servers":["http://s.example"]}]}`, "plain HTTP"},
		"a CA that is none":   {`{"anchors":[{"pattern":"a.example/*","rootKeys":["` + id + `"],"servers":["https://s"],"ca":"x"}]}`, "PEM"},
	} {
		path := filepath.Join(t.TempDir(), "trust.json")
		if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadAnchors(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; expected it to name the file and %q", name, err, test.says)
		}
	}
}

// TestFirstStart begins at the earliest root that the pinned keys signed.
func TestFirstStart(t *testing.T) {
	b := newBench(t)
	old := b.repo.rootKeys
	alice, bob := newKey(t), newKey(t)
	b.repo.rootKeys = []tuf.Signer{alice, bob}
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleRoot, tuf.RoleKeys{Keys: publicKeys(alice, bob), Threshold: 2}))
	}, old[0], alice, bob)
	b.repo.nextRoot(nil)
	second, _ := b.repo.file("2.root.json")
	ids := func(signers ...tuf.Signer) (list []string) {
		for _, s := range signers {
			list = append(list, s.Key().ID())
		}
		return list
	}
	for _, test := range []struct {
		name string
		edit func(a *Anchor)
		rule tuf.Rule
	}{
		{"the first root's key", func(a *Anchor) { a.RootKeys = ids(old...) }, ""},
		{"the later keys", func(a *Anchor) { a.RootKeys = ids(alice, bob) }, ""},
		{"one of the later keys", func(a *Anchor) { a.RootKeys = ids(bob) }, ""},
		{"a stranger as well, one suffices", func(a *Anchor) { a.RootKeys = ids(bob, newKey(t)); a.Threshold = 1 }, ""},
		{"a stranger as well, all needed", func(a *Anchor) { a.RootKeys = ids(bob, newKey(t)) }, tuf.RuleAnchor},
		{"a stranger's key", func(a *Anchor) { a.RootKeys = ids(newKey(t)) }, tuf.RuleAnchor},
		{"a targets key", func(a *Anchor) { a.RootKeys = ids(b.repo.targetsKeys...) }, tuf.RuleAnchor},
		{"a root file", func(a *Anchor) { a.RootKeys, a.RootSHA256 = nil, digestHex(second) }, ""},
		{"another file", func(a *Anchor) { a.RootKeys, a.RootSHA256 = nil, digestHex(nil) }, tuf.RuleAnchor},
		{"a lowest root that is there", func(a *Anchor) { a.MinRoot = 3 }, ""},
		{"a lowest root that is not there", func(a *Anchor) { a.MinRoot = 4 }, tuf.RuleRollback},
		{"lowest targets that are there", func(a *Anchor) { a.MinTargets = 2 }, ""},
		{"lowest targets that are not there", func(a *Anchor) { a.MinTargets = 3 }, tuf.RuleRollback},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := *b
			b.t, b.config.StateDir = t, t.TempDir()
			test.edit(&b.anchor)
			if test.rule != "" {
				b.refuses("1.0", test.rule)
				return
			}
			if d := b.trusts("1.0", "one"); d.Versions["root"] != 3 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestLabelsOfKeys lists a stranger's key under the ID of a pinned one.
func TestLabelsOfKeys(t *testing.T) {
	b := newBench(t)
	eve := newKey(t)
	pinned := b.anchor.RootKeys[0]
	root, err := tuf.ReadRoot(b.repo.rootFile.Bytes)
	b.repo.must(err)
	root.Signatures = nil
	root.Signed.Keys[pinned] = eve.Key().Metadata()
	payload, err := tuf.Payload(root)
	b.repo.must(err)
	sig, err := eve.Sign(t.Context(), payload)
	b.repo.must(err)
	tuf.AddSignature(root, pinned, sig)
	data, err := tuf.Encode(root)
	b.repo.must(err)
	files := b.repo.served()
	files["1.root.json"] = data
	b.repo.serve(files)
	b.refuses("1.0", tuf.RuleAnchor)
}

// TestAnchorThatChanged goes on from what was verified when the new pins are of
// the same chain, and refuses when they are not.
func TestAnchorThatChanged(t *testing.T) {
	b := newBench(t)
	first := b.anchor.RootKeys
	alice := newKey(t)
	b.trusts("1.0", "one")
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleRoot, tuf.RoleKeys{Keys: publicKeys(alice)}))
	}, b.repo.rootKeys[0], alice)
	b.anchor.RootKeys = []string{alice.Key().ID()} // pins a root that this machine has not seen yet
	b.trusts("1.0", "one")
	b.anchor.RootKeys = first // and one that it has seen long ago
	b.trusts("1.0", "one")
	b.anchor.RootKeys = []string{newKey(t).Key().ID()}
	b.refuses("1.0", tuf.RuleAnchor)

	// The repository is created anew, under other keys.
	again := newRepo(t, appName, b.clock).start()
	again.sign("1.0", digestOf("again"))
	b.repo.serve(again.served())
	b.anchor.RootKeys = []string{again.rootKeys[0].Key().ID()}
	b.refuses("1.0", tuf.RuleAnchor)
	if err := b.client().Forget(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	b.trusts("1.0", "again")
}

func TestFirstUse(t *testing.T) {
	b := newBench(t)
	b.repo.nextRoot(nil)
	anchor, err := b.client().FirstUse(t.Context(), appName, Anchor{Servers: b.anchor.Servers, CA: b.anchor.CA})
	if err != nil {
		t.Fatal(err)
	}
	if anchor.Pattern != appName || anchor.RootSHA256 != b.repo.rootFile.SHA256() || anchor.MinRoot != 2 || anchor.Check() != nil {
		t.Errorf("%+v", anchor)
	}
	b.anchor = *anchor
	b.trusts("1.0", "one")
	other := newRepo(t, "registry.example.com/team/other", b.clock).start()
	b.repo.serve(other.served())
	if _, err := b.client().FirstUse(t.Context(), appName, b.anchor); tuf.RuleOf(err) != tuf.RuleRepository {
		t.Errorf("another repository's root: %v", err)
	}
	b.repo.serve(nil)
	if _, err := b.client().FirstUse(t.Context(), appName, b.anchor); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	if _, err := b.client().FirstUse(t.Context(), appName, Anchor{}); !errors.Is(err, ErrNoServer) {
		t.Errorf("no server: %v", err)
	}
}

func TestServersFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signet")
	path := filepath.Join(dir, "servers.json")
	identity := newKey(t).Key()
	if servers, err := LoadServers(path); err != nil || len(servers) > 0 {
		t.Errorf("no file: %v, %v", servers, err)
	}
	err := EditServers(path, func(servers Servers) (Servers, error) {
		return append(servers,
			Server{URL: "https://a.example", Token: "signet_1_secret", Identity: identity, Patterns: []string{"a.example/**"}},
			Server{URL: "https://b.example", Patterns: []string{"b.example/*", "a.example/b/*"}}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	servers, err := LoadServers(path)
	if err != nil || servers[0].Token != "signet_1_secret" || !servers[0].Identity.Equal(identity) {
		t.Fatalf("%+v, %v", servers, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("the token is in servers.json: %v", err)
	}
	for _, file := range []string{path, filepath.Join(dir, servers[0].TokenFile)} {
		if info, err := os.Stat(file); err != nil || openToOthers(info) {
			t.Errorf("%s: %v", file, err)
		}
	}
	for name, want := range map[string]string{"a.example/x/y": "https://a.example", "a.example/b/c": "https://b.example", "b.example/x": "https://b.example"} {
		if s, err := servers.For(name); err != nil || s.URL != want {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := servers.For("c.example/x"); !errors.Is(err, ErrNoServer) {
		t.Error(err)
	}
	two := Servers{{URL: "https://a.example"}, {URL: "https://b.example"}}
	if _, err := two.For("c.example/x"); !errors.Is(err, ErrAmbiguousServer) {
		t.Error(err)
	}
	if s, err := two.ByURL("https://b.example/"); err != nil || s != &two[1] {
		t.Errorf("%v, %v", s, err)
	}
	if err := os.Chmod(filepath.Join(dir, servers[0].TokenFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadServers(path); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a token that others can read: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"servers":[{"url":"https://x.example","tokenFile":"../../etc/passwd"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadServers(path); err == nil || !strings.Contains(err.Error(), "tokenFile") {
		t.Errorf("a token file elsewhere: %v", err)
	}
}
