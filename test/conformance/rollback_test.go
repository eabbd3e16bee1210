package main

import (
	"fmt"
	"testing"
	"time"
)

// again puts a version of a role as it stands in place of what was published.
func (s *simulator) again(roles ...string) {
	s.t.Helper()
	for _, role := range roles {
		s.append(role, s.file(role))
	}
}

func TestSnapshotOfAnOlderVersionIsNotAskedFor(t *testing.T) {
	sim := newSimulator(t)
	sim.publish("snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	sim.md["snapshot"]["version"] = 1
	sim.again("snapshot")
	c.want(0, c.refresh()) // the timestamp still names version 2, which is there
	c.askedLast("timestamp")
	c.trusts("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestOlderTimestampIsRefused(t *testing.T) {
	sim := newSimulator(t)
	sim.publish("timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	sim.drop("timestamp")
	c.want(1, c.refresh())
	c.askedLast("timestamp")
	c.trusts("root 1, snapshot 1, targets 1, timestamp 2")
}

func TestNewTimestampOfAnOlderSnapshotIsRefused(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		t.Run(fmt.Sprint("hashes ", hashes), func(t *testing.T) {
			sim := newSimulator(t)
			sim.hashes = hashes
			sim.publish("snapshot", "timestamp")
			c := newClient(t, sim)
			c.want(0, c.refresh())
			in(sim.md["timestamp"], "meta", "snapshot.json")["version"] = 1
			sim.publish("timestamp")
			c.want(1, c.refresh())
			c.askedLast("timestamp")
			c.trusts("root 1, snapshot 2, targets 1, timestamp 2")
		})
	}
}

func TestNewSnapshotOfOlderTargetsIsRefused(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		t.Run(fmt.Sprint("hashes ", hashes), func(t *testing.T) {
			sim := newSimulator(t)
			sim.hashes = hashes
			sim.publish("targets", "snapshot", "timestamp")
			c := newClient(t, sim)
			c.want(0, c.refresh())
			entry := in(sim.md["snapshot"], "meta", "targets.json")
			entry["version"] = 1
			if hashes {
				entry["hashes"], entry["length"] = object{"sha256": digest("sha256", sim.published["targets"][0])}, len(sim.published["targets"][0])
			}
			sim.publish("snapshot", "timestamp")
			c.want(1, c.refresh())
			c.trusts("root 1, snapshot 2, targets 2, timestamp 3")
		})
	}
}

func TestRoleThatVanishesFromTheSnapshotIsRefused(t *testing.T) {
	sim := newSimulator(t)
	sim.delegate(delegation{from: "targets", to: "team"})
	sim.publish("team", "targets", "snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	delete(in(sim.md["snapshot"], "meta"), "team.json")
	sim.publish("snapshot", "timestamp")
	c.want(1, c.refresh())
	c.trusts("root 1, snapshot 2, targets 2, timestamp 3")
}

func TestSnapshotThatTheTimestampDoesNotName(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.md["snapshot"]["version"] = 2 // as 1.snapshot.json
	sim.drop("snapshot")
	sim.again("snapshot")
	c.want(1, c.refresh())
	c.trusts("root 1, timestamp 1")
	c.askedLast("snapshot 1")
}

// Fast-forward: versions that ran away are taken back by new online keys.
func TestFastForwardRecovery(t *testing.T) {
	for _, c := range []struct {
		role   string // that ran away
		rotate []string
		trusts string
	}{
		{"targets", []string{"snapshot"}, "root 2, snapshot 3, targets 2, timestamp 3"},
		{"snapshot", []string{"snapshot", "timestamp"}, "root 2, snapshot 2, targets 1, timestamp 3"},
		{"timestamp", []string{"timestamp"}, "root 2, snapshot 1, targets 1, timestamp 2"},
	} {
		t.Run(c.role, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			ran := 20
			for len(sim.published[c.role]) < ran-1 {
				sim.append(c.role, nil)
			}
			sim.md[c.role]["version"] = ran - 1
			switch c.role {
			case "targets":
				sim.publish("targets", "snapshot", "timestamp")
			case "snapshot":
				sim.publish("snapshot", "timestamp")
			default:
				sim.publish("timestamp")
			}
			client.want(0, client.refresh())
			if got := version(t, client.file(c.role)); got != int64(ran) {
				t.Fatalf("%s ran to version %d", c.role, got)
			}

			sim.published[c.role] = sim.published[c.role][:1]
			sim.md[c.role]["version"] = 1
			online := []string{"timestamp"}
			switch c.role {
			case "targets":
				online = []string{"targets", "snapshot", "timestamp"}
			case "snapshot":
				online = []string{"snapshot", "timestamp"}
			}
			sim.publish(online...)
			client.want(1, client.refresh()) // without new keys it is a rollback
			for _, role := range online {
				sim.drop(role)
				sim.md[role]["version"] = sim.md[role]["version"].(int) - 1
			}
			for _, role := range c.rotate {
				sim.rotate(role)
			}
			sim.publish(append(online, "root")...)
			client.want(0, client.refresh())
			client.trusts(c.trusts)
		})
	}
}

// §5.3.11: when one of two online keys is taken away, what both had signed does
// not bind any more either.
func TestOneOfTwoOnlineKeysIsTakenAway(t *testing.T) {
	sim := newSimulator(t)
	sim.addKey("timestamp", newEd25519(t))
	sim.md["timestamp"]["version"] = 19
	sim.publish("timestamp", "root")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	c.trusts("root 2, snapshot 1, targets 1, timestamp 20")
	sim.md["timestamp"]["version"] = 1
	sim.publish("timestamp")
	c.want(1, c.refresh())

	sim.signers["timestamp"] = sim.signers["timestamp"][1:]
	keyids := sim.role("timestamp")["keyids"].([]any)
	sim.role("timestamp")["keyids"] = keyids[1:]
	delete(in(sim.md["root"], "keys"), keyids[0].(string))
	sim.publish("timestamp", "root")
	c.want(0, c.refresh())
	c.trusts("root 3, snapshot 1, targets 1, timestamp 3")
}

func TestExpiredFilesAreNotTaken(t *testing.T) {
	past := date(time.Now().Add(-24 * time.Hour))
	for _, c := range []struct{ role, trusts string }{
		{"root", "root 2, snapshot 1, targets 1, timestamp 1"}, // §5.3.8: kept before it is judged
		{"timestamp", "root 2, snapshot 1, targets 1, timestamp 1"},
		{"snapshot", "root 2, snapshot 1, targets 1, timestamp 2"},
		{"targets", "root 2, snapshot 2, targets 1, timestamp 2"},
	} {
		t.Run(c.role, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			client.want(0, client.refresh())
			sim.md[c.role]["expires"] = past
			sim.publish("root", "targets", "snapshot", "timestamp")
			client.want(1, client.refresh())
			client.trusts(c.trusts)
		})
	}
}

// What expired here still serves to fetch what is fresh, and to compare with it.
func TestExpiredLocalFilesServeToUpdate(t *testing.T) {
	sim := newSimulator(t)
	now := time.Now()
	day := 24 * time.Hour
	sim.md["timestamp"]["expires"] = date(now.Add(7 * day))
	sim.md["snapshot"]["expires"] = date(now.Add(7 * day))
	sim.publish("snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	c.trusts("root 1, snapshot 2, targets 1, timestamp 2")

	c.at(now.Add(18 * day))
	c.want(1, c.refresh())
	sim.md["timestamp"]["expires"] = date(now.Add(21 * day))
	sim.md["snapshot"]["expires"] = date(now.Add(21 * day))
	sim.publish("targets", "snapshot", "timestamp")
	c.want(0, c.refresh())
	c.trusts("root 1, snapshot 3, targets 2, timestamp 3")

	in(sim.md["snapshot"], "meta", "targets.json")["version"] = 1
	sim.md["snapshot"]["expires"] = date(now.Add(40 * day))
	sim.md["timestamp"]["expires"] = date(now.Add(40 * day))
	sim.md["root"]["expires"] = date(now.Add(40 * day))
	sim.publish("root", "snapshot", "timestamp")
	c.at(now.Add(25 * day)) // all local but root has expired, and is compared all the same
	c.want(1, c.refresh())
	c.trusts("root 2, snapshot 3, targets 2, timestamp 4")
}

func TestExpiredDelegatedRoleIsNotUsed(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.delegate(delegation{from: "targets", to: "team", paths: []string{"team/*"}})
	sim.artifact("team", "team/target", []byte("content"))
	sim.md["team"]["expires"] = date(time.Now().Add(-24 * time.Hour))
	sim.publish("team", "targets", "snapshot", "timestamp")
	c.want(0, c.refresh())
	c.want(1, c.download("team/target"))
	c.has()
	c.trusts("root 1, snapshot 2, targets 2, timestamp 2")
}

func TestLocalDelegatedRoleExpires(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	now, day := time.Now(), 24*time.Hour
	sim.delegate(delegation{from: "targets", to: "team", paths: []string{"team/*"}})
	sim.artifact("team", "team/first", []byte("first"))
	sim.artifact("team", "team/second", []byte("second"))
	sim.md["team"]["expires"] = date(now.Add(7 * day))
	sim.publish("team", "targets", "snapshot", "timestamp")
	c.want(0, c.download("team/first"))
	c.has("first")

	c.at(now.Add(18 * day))
	c.want(1, c.download("team/second"))
	c.has("first")

	sim.md["team"]["expires"] = date(now.Add(21 * day))
	sim.publish("team", "snapshot", "timestamp")
	c.want(0, c.download("team/second"))
	c.has("first", "second")
}
