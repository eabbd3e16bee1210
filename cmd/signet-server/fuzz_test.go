package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/tuf"
)

// FuzzConfigFile checks that whatever stands in the configuration file, what is taken
// is a rule that can hold, and every rule that stands there is kept: one that is dropped
// would let in what it was to keep out.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte("listen: localhost:0\ntls-name: [a, b]\nrepositories:\n  - pattern: r.io/team/**\n    root-keys: [" + strings.Repeat("ab", 32) + "]\n    max-root-life: 30d\n"))
	f.Add([]byte("repositories: [{pattern: '**', hardware: {touch: true, min-firmware: 5.7}}]"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("listen: {}\n---\nlisten: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "roots") {
			return // it would name files of the machine that fuzzes
		}
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var o options
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		o.register(flags)
		if err := flags.Set("config", path); err != nil {
			t.Fatal(err)
		}
		if o.load(flags, nil) != nil {
			return
		}
		var written struct{ Repositories []any }
		if err := yaml.Unmarshal(data, &written); err != nil || len(written.Repositories) != len(o.rules) {
			t.Fatalf("%d rules are written, and %d hold: %v", len(written.Repositories), len(o.rules), err)
		}
		for _, rule := range serverRules(o.rules) {
			if err := tuf.CheckPattern(rule.Pattern); err != nil {
				t.Fatalf("a rule for no name is taken: %+v", rule)
			}
			for _, id := range rule.RootKeys {
				if !regexp.MustCompile("^[0-9a-f]{64}$").MatchString(id) {
					t.Fatalf("%q is taken for a key", id)
				}
			}
			for role, life := range rule.MaxLife {
				if life <= 0 {
					t.Fatalf("%s may live for %s", role, life)
				}
			}
		}
	})
}

// FuzzSeen checks that of what readers are said to hold only metadata is taken, each
// file under a role that can be, and all of one folder for the repository that the
// root beside it names.
func FuzzSeen(f *testing.F) {
	const app = "registry.example/team/app"
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := tuf.NewKey(public)
	if err != nil {
		f.Fatal(err)
	}
	one := tuf.RoleKeys{Keys: []*tuf.Key{key}, Threshold: 1}
	root, err := tuf.NewRoot(tuf.RootSpec{Repository: app, Version: 1, Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Root: one, Targets: one, Snapshot: one, Timestamp: one})
	if err != nil {
		f.Fatal(err)
	}
	data, err := tuf.Encode(root)
	if err != nil {
		f.Fatal(err)
	}
	targets, err := tuf.Encode(tuf.NewTargets(3, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)))
	if err != nil {
		f.Fatal(err)
	}
	names := []string{"root.json", "targets.json", "3.targets.json", "ci.json", "9.root.json", "%2e%2e.json", ".marks", "timestamp.json"}
	f.Add(uint8(0), data, uint8(1), targets)
	f.Add(uint8(2), targets, uint8(4), data)
	f.Add(uint8(5), targets, uint8(0), []byte(`{"signed":{"_type":"root"}}`))
	f.Add(uint8(7), []byte(`{"signed":{"_type":"timestamp","version":-1}}`), uint8(0), data)
	f.Fuzz(func(t *testing.T, which uint8, one []byte, which2 uint8, two []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{names[int(which)%len(names)]: one, names[int(which2)%len(names)]: two} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		held, err := readSeen(nil, []string{dir}, io.Discard)
		if err != nil {
			return
		}
		for name, seen := range held {
			if tuf.CheckRepository(name) != nil {
				t.Fatalf("held for %q", name)
			}
			check := func(kind string, files []tuf.File) {
				for _, file := range files {
					var typed struct {
						Signed struct {
							Type string `json:"_type"`
						} `json:"signed"`
					}
					if err := json.Unmarshal(file.Bytes, &typed); err != nil || typed.Signed.Type != kind {
						t.Fatalf("%q is taken as %s", file.Bytes, kind)
					}
				}
			}
			check(tuf.RoleRoot, seen.Roots)
			check(tuf.RoleTargets, seen.Roles)
			check(tuf.RoleSnapshot, seen.Snapshots)
			check(tuf.RoleTimestamp, seen.Timestamps)
			for _, file := range seen.Roots {
				if md, err := tuf.ReadRoot(file.Bytes); err != nil || tuf.RepositoryOf(md) != name {
					t.Fatalf("a root of another is held for %s: %v", name, err)
				}
			}
		}
	})
}
