package main

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// grow adds delegations and targets, and publishes all roles.
func (s *simulator) grow(edges []delegation) {
	s.t.Helper()
	for _, d := range edges {
		s.delegate(d)
	}
	s.publishAll()
}

// publishAll publishes every role, targets and below first.
func (s *simulator) publishAll() {
	s.t.Helper()
	var roles []string
	for role := range s.md {
		if role != "root" && role != "snapshot" && role != "timestamp" && role != "targets" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	s.publish(append(roles, "targets", "snapshot", "timestamp")...)
}

func TestOrderOfTheSearch(t *testing.T) {
	py := []string{"*.py"}
	for _, c := range []struct {
		claim string
		edges []delegation
		want  string
	}{
		{"one delegation", []delegation{{from: "targets", to: "A"}}, "A"},
		{"two on one level", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}}, "A B"},
		{"two levels", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "B", to: "C"}}, "A B C"},
		{"depth first", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C"}, {from: "A", to: "D"}}, "A C D B"},
		{"depth first, three levels", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C"}, {from: "C", to: "D"}}, "A C D B"},
		{"terminating ends it", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C", terminating: true}, {from: "A", to: "D"}}, "A C"},
		{"terminating goes on below", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C", terminating: true}, {from: "C", to: "D"}}, "A C D"},
		{"branches with other paths are left out", []delegation{{from: "targets", to: "A", paths: py}, {from: "targets", to: "B"}, {from: "A", to: "C"}}, "B"},
		{"branches with other paths deeper down", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C", paths: py}, {from: "C", to: "D"}}, "A B"},
		{"a cycle", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "B", to: "C"}, {from: "C", to: "D"}, {from: "D", to: "B"}}, "A B C D"},
		{"two delegate to a third", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "B", to: "C"}, {from: "A", to: "C"}}, "A C B"},
		{"two delegate to a third, other paths", []delegation{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "B", to: "C"}, {from: "A", to: "C", paths: py}}, "A B C"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			sim.grow(c.edges)
			client.want(1, client.download("missingpath"))
			want := []string{"root 2", "timestamp", "snapshot 2", "targets 2"}
			for _, role := range strings.Fields(c.want) {
				want = append(want, role+" "+map[bool]string{true: "2", false: "1"}[len(sim.published[role]) > 1])
			}
			client.asked(want...)
			// All is kept: the next search asks for none of it again.
			client.want(1, client.download("missingpath"))
			client.asked("root 2", "timestamp")
		})
	}
}

func TestTargetsAreFoundWhereTheyWereDelegated(t *testing.T) {
	for _, c := range []struct {
		path  string
		roles string // asked on the way
		found bool
	}{
		{"targetfile", "", true},
		{"README.md", "A", true},
		{"releases/x/x_v1", "B C", true},
		{"releases/y/y_v1.zip", "B D", true},
		{"releases/z/z_v1.zip", "B", false}, // D lists it, but nobody gave it that path
	} {
		t.Run(c.path, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			sim.delegate(delegation{from: "targets", to: "A", paths: []string{"*.doc", "*.md"}})
			sim.delegate(delegation{from: "targets", to: "B", paths: []string{"releases/*/*"}})
			sim.delegate(delegation{from: "B", to: "C", paths: []string{"releases/x/*"}})
			sim.delegate(delegation{from: "B", to: "D", paths: []string{"releases/y/*.zip"}})
			for path, role := range map[string]string{"targetfile": "targets", "README.md": "A", "releases/x/x_v1": "C", "releases/y/y_v1.zip": "D", "releases/z/z_v1.zip": "D"} {
				sim.artifact(role, path, []byte(path+" by "+role))
			}
			sim.publishAll()
			want := []string{"root 2", "timestamp", "snapshot 2", "targets 2"}
			for _, role := range strings.Fields(c.roles) {
				want = append(want, role+" 1")
			}
			if !c.found {
				client.want(1, client.download(c.path))
				client.has()
			} else {
				client.want(0, client.download(c.path))
				client.has(string(sim.artifacts[c.path]))
			}
			client.asked(want...)
		})
	}
}

// TAP 15. The bins are those of SHA-256 of the path.
func TestSuccinctHashBins(t *testing.T) {
	for _, c := range []struct {
		bits int
		path string
		bin  string
	}{
		{1, "bar", "bin-1"}, {1, "foo", "bin-0"}, {2, "bar", "bin-3"}, {5, "bar", "bin-1f"}, {8, "bar", "bin-fc"}, {8, "foo", "bin-2c"},
	} {
		t.Run(c.bin+" "+c.path, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			key := newEd25519(t)
			sim.md["targets"]["delegations"] = object{"keys": object{key.id: key.key},
				"succinct_roles": object{"keyids": []any{key.id}, "threshold": 1, "bit_length": c.bits, "name_prefix": "bin"}}
			sim.md[c.bin], sim.signers[c.bin] = newTargets(), []*signer{key}
			sim.artifact(c.bin, c.path, []byte("content"))
			sim.publishAll()
			client.want(0, client.download(c.path))
			client.asked("root 2", "timestamp", "snapshot 2", "targets 2", c.bin+" 1")
			client.has("content")
		})
	}
}

// Names of roles become addresses and file names. Both must hold.
func TestUnusualRoleNames(t *testing.T) {
	for _, role := range []string{"?", "#", "/delegatedrole", "../delegatedrole", "..", ".", "a b", "%2e", "é", "a+b", "1.root", "x.json", "root.json", `\`, "*", ":", "a&b=c"} {
		t.Run(role, func(t *testing.T) {
			sim := newSimulator(t)
			client := newClient(t, sim)
			sim.grow([]delegation{{from: "targets", to: role}})
			client.want(1, client.download("nonexistent target"))
			escaped := strings.ReplaceAll(url.QueryEscape(role), "+", "%20")
			if asked := sim.asked(); !slices.Contains(asked, escaped+" 1") {
				t.Errorf("asked for %q, not for %q", asked, escaped+" 1")
			}
			if got := client.file(role); string(got) != string(sim.newest(role)) {
				t.Errorf("%q is kept as %q", role, got)
			}
			if kept, err := filepath.Glob(filepath.Join(client.metadata, "*.json")); err != nil || len(kept) != 5 {
				t.Errorf("kept in the folder: %q, %v", kept, err)
			}
			root := client.file("root")
			if string(root) != string(sim.newest("root")) {
				t.Error("the role stands in root's place")
			}
		})
	}
}

// The kept file of a role is verified by the keys of whoever delegates to it now,
// not by those of whoever did when it was kept.
func TestKeptRoleIsVerifiedAgainstTheCurrentDelegator(t *testing.T) {
	alice, bob := newEd25519(t), newEd25519(t)
	setup := func(t *testing.T) (*simulator, *runner) {
		sim := newSimulator(t)
		client := newClient(t, sim)
		sim.delegate(delegation{from: "targets", to: "A", paths: []string{"a*"}})
		sim.delegate(delegation{from: "targets", to: "B", paths: []string{"b*"}})
		sim.delegate(delegation{from: "A", to: "C", keys: []*signer{alice}})
		sim.delegate(delegation{from: "B", to: "C", keys: []*signer{bob}})
		sim.signers["C"] = []*signer{alice}
		sim.artifact("C", "a1", []byte("a1"))
		sim.artifact("C", "b1", []byte("b1"))
		sim.publishAll()
		return sim, client
	}
	t.Run("in one download", func(t *testing.T) {
		_, client := setup(t)
		client.want(1, client.download("a1", "b1"))
		client.has("a1")
	})
	t.Run("in two downloads", func(t *testing.T) {
		_, client := setup(t)
		client.want(0, client.download("a1"))
		client.want(1, client.download("b1"))
		client.has("a1")
	})
	t.Run("signed by both", func(t *testing.T) {
		sim, client := setup(t)
		sim.signers["C"] = []*signer{alice, bob}
		sim.publish("C", "snapshot", "timestamp")
		client.want(0, client.download("a1", "b1"))
		client.has("a1", "b1")
	})
	t.Run("another key in the delegation", func(t *testing.T) {
		sim, client := setup(t)
		client.want(0, client.download("a1"))
		sim.md["A"]["delegations"] = nil
		delete(sim.md["A"], "delegations")
		sim.delegate(delegation{from: "A", to: "C", keys: []*signer{bob}})
		sim.publish("A", "snapshot", "timestamp")
		sim.artifact("C", "a1", []byte("a1 again"))
		client.want(1, client.download("a1"))
		client.has("a1")
	})
	t.Run("after a download that another delegator answered", func(t *testing.T) {
		sim, client := setup(t)
		client.want(0, client.download("a1"))
		sim.signers["C"] = []*signer{bob}
		sim.publish("C", "snapshot", "timestamp")
		client.want(1, client.download("a1"))
		client.want(0, client.download("b1"))
	})
}
