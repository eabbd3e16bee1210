package client

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// contents returns every file of the state folder but the marks, by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestArbitrarySoftware serves what the right keys did not sign.
func TestArbitrarySoftware(t *testing.T) {
	flip := func(b *bench, name string) {
		data, _ := b.repo.file(name)
		files := b.repo.served()
		// A byte in the middle of the file, which is inside of what is signed.
		i := bytes.Index(data, []byte(`"expires":"20`)) + len(`"expires":"20`)
		files[name] = bytes.Clone(data)
		files[name][i] ^= 1
		b.repo.serve(files)
	}
	for _, test := range []struct {
		name   string
		attack func(b *bench)
		rule   tuf.Rule
	}{
		{"a flipped byte in timestamp", func(b *bench) { b.repo.sign("1.0", digestOf("new")); flip(b, "timestamp.json") }, tuf.RuleThreshold},
		{"a flipped byte in snapshot", func(b *bench) { b.repo.sign("1.0", digestOf("new")); flip(b, "3.snapshot.json") }, tuf.RuleHash},
		{"a flipped byte in targets", func(b *bench) { b.repo.sign("1.0", digestOf("new")); flip(b, "3.targets.json") }, tuf.RuleHash},
		{"a flipped byte in the next root", func(b *bench) { b.repo.nextRoot(nil); flip(b, "2.root.json") }, tuf.RuleThreshold},
		{"targets by a foreign key", func(b *bench) {
			b.repo.targetsKeys = []tuf.Signer{newKey(b.t)}
			b.repo.sign("1.0", digestOf("evil"))
		}, tuf.RuleThreshold},
		{"a timestamp by a foreign key", func(b *bench) {
			b.repo.timestampKeys = []tuf.Signer{newKey(b.t)}
			b.repo.sign("1.0", digestOf("evil"))
		}, tuf.RuleThreshold},
		{"a snapshot by a foreign key", func(b *bench) {
			b.repo.snapshotKeys = []tuf.Signer{newKey(b.t)}
			b.repo.sign("1.0", digestOf("evil"))
		}, tuf.RuleThreshold},
		{"a root by a foreign key", func(b *bench) {
			eve := newKey(b.t)
			b.repo.nextRoot(func(root *tuf.Root) {
				b.repo.must(tuf.SetRoleKeys(root, tuf.RoleRoot, tuf.RoleKeys{Keys: publicKeys(eve)}))
			}, eve)
		}, tuf.RuleThreshold},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.trusts("1.0", "one")
			before := contents(t, b.config.StateDir)
			honest := b.repo.served()
			test.attack(b)
			b.refuses("1.0", test.rule)
			for path, was := range before {
				role := filepath.Base(path)
				if is := contents(t, b.config.StateDir)[path]; is != was && (role == "root.json" || role == "targets.json") {
					t.Errorf("%s changed", role)
				}
			}
			// Without state, it is no better.
			b.config.StateDir = t.TempDir()
			b.refuses("1.0", test.rule)
			b.repo.serve(honest)
			b.config.StateDir = t.TempDir()
			b.trusts("1.0", "one")
		})
	}
}

// TestThresholds counts signatures by distinct keys, each once.
func TestThresholds(t *testing.T) {
	b := newBench(t)
	alice, bob, eve := newKey(t), newKey(t), newKey(t)
	both := []tuf.Signer{alice, bob}
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleTargets, tuf.RoleKeys{Keys: publicKeys(both...), Threshold: 2}))
	})
	b.repo.targetsKeys = both
	b.repo.sign("1.0", digestOf("both"))
	b.trusts("1.0", "both")
	next := func(sign func(md *tuf.Targets)) {
		t.Helper()
		targets, err := tuf.ReadTargets(b.repo.roles["targets"].Bytes)
		b.repo.must(err)
		targets.Signed.Version++
		targets.Signatures = nil
		b.repo.must(tuf.SetTarget(targets, appName, "1.0", target(digestOf("evil"))))
		sign(targets)
		data, err := tuf.Encode(targets)
		b.repo.must(err)
		file := tuf.File{Role: "targets", Version: targets.Signed.Version, Bytes: data}
		kept := b.repo.roles["targets"]
		b.repo.roles["targets"] = file
		b.repo.mu.Lock()
		b.repo.files[file.Name()] = data
		b.repo.mu.Unlock()
		b.repo.release()
		b.repo.roles["targets"] = kept
	}
	sign := func(md *tuf.Targets, signers ...tuf.Signer) { b.repo.must(tuf.Sign(t.Context(), md, signers...)) }
	for name, attack := range map[string]func(md *tuf.Targets){
		"threshold less one":          func(md *tuf.Targets) { sign(md, alice) },
		"one signature and a foreign": func(md *tuf.Targets) { sign(md, alice, eve) },
		"one signature twice": func(md *tuf.Targets) {
			sign(md, alice)
			md.Signatures = append(md.Signatures, md.Signatures[0])
		},
		"one signature under two names": func(md *tuf.Targets) {
			sign(md, alice)
			md.Signatures = append(md.Signatures, metadata.Signature{KeyID: bob.Key().ID(), Signature: md.Signatures[0].Signature})
		},
	} {
		next(attack)
		d, err := b.verify("1.0")
		if !tuf.IsRefusal(err) || d.Trusted {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestRollback serves what was right once.
func TestRollback(t *testing.T) {
	for _, test := range []struct {
		name   string
		attack func(b *bench, old map[string][]byte)
		rule   tuf.Rule
	}{
		{"everything of yesterday", func(b *bench, old map[string][]byte) { b.repo.serve(old) }, tuf.RuleRollback},
		{"an older snapshot under a new timestamp", func(b *bench, old map[string][]byte) {
			b.repo.snapshot = tuf.File{Role: "snapshot", Version: 2, Bytes: old["2.snapshot.json"]}
			b.repo.stamp(9)
		}, tuf.RuleRollback},
		{"older targets under a new snapshot", func(b *bench, old map[string][]byte) {
			b.repo.roles["targets"] = tuf.File{Role: "targets", Version: 2, Bytes: old["2.targets.json"]}
			b.repo.release()
		}, tuf.RuleRollback},
		{"an older signer under a new snapshot", func(b *bench, old map[string][]byte) {
			b.repo.roles["ci"] = tuf.File{Role: "ci", Version: 1, Bytes: old["1.ci.json"]}
			b.repo.release()
		}, tuf.RuleRollback},
		{"a snapshot entry removed", func(b *bench, _ map[string][]byte) {
			delete(b.repo.roles, "ci")
			b.repo.release()
		}, tuf.RuleRollback},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			ci := newKey(t)
			b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: "ci", keys: []tuf.Signer{ci}, paths: []string{appName + ":ci-*"}})
			old := b.repo.served()
			b.repo.sign("1.0", digestOf("new"))
			b.repo.edit("ci", func(md *tuf.Targets) { b.repo.must(tuf.SetTarget(md, appName, "ci-1", target(digestOf("ci")))) }, ci)
			b.trusts("1.0", "new")
			b.trusts("ci-1", "ci")
			state := contents(t, b.config.StateDir)
			test.attack(b, old)
			b.refuses("1.0", test.rule)
			b.refuses("ci-1", test.rule)
			for path, was := range state {
				if name := filepath.Base(path); contents(t, b.config.StateDir)[path] != was && name != "timestamp.json" {
					t.Errorf("%s stepped back", name)
				}
			}
		})
	}
}

// TestHiddenRoot serves an old root to somebody who has seen a newer one. The
// newer one had taken a stolen key away.
func TestHiddenRoot(t *testing.T) {
	b := newBench(t)
	stolen := b.repo.targetsKeys
	yesterday := b.repo.served()
	fresh := newKey(t)
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleTargets, tuf.RoleKeys{Keys: publicKeys(fresh)}))
	})
	b.repo.targetsKeys = []tuf.Signer{fresh}
	b.repo.sign("1.0", digestOf("new"))
	b.trusts("1.0", "new")
	// The thief signs with the stolen key, and the server hides root 2.
	b.repo.serve(yesterday)
	b.repo.targetsKeys = stolen
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		md.Signed.Version = 9
		b.repo.must(tuf.SetTarget(md, appName, "1.0", target(digestOf("evil"))))
	})
	files := b.repo.served()
	delete(files, "2.root.json")
	b.repo.serve(files)
	b.refuses("1.0", tuf.RuleThreshold)
}

// TestFastForward has the online keys stolen and the versions set to the largest.
// New online keys in root let the same client go on.
func TestFastForward(t *testing.T) {
	for _, test := range []struct {
		name  string
		roles []string
	}{
		{"both keys replaced", []string{tuf.RoleSnapshot, tuf.RoleTimestamp}},
		{"the timestamp key replaced", []string{tuf.RoleTimestamp}},
		{"the snapshot key replaced", []string{tuf.RoleSnapshot}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.trusts("1.0", "one")
			b.repo.releaseAt(math.MaxInt64, math.MaxInt64)
			b.trusts("1.0", "one")
			b.repo.releaseAt(3, 4)
			b.refuses("1.0", tuf.RuleRollback)
			b.repo.nextRoot(func(root *tuf.Root) {
				for _, role := range test.roles {
					key := newKey(t)
					b.repo.must(tuf.SetRoleKeys(root, role, tuf.RoleKeys{Keys: publicKeys(key)}))
					if role == tuf.RoleSnapshot {
						b.repo.snapshotKeys = []tuf.Signer{key}
					} else {
						b.repo.timestampKeys = []tuf.Signer{key}
					}
				}
			})
			b.repo.releaseAt(4, 5)
			b.trusts("1.0", "one")
		})
	}
}

// TestFreeze lets time pass each expiry while the server shows nothing new, also
// when it says so with 304.
func TestFreeze(t *testing.T) {
	for _, test := range []struct {
		role  string
		after time.Duration
		keep  func(b *bench) // what stays fresh
	}{
		{"timestamp", day, func(*bench) {}},
		{"snapshot", 7 * day, func(b *bench) { b.repo.stamp(b.repo.timestamp.Version + 1) }},
		{"targets", 180 * day, func(b *bench) { b.repo.release() }},
		{"root", 365 * day, func(b *bench) {
			b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Expires = b.clock.Now().Add(day) })
		}},
	} {
		t.Run(test.role, func(t *testing.T) {
			b := newBench(t)
			b.trusts("1.0", "one")
			b.clock.Add(test.after - time.Second)
			test.keep(b)
			b.trusts("1.0", "one") // one second before
			b.clock.Add(time.Second)
			for range 2 { // 304 follows 200
				_, err := b.verify("1.0")
				expired, ok := errors.AsType[*tuf.ExpiredError](err)
				if !ok || expired.Role != test.role {
					t.Errorf("got %v, expected %s to have expired", err, test.role)
				}
				_, err = b.client().Verify(t.Context(), b.image(appName+":1.0"), Options{Offline: true})
				if expired, ok := errors.AsType[*tuf.ExpiredError](err); !ok || expired.Role != test.role {
					t.Errorf("offline: got %v, expected %s to have expired", err, test.role)
				}
			}
		})
	}
}

// TestExpiryWhileFetching has an answer take so long that what was fresh at its
// beginning has expired at its end.
func TestExpiryWhileFetching(t *testing.T) {
	b := newBench(t)
	b.server.setIntercept(func(w responseWriter, r *request) bool {
		if strings.HasSuffix(r.URL.Path, "targets.json") {
			b.clock.Add(2 * day)
		}
		return false
	})
	b.refuses("1.0", tuf.RuleExpired)
}

// TestMixAndMatch combines files that were never released together.
func TestMixAndMatch(t *testing.T) {
	b := newBench(t)
	old := b.repo.served()
	b.repo.sign("1.0", digestOf("new"))
	now := b.repo.served()
	mixed := maps.Clone(now)
	mixed["3.targets.json"] = old["2.targets.json"]
	b.repo.serve(mixed)
	b.refuses("1.0", tuf.RuleHash)
	mixed = maps.Clone(now)
	mixed["3.snapshot.json"] = old["2.snapshot.json"]
	b.repo.serve(mixed)
	b.config.StateDir = t.TempDir()
	b.refuses("1.0", tuf.RuleHash)
}

// TestOtherRepository answers for one repository with another's metadata, which
// the very same keys have signed.
func TestOtherRepository(t *testing.T) {
	b := newBench(t)
	other := newRepo(t, "registry.example.com/team/other", b.clock)
	other.rootKeys, other.targetsKeys = b.repo.rootKeys, b.repo.targetsKeys
	other.snapshotKeys, other.timestampKeys = b.repo.snapshotKeys, b.repo.timestampKeys
	other.start()
	// The other publisher puts a path of ours into the other repository.
	other.edit(tuf.RoleTargets, func(md *tuf.Targets) { other.must(tuf.SetTarget(md, appName, "1.0", target(digestOf("evil")))) })
	other.nextRoot(nil)
	b.repo.mu.Lock()
	ours := maps.Clone(b.repo.files)
	b.repo.mu.Unlock()
	b.repo.serve(other.served())
	b.refuses("1.0", tuf.RuleRepository)
	// Nor does the other's second root follow our first one.
	b.repo.serve(ours)
	b.trusts("1.0", "one")
	b.repo.serve(other.served())
	b.refuses("1.0", tuf.RuleRepository)
	b.repo.serve(ours)
	b.trusts("1.0", "one")
}

// TestRootWithoutName takes a root that names no repository only under an anchor
// for this very name that pins the file.
func TestRootWithoutName(t *testing.T) {
	b := newBench(t)
	bare := newRepo(t, appName, b.clock)
	root, err := tuf.NewRoot(tuf.RootSpec{Repository: appName, Version: 1, Expires: b.clock.Now().Add(day),
		Root: tuf.RoleKeys{Keys: publicKeys(bare.rootKeys...)}, Targets: tuf.RoleKeys{Keys: publicKeys(bare.targetsKeys...)},
		Snapshot: tuf.RoleKeys{Keys: publicKeys(bare.snapshotKeys...)}, Timestamp: tuf.RoleKeys{Keys: publicKeys(bare.timestampKeys...)}})
	bare.must(err)
	root.Signed.UnrecognizedFields = nil
	bare.putRoot(root, bare.rootKeys...)
	bare.putTargets(tuf.RoleTargets, tuf.NewTargets(1, b.clock.Now().Add(day)), bare.targetsKeys...)
	bare.sign("1.0", digestOf("bare"))
	b.repo.serve(bare.served())
	b.anchor.RootKeys = []string{bare.rootKeys[0].Key().ID()}
	b.refuses("1.0", tuf.RuleRepository)
	b.anchor.Pattern = appName
	b.refuses("1.0", tuf.RuleRepository)
	b.anchor.RootKeys, b.anchor.RootSHA256 = nil, bare.rootFile.SHA256()
	b.trusts("1.0", "bare")
	b.config.StateDir = t.TempDir()
	b.anchor.Pattern = "registry.example.com/team/*"
	b.refuses("1.0", tuf.RuleRepository)
}
