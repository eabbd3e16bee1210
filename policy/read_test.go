package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
)

const keyA = "7ef7bc2587e390d5e2f47313f17614b552adb76bf8f0de31c00626bf23c86fad"

// mustRead reads a policy that has to be one.
func mustRead(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Read([]byte(text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEveryKey reads a file with every key, and finds each where it belongs.
func TestEveryKey(t *testing.T) {
	p, err := Load(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pattern := func(s string) Pattern {
		got, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	digit := func(d string) string { return strings.Repeat(d, 64) }
	want := &Policy{
		Name: filepath.Join("testdata", "full.yaml"),
		Rules: []*Rule{{
			Name:   "production",
			Images: []Pattern{pattern("registry.example.com/team/**"), pattern("registry.example.com/shop/app:v*")},
			Except: []Pattern{pattern("registry.example.com/team/scratch")},
			Anchors: client.Anchors{
				{
					Pattern: "registry.example.com/**", RootKeys: []string{keyA, digit("1")}, Threshold: 1,
					Servers: []string{"https://signet.example.com", "https://mirror.example.com/signet"},
					MinRoot: 2, MinTargets: 7, MaxStale: client.Duration(720 * time.Hour),
					Hardware: &attestation.Demand{MinFirmware: attestation.Version{Major: 5, Minor: 7}, Touch: true, PIN: true},
				},
				{Pattern: "registry.example.com/shop/app", RootSHA256: digit("2"), Servers: []string{"http://signet.test:8080"}, PlainHTTP: true},
			},
			Signers:    []client.Voice{{Name: "qa", Keys: []string{digit("3")}}},
			Current:    true,
			MaxChecked: time.Hour,
			MaxSigned:  90 * 24 * time.Hour,
			Platforms:  []string{"linux/amd64", "linux/arm64"},
			Mirrors: []Mirror{
				{From: "mirror.local/team/**", As: "registry.example.com/team/**"},
				{From: "mirror.local/app", As: "registry.example.com/shop/app"},
			},
			Mode: client.ModeEnforce,
			Last: true,
		}, {
			Name: "the-rest", Images: []Pattern{pattern("**")}, Mode: client.ModeAudit,
		}},
		Exemptions: []*Exemption{
			{Digest: "sha256:" + digit("4"), Images: []Pattern{pattern("docker.io/library/*")}, Reason: "the vendor does not sign yet", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
			{Digest: "sha256:" + digit("5"), Images: []Pattern{pattern("registry.example.com/old/tool")}, Reason: "#4711", Until: time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC)},
		},
		kubernetes: Kubernetes{
			Rewriting:        []Rewrite{{Namespaces: []string{"argocd"}}, {Kinds: []string{"Pod", "Deployment"}, Containers: []string{"sidecar-*"}}, {Pin: true}},
			ExemptNamespaces: []string{"kube-system"},
			Glass:            &BreakGlass{Annotation: "signet.example.com/break-glass", Namespaces: []string{"ops", "team-*"}},
		},
	}
	lines := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Line" }, cmp.Ignore())
	if diff := cmp.Diff(want, p, lines, cmp.AllowUnexported(Policy{}, Pattern{}), cmpopts.IgnoreFields(Policy{}, "exempt")); diff != "" {
		t.Error(diff)
	}
}

// TestMistakes holds each mistake to its line, and to words that help.
func TestMistakes(t *testing.T) {
	rule := func(lines string) string { return "version: 1\nrules:\n  - name: a\n    images: [\"**\"]\n" + lines }
	anchor := func(lines string) string {
		return rule("    anchors:\n      - servers: [https://signet.example.com]\n" + lines)
	}
	pinned := "        root-keys: [" + keyA + "]\n"
	exemption := func(lines string) string {
		return "version: 1\ndigests:\n  - digest: sha256:" + keyA + "\n    images: [alpine]\n" + lines
	}
	for _, test := range []struct {
		name, text string
		line       int
		says       string
	}{
		{"nothing", "", 0, "it is empty"},
		{"only a comment", "# nothing\n", 0, "empty"},
		{"null", "~\n", 1, "nothing, expected keys and values"},
		{"a list", "- a\n", 1, "a list, expected keys and values"},
		{"not YAML", "version: 1\nrules: [\n", 0, "not YAML"},
		{"a tab", "version: 1\nrules:\n\t- a\n", 0, "not YAML"},
		{"no version", "rules:\n  - {name: a, images: [\"**\"]}\n", 1, "the key version is missing"},
		{"another version", "version: 2\n", 1, "expected 1"},
		{"a version that is text", "version: \"1\"\n", 1, "expected 1"},
		{"two documents", "version: 1\n---\nversion: 1\n", 2, "a second document"},
		{"an unknown key", "version: 1\nrule: []\n", 2, `unknown key "rule" (did you mean rules?)`},
		{"a key in another case", "version: 1\nRules: []\n", 2, `unknown key "Rules" (did you mean rules?)`},
		{"a key twice", "version: 1\nversion: 1\n", 2, `the key "version" stands twice; first in line 1`},
		{"a key twice, below", rule("    mode: warn\n    current: true\n    mode: audit\n"), 7, `rules[1]: the key "mode" stands twice; first in line 5`},
		{"an alias", rule("    except: &x [alpine]\n"), 5, "an anchor (&x)"},
		{"a merge", rule("    <<: {mode: audit}\n"), 5, `unknown key "<<"`},
		{"a tag", rule("    mode: !!str audit\n"), 5, "the tag !!str"},
		{"a local tag", rule("    mode: !audit audit\n"), 5, "the tag !audit"},
		{"no rules in rules", "version: 1\nrules: []\n", 2, "an empty list"},
		{"a rule that is text", "version: 1\nrules: [everything]\n", 2, `"everything", expected keys and values`},
		{"a rule without images", "version: 1\nrules:\n  - name: a\n", 3, "rules[1]: the key images is missing"},
		{"a rule without name", "version: 1\nrules:\n  - images: [\"**\"]\n", 3, "rules[1]: the key name is missing"},
		{"a rule's name", "version: 1\nrules:\n  - {name: a b, images: [\"**\"]}\n", 3, "rules[1].name"},
		{"a name that is a number", "version: 1\nrules:\n  - {name: 17, images: [\"**\"]}\n", 3, "stands in quotes"},
		{"two rules of one name", "version: 1\nrules:\n  - {name: a, images: [alpine]}\n  - {name: a, images: [\"**\"]}\n", 4, "a second rule is called a; the first is in line 3"},
		{"images that are no list", "version: 1\nrules:\n  - {name: a, images: alpine}\n", 3, `rules[1].images: "alpine", expected a list`},
		{"an empty pattern", "version: 1\nrules:\n  - {name: a, images: [\"\"]}\n", 3, "rules[1].images[1]: an empty text"},
		{"a pattern that fits nothing", "version: 1\nrules:\n  - name: a\n    images:\n      - alpine\n      - Registry.example.com/*/Team\n", 6, "fits no image"},
		{"a pattern without a host", rule("    except: [team/*]\n"), 5, "fits no image"},
		{"a pattern with a digest", rule("    except: [\"alpine@sha256:" + keyA + "\"]\n"), 5, "fits no image"},
		{"a pattern's empty tag", rule("    except: [\"alpine:\"]\n"), 5, "is not a tag"},
		{"current that is text", rule("    current: \"true\"\n"), 5, "expected true or false"},
		{"current that is yes", rule("    current: yes\n"), 5, "expected true or false"},
		{"an unknown mode", rule("    mode: enforced\n"), 5, `"enforced", expected enforce, warn or audit`},
		{"no mode", rule("    mode:\n"), 5, "nothing, expected enforce, warn or audit"},
		{"an unknown way without a server", rule("    unreachable: allow\n"), 5, "expected refuse or last"},
		{"an age without unit", rule("    max-age: {signed: 90}\n"), 5, `"90" is no length of time`},
		{"an age of zero", rule("    max-age: {signed: 0d}\n"), 5, "above zero"},
		{"an age below zero", rule("    max-age: {checked: -1h}\n"), 5, "above zero"},
		{"an age beyond all", rule("    max-age: {signed: 9999d}\n"), 5, "at most 10 years"},
		{"an age of nothing", rule("    max-age: {}\n"), 5, "neither checked nor signed"},
		{"a platform", rule("    platforms: [amd64]\n"), 5, "is not a platform"},
		{"one platform twice", rule("    platforms: [linux/arm64, linux/arm64/v8]\n"), 5, "stands twice"},
		{"a mirror of patterns", rule("    mirrors: [{from: mirror.local/*, as: docker.io/**}]\n"), 5, "no other wildcard"},
		{"a mirror of one and many", rule("    mirrors: [{from: mirror.local/x, as: docker.io/**}]\n"), 5, "both end in /**"},
		{"a mirror of everything", rule("    mirrors: [{from: \"**\", as: docker.io/**}]\n"), 5, "no other wildcard"},
		{"half a mirror", rule("    mirrors: [{from: mirror.local/x}]\n"), 5, "the key as is missing"},
		{"a signer's name", rule("    signers: [{name: root, keys: [" + keyA + "]}]\n"), 5, "top-level role"},
		{"a signer without keys", rule("    signers: [{name: qa}]\n"), 5, "the key keys is missing"},
		{"one key for two signers", rule("    signers: [{name: qa, keys: [" + keyA + "]}, {name: dev, keys: [" + keyA + "]}]\n"), 3, "one voice, not two"},
		{"a key that is a file elsewhere", rule("    signers: [{name: qa, keys: [qa.pem]}]\n"), 5, "expected the PEM itself"},
		{"an anchor without a pin", anchor(""), 6, "pins either root keys or"},
		{"an anchor with two pins", anchor(pinned + "        root-sha256: " + keyA + "\n"), 6, "pins either root keys or"},
		{"an anchor without a server", rule("    anchors: [{root-keys: [" + keyA + "]}]\n"), 5, "the key servers is missing"},
		{"an anchor over plain HTTP", rule("    anchors: [{root-keys: [" + keyA + "], servers: [\"http://signet.example.com\"]}]\n"), 5, "http"},
		{"a threshold above its keys", anchor(pinned + "        threshold: 2\n"), 6, "a threshold of 2 with 1 root keys"},
		{"a threshold of zero", anchor(pinned + "        threshold: 0\n"), 8, "expected a number from 1 on"},
		{"an anchor's tag", anchor(pinned + "        pattern: \"alpine:1\"\n"), 8, "whatever the tag"},
		{"trust.json's words", anchor("        rootKeys: [" + keyA + "]\n"), 7, `unknown key "rootKeys" (did you mean root-keys?)`},
		{"two anchors of one pattern", rule("    anchors:\n      - {servers: [https://a.example], root-keys: [" + keyA + "]}\n      - {servers: [https://b.example], root-keys: [" + keyA + "]}\n"), 3, "neither could be chosen"},
		{"firmware", anchor(pinned + "        hardware: {min-firmware: 5}\n"), 8, "expected 5.7"},
		{"a CA that is none", anchor(pinned + "        ca: |\n          -----BEGIN CERTIFICATE-----\n"), 6, "no PEM certificate"},
		{"an exemption without end", exemption("    reason: because\n"), 3, "the key until is missing"},
		{"an exemption without reason", exemption("    until: 2026-12-31\n"), 3, "the key reason is missing"},
		{"an exemption with an empty reason", exemption("    until: 2026-12-31\n    reason: \" \"\n"), 6, "a reason is a text"},
		{"a date", exemption("    reason: because\n    until: 31.12.2026\n"), 6, "expected the last day"},
		{"a digest", "version: 1\ndigests:\n  - {digest: latest, images: [alpine], reason: b, until: 2026-12-31}\n", 3, "is not a digest"},
		{"rewriting without a word", "version: 1\nkubernetes:\n  rewrite: [{kinds: [Pod]}]\n", 3, "the key pin is missing"},
		{"exempt namespaces by pattern", "version: 1\nkubernetes:\n  exempt-namespaces: [\"kube-*\"]\n", 3, "full name"},
		{"break-glass everywhere", "version: 1\nkubernetes:\n  break-glass: {annotation: a.example/b}\n", 3, "the key namespaces is missing"},
		{"an annotation", "version: 1\nkubernetes:\n  break-glass: {annotation: \"a b\", namespaces: [ops]}\n", 3, "annotation's name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := Read([]byte(test.text), "policy.yaml")
			if err == nil || p != nil {
				t.Fatalf("it was taken: %+v", p)
			}
			place, ok := errors.AsType[*FileError](err)
			if !ok || place.File != "policy.yaml" || test.line != 0 && place.Line != test.line || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, expected line %d and %q", err, test.line, test.says)
			}
		})
	}
}

// TestAllMistakesAtOnce tells what can be told in one reading, and no more than a
// person reads.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := Read([]byte("version: 3\nrules:\n  - name: a\n    images: [A, B]\n    mode: off\n"), "p.yaml")
	for _, says := range []string{"p.yaml:1: ", "p.yaml:4: rules[1].images[1]", "p.yaml:4: rules[1].images[2]", "p.yaml:5: rules[1].mode"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v lacks %s", err, says)
		}
	}
	_, err = Read([]byte("version: 1\nrules:\n"+strings.Repeat("  - {nme: a}\n", 100)), "p.yaml")
	if lines := strings.Count(err.Error(), "\n") + 1; lines != maxErrors+1 || !strings.Contains(err.Error(), "there are more mistakes") {
		t.Errorf("%d lines: %v", lines, err)
	}
}

// TestLimits takes what is at a limit and refuses what is above.
func TestLimits(t *testing.T) {
	many := func(n int, item string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, item, i)
		}
		return b.String()
	}
	exemption := "  - {digest: sha256:" + keyA + ", images: [alpine], reason: \"%d\", until: 2026-12-31}\n"
	for _, test := range []struct {
		name  string
		text  func(n int) string
		limit int
	}{
		{"rules", func(n int) string {
			return "version: 1\nrules:\n" + many(n, "  - {name: r%d, images: [alpine]}\n")
		}, MaxRules},
		{"patterns in a rule", func(n int) string {
			return "version: 1\nrules:\n  - name: a\n    images:\n" + many(n, "      - a.example/x%d\n")
		}, MaxPatterns},
		{"patterns in the file", func(n int) string {
			return "version: 1\nrules:\n  - name: a\n    images: [alpine]\n    except:\n" + many(n-1, "      - a.example/x%d\n")
		}, MaxPatterns},
		{"signers", func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "      - {name: s%d, keys: [%064x]}\n", i, i)
			}
			return "version: 1\nrules:\n  - name: a\n    images: [alpine]\n    signers:\n" + b.String()
		}, MaxSigners},
		{"anchors", func(n int) string {
			return "version: 1\nrules:\n  - name: a\n    images: [alpine]\n    anchors:\n" + many(n, "      - {pattern: a.example/x%d, servers: [https://s.example], root-keys: ["+keyA+"]}\n")
		}, MaxAnchors},
		{"exemptions", func(n int) string { return "version: 1\ndigests:\n" + many(n, exemption) }, 7000},
		{"bytes", func(n int) string { return "version: 1\n#" + strings.Repeat("x", n-len("version: 1\n#")) }, MaxBytes},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Read([]byte(test.text(test.limit)), "p"); err != nil {
				t.Errorf("at the limit: %.300s", err)
			}
			if test.name == "exemptions" { // more of them than fit into the bytes
				return
			}
			if _, err := Read([]byte(test.text(test.limit+1)), "p"); err == nil {
				t.Error("above the limit it was taken")
			}
		})
	}
}

// TestBombs refuses small files that would grow, at once.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	for name, text := range map[string]string{
		"laughs":  laughs.String(),
		"nesting": strings.Repeat("[", 20000),
		"maps":    strings.Repeat("{a: ", 20000),
		"itself":  "version: &v [*v]\n",
	} {
		if _, err := Read([]byte(text), name); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestFilesOfAPolicy reads keys and certificates from beside the policy, and only
// where it is a file itself.
func TestFilesOfAPolicy(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBm2wmSjQ9TIJ8dXXbKw5tbMzFMSK\nzU6CHbvVuxNV7VHJTL8r2Xh8SLiEQJHyJxXmMBbDOZWR9a2zqYtUoZ6CcA==\n-----END PUBLIC KEY-----\n"
	write("keys/root.pem", publicPEM(t))
	write("keys/private.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	write("keys/junk.pem", strings.ReplaceAll(pem, "MFkw", "AAAA"))
	text := func(key string) string {
		return "version: 1\nrules:\n  - name: a\n    images: [alpine]\n    anchors: [{root-keys: [" + key + "], servers: [https://s.example]}]\n"
	}
	p, err := Load(write("policy.yaml", text("keys/root.pem")))
	if err != nil {
		t.Fatal(err)
	}
	byID, err := Load(write("by-id.yaml", text(p.Rules[0].Anchors[0].RootKeys[0])))
	if err != nil || byID.Rules[0].Anchors[0].RootKeys[0] != p.Rules[0].Anchors[0].RootKeys[0] {
		t.Errorf("by its ID: %v", err)
	}
	for _, key := range []string{"keys/absent.pem", "keys/private.pem", "keys/junk.pem", "keys"} {
		if _, err := Load(write("policy.yaml", text(key))); err == nil || !strings.Contains(err.Error(), "policy.yaml:5: rules[1].anchors[1].root-keys[1]") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := Read([]byte(text("keys/root.pem")), "oci"); err == nil {
		t.Error("a policy that is no file names one")
	}
	if _, err := Load(filepath.Join(dir, "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Load(write("long.yaml", "#"+strings.Repeat("x", MaxBytes))); err == nil {
		t.Error("a file above the limit was taken")
	}
}

// FuzzRead checks that no file makes the reader panic, and that what is taken can be
// looked at and decided by.
func FuzzRead(f *testing.F) {
	full, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte("version: 1\nrules: [{name: a, images: [alpine]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(data, "fuzz")
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			return
		}
		p.Lint(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC))
		d, err := New(Config{Policy: p, Verifier: distrust{}}).Decide(t.Context(), Question{Image: "docker.io/library/alpine:3"})
		if d == nil || d.Policy == nil || d.Trusted || (err == nil) != d.Policy.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
	})
}
