package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestRefreshAsksForEachFileOnce(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	c.asked() // init asks for nothing
	c.want(0, c.refresh())
	c.asked("root 2", "timestamp", "snapshot 1", "targets 1")
	c.want(0, c.refresh())
	c.asked("root 2", "timestamp")
}

func TestRefreshKeepsTheBytesThatWereServed(t *testing.T) {
	sim := newSimulator(t)
	odd := append(sim.newest("timestamp"), " \n\t"...)
	sim.drop("timestamp")
	sim.append("timestamp", odd)
	c := newClient(t, sim)
	c.want(0, c.refresh())
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		if !bytes.Equal(c.file(role), sim.newest(role)) {
			t.Errorf("%s is kept in another form", role)
		}
	}
}

func TestDownloadRefreshesFirst(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	c.want(1, c.download("nonexistent artifact"))
	c.asked("root 2", "timestamp", "snapshot 1", "targets 1")
	c.trusts("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestInvalidInitialRootStopsEverything(t *testing.T) {
	for claim, damage := range map[string]func(doc object){
		"no version":         func(doc object) { delete(in(doc, "signed"), "version") },
		"another signature":  func(doc object) { doc["signatures"].([]any)[0].(object)["sig"] = strings.Repeat("ab", 64) },
		"an empty signature": func(doc object) { doc["signatures"].([]any)[0].(object)["sig"] = "" },
		"no signature":       func(doc object) { doc["signatures"] = []any{} },
		"a targets file":     func(doc object) { in(doc, "signed")["_type"] = "targets" },
	} {
		t.Run(claim, func(t *testing.T) {
			sim := newSimulator(t)
			var doc object
			if err := json.Unmarshal(sim.newest("root"), &doc); err != nil {
				t.Fatal(err)
			}
			damage(doc)
			c := emptyClient(t, sim)
			c.want(1, c.init(sim.encode(doc)))
			c.want(1, c.refresh())
			c.asked()
			c.trusts("")
		})
	}
}

func TestUnsignedRoleEndsTheRefreshThere(t *testing.T) {
	for role, trusts := range map[string]string{
		"root":      "root 1",
		"timestamp": "root 2",
		"snapshot":  "root 2, timestamp 2",
		"targets":   "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			sim := newSimulator(t)
			sim.signers[role] = nil
			sim.publish("root", "targets", "snapshot", "timestamp")
			c := newClient(t, sim)
			c.want(1, c.refresh())
			c.trusts(trusts)
		})
	}
}

func TestVersionMustBeTheOneThatWasAskedFor(t *testing.T) {
	for role, trusts := range map[string]string{
		"root":     "root 1",
		"snapshot": "root 2, timestamp 2",
		"targets":  "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			sim := newSimulator(t)
			sim.md[role]["version"] = 2 // published as 2.role.json, the file says 3
			sim.publish("root", "targets", "snapshot", "timestamp")
			switch role {
			case "snapshot":
				in(sim.md["timestamp"], "meta", "snapshot.json")["version"] = 2
			case "targets":
				in(sim.md["snapshot"], "meta", "targets.json")["version"] = 2
			}
			for _, r := range []string{"snapshot", "timestamp"} { // sign what was just changed, in place
				if r != role {
					sim.drop(r)
					sim.append(r, sim.file(r))
				}
			}
			c := newClient(t, sim)
			c.want(1, c.refresh())
			c.trusts(trusts)
		})
	}
}

func TestTimestampOfTheSameVersionIsNotTaken(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	c.want(0, c.refresh())
	kept := c.file("timestamp")
	in(sim.md["timestamp"], "meta", "snapshot.json")["version"] = 100
	sim.drop("timestamp")
	sim.append("timestamp", sim.file("timestamp"))
	sim.asked()
	c.want(0, c.refresh())
	c.askedLast("timestamp")
	if !bytes.Equal(kept, c.file("timestamp")) {
		t.Error("the second timestamp of version 1 is kept")
	}
}

func TestHashesOfMetadataAreChecked(t *testing.T) {
	sim := newSimulator(t)
	sim.hashes = true
	sim.publish("targets", "snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	sim.publish("targets")
	in(sim.md["snapshot"], "meta", "targets.json", "hashes")["sha256"] = strings.Repeat("46", 32)
	sim.publish("snapshot", "timestamp")
	c.want(1, c.refresh())
	c.trusts("root 1, snapshot 3, targets 2, timestamp 3")
}

func TestTargetsThatTheSnapshotDoesNotNameAreNotFetched(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	c.want(0, c.refresh())
	sim.publish("targets")
	c.want(0, c.refresh())
	c.askedLast("timestamp")
	c.trusts("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestUnknownMembersAreSignedToo(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	c.want(0, c.refresh())
	plain := newEd25519(t)
	plain.key["extra-field"] = object{"a": 1, "b": []any{nil, object{"Version": 2}}}
	sim.addKey("root", withKey(t, plain.key, plain.sign))
	sim.md["root"]["custom-field"] = "value"
	sim.role("root")["another-field"] = "value"
	sim.publish("root")
	c.want(0, c.refresh())
	c.trusts("root 2, snapshot 1, targets 1, timestamp 1")

	sim.publish("root")
	sim.tamper("root", func(doc object) { in(doc, "signed")["custom-field"] = "another" })
	c.want(1, c.refresh())
	c.trusts("root 2, snapshot 1, targets 1, timestamp 1")
}

func TestKeyIDHashAlgorithmsMeanNothing(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.role("snapshot")["keyids"], sim.signers["snapshot"] = []any{}, nil
	plain := newECDSA(t)
	plain.key["keyid_hash_algorithms"] = "md5"
	sim.addKey("snapshot", withKey(t, plain.key, plain.sign))
	sim.publish("root", "snapshot", "timestamp")
	c.want(0, c.refresh())
	c.trusts("root 2, snapshot 2, targets 1, timestamp 2")
}

func TestMissingFiles(t *testing.T) {
	for _, missing := range []struct{ role, trusts, last string }{
		{"timestamp", "root 1, snapshot 1, targets 1, timestamp 1", "timestamp"},
		{"snapshot", "root 1, snapshot 1, targets 1, timestamp 2", "snapshot 2"},
		{"targets", "root 1, snapshot 2, targets 1, timestamp 2", "targets 2"},
	} {
		t.Run(missing.role, func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			c.want(0, c.refresh())
			switch missing.role {
			case "timestamp":
				sim.drop("timestamp")
			case "snapshot":
				in(sim.md["timestamp"], "meta", "snapshot.json")["version"] = 2
				sim.publish("timestamp")
			case "targets":
				in(sim.md["snapshot"], "meta", "targets.json")["version"] = 2
				sim.publish("snapshot", "timestamp")
			}
			c.want(1, c.refresh())
			c.askedLast(missing.last)
			c.trusts(missing.trusts)
		})
	}
}

// A snapshot that the timestamp's key has signed is no timestamp.
func TestTypeIsChecked(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.addKey("snapshot", sim.signers["timestamp"][0])
	in(sim.md["snapshot"])["meta"] = object{"snapshot.json": object{"version": 1}}
	sim.publish("root", "snapshot")
	sim.append("timestamp", sim.newest("snapshot"))
	c.want(1, c.refresh())
	c.trusts("root 2")
}

func TestTheTimeIsWhatDateSays(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.md["root"]["expires"] = date(time.Now().Add(7 * 24 * time.Hour))
	sim.publish("root")
	c.want(0, c.refresh())
	c.at(time.Now().Add(8 * 24 * time.Hour))
	c.want(1, c.refresh())
}

// Without consistent snapshots no name has a version but root's.
func TestPlainNamesWithoutConsistentSnapshots(t *testing.T) {
	sim := newSimulator(t)
	sim.md["root"]["consistent_snapshot"] = false
	sim.drop("root")
	sim.append("root", sim.file("root"))
	sim.delegate(delegation{from: "targets", to: "../odd role", paths: []string{"dir/*"}})
	sim.artifact("../odd role", "dir/a b.txt", []byte("content"))
	sim.publish("../odd role", "targets", "snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.download("dir/a b.txt"))
	c.asked("root 2", "timestamp", "snapshot", "targets", "..%2Fodd%20role")
	if got := sim.downloads(); len(got) != 1 || got[0] != "dir/a b.txt" {
		t.Errorf("asked for %q", got)
	}
	c.has("content")
}
