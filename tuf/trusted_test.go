package tuf_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// §5.4-5.6: what a server may not do to a client that has seen version 2 of all.
func TestUpdateRefuses(t *testing.T) {
	base := newWorld(t)
	base.publish(2, "two")
	for _, c := range []struct {
		claim  string
		attack func(w *world)
		want   tuf.Rule
	}{
		// Arbitrary software.
		{"flipped byte in timestamp", func(w *world) { w.state.Timestamp = flip(w.state.Timestamp) }, tuf.RuleThreshold},
		{"flipped byte in snapshot", func(w *world) { w.online(3); w.state.Snapshot = flip(w.state.Snapshot) }, tuf.RuleHash},
		{"flipped byte in targets", func(w *world) { w.state.Roles["targets"] = flip(w.state.Roles["targets"]) }, tuf.RuleHash},
		{"timestamp by a stranger", func(w *world) { w.timestamp = signer(w, "eve"); w.online(3) }, tuf.RuleThreshold},
		{"snapshot by a stranger", func(w *world) { w.snapshot = signer(w, "eve"); w.online(3) }, tuf.RuleThreshold},
		{"targets by a stranger", func(w *world) { w.targets = signer(w, "eve"); w.publish(3, "evil") }, tuf.RuleThreshold},
		{"targets by the timestamp key", func(w *world) { w.targets = w.timestamp; w.publish(3, "evil") }, tuf.RuleThreshold},
		{"targets by the root key", func(w *world) { w.targets = w.root; w.publish(3, "evil") }, tuf.RuleThreshold},
		{"timestamp without a signature", func(w *world) {
			w.state.Timestamp = edited(w, w.state.Timestamp, func(object) {})
		}, tuf.RuleThreshold},

		// Rollback.
		{"older timestamp", func(w *world) { w.online(1) }, tuf.RuleRollback},
		{"newer timestamp of an older snapshot", func(w *world) {
			w.online(1)
			w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), w.state.Snapshot), w.timestamp)
		}, tuf.RuleRollback},
		{"newer snapshot of older targets", func(w *world) { w.publish(1, "one"); w.online(3) }, tuf.RuleRollback},
		{"snapshot without an entry that it had", func(w *world) {
			w.online(3)
			w.resnap(func(meta object) {
				delete(meta, "alice.json")
				meta["targets.json"].(object)["version"] = number("3")
			})
		}, tuf.RuleRollback},

		// Mix and match.
		{"newer targets than the snapshot says", func(w *world) {
			s := w.state
			w.publish(3, "three")
			w.state.Snapshot, w.state.Timestamp = s.Snapshot, s.Timestamp
		}, tuf.RuleHash},
		{"another snapshot of the same version", func(w *world) {
			timestamp := sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), sign(w, tuf.RoleSnapshot,
				tuf.NewSnapshot(3, now.Add(6*day), []tuf.File{w.state.Roles["targets"]}), w.snapshot)), w.timestamp)
			w.online(3)
			w.state.Timestamp = timestamp
		}, tuf.RuleHash},
		{"snapshot of another version than stated", func(w *world) {
			snapshot := w.state.Snapshot
			snapshot.Version = 3
			w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), snapshot), w.timestamp)
		}, tuf.RuleRollback},
		{"targets of another version than stated", func(w *world) {
			w.online(3)
			w.resnap(func(meta object) { meta["targets.json"].(object)["version"] = number("3") })
		}, tuf.RuleRollback},
		{"longer than stated", func(w *world) {
			w.resnap(func(meta object) {
				delete(meta["targets.json"].(object), "hashes")
				meta["targets.json"].(object)["length"] = number("5")
			})
		}, tuf.RuleHash},
		{"one of two hashes is another's", func(w *world) {
			w.resnap(func(meta object) {
				meta["targets.json"].(object)["hashes"].(object)["sha512"] = fmt.Sprintf("%x", sha512.Sum512(nil))
			})
		}, tuf.RuleHash},
		{"hash of an unknown algorithm only", func(w *world) {
			w.resnap(func(meta object) { meta["targets.json"].(object)["hashes"] = object{"sha3": "00"} })
		}, tuf.RuleHash},
		{"snapshot in place of timestamp", func(w *world) { w.state.Timestamp = w.state.Snapshot }, tuf.RuleShape},
		{"timestamp in place of snapshot", func(w *world) {
			w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), w.state.Timestamp), w.timestamp)
			w.state.Snapshot = w.state.Timestamp
		}, tuf.RuleShape},

		// Freeze.
		{"timestamp expires at this very second", func(w *world) {
			w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now, w.state.Snapshot), w.timestamp)
		}, tuf.RuleExpired},
		{"snapshot expires at this very second", func(w *world) {
			w.state.Snapshot = sign(w, tuf.RoleSnapshot, tuf.NewSnapshot(3, now, []tuf.File{w.state.Roles["targets"], w.state.Roles["alice"]}), w.snapshot)
			w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), w.state.Snapshot), w.timestamp)
		}, tuf.RuleExpired},
		{"targets expire at this very second", func(w *world) {
			w.state.Roles["targets"] = sign(w, tuf.RoleTargets, tuf.NewTargets(3, now), w.targets)
			w.online(3)
		}, tuf.RuleExpired},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := base.clone(t)
			w.state.Roles["alice"] = sign(t, "alice", tuf.NewTargets(1, now.Add(day)), signer(t, "alice"))
			w.online(2)
			kept := w.clone(t).state
			c.attack(w)
			trusted, err := update(w.state.Root, nil, &kept, &w.state, now)
			wantRule(t, err, c.want)
			if trusted.Role(tuf.RoleTargets) != nil || trusted.Verified(tuf.RoleTargets, tuf.RoleRoot) {
				t.Fatal("targets are trusted nevertheless")
			}
			if _, err := trusted.Search(tuf.TagPath(repository, "1.0"), func(string, string) error { return tuf.ErrNotFound }); !errors.Is(err, tuf.ErrNotFound) {
				t.Fatalf("a search on the refused update says %v", err)
			}
		})
	}
}

// resnap changes the snapshot's entries and signs snapshot and timestamp anew.
func (w *world) resnap(edit func(meta object)) {
	w.Helper()
	w.state.Snapshot = edited(w, w.state.Snapshot, func(signed object) {
		signed["version"] = number("3")
		edit(in(signed, "meta"))
	}, w.snapshot)
	w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(3, now.Add(day), w.state.Snapshot), w.timestamp)
}

// flip changes one signed digit and leaves the signature as it was.
func flip(file tuf.File) tuf.File {
	file.Bytes = bytes.Replace(file.Bytes, []byte(`"expires":"203`), []byte(`"expires":"204`), 1)
	return file
}

func TestUpdateGoesOn(t *testing.T) {
	w := newWorld(t)
	kept := w.clone(t).state
	w.publish(2, "two")
	trusted, err := update(w.state.Root, nil, &kept, &w.state, now)
	w.must(err)
	if v := trusted.Role(tuf.RoleTargets).Signed.Version; v != 2 {
		t.Fatalf("targets version %d", v)
	}
	// The second before the timestamp expires all is well.
	if _, err := update(w.state.Root, nil, &kept, &w.state, now.Add(day-time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = update(w.state.Root, nil, &kept, &w.state, now.Add(day))
	wantRule(t, err, tuf.RuleExpired)
	// What was verified in time is judged anew before it is used.
	w.must(trusted.CheckExpiry(now.Add(day - time.Second)))
	wantRule(t, trusted.CheckExpiry(now.Add(day)), tuf.RuleExpired)
}

// A step back of time never makes an old file good: the same second decides.
func TestExpiryTellsWhichRoleAndWhen(t *testing.T) {
	w := newWorld(t)
	for role, at := range map[string]time.Duration{"timestamp": day, "snapshot": 7 * day, "targets": 180 * day, "root": 365 * day} {
		trusted, err := w.first()
		w.must(err)
		expired, ok := errors.AsType[*tuf.ExpiredError](trusted.CheckExpiry(now.Add(at)))
		if !ok || expired.Version != 1 {
			t.Fatalf("%s: %v", role, expired)
		}
		if at == day && (expired.Role != "timestamp" || !expired.Expired.Equal(now.Add(day))) {
			t.Fatalf("got %+v", expired)
		}
	}
	_, err := update(w.state.Root, nil, nil, &w.state, now.Add(365*day))
	if e, ok := errors.AsType[*tuf.ExpiredError](err); !ok || e.Role != "root" { // §5.3.10 comes first
		t.Fatalf("got %v", err)
	}
}

// §5.4.3: a timestamp of the same version changes nothing, whatever it says.
func TestTimestampOfTheSameVersionChangesNothing(t *testing.T) {
	w := newWorld(t)
	trusted, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now, tuf.Limits{})
	w.must(err)
	w.must(trusted.UpdateTimestamp(w.state.Timestamp.Bytes))
	other := sign(t, tuf.RoleSnapshot, tuf.NewSnapshot(100, now.Add(day), []tuf.File{w.state.Roles["targets"]}), w.snapshot)
	again := sign(t, tuf.RoleTimestamp, tuf.NewTimestamp(1, now.Add(2*day), other), w.timestamp)
	w.must(trusted.UpdateTimestamp(again.Bytes))
	if trusted.SnapshotMeta().Version != 1 || !bytes.Equal(trusted.Bytes(tuf.RoleTimestamp), w.state.Timestamp.Bytes) {
		t.Fatal("the second timestamp of version 1 counts")
	}
	w.must(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))

	// Nor does it lend its expiry to the one that was there.
	late, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now.Add(day), tuf.Limits{})
	w.must(err)
	wantRule(t, late.UpdateTimestamp(w.state.Timestamp.Bytes), tuf.RuleExpired)
	wantRule(t, late.UpdateTimestamp(again.Bytes), tuf.RuleExpired)
	if err := late.UpdateSnapshot(w.state.Snapshot.Bytes, false); err == nil {
		t.Fatal("a snapshot was built upon an expired timestamp")
	}
}

// A cached snapshot of the right version that is not the one the timestamp names
// serves to compare, and no more.
func TestCachedSnapshotMustBeTheOneThatIsNamed(t *testing.T) {
	w := newWorld(t)
	other := sign(t, tuf.RoleSnapshot, tuf.NewSnapshot(1, now.Add(6*day), []tuf.File{w.state.Roles["targets"]}), w.snapshot)
	trusted, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now, tuf.Limits{})
	w.must(err)
	w.must(trusted.UpdateTimestamp(w.state.Timestamp.Bytes))
	wantRule(t, trusted.UpdateSnapshot(other.Bytes, true), tuf.RuleHash)
	if err := trusted.UpdateRole(w.state.Roles["targets"].Bytes, "targets", "root"); err == nil || tuf.IsRefusal(err) {
		t.Fatalf("targets under a snapshot that does not hold: %v", err)
	}
	w.must(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))
	w.must(trusted.UpdateRole(w.state.Roles["targets"].Bytes, "targets", "root"))
}

// Leaving the order of §5 is the caller's mistake, no verdict on the files.
func TestOrderOfTheUpdateIsKept(t *testing.T) {
	w := newWorld(t)
	trusted, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now, tuf.Limits{})
	w.must(err)
	mistake := func(err error) {
		t.Helper()
		if err == nil || tuf.IsRefusal(err) {
			t.Fatalf("got %v, want an error that is no refusal", err)
		}
	}
	targets := w.state.Roles["targets"].Bytes
	mistake(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))
	mistake(trusted.UpdateRole(targets, "targets", "root"))
	w.must(trusted.UpdateTimestamp(w.state.Timestamp.Bytes))
	mistake(trusted.UpdateRoot(w.state.Root.Bytes))
	mistake(trusted.UpdateRole(targets, "targets", "root"))
	w.must(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))
	mistake(trusted.UpdateTimestamp(w.state.Timestamp.Bytes))
	mistake(trusted.UpdateRole(targets, "alice", "targets"))
	mistake(trusted.UpdateRole(targets, "snapshot", "root"))
	mistake(trusted.UpdateRole(targets, "targets", "targets"))
	w.must(trusted.UpdateRole(targets, "targets", "root"))
	mistake(trusted.UpdateRole(targets, "alice", "targets"))
	mistake(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))
}

// §5.3.4: thresholds count people, not signatures and not names of keys.
func TestThreshold(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol, eve := signer(t, "alice"), signer(t, "bob"), signer(t, "carol"), signer(t, "eve")
	type files = func(t *testing.T, signed object) []byte
	by := func(signers ...tuf.Signer) files {
		return func(t *testing.T, signed object) []byte { return seal(t, signed, signers...) }
	}
	// renamed puts key IDs in place of those that seal wrote.
	renamed := func(ids []string, signers ...tuf.Signer) files {
		return func(t *testing.T, signed object) []byte {
			doc := parse(t, seal(t, signed, signers...))
			for i, id := range ids {
				doc["signatures"].([]any)[i].(object)["keyid"] = id
			}
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	id := func(s tuf.Signer) string { return s.Key().ID() }
	list := func(ids ...string) object {
		keys := []any{}
		for _, id := range ids {
			keys = append(keys, id)
		}
		return object{"keyids": keys, "threshold": number("2")}
	}
	keyOf := func(s tuf.Signer) object {
		data, err := s.Key().MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, data)
	}
	with := func(o object, name string, value any) object { o[name] = value; return o }

	for _, c := range []struct {
		claim string
		keys  object // besides alice, bob and carol
		role  object
		sign  files
		want  tuf.Rule
	}{
		{"both keys", nil, list(id(alice), id(bob)), by(alice, bob), ""},
		{"two of three", nil, list(id(alice), id(bob), id(carol)), by(carol, alice), ""},
		{"strangers do no harm", nil, list(id(alice), id(bob)), by(eve, alice, bob), ""},
		{"broken signature beside does no harm", nil, list(id(alice), id(bob), id(carol)), renamed([]string{id(alice), id(bob), id(carol)}, alice, bob, eve), ""},
		{"one key", nil, list(id(alice), id(bob)), by(alice), tuf.RuleThreshold},
		{"no key", nil, list(id(alice), id(bob)), by(), tuf.RuleThreshold},
		{"one key and a stranger", nil, list(id(alice), id(bob)), by(alice, eve), tuf.RuleThreshold},
		{"stranger under bob's name", nil, list(id(alice), id(bob)), renamed([]string{id(alice), id(bob)}, alice, eve), tuf.RuleThreshold},
		{"key listed in root, but not for the role", nil, list(id(alice), id(bob)), by(alice, carol), tuf.RuleThreshold},
		{"one signature twice", nil, list(id(alice), id(bob)), by(alice, alice), tuf.RuleShape},
		{"one signature under two names", nil, list(id(alice), id(bob)), renamed([]string{id(alice), id(bob)}, alice, alice), tuf.RuleThreshold},
		{"one key under two IDs", object{"second": keyOf(alice)}, list(id(alice), "second"), renamed([]string{id(alice), "second"}, alice, alice), tuf.RuleThreshold},
		{"one key under two IDs, written differently", object{"second": with(keyOf(alice), "x", "y")}, list(id(alice), "second"),
			renamed([]string{id(alice), "second"}, alice, alice), tuf.RuleThreshold},
		{"one key in small and capital digits", object{"second": with(keyOf(alice), "keyval", object{"public": upper(keyOf(alice))})}, list(id(alice), "second"),
			renamed([]string{id(alice), "second"}, alice, alice), tuf.RuleThreshold},
		{"one ID listed twice", nil, list(id(alice), id(alice)), by(alice, alice), tuf.RuleShape},
		{"more than there are keys", nil, list(id(alice)), by(alice), tuf.RuleThreshold},
		{"no keys at all", nil, list(), by(alice, bob), tuf.RuleThreshold},
		{"IDs without keys", nil, list("nobody", "no one"), by(alice, bob), tuf.RuleThreshold},
		// §4.2: keys that this client cannot use neither count nor do harm.
		{"unusable key beside enough others", object{"odd": object{"keytype": "sphinx", "scheme": "sphinx", "keyval": object{"public": "x"}}},
			list("odd", id(alice), id(bob)), by(alice, bob), ""},
		{"key of one byte beside enough others", object{"odd": object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": "00"}}},
			list("odd", id(alice), id(bob)), by(alice, bob), ""},
		{"broken PEM beside enough others", object{"odd": object{"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": object{"public": "-----BEGIN"}}},
			list("odd", id(alice), id(bob)), by(alice, bob), ""},
		{"missing key beside enough others", nil, list("nobody", id(alice), id(bob)), by(alice, bob), ""},
		{"unusable key does not lower the threshold", object{"odd": object{"keytype": "sphinx", "scheme": "sphinx", "keyval": object{"public": "x"}}},
			list("odd", id(alice)), by(alice), tuf.RuleThreshold},
		{"signature in the name of an unusable key", object{"odd": object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": "00"}}},
			list("odd", id(alice)), renamed([]string{"odd", id(alice)}, eve, alice), tuf.RuleThreshold},
	} {
		t.Run(c.claim, func(t *testing.T) {
			// Root's own role is spared; timestamp is put to the test.
			root := edited(t, w.state.Root, func(signed object) {
				keys := in(signed, "keys")
				for _, s := range []tuf.Signer{alice, bob, carol} {
					keys[id(s)] = keyOf(s)
				}
				for name, key := range c.keys {
					keys[name] = key
				}
				in(signed, "roles")[tuf.RoleTimestamp] = c.role
			}, w.root)
			timestamp := c.sign(t, in(parse(t, w.state.Timestamp.Bytes), "signed"))
			check := func(trusted *tuf.Trusted, err error) {
				t.Helper()
				if err == nil {
					err = trusted.UpdateTimestamp(timestamp)
				}
				if c.want == "" {
					w.must(err)
				} else {
					wantRule(t, err, c.want)
				}
			}
			check(tuf.NewTrusted(repository, root.Bytes, now, tuf.Limits{}))
			// The same when that root comes as the next one of a chain.
			trusted, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now, tuf.Limits{})
			w.must(err)
			next := edited(t, root, func(signed object) { signed["version"] = number("2") }, w.root)
			check(trusted, trusted.UpdateRoot(next.Bytes))
		})
	}
}

func upper(key object) string {
	raw, _ := hex.DecodeString(in(key, "keyval")["public"].(string))
	return fmt.Sprintf("%X", raw)
}

// §5.3: the chain of roots.
func TestRootChain(t *testing.T) {
	w := newWorld(t)
	alice, bob, eve := signer(t, "alice"), signer(t, "bob"), signer(t, "eve")
	root := func(version int64, own []tuf.Signer, threshold int, by ...tuf.Signer) tuf.File {
		spec := tuf.RootSpec{Repository: repository, Version: version, Expires: now.Add(365 * day),
			Root: tuf.RoleKeys{Keys: keys(own...), Threshold: threshold}, Targets: tuf.RoleKeys{Keys: keys(w.targets)},
			Snapshot: tuf.RoleKeys{Keys: keys(w.snapshot)}, Timestamp: tuf.RoleKeys{Keys: keys(w.timestamp)}}
		md, err := tuf.NewRoot(spec)
		w.must(err)
		return sign(t, tuf.RoleRoot, md, by...)
	}
	all := func(s ...tuf.Signer) []tuf.Signer { return s }
	for _, c := range []struct {
		claim string
		start tuf.File
		roots []tuf.File
		want  tuf.Rule
	}{
		{"same keys", w.state.Root, []tuf.File{root(2, all(alice), 1, alice)}, ""},
		{"from alice to bob", w.state.Root, []tuf.File{root(2, all(bob), 1, alice, bob), root(3, all(bob), 1, bob)}, ""},
		{"threshold raised to two", w.state.Root, []tuf.File{root(2, all(alice, bob), 2, alice, bob)}, ""},
		{"an expired step in the middle", w.state.Root, []tuf.File{
			edited(t, root(2, all(alice), 1, alice), func(s object) { s["expires"] = "2001-01-01T00:00:00Z" }, alice), root(3, all(alice), 1, alice)}, ""},
		{"not by the old key", w.state.Root, []tuf.File{root(2, all(bob), 1, bob)}, tuf.RuleThreshold},
		{"not by the new key", w.state.Root, []tuf.File{root(2, all(bob), 1, alice)}, tuf.RuleThreshold},
		{"new threshold not met by the new keys", w.state.Root, []tuf.File{root(2, all(alice, bob), 2, alice)}, tuf.RuleThreshold},
		{"old threshold not met by the old keys", root(1, all(alice, bob), 2, alice, bob), []tuf.File{root(2, all(alice), 1, alice)}, tuf.RuleThreshold},
		{"by a key that was taken out before", w.state.Root, []tuf.File{root(2, all(bob), 1, alice, bob), root(3, all(alice), 1, alice)}, tuf.RuleThreshold},
		{"a gap", w.state.Root, []tuf.File{root(3, all(alice), 1, alice)}, tuf.RuleRootChain},
		{"the same version again", w.state.Root, []tuf.File{root(1, all(alice, bob), 1, alice)}, tuf.RuleRootChain},
		{"a step back", root(5, all(alice), 1, alice), []tuf.File{root(4, all(alice), 1, alice)}, tuf.RuleRootChain},
		{"the largest version", root(math.MaxInt64, all(alice), 1, alice), []tuf.File{root(1, all(alice), 1, alice)}, tuf.RuleRootChain},
		{"start not signed by itself", root(1, all(alice), 1, eve), nil, tuf.RuleThreshold},
		{"start below its own threshold", root(1, all(alice, bob), 2, alice), nil, tuf.RuleThreshold},
		{"another role's file", w.state.Root, []tuf.File{w.state.Roles["targets"]}, tuf.RuleShape},
	} {
		t.Run(c.claim, func(t *testing.T) {
			trusted, err := update(c.start, c.roots, nil, &w.state, now)
			if c.want == "" {
				w.must(err)
				return
			}
			wantRule(t, err, c.want)
			if trusted != nil && len(c.roots) > 0 {
				if last := c.roots[len(c.roots)-1]; bytes.Equal(trusted.Bytes(tuf.RoleRoot), last.Bytes) {
					t.Fatal("the refused root is trusted")
				}
			}
		})
	}
	// §5.3.10: the last root must not have expired, and at its second it has.
	old := edited(t, root(2, all(alice), 1, alice), func(s object) { s["expires"] = now.Format(time.RFC3339) }, alice)
	trusted, err := update(w.state.Root, []tuf.File{old}, nil, &w.state, now)
	wantRule(t, err, tuf.RuleExpired)
	if trusted.Root().Signed.Version != 2 {
		t.Fatal("an expired root must still be remembered")
	}
}

// Fast-forward: stolen online keys push versions to the end; new keys in root
// bring the same client back.
func TestFastForwardRecovery(t *testing.T) {
	w := newWorld(t)
	stolen := w.clone(t)
	stolen.state.Snapshot = sign(t, tuf.RoleSnapshot, tuf.NewSnapshot(math.MaxInt64, now.Add(day), []tuf.File{{Role: "targets", Version: math.MaxInt64}}), w.snapshot)
	stolen.state.Timestamp = sign(t, tuf.RoleTimestamp, tuf.NewTimestamp(math.MaxInt64, now.Add(day), stolen.state.Snapshot), w.timestamp)
	if _, err := update(w.state.Root, nil, nil, &stolen.state, now); err == nil {
		t.Fatal("targets of a version that nobody signed")
	}
	w.publish(2, "two")
	_, err := update(w.state.Root, nil, &stolen.state, &w.state, now)
	wantRule(t, err, tuf.RuleRollback)

	w.snapshot, w.timestamp = signer(t, "new snapshot"), signer(t, "new timestamp")
	second := sign(t, tuf.RoleRoot, w.newRoot(2), w.root)
	w.online(3)
	if _, err := update(w.state.Root, []tuf.File{second}, &stolen.state, &w.state, now); err != nil {
		t.Fatal(err)
	}
}

// Files of other tools: other keys, two hashes, spaces, their own members.
func TestRepositoriesOfOtherToolsVerify(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec256, _ := tuf.NewSigner(ec)
	ec384, _ := tuf.NewSigner(p384)
	for name, s := range map[string]tuf.Signer{"RSA-PSS": rsaSigner(t, rsaKey), "ECDSA P-256": ec256, "ECDSA P-384": ec384, "Ed25519": signer(t, "dave")} {
		t.Run(name, func(t *testing.T) {
			id := s.Key().ID()
			raw, err := s.Key().MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			role := func() object { return object{"keyids": []any{id}, "threshold": number("1"), "x-note": "own"} }
			head := func(kind string) object {
				return object{"_type": kind, "spec_version": "1.0.31", "version": number("7"), "expires": "2031-01-01T00:00:00Z", "x-tool": object{"Name": nil, "n": number("42")}}
			}
			meta := func(data []byte) object {
				s256, s512 := sha256.Sum256(data), sha512.Sum512(data)
				return object{"version": number("7"), "length": number(fmt.Sprint(len(data))), "hashes": object{"sha256": fmt.Sprintf("%x", s256), "sha512": fmt.Sprintf("%x", s512)}}
			}
			root := head("root")
			root["consistent_snapshot"] = false
			root["keys"] = object{id: parse(t, raw)}
			root["roles"] = object{"root": role(), "targets": role(), "snapshot": role(), "timestamp": role()}
			targets := head("targets")
			targets["targets"] = object{"dir/<file> é": object{"length": number("3"), "hashes": object{"sha512": fmt.Sprintf("%x", sha512.Sum512([]byte("abc")))}, "custom": object{"Version": nil}}}
			targetsFile := seal(t, targets, s)
			snapshot := head("snapshot")
			snapshot["meta"] = object{"targets.json": meta(targetsFile)}
			snapshotFile := seal(t, snapshot, s)
			timestamp := head("timestamp")
			timestamp["meta"] = object{"snapshot.json": meta(snapshotFile)}
			state := tuf.State{Root: tuf.File{Bytes: seal(t, root, s)}, Timestamp: tuf.File{Bytes: seal(t, timestamp, s)}, Snapshot: tuf.File{Bytes: snapshotFile},
				Roles: map[string]tuf.File{"targets": {Bytes: targetsFile}}}
			trusted, err := tuf.CheckState("", &state, now, tuf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			match, err := trusted.Search("dir/<file> é", nil)
			if err != nil || match.Target.Length != 3 || match.Target.Digest != "" {
				t.Fatalf("%+v, %v", match, err)
			}
		})
	}
}

// rsaSign signs as other TUF tools do; Signet itself makes no RSA signatures.
type rsaSign struct {
	key     *tuf.Key
	private *rsa.PrivateKey
}

func rsaSigner(t *testing.T, private *rsa.PrivateKey) tuf.Signer {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	raw, err := json.Marshal(object{"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": object{"public": string(public)}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.ReadKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &rsaSign{key, private}
}

func (s *rsaSign) Key() *tuf.Key { return s.key }

func (s *rsaSign) Sign(_ context.Context, msg []byte) ([]byte, error) {
	sum := sha256.Sum256(msg)
	return rsa.SignPSS(rand.Reader, s.private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}

func TestMetaMatches(t *testing.T) {
	data := []byte("abc")
	s256, s512 := sha256.Sum256(data), sha512.Sum512(data)
	for _, c := range []struct {
		claim string
		meta  tuf.Meta
		want  bool
	}{
		{"sha256 alone", tuf.Meta{Hashes: map[string][]byte{"sha256": s256[:]}}, true},
		{"sha512 alone", tuf.Meta{Hashes: map[string][]byte{"sha512": s512[:]}}, true},
		{"both and the length", tuf.Meta{Length: 3, Hashes: map[string][]byte{"sha256": s256[:], "sha512": s512[:]}}, true},
		{"another length", tuf.Meta{Length: 4, Hashes: map[string][]byte{"sha256": s256[:]}}, false},
		{"one hash wrong", tuf.Meta{Hashes: map[string][]byte{"sha256": s256[:], "sha512": s256[:]}}, false},
		{"the length alone proves nothing", tuf.Meta{Length: 3}, false},
		{"nothing proves nothing", tuf.Meta{}, false},
		{"hash cut short", tuf.Meta{Hashes: map[string][]byte{"sha256": s256[:8]}}, false},
		{"unknown algorithm", tuf.Meta{Hashes: map[string][]byte{"md4": s256[:]}}, false},
	} {
		if got := c.meta.Matches(data); got != c.want {
			t.Errorf("%s: %v", c.claim, got)
		}
	}
}
