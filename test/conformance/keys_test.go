package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestThresholdMustBeMet(t *testing.T) {
	sim := newSimulator(t)
	sim.role("snapshot")["threshold"] = 3
	sim.addKey("snapshot", newEd25519(t))
	sim.addKey("snapshot", newECDSA(t))
	sim.publish("root", "targets", "snapshot", "timestamp")
	c := newClient(t, sim)
	c.want(0, c.refresh())
	sim.signers["snapshot"] = sim.signers["snapshot"][:2]
	sim.publish("targets", "snapshot", "timestamp")
	c.want(1, c.refresh())
	c.trusts("root 2, snapshot 2, targets 2, timestamp 3")
}

func TestThresholdAboveTheNumberOfKeys(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	for range 4 {
		sim.addKey("snapshot", newEd25519(t))
	}
	sim.role("snapshot")["threshold"] = 6
	sim.publish("root", "snapshot", "timestamp")
	c.want(1, c.refresh())
	c.trusts("root 2, timestamp 2")
}

func TestOneKeyCountsOnceHoweverItIsListed(t *testing.T) {
	for claim, list := range map[string]func(sim *simulator, key *signer){
		"one ID nine times": func(sim *simulator, key *signer) {
			for range 9 {
				sim.role("snapshot")["keyids"] = append(sim.role("snapshot")["keyids"].([]any), key.id)
			}
		},
		"nine IDs of one key": func(sim *simulator, key *signer) {
			for i := range 9 {
				id := strings.Repeat("a", i+1)
				in(sim.md["root"], "keys")[id] = key.key
				sim.role("snapshot")["keyids"] = append(sim.role("snapshot")["keyids"].([]any), id)
			}
		},
	} {
		t.Run(claim, func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			key := newEd25519(t)
			sim.addKey("snapshot", key)
			list(sim, key)
			sim.role("snapshot")["threshold"] = 6
			sim.publish("root", "snapshot", "timestamp")
			sim.tamper("snapshot", func(doc object) {
				signatures := doc["signatures"].([]any)
				for _, id := range sim.role("snapshot")["keyids"].([]any)[2:] {
					signatures = append(signatures, object{"keyid": id, "sig": signatures[1].(object)["sig"]})
				}
				doc["signatures"] = signatures
			})
			c.want(1, c.refresh())
			if c.file("snapshot") != nil {
				t.Error("the snapshot is trusted")
			}
		})
	}
}

func TestOneSignatureTwiceIsRefused(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.tamper("snapshot", func(doc object) {
		signatures := doc["signatures"].([]any)
		doc["signatures"] = append(signatures, signatures[0])
	})
	c.want(1, c.refresh())
	c.trusts("root 1, timestamp 1")
}

func TestKeyTypes(t *testing.T) {
	for name, c := range map[string]struct {
		key *signer
		bad string // looks like a signature of this kind
	}{
		"RSA-PSS":     {newRSA(t), strings.Repeat("1f", 256)},
		"ECDSA P-256": {newECDSA(t), "3045022100ee448afe2d25dd1f05afedac83a24e7df90f203615221434979153dc7cea6d4702207710015851e571885a77db8a6e42c4b2983a59b9e1ebec91178dfa2fb0d42ab8"},
		"Ed25519":     {newEd25519(t), strings.Repeat("2e", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			sim.addKey("root", c.key)
			sim.role("root")["threshold"] = 2
			sim.publish("root")
			client.want(0, client.refresh())
			client.trusts("root 2, snapshot 1, targets 1, timestamp 1")
			sim.publish("root")
			sim.tamper("root", func(doc object) { doc["signatures"].([]any)[1].(object)["sig"] = c.bad })
			client.want(1, client.refresh())
			client.trusts("root 2, snapshot 1, targets 1, timestamp 1")
		})
	}
}

func TestInvalidSignatureBesideEnoughOthers(t *testing.T) {
	for name, sig := range map[string]string{"plausible": strings.Repeat("5a", 64), "empty": ""} {
		t.Run(name, func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			sim.addKey("timestamp", newEd25519(t))
			sim.publish("root", "timestamp")
			sim.tamper("timestamp", func(doc object) { doc["signatures"].([]any)[0].(object)["sig"] = sig })
			c.want(0, c.refresh())
			c.trusts("root 2, snapshot 1, targets 1, timestamp 2")
		})
	}
}

// A step is one version: which keys are listed, how many must sign, who signs.
type step struct {
	keys      []int
	threshold int
	by        []int
}

var five = []int{0, 1, 2, 3, 4}

func TestRootRotation(t *testing.T) {
	var key []*signer
	for range 10 {
		key = append(key, newEd25519(t))
	}
	other := []int{0, 1, 3, 4, 5}
	for _, c := range []struct {
		claim string
		steps []step
		ok    bool // whether the last step is taken
	}{
		{"one key to the next", []step{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 1}}, {[]int{2}, 1, []int{2}}}, true},
		{"with strangers' signatures beside", []step{{[]int{1}, 1, []int{3, 1, 4}}, {[]int{2}, 1, []int{3, 2, 1, 4}}, {[]int{2}, 1, []int{3, 2, 4}}}, true},
		{"three of five, other three each time", []step{{five, 3, []int{0, 2, 4}}, {five, 3, []int{0, 4, 1}}, {five, 3, []int{0, 1, 3}}, {five, 3, []int{0, 1, 3}}}, true},
		{"three of five, one replaced", []step{{five, 3, []int{0, 2, 4}}, {other, 3, []int{0, 4, 1}}}, true},
		{"three of five, one replaced, in two steps", []step{{five, 3, []int{0, 2, 4}}, {other, 3, []int{0, 2, 4, 5}}, {other, 3, []int{0, 4, 5}}}, true},
		{"three of five, all replaced", []step{{five, 3, []int{0, 2, 4}}, {[]int{5, 6, 7, 8, 9}, 3, []int{0, 2, 4, 5, 6, 7}}, {[]int{5, 6, 7, 8, 9}, 3, []int{5, 6, 7}}}, true},
		{"from one of three to two", []step{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{1, 2}}}, true},
		{"from two of three to one", []step{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, true},
		{"from one of one to two of two", []step{{[]int{1}, 1, []int{1}}, {[]int{1, 2}, 2, []int{1, 2}}}, true},
		{"not by the old key", []step{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 3, 4}}}, false},
		{"not by the new key", []step{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{1, 3, 4}}}, false},
		{"not by three of the new", []step{{five, 3, []int{0, 2, 4}}, {other, 3, []int{0, 2, 4}}}, false},
		{"not by three of the old", []step{{five, 3, []int{0, 2, 4}}, {other, 3, []int{0, 4, 5}}}, false},
		{"raised threshold not met", []step{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{2}}}, false},
		{"lowered threshold does not hold yet", []step{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			sim := newSimulator(t)
			sim.drop("root")
			for _, s := range c.steps {
				sim.setKeys("root", s, key)
				sim.publish("root")
			}
			client := newClient(t, sim)
			want, last := 0, len(c.steps)-1
			if !c.ok {
				want, last = 1, last-1
			}
			client.want(want, client.refresh())
			if !bytes.Equal(client.file("root"), sim.published["root"][last]) {
				t.Errorf("the trusted root is not version %d", last+1)
			}
		})
	}
}

// setKeys lists and uses just the keys of a step.
func (s *simulator) setKeys(role string, step step, key []*signer) {
	s.role(role)["keyids"], s.signers[role] = []any{}, nil
	for _, i := range step.keys {
		s.addKey(role, key[i])
	}
	s.signers[role] = nil
	for _, i := range step.by {
		s.signers[role] = append(s.signers[role], key[i])
	}
	s.role(role)["threshold"] = step.threshold
}

func TestRotationOfOtherRoles(t *testing.T) {
	var key []*signer
	for range 10 {
		key = append(key, newEd25519(t))
	}
	for _, c := range []struct {
		claim string
		step  step
		ok    bool
	}{
		{"another key", step{[]int{2}, 1, []int{2}}, true},
		{"with strangers' signatures beside", step{[]int{1}, 1, []int{3, 1, 4}}, true},
		{"not by the new key", step{[]int{2}, 1, []int{1, 3, 4}}, false},
		{"one of three is by a key that is not listed", step{[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}}, false},
		{"two of three", step{[]int{0, 1, 3, 4, 5}, 3, []int{0, 4}}, false},
		{"three of five, the first way", step{five, 3, []int{0, 2, 4}}, true},
		{"three of five, the second way", step{five, 3, []int{0, 4, 1}}, true},
		{"three of five, the third way", step{five, 3, []int{0, 1, 3}}, true},
		{"three of five, the fourth way", step{five, 3, []int{1, 2, 3}}, true},
		{"three of five, the fifth way", step{five, 3, []int{2, 3, 4}}, true},
	} {
		t.Run(c.claim, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			for _, role := range []string{"timestamp", "snapshot", "targets"} {
				sim.setKeys(role, c.step, key)
				sim.publish("root", "targets", "snapshot", "timestamp")
				if !c.ok {
					client.want(1, client.refresh())
					continue
				}
				client.want(0, client.refresh())
				if !bytes.Equal(client.file(role), sim.newest(role)) {
					t.Errorf("the trusted %s is not the newest", role)
				}
			}
		})
	}
}
