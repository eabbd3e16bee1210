package attack_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// Arbitrary software: nothing but signatures of enough of the right keys makes a
// digest trusted, also when the server that shows it holds both online keys.
func TestArbitrarySoftware(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 2), newKeys(t, 2))
	warm := s.verifier(t, app, p.root)
	warm.trusts(app+":1.0", digest("one"))
	p.sign("1.0", "two") // so that there is something to fetch
	eve := newKeys(t, 2)
	evil := set(t, app, "1.0", "evil")
	doctored := func(f *attack.Forger, role string, change func(signatures []any) []any) {
		var doc map[string]any
		if err := json.Unmarshal(f.Newest(role).Bytes, &doc); err != nil {
			t.Fatal(err)
		}
		doc["signatures"] = change(doc["signatures"].([]any))
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		f.Put(role, f.Newest(role).Version, data)
	}
	two, bad := strings.TrimPrefix(digest("two"), "sha256:"), strings.TrimPrefix(digest("evil"), "sha256:")
	for _, c := range []struct {
		claim string
		keys  []string // in the server's hands
		forge func(f *attack.Forger)
		rule  tuf.Rule
		kept  []string // what is valid among it, and newer
	}{
		{"a digest is replaced on the way", nil, func(f *attack.Forger) { f.Rewrite(tuf.RoleTargets, two, bad) }, tuf.RuleHash, online},
		{"a timestamp is changed on the way", nil, func(f *attack.Forger) {
			f.Rewrite(tuf.RoleTimestamp, `"spec_version":"1.0.34"`, `"spec_version":"1.0.35"`)
		}, tuf.RuleThreshold, nil},
		{"a snapshot is changed on the way", nil, func(f *attack.Forger) {
			f.Rewrite(tuf.RoleSnapshot, `"spec_version":"1.0.34"`, `"spec_version":"1.0.35"`)
		}, tuf.RuleHash, []string{tuf.RoleTimestamp}},
		{"a changed digest, all above it signed anew", online, func(f *attack.Forger) {
			f.Rewrite(tuf.RoleTargets, two, bad)
			f.Release()
		}, tuf.RuleThreshold, online},
		{"targets signed by strangers", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, eve...)
			f.Release()
		}, tuf.RuleThreshold, online},
		{"targets signed by the online keys", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, slices.Concat(f.Keys[tuf.RoleSnapshot], f.Keys[tuf.RoleTimestamp])...)
			f.Release()
		}, tuf.RuleThreshold, online},
		{"targets signed by the root keys", append([]string{tuf.RoleRoot}, online...), func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, f.Keys[tuf.RoleRoot]...)
			f.Release()
		}, tuf.RuleThreshold, online},
		{"targets without a signature", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, []tuf.Signer{}...)
			f.Release()
		}, tuf.RuleThreshold, online},
		{"targets signed by one of two", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, p.targets[0])
			f.Release()
		}, tuf.RuleThreshold, online},
		{"one signature twice", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, p.targets[0])
			doctored(f, tuf.RoleTargets, func(list []any) []any { return append(list, list[0]) })
			f.Release()
		}, tuf.RuleShape, online},
		{"one signature under both keys' IDs", online, func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, evil, p.targets[0])
			doctored(f, tuf.RoleTargets, func(list []any) []any {
				return append(list, map[string]any{"keyid": p.targets[1].Key().ID(), "sig": list[0].(map[string]any)["sig"]})
			})
			f.Release()
		}, tuf.RuleThreshold, online},
		{"both signatures of the file before", online, func(f *attack.Forger) {
			var old struct{ Signatures []any }
			if err := json.Unmarshal(f.Newest(tuf.RoleTargets).Bytes, &old); err != nil {
				t.Fatal(err)
			}
			f.Role(tuf.RoleTargets, evil, p.targets[0])
			doctored(f, tuf.RoleTargets, func([]any) []any { return old.Signatures })
			f.Release()
		}, tuf.RuleThreshold, online},
		{"a snapshot under another's key", []string{tuf.RoleTimestamp}, func(f *attack.Forger) {
			f.Keys[tuf.RoleSnapshot] = f.Keys[tuf.RoleTimestamp]
			f.Release()
		}, tuf.RuleThreshold, []string{tuf.RoleTimestamp}},
		{"a timestamp under another's key", []string{tuf.RoleSnapshot}, func(f *attack.Forger) {
			f.Keys[tuf.RoleTimestamp] = f.Keys[tuf.RoleSnapshot]
			f.Release()
		}, tuf.RuleThreshold, nil},
		{"a root signed by one of two", nil, func(f *attack.Forger) {
			f.Root(func(root *tuf.Root) { handOver(t, root, eve) }, p.root[0])
		}, tuf.RuleThreshold, nil},
		{"a root signed by its own new keys only", nil, func(f *attack.Forger) {
			f.Root(func(root *tuf.Root) { handOver(t, root, eve) }, eve...)
		}, tuf.RuleThreshold, nil},
		{"a root signed by the old keys, not by its own", []string{tuf.RoleRoot}, func(f *attack.Forger) {
			f.Root(func(root *tuf.Root) { handOver(t, root, eve) })
		}, tuf.RuleThreshold, nil},
		{"a root that skips a version", []string{tuf.RoleRoot}, func(f *attack.Forger) {
			f.Root(func(root *tuf.Root) { root.Signed.Version++ })
			f.PutAs(tuf.RoleRoot, 2)
		}, tuf.RuleRootChain, nil},
		{"a snapshot in the timestamp's place", online, func(f *attack.Forger) {
			f.Put(tuf.RoleTimestamp, 9, f.Newest(tuf.RoleSnapshot).Bytes)
		}, tuf.RuleShape, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			f := s.forger(t, p, c.keys...)
			c.forge(f)
			s.serve(f)
			seen := warm.clone(t)
			seen.refusesAndKeeps(c.kept, app+":1.0", c.rule)
			fresh := s.verifier(t, app, p.root)
			if o, d := fresh.verify(app + ":1.0"); o.exit != 3 || d.Trusted || d.Digest != "" {
				t.Errorf("without state: exit status %d, %+v", o.exit, d)
			}
			s.proxy.Set()
			if c.keys == nil {
				seen.trusts(app+":1.0", digest("two"))
				fresh.trusts(app+":1.0", digest("two"))
			}
		})
	}
}

// handOver makes keys those of root's own role.
func handOver(t testing.TB, root *tuf.Root, keys []tuf.Signer) {
	t.Helper()
	if err := tuf.SetRoleKeys(root, tuf.RoleRoot, all(keys)); err != nil {
		t.Fatal(err)
	}
}

// One person with one key is one voice, in however many ways the key is written. A
// root of another tool may list it so; Signet's server takes no such root.
func TestKeysThatDifferInEncodingOnly(t *testing.T) {
	for _, c := range []struct {
		claim string
		write func(key *tuf.Key) map[string]any // the same key, under another ID
	}{
		{"another type's name", func(key *tuf.Key) map[string]any {
			return object(t, key, func(o map[string]any) { o["keytype"] = "ecdsa-sha2-nistp256" })
		}},
		{"a line end more", func(key *tuf.Key) map[string]any {
			return object(t, key, func(o map[string]any) {
				value := o["keyval"].(map[string]any)
				value["public"] = value["public"].(string) + "\n"
			})
		}},
		{"words before the PEM", func(key *tuf.Key) map[string]any {
			return object(t, key, func(o map[string]any) {
				value := o["keyval"].(map[string]any)
				value["public"] = "alice\n" + value["public"].(string)
			})
		}},
		{"a member more", func(key *tuf.Key) map[string]any {
			return object(t, key, func(o map[string]any) { o["x-name"] = "alice" })
		}},
		{"an ID that is no hash", func(key *tuf.Key) map[string]any { return object(t, key, func(map[string]any) {}) }},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s := newScene(t)
			p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
			alice := p.targets[0]
			f := s.forger(t, p, append([]string{tuf.RoleRoot, tuf.RoleTargets}, online...)...)
			again := c.write(alice.Key())
			id := strings.Repeat("a", 64)
			if data, err := json.Marshal(again); err != nil {
				t.Fatal(err)
			} else if key, err := tuf.ReadKey(data); err != nil || !key.Equal(alice.Key()) {
				t.Fatalf("%s: %v; it has to be the same key", data, err)
			} else if key.ID() != alice.Key().ID() {
				id = key.ID()
			}
			root := withSecondKey(t, f.Newest(tuf.RoleRoot).Bytes, alice.Key().ID(), id, again)
			f.Put(tuf.RoleRoot, 2, signedDocument(t, root, p.root[0]))
			f.Role(tuf.RoleTargets, set(t, app, "1.0", "evil"), alice)
			var doc map[string]any
			if err := json.Unmarshal(f.Newest(tuf.RoleTargets).Bytes, &doc); err != nil {
				t.Fatal(err)
			}
			list := doc["signatures"].([]any)
			doc["signatures"] = append(list, map[string]any{"keyid": id, "sig": list[0].(map[string]any)["sig"]})
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			f.Put(tuf.RoleTargets, f.Newest(tuf.RoleTargets).Version, data)
			f.Release()
			s.serve(f)
			m := s.verifier(t, app, p.root)
			o, d := m.verify(app + ":1.0")
			if o.exit != 3 || d.Rule != tuf.RuleThreshold || d.Versions[tuf.RoleRoot] == 1 {
				t.Errorf("exit status %d, %+v, expected a refusal by %q under root 2\n%s", o.exit, d, tuf.RuleThreshold, o.stderr)
			}
			if !strings.Contains(o.stderr, "targets version 2") {
				t.Errorf("another role than targets was refused:\n%s", o.stderr)
			}
		})
	}
}

// object is a key object after change.
func object(t testing.TB, key *tuf.Key, change func(map[string]any)) map[string]any {
	t.Helper()
	data, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	change(o)
	return o
}

// withSecondKey returns the signed part of the next root, in which targets has two
// key IDs and the threshold 2.
func withSecondKey(t testing.TB, root []byte, first, second string, key map[string]any) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(root, &doc); err != nil {
		t.Fatal(err)
	}
	signed := doc["signed"].(map[string]any)
	signed["version"] = 2
	signed["keys"].(map[string]any)[second] = key
	signed["roles"].(map[string]any)[tuf.RoleTargets] = map[string]any{"keyids": []any{first, second}, "threshold": 2}
	return signed
}

// signedDocument signs what another tool wrote.
func signedDocument(t testing.TB, signed map[string]any, signers ...tuf.Signer) []byte {
	t.Helper()
	unsigned, err := json.Marshal(map[string]any{"signed": signed, "signatures": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := tuf.ReadRoot(unsigned)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := tuf.Payload(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range signers {
		sig, err := tuf.SignPayload(t.Context(), payload, signer)
		if err != nil {
			t.Fatal(err)
		}
		tuf.AddSignature(root, signer.Key().ID(), sig)
	}
	data, err := tuf.Encode(root)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A verifier's own pins are as many voices as they are keys, too.
func TestPinnedThreshold(t *testing.T) {
	s := newScene(t)
	root := newKeys(t, 2)
	p := s.publisher(app, root, newKeys(t, 1))
	lone := harness.NewKey(t)
	mallory := s.publisher(other, []tuf.Signer{root[0], lone}, newKeys(t, 1))
	s.verifier(t, app, root).trusts(app+":1.0", digest("one"))
	// Of the two pinned keys one has signed this root, and met its own threshold
	// together with a stranger's.
	m := s.verifier(t, other, root)
	m.refuses(other+":1.0", tuf.RuleAnchor)
	s.verifier(t, other, root, "--threshold", "1").trusts(other+":1.0", digest("one"))
	s.verifier(t, app, mallory.root).refuses(app+":1.0", tuf.RuleAnchor)
	s.verifier(t, app, p.root[1:]).trusts(app+":1.0", digest("one"))
	// A root that lists both pinned keys, is content with one of them, and has that one.
	f := s.forger(t, p)
	easy, err := tuf.ReadRoot(f.Newest(tuf.RoleRoot).Bytes)
	if err != nil {
		t.Fatal(err)
	}
	easy.Signed.Roles[tuf.RoleRoot].Threshold = 1
	data, err := signed(easy, root[:1])
	if err != nil {
		t.Fatal(err)
	}
	f.Put(tuf.RoleRoot, 1, data)
	s.serve(f)
	s.verifier(t, app, root).refuses(app+":1.0", tuf.RuleAnchor)
	s.proxy.Set()
	// No anchor, no trust.
	newMachine(t).refuses(app+":1.0", tuf.RuleAnchor)
}
