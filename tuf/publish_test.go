package tuf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// newTargets returns the targets file that follows the world's, changed by edit
// and signed by bob or by whom it is said.
func (w *world) newTargets(edit func(md *tuf.Targets), by ...tuf.Signer) tuf.File {
	w.Helper()
	return w.next("targets", edit, append(by, w.targets)[:max(1, len(by))]...)
}

// next is the same for any role.
func (w *world) next(role string, edit func(md *tuf.Targets), by ...tuf.Signer) tuf.File {
	w.Helper()
	md, err := tuf.ReadTargets(w.state.Roles[role].Bytes)
	w.must(err)
	md.Signed.Version++
	md.Signatures = nil
	if edit != nil {
		edit(md)
	}
	return sign(w, role, md, by...)
}

// nextRoot returns version 2 of root.
func (w *world) nextRoot(edit func(md *tuf.Root), by ...tuf.Signer) tuf.File {
	w.Helper()
	md := w.newRoot(w.state.Root.Version + 1)
	if edit != nil {
		edit(md)
	}
	return sign(w, tuf.RoleRoot, md, append(by, w.root)[:max(1, len(by))]...)
}

// sealed encodes an object as a server takes it, with no word of ours about it.
func sealed(t testing.TB, file tuf.File, edit func(signed object), by ...tuf.Signer) tuf.File {
	t.Helper()
	file = edited(t, file, edit, by...)
	compact, err := json.Marshal(parse(t, file.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	file.Bytes = compact
	return file
}

// delegate makes role a signer for pattern with keys.
func delegate(md *tuf.Targets, role string, threshold int, patterns []string, keys ...tuf.Signer) {
	if md.Signed.Delegations == nil {
		md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	d := metadata.DelegatedRole{Name: role, Threshold: threshold, Paths: patterns, KeyIDs: []string{}}
	for _, k := range keys {
		d.KeyIDs = append(d.KeyIDs, k.Key().ID())
		md.Signed.Delegations.Keys[k.Key().ID()] = k.Key().Metadata()
	}
	md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles, d)
}

// tags is the pattern of all tags of the test repository.
var tags = []string{repository + ":*", repository + ":*@sha256:*"}

// team returns a published world in which carol signs as team.
func team(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	carol := signer(t, "carol")
	md, err := tuf.ReadTargets(w.state.Roles["targets"].Bytes)
	w.must(err)
	md.Signatures = nil
	delegate(md, "team", 1, tags, carol)
	w.state.Roles["targets"] = sign(t, "targets", md, w.targets)
	teamFile := tuf.NewTargets(1, now.Add(30*day))
	w.must(tuf.SetTarget(teamFile, repository, "2.0", target("team")))
	w.state.Roles["team"] = sign(t, "team", teamFile, carol)
	w.online(1)
	return w
}

func TestPublishRefuses(t *testing.T) {
	carol, dave, eve := signer(t, "carol"), signer(t, "dave"), signer(t, "eve")
	set := func(tag string) func(*tuf.Targets) {
		return func(md *tuf.Targets) {
			if err := tuf.SetTarget(md, repository, tag, target(tag)); err != nil {
				t.Fatal(err)
			}
		}
	}
	entry := func(path string, digest string) func(object) {
		return func(s object) {
			s["version"] = number("2")
			in(s, "targets")[path] = object{"length": number("3"), "hashes": object{"sha256": strings.TrimPrefix(digest, "sha256:")}}
		}
	}
	one := func(f tuf.File) []tuf.File { return []tuf.File{f} }
	byTarget := func(edit func(object)) func(w *world) []tuf.File {
		return func(w *world) []tuf.File {
			return one(sealed(w, w.state.Roles["targets"], func(s object) { s["version"] = number("2"); edit(s) }, w.targets))
		}
	}
	byRoot := func(edit func(md *tuf.Root)) func(w *world) []tuf.File {
		return func(w *world) []tuf.File { return one(w.nextRoot(edit)) }
	}
	byTeam := func(edit func(md *tuf.Targets)) func(w *world) []tuf.File {
		return func(w *world) []tuf.File { return one(w.newTargets(edit)) }
	}
	bytesOf := func(f tuf.File, change func([]byte) []byte) []tuf.File {
		f.Bytes = change(bytes.Clone(f.Bytes))
		return []tuf.File{f}
	}

	for _, c := range []struct {
		claim  string
		files  func(w *world) []tuf.File
		want   error
		clause string // of a refusal by a rule
	}{
		// What may be sent at all.
		{"no files", func(w *world) []tuf.File { return nil }, tuf.RuleShape, "Signet publish"},
		{"one role twice", func(w *world) []tuf.File { f := w.newTargets(set("3")); return []tuf.File{f, f} }, tuf.RuleShape, "Signet publish"},
		{"a snapshot", func(w *world) []tuf.File { w.online(2); return one(w.state.Snapshot) }, tuf.RuleOnlineKey, "Signet profile: the signer"},
		{"a timestamp", func(w *world) []tuf.File { w.online(2); return one(w.state.Timestamp) }, tuf.RuleOnlineKey, "Signet profile: the signer"},
		{"a role called Root", func(w *world) []tuf.File { f := w.newTargets(nil); f.Role = "Root"; return one(f) }, tuf.RuleName, "TUF §4.5"},
		{"a role whose name is a path", func(w *world) []tuf.File { f := w.newTargets(nil); f.Role = "../team"; return one(f) }, tuf.RuleName, "Signet profile: names"},
		{"root as targets", func(w *world) []tuf.File { f := w.nextRoot(nil); f.Role = "targets"; return one(f) }, tuf.RuleShape, "TUF §4.3"},
		{"targets as root", func(w *world) []tuf.File { f := w.newTargets(nil); f.Role = "root"; return one(f) }, tuf.RuleShape, "TUF §4.3"},
		{"not JSON", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte { return b[:len(b)-1] })
		}, tuf.RuleShape, "TUF §4.1"},

		// The one form.
		{"a space in front", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte { return append([]byte(" "), b...) })
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"a line end behind", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte { return append(b, '\n') })
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"signatures in another order", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil, w.targets, eve), func(b []byte) []byte {
				doc := parse(w, b)
				s := doc["signatures"].([]any)
				s[0], s[1] = s[1], s[0]
				b, _ = json.Marshal(doc)
				return b
			})
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"a letter that is escaped", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte { return bytes.Replace(b, []byte(`"targets"`), []byte(`"\u0074argets"`), 1) })
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"capital signature", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte {
				doc := parse(w, b)
				s := doc["signatures"].([]any)[0].(object)
				s["sig"] = strings.ToUpper(s["sig"].(string))
				b, _ = json.Marshal(doc)
				return b
			})
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"member beside signed", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte { return append(b[:len(b)-1], `,"x":1}`...) })
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"member beside a signature", func(w *world) []tuf.File {
			return bytesOf(w.newTargets(nil), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"}],"signed"`), []byte(`","x":1}],"signed"`), 1)
			})
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"integer that floats cannot hold", byTarget(func(s object) { s["x"] = number("9007199254740993") }), tuf.RuleCanonical, "Signet profile: canonical bytes"},
		{"a member left out that is signed as if it stood there", func(w *world) []tuf.File {
			return bytesOf(w.nextRoot(nil), func(b []byte) []byte { return bytes.Replace(b, []byte(`"consistent_snapshot":true,`), nil, 1) })
		}, tuf.RuleCanonical, "Signet profile: canonical bytes"},

		// Versions: whoever built on another state is told to build anew.
		{"the version that is there, with other content", func(w *world) []tuf.File {
			return one(w.newTargets(func(md *tuf.Targets) { md.Signed.Version = 1; set("3")(md) }))
		}, tuf.ErrConflict, ""},
		{"a version left out", func(w *world) []tuf.File { return one(w.newTargets(func(md *tuf.Targets) { md.Signed.Version = 3 })) }, tuf.ErrConflict, ""},
		{"the largest version", func(w *world) []tuf.File {
			return one(w.newTargets(func(md *tuf.Targets) { md.Signed.Version = math.MaxInt64 }))
		}, tuf.ErrConflict, ""},
		{"root with a version left out", byRoot(func(md *tuf.Root) { md.Signed.Version = 3 }), tuf.ErrConflict, ""},
		{"one of two roles on an old state", func(w *world) []tuf.File {
			old := w.next("team", func(md *tuf.Targets) { md.Signed.Version = 1; md.Signed.Expires = now.Add(day) }, carol)
			return []tuf.File{w.newTargets(set("3")), old}
		}, tuf.ErrConflict, ""},
		{"another version than is said", func(w *world) []tuf.File { f := w.newTargets(nil); f.Version = 3; return one(f) }, tuf.RuleVersion, "Signet publish"},
		{"another root version than is said", func(w *world) []tuf.File { f := w.nextRoot(nil); f.Version = 3; return one(f) }, tuf.RuleVersion, "Signet publish"},

		// Signatures.
		{"targets by a stranger", func(w *world) []tuf.File { return one(w.newTargets(set("3"), eve)) }, tuf.RuleThreshold, "TUF §5.6.3"},
		{"targets by a signer", func(w *world) []tuf.File { return one(w.newTargets(set("3"), carol)) }, tuf.RuleThreshold, "TUF §5.6.3"},
		{"targets without a signature", func(w *world) []tuf.File {
			return one(sealed(w, w.state.Roles["targets"], func(s object) { s["version"] = number("2") }))
		}, tuf.RuleThreshold, "TUF §5.6.3"},
		{"a signer by a stranger", func(w *world) []tuf.File { return one(w.next("team", set("3"), eve)) }, tuf.RuleThreshold, "TUF §5.6.3"},
		{"a signer by targets' key", func(w *world) []tuf.File { return one(w.next("team", set("3"), w.targets)) }, tuf.RuleThreshold, "TUF §5.6.3"},
		{"root by a stranger", func(w *world) []tuf.File { return one(w.nextRoot(nil, eve)) }, tuf.RuleThreshold, "TUF §5.3.4, by the keys of version 1"},
		{"root by its new key only", func(w *world) []tuf.File { w.root = dave; return one(w.nextRoot(nil)) }, tuf.RuleThreshold, "TUF §5.3.4, by the keys of version 1"},
		{"root by its old key only", func(w *world) []tuf.File {
			alice := w.root
			w.root = dave
			return one(w.nextRoot(nil, alice))
		}, tuf.RuleThreshold, "TUF §5.3.4, by its own keys"},
		{"root that leaves the targets file without its key", func(w *world) []tuf.File { w.targets = dave; return one(w.nextRoot(nil)) }, tuf.RuleThreshold, "TUF §5.6.3"},
		{"targets that leave a signer's file without its key", byTeam(func(md *tuf.Targets) {
			md.Signed.Delegations = nil
			delegate(md, "team", 1, tags, dave)
		}), tuf.RuleThreshold, "TUF §5.6.3"},
		{"threshold raised above what a signer's file has", byTeam(func(md *tuf.Targets) {
			md.Signed.Delegations = nil
			delegate(md, "team", 2, tags, carol, dave)
		}), tuf.RuleThreshold, "TUF §5.6.3"},

		// Root's profile.
		{"root for another repository", byRoot(func(md *tuf.Root) { md.Signed.UnrecognizedFields[tuf.MemberRepository] = repository + "2" }), tuf.RuleRepository, "Signet profile: x-signet-repository"},
		{"root for no repository", byRoot(func(md *tuf.Root) { delete(md.Signed.UnrecognizedFields, tuf.MemberRepository) }), tuf.RuleRepository, "Signet profile: x-signet-repository"},
		{"root for a list of repositories", byRoot(func(md *tuf.Root) { md.Signed.UnrecognizedFields[tuf.MemberRepository] = []any{repository} }), tuf.RuleRepository, "Signet profile: x-signet-repository"},
		{"root without consistent snapshots", byRoot(func(md *tuf.Root) { md.Signed.ConsistentSnapshot = false }), tuf.RuleShape, "TUF §6.2, Signet profile"},
		{"root with a member of its own", byRoot(func(md *tuf.Root) { md.Signed.UnrecognizedFields["x"] = "y" }), tuf.RuleShape, "Signet profile"},
		{"root with mirrors", byRoot(func(md *tuf.Root) { md.Signed.Roles["mirrors"] = &metadata.Role{KeyIDs: []string{}, Threshold: 1} }), tuf.RuleShape, "TUF §4.3"},
		{"root that expires now", byRoot(func(md *tuf.Root) { md.Signed.Expires = now }), tuf.RuleExpired, ""},
		{"root that lives too long", byRoot(func(md *tuf.Root) { md.Signed.Expires = now.Add(tuf.DefaultMaxLife("root") + time.Second) }), tuf.RuleExpiry, "Signet limits"},
		{"root with a key of no role", byRoot(func(md *tuf.Root) { md.Signed.Keys[eve.Key().ID()] = eve.Key().Metadata() }), tuf.RuleKeyID, "Signet profile: keys"},
		{"root with a role whose key is missing", byRoot(func(md *tuf.Root) {
			md.Signed.Roles["targets"].KeyIDs = append(md.Signed.Roles["targets"].KeyIDs, eve.Key().ID())
		}), tuf.RuleKeyID, "TUF §4.3"},
		{"root with a key under another's ID", byRoot(func(md *tuf.Root) {
			md.Signed.Keys[eve.Key().ID()] = dave.Key().Metadata()
			md.Signed.Roles["targets"].KeyIDs = append(md.Signed.Roles["targets"].KeyIDs, eve.Key().ID())
		}), tuf.RuleKeyID, "TUF §4.2"},
		{"root with a key that has a member of its own", byRoot(func(md *tuf.Root) {
			k := &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: eve.Key().Metadata().Value, UnrecognizedFields: map[string]any{"x": "y"}}
			id, _ := k.ID()
			md.Signed.Keys[id] = k
			md.Signed.Roles["targets"].KeyIDs = append(md.Signed.Roles["targets"].KeyIDs, id)
		}), tuf.RuleKeyID, "Signet profile: keys"},
		{"root with an unusable key", byRoot(func(md *tuf.Root) {
			k := &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: "00"}}
			id, _ := k.ID()
			md.Signed.Keys[id] = k
			md.Signed.Roles["targets"].KeyIDs = append(md.Signed.Roles["targets"].KeyIDs, id)
		}), tuf.RuleKeyID, "TUF §4.2"},
		{"root with a threshold above its keys", byRoot(func(md *tuf.Root) { md.Signed.Roles["targets"].Threshold = 2 }), tuf.RuleThreshold, "TUF §4.3"},
		{"root with a role without keys", byRoot(func(md *tuf.Root) { md.Signed.Roles["timestamp"].KeyIDs = []string{} }), tuf.RuleThreshold, "TUF §4.3"},

		// Targets' profile.
		{"targets that expire now", byTeam(func(md *tuf.Targets) { md.Signed.Expires = now }), tuf.RuleExpired, ""},
		{"targets that live too long", byTeam(func(md *tuf.Targets) { md.Signed.Expires = now.Add(401 * day) }), tuf.RuleExpiry, "Signet limits"},
		{"a signer's file that lives too long", func(w *world) []tuf.File {
			return one(w.next("team", func(md *tuf.Targets) { md.Signed.Expires = now.Add(401 * day) }, carol))
		}, tuf.RuleExpiry, "Signet limits"},
		{"a tag of another repository", byTarget(entry("registry.example.com/team/other:1.0", digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a tag of a repository below", byTarget(entry(repository+"/sub:1.0", digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a tag of a repository with a longer name", byTarget(entry(repository+"2:1.0", digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a path that is no tag", byTarget(entry(repository, digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a path with a wildcard", byTarget(entry(repository+":*", digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a digest without a tag", byTarget(entry(repository+"@"+digest, digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a record of another digest", byTarget(entry(repository+":1@"+digest, target("other").Digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a short name", byTarget(entry("app:1.0", digest)), tuf.RulePath, "Signet profile: target paths"},
		{"a second hash", byTarget(func(s object) {
			entry(repository+":1", digest)(s)
			in(s, "targets", repository+":1", "hashes")["sha512"] = strings.Repeat("00", 64)
		}), tuf.RuleShape, "Signet profile: target paths"},
		{"another hash", byTarget(func(s object) {
			entry(repository+":1", digest)(s)
			in(s, "targets", repository+":1")["hashes"] = object{"sha512": strings.Repeat("00", 64)}
		}), tuf.RuleShape, "Signet profile: target paths"},
		{"a short hash", byTarget(entry(repository+":1", "00")), tuf.RuleShape, "Signet profile: target paths"},
		{"an empty manifest", byTarget(func(s object) {
			entry(repository+":1", digest)(s)
			in(s, "targets", repository+":1")["length"] = number("0")
		}), tuf.RuleShape, "Signet profile: target paths"},
		{"a signer outside of its patterns", func(w *world) []tuf.File {
			narrow := w.newTargets(func(md *tuf.Targets) {
				md.Signed.Delegations = nil
				delegate(md, "team", 1, []string{repository + ":2.*", repository + ":2.*@sha256:*"}, carol)
			})
			return []tuf.File{narrow, w.next("team", set("3.0"), carol)}
		}, tuf.RulePath, "TUF §5.6.7"},

		// The tree of signers.
		{"a signer without a file", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, tags, dave) }), tuf.RuleDelegation, "TUF §4.5, §5.6.7"},
		{"a file of nobody", func(w *world) []tuf.File {
			return one(sign(w, "dave", tuf.NewTargets(1, now.Add(day)), dave))
		}, tuf.RuleDelegation, "TUF §4.5"},
		{"a signer twice in the tree", func(w *world) []tuf.File {
			return one(w.next("team", func(md *tuf.Targets) { delegate(md, "team", 1, tags, carol) }, carol))
		}, tuf.RuleDelegation, "Signet profile: delegations"},
		{"two signers that differ in letter case", func(w *world) []tuf.File {
			return []tuf.File{w.newTargets(func(md *tuf.Targets) { delegate(md, "Team", 1, tags, dave) }), sign(w, "Team", tuf.NewTargets(1, now.Add(day)), dave)}
		}, tuf.RuleDelegation, "Signet profile: delegations"},
		{"a signer called Snapshot", byTeam(func(md *tuf.Targets) { delegate(md, "Snapshot", 1, tags, dave) }), tuf.RuleName, "TUF §4.5"},
		{"a signer called 1.root", byTeam(func(md *tuf.Targets) { delegate(md, "1.root", 1, tags, dave) }), tuf.RuleName, "Signet profile: names"},
		{"a signer without patterns", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{}, dave) }), tuf.RuleDelegation, "Signet profile: delegations"},
		{"a signer by hash prefixes", byTeam(func(md *tuf.Targets) {
			delegate(md, "dave", 1, nil, dave)
			md.Signed.Delegations.Roles[1].PathHashPrefixes = []string{"0"}
		}), tuf.RuleDelegation, "Signet profile: delegations"},
		{"hash bins", byTeam(func(md *tuf.Targets) {
			md.Signed.Delegations.Roles = nil
			md.Signed.Delegations.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: []string{carol.Key().ID()}, Threshold: 1, BitLength: 2, NamePrefix: "bin"}
		}), tuf.RuleDelegation, "Signet profile: delegations"},
		{"a pattern of another repository", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{"registry.example.com/team/other:*"}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern of all repositories", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{"*/*/*:*"}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern of a longer name", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{repository + "*:*"}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern of no tag", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{repository + ":"}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern of tags without that of records", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, tags[:1], dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern of records without that of tags", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, tags[1:], dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern with an at sign in the tag", byTeam(func(md *tuf.Targets) {
			delegate(md, "dave", 1, []string{repository + ":*@*", repository + ":*@*@sha256:*"}, dave)
		}), tuf.RulePath, "Signet profile: target paths"},
		{"a record that only its digest brings into the pattern", func(w *world) []tuf.File {
			dave, foreign := signer(w, "dave"), target("x")
			foreign.Digest = "sha256:" + strings.Repeat("a", 63) + "0"
			targets := w.newTargets(func(md *tuf.Targets) {
				delegate(md, "dave", 1, []string{repository + ":*0", repository + ":*0@sha256:*"}, dave)
			})
			own := tuf.NewTargets(1, now.Add(day))
			w.must(tuf.SetTarget(own, repository, "2.7", foreign))
			delete(own.Signed.Targets, tuf.TagPath(repository, "2.7"))
			return []tuf.File{targets, sign(w, "dave", own, dave)}
		}, tuf.RulePath, "TUF §5.6.7"},
		{"a pattern with a class", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{repository + ":[!a]*"}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a pattern with an escape", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, []string{repository + `:\*`}, dave) }), tuf.RulePath, "Signet profile: target paths"},
		{"a signer with a threshold above its keys", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 2, tags, dave) }), tuf.RuleThreshold, "TUF §4.3"},
		{"a signer without keys", byTeam(func(md *tuf.Targets) { delegate(md, "dave", 1, tags) }), tuf.RuleThreshold, "TUF §4.3"},
		{"a signer with a key under another's ID", byTeam(func(md *tuf.Targets) {
			delegate(md, "dave", 1, tags, dave)
			md.Signed.Delegations.Keys[dave.Key().ID()] = eve.Key().Metadata()
		}), tuf.RuleKeyID, "TUF §4.2"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := team(t)
			next, changed, err := tuf.CheckPublish(repository, &w.state, c.files(w), tuf.PublishRules{Now: now})
			if next != nil || changed != nil || !errors.Is(err, c.want) {
				t.Fatalf("%d files changed, %v; want %v", len(changed), err, c.want)
			}
			if c.want != tuf.ErrConflict && !tuf.IsRefusal(err) {
				t.Fatalf("%v is no refusal", err)
			}
			if r, ok := errors.AsType[*tuf.Refusal](err); ok && (r.Repository == "" && r.Rule != tuf.RuleName || r.Clause != c.clause || r.Detail == "") {
				t.Errorf("a refusal that does not say enough, or another clause than %q: %+v", c.clause, r)
			}
		})
	}
}

func TestPublishToANewRepository(t *testing.T) {
	w := newWorld(t)
	root, targets := w.state.Root, w.state.Roles["targets"]
	online := map[string][]*tuf.Key{"snapshot": keys(w.snapshot), "timestamp": keys(w.timestamp)}
	rules := tuf.PublishRules{Now: now, Online: online, RootKeys: []string{w.root.Key().ID()}}
	next, changed, err := tuf.CheckPublish(repository, nil, []tuf.File{root, targets}, rules)
	w.must(err)
	if diff := cmp.Diff(map[string]int64{"root": 1, "targets": 1}, next.Versions()); diff != "" || len(changed) != 2 {
		t.Error(diff)
	}
	if !bytes.Equal(next.Root.Bytes, root.Bytes) || !bytes.Equal(next.Roles["targets"].Bytes, targets.Bytes) {
		t.Error("what is to be stored is not what was sent")
	}
	for _, c := range []struct {
		claim string
		name  string
		files []tuf.File
		rules tuf.PublishRules
		want  tuf.Rule
	}{
		{"root alone", repository, []tuf.File{root}, rules, tuf.RuleShape},
		{"targets alone", repository, []tuf.File{targets}, rules, tuf.RuleShape},
		{"under another name", repository + "2", []tuf.File{root, targets}, rules, tuf.RuleRepository},
		{"under a name that is none", "Team/app", []tuf.File{root, targets}, rules, tuf.RuleName},
		{"root key that the server does not allow", repository, []tuf.File{root, targets}, tuf.PublishRules{Now: now, RootKeys: []string{w.targets.Key().ID()}}, tuf.RuleAnchor},
		{"online keys of nobody", repository, []tuf.File{root, targets}, tuf.PublishRules{Now: now, Online: map[string][]*tuf.Key{}}, tuf.RuleOnlineKey},
		{"online keys the wrong way round", repository, []tuf.File{root, targets},
			tuf.PublishRules{Now: now, Online: map[string][]*tuf.Key{"snapshot": keys(w.timestamp), "timestamp": keys(w.snapshot)}}, tuf.RuleOnlineKey},
		{"life limited by the server", repository, []tuf.File{root, targets}, tuf.PublishRules{Now: now, MaxLife: map[string]time.Duration{"targets": 179 * day}}, tuf.RuleExpiry},
	} {
		t.Run(c.claim, func(t *testing.T) {
			_, _, err := tuf.CheckPublish(c.name, nil, c.files, c.rules)
			wantRule(t, err, c.want)
		})
	}
	// A second online key beside the signer's, even with the threshold 1, could sign alone.
	md := w.newRoot(1)
	w.must(tuf.SetRoleKeys(md, "timestamp", tuf.RoleKeys{Keys: keys(w.timestamp, signer(t, "eve"))}))
	_, _, err = tuf.CheckPublish(repository, nil, []tuf.File{sign(t, "root", md, w.root), targets}, rules)
	wantRule(t, err, tuf.RuleOnlineKey)
	w.must(tuf.SetRoleKeys(md, "timestamp", tuf.RoleKeys{Keys: keys(w.timestamp, w.snapshot), Threshold: 2}))
	both := map[string][]*tuf.Key{"snapshot": keys(w.snapshot), "timestamp": keys(w.timestamp, w.snapshot)}
	_, _, err = tuf.CheckPublish(repository, nil, []tuf.File{sign(t, "root", md, w.root), targets}, tuf.PublishRules{Now: now, Online: both})
	wantRule(t, err, tuf.RuleOnlineKey)
}

func TestPublishTakes(t *testing.T) {
	carol, dave, eve := signer(t, "carol"), signer(t, "dave"), signer(t, "eve")
	for _, c := range []struct {
		claim   string
		files   func(w *world) []tuf.File
		changed string
	}{
		{"a tag more", func(w *world) []tuf.File { return []tuf.File{w.newTargets(nil)} }, "targets 2"},
		{"a signer's tag", func(w *world) []tuf.File { return []tuf.File{w.next("team", nil, carol)} }, "team 2"},
		{"a signer more, with its first file", func(w *world) []tuf.File {
			return []tuf.File{sign(w, "dave", tuf.NewTargets(1, now.Add(day)), dave), w.newTargets(func(md *tuf.Targets) { delegate(md, "dave", 1, tags, dave) })}
		}, "dave 1, targets 2"},
		{"a signer less; its file stays", func(w *world) []tuf.File {
			return []tuf.File{w.newTargets(func(md *tuf.Targets) { md.Signed.Delegations = nil })}
		}, "targets 2"},
		{"a signer's new key, with its file signed by it", func(w *world) []tuf.File {
			return []tuf.File{w.next("team", nil, dave), w.newTargets(func(md *tuf.Targets) {
				md.Signed.Delegations = nil
				delegate(md, "team", 1, tags, dave)
			})}
		}, "targets 2, team 2"},
		{"a signer of a signer, inside of both patterns", func(w *world) []tuf.File {
			return []tuf.File{w.next("team", func(md *tuf.Targets) { delegate(md, "dave", 1, tags, dave) }, carol), sign(w, "dave", tuf.NewTargets(1, now.Add(day)), dave)}
		}, "dave 1, team 2"},
		{"root by the same key", func(w *world) []tuf.File { return []tuf.File{w.nextRoot(nil)} }, "root 2"},
		{"root from alice to dave", func(w *world) []tuf.File {
			alice := w.root
			w.root = dave
			return []tuf.File{w.nextRoot(nil, alice, dave)}
		}, "root 2"},
		{"root with another targets key, and targets by it", func(w *world) []tuf.File {
			w.targets = dave
			return []tuf.File{w.newTargets(nil), w.nextRoot(nil)}
		}, "root 2, targets 2"},
		{"a stranger's signature beside", func(w *world) []tuf.File { return []tuf.File{w.newTargets(nil, w.targets, eve, carol)} }, "targets 2"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := team(t)
			files := c.files(w)
			next, changed, err := tuf.CheckPublish(repository, &w.state, files, tuf.PublishRules{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range changed {
				got = append(got, fmt.Sprint(f.Role, " ", f.Version))
			}
			if strings.Join(got, ", ") != c.changed {
				t.Fatalf("changed %v, want %s", got, c.changed)
			}
			if _, ok := next.Roles["team"]; !ok {
				t.Error("a signer's file is gone; its entry must stay in the snapshot (§5.5.5)")
			}
			// What was taken, a client with the old state takes too.
			old := w.clone(t).state
			w.state = *next
			w.online(2)
			var roots []tuf.File
			if next.Root.Version > old.Root.Version {
				roots = append(roots, next.Root)
			}
			if _, err := update(old.Root, roots, &old, &w.state, now); err != nil {
				t.Fatalf("the client: %v", err)
			}
			if _, err := tuf.CheckState(repository, &w.state, now, tuf.Limits{}); err != nil {
				t.Fatalf("the whole state: %v", err)
			}
			root, err := tuf.ReadRoot(next.Root.Bytes)
			w.must(err)
			if _, err := tuf.CheckTree(repository, root, next.Roles, tuf.Limits{}); err != nil {
				t.Fatalf("the signer: %v", err)
			}
			// The same again changes nothing.
			if _, changed, err := tuf.CheckPublish(repository, next, files, tuf.PublishRules{Now: now}); err != nil || changed != nil {
				t.Fatalf("the same again: %v, %v", changed, err)
			}
		})
	}
}

// What a client would refuse, the signer does not vouch for.
func TestCheckTreeRefuses(t *testing.T) {
	carol, eve := signer(t, "carol"), signer(t, "eve")
	for _, c := range []struct {
		claim  string
		attack func(w *world)
		want   tuf.Rule
	}{
		{"targets by a stranger", func(w *world) { w.state.Roles["targets"] = w.newTargets(nil, eve) }, tuf.RuleThreshold},
		{"a signer by a stranger", func(w *world) { w.state.Roles["team"] = w.next("team", nil, eve) }, tuf.RuleThreshold},
		{"no targets", func(w *world) { delete(w.state.Roles, "targets") }, tuf.RuleDelegation},
		{"a signer without a file", func(w *world) { delete(w.state.Roles, "team") }, tuf.RuleDelegation},
		{"a version that the file does not state", func(w *world) {
			f := w.state.Roles["team"]
			f.Version = 9
			w.state.Roles["team"] = f
		}, tuf.RuleVersion},
		{"a tag of another repository", func(w *world) {
			w.state.Roles["targets"] = w.newTargets(func(md *tuf.Targets) { w.must(tuf.SetTarget(md, repository+"2", "1", target("x"))) })
		}, tuf.RulePath},
		{"a signer outside of its patterns", func(w *world) {
			w.state.Roles["targets"] = w.newTargets(func(md *tuf.Targets) {
				md.Signed.Delegations = nil
				delegate(md, "team", 1, []string{repository + ":9", repository + ":9@sha256:*"}, carol)
			})
		}, tuf.RulePath},
		{"rubbish in the place of a signer's file that was removed", func(w *world) {
			w.state.Roles["gone"] = tuf.File{Role: "gone", Version: 1, Bytes: []byte("{}")}
		}, tuf.RuleShape},
		{"a file in the name of root", func(w *world) { w.state.Roles["root"] = w.state.Roles["team"] }, tuf.RuleName},
		{"a file whose name is a path", func(w *world) { w.state.Roles["../root"] = w.state.Roles["team"] }, tuf.RuleName},
		{"root of another repository", func(w *world) {
			w.state.Root = w.nextRoot(func(md *tuf.Root) { md.Signed.UnrecognizedFields[tuf.MemberRepository] = repository + "2" })
		}, tuf.RuleRepository},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := team(t)
			root, err := tuf.ReadRoot(w.state.Root.Bytes)
			w.must(err)
			tree, err := tuf.CheckTree(repository, root, w.state.Roles, tuf.Limits{})
			w.must(err)
			if len(tree) != 2 || tree["team"] == nil {
				t.Fatalf("the tree is %v", tree)
			}
			c.attack(w)
			root, err = tuf.ReadRoot(w.state.Root.Bytes)
			w.must(err)
			_, err = tuf.CheckTree(repository, root, w.state.Roles, tuf.Limits{})
			wantRule(t, err, c.want)
		})
	}
}

// CheckState is the last look before anything is served.
func TestCheckStateRefuses(t *testing.T) {
	for claim, c := range map[string]struct {
		attack func(w *world)
		want   error
	}{
		"a snapshot of older targets": {func(w *world) { w.state.Roles["targets"] = w.newTargets(nil) }, tuf.RuleHash},
		"a missing signer's file":     {func(w *world) { delete(w.state.Roles, "team") }, tuf.ErrNotFound},
		"a stranger's timestamp":      {func(w *world) { w.timestamp = signer(w, "eve"); w.online(2) }, tuf.RuleThreshold},
	} {
		t.Run(claim, func(t *testing.T) {
			w := team(t)
			c.attack(w)
			if _, err := tuf.CheckState(repository, &w.state, now, tuf.Limits{}); !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}
