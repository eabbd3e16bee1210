package attack_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/tuf"
)

// Endless data, slow peer: bytes and time are bounded, whichever file it is, for who
// has state and for who has none.
func TestEndlessData(t *testing.T) {
	const most = 160 << 20 // bytes of memory; a body below is endless
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	warm := s.verifier(t, app, p.root)
	warm.trusts(app+":1.0", digest("one"))
	p.sign("1.0", "two")
	p.rotate(func(root *tuf.Root) { root.Signed.Expires = root.Signed.Expires.Add(-time.Hour) })
	roles := []string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}
	for how, attacks := range map[string]func(role string) attack.Attack{
		"endless": attack.Endless,
		"bomb":    func(role string) attack.Attack { return attack.Bomb(role, 256<<20) },
		"silence": attack.Silence,
		"drip":    func(role string) attack.Attack { return attack.Drip(role, 100*time.Millisecond) },
		"hang up": attack.HangUp,
	} {
		for _, role := range roles {
			proxy, err := attack.New(s.h.URL, s.h.CA)
			if err != nil {
				t.Fatal(err)
			}
			proxy.Set(attacks(role))
			url := listen(t, proxy)
			for who, m := range map[string]*machine{"who has state": warm.clone(t), "a newcomer": newMachine(t)} {
				m.trust(app, url, p.root, "--replace")
				t.Run(how+" "+role+" to "+who, func(t *testing.T) {
					t.Parallel()
					m := m.clone(t)
					before := m.state()
					o, d := m.verify(app+":1.0", "--timeout", "1s")
					want := 1
					if how == "endless" {
						want = 3 // more than was signed for, or than may be: a verdict
					}
					if o.exit != want || d.Trusted || d.Reference != "" {
						t.Errorf("exit status %d, %+v, expected %d", o.exit, d, want)
					}
					if o.peak > most {
						t.Errorf("%d MiB of memory", o.peak>>20)
					}
					m.unchanged(before, roles[:3]) // what came before the role that was attacked
				})
			}
		}
	}
}

// False length: the length that is signed is the most that is read, and bytes that
// are fewer are other bytes.
func TestFalseLength(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	for _, c := range []struct {
		claim string
		keys  []string
		forge func(f *attack.Forger)
		rule  tuf.Rule
	}{
		{"white space at the end", nil, func(f *attack.Forger) {
			file := f.Newest(tuf.RoleTargets)
			f.Put(file.Role, file.Version, append([]byte(nil), append(file.Bytes, "   \n"...)...))
		}, tuf.RuleLimit},
		{"the last byte is missing", nil, func(f *attack.Forger) {
			file := f.Newest(tuf.RoleTargets)
			f.Put(file.Role, file.Version, file.Bytes[:len(file.Bytes)-1])
		}, tuf.RuleHash},
		{"signed as shorter than it is", online, func(f *attack.Forger) {
			f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Meta["targets.json"].Length-- })
			f.Timestamp(nil)
		}, tuf.RuleLimit},
		{"signed as longer than it is", online, func(f *attack.Forger) {
			f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Meta["targets.json"].Length++ })
			f.Timestamp(nil)
		}, tuf.RuleHash},
		{"signed as longer than anything may be", online, func(f *attack.Forger) {
			f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Meta["targets.json"].Length = 1 << 50 })
			f.Timestamp(nil)
		}, tuf.RuleLimit},
	} {
		t.Run(c.claim, func(t *testing.T) {
			f := s.forger(t, p, c.keys...)
			c.forge(f)
			s.serve(f)
			defer s.proxy.Set()
			s.verifier(t, app, p.root).refusesAndKeeps(append([]string{tuf.RoleRoot}, online...), app+":1.0", c.rule)
		})
	}
}

// Malicious mirror: when the first of two servers is a bad one, the second answers;
// when both are, nobody does.
func TestMirrors(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	backup := s.record(app)
	p.sign("1.0", "two")
	good, err := attack.New(s.h.URL, s.h.CA)
	if err != nil {
		t.Fatal(err)
	}
	honest := listen(t, good)
	for how, bad := range map[string]attack.Attack{
		"changes a bit of the timestamp": attack.Flip(tuf.RoleTimestamp, -20),
		"changes a bit of the targets":   attack.Flip(tuf.RoleTargets, -20),
		"keeps yesterday's files":        attack.Replay(backup),
		"has nothing":                    attack.Hide(""),
		"is broken":                      attack.Status("", 500),
		"sends elsewhere":                attack.Redirect("", "https://evil.example/"),
		"says nothing":                   attack.Silence(""),
		"sends for ever":                 attack.Endless(""),
		"serves something else":          attack.Body("", []byte(`{"signatures":[],"signed":{}}`)),
	} {
		t.Run(how, func(t *testing.T) {
			m := newMachine(t)
			m.anchors(app, p.root, honest)
			m.trusts(app+":1.0", digest("two")) // so that yesterday's files are known to be old
			m.anchors(app, p.root, s.url, honest)
			s.proxy.Set(bad)
			defer s.proxy.Set()
			m.trusts(app+":1.0", digest("two"), "--timeout", "2s")
			m.anchors(app, p.root, s.url)
			if how != "changes a bit of the targets" { // which this machine has, and need not fetch
				if o, d := m.verify(app+":1.0", "--timeout", "2s"); o.exit == 0 || d.Trusted {
					t.Errorf("exit status %d, %+v from the bad mirror alone", o.exit, d)
				}
			}
			fresh := newMachine(t)
			fresh.anchors(app, p.root, s.url, honest)
			if how != "keeps yesterday's files" { // a newcomer cannot know that they are old
				fresh.trusts(app+":1.0", digest("two"), "--timeout", "2s")
			}
		})
	}
}

// anchors writes trust.json by hand: one anchor with servers in order.
func (m *machine) anchors(pattern string, root []tuf.Signer, servers ...string) {
	m.t.Helper()
	anchor := client.Anchor{Pattern: pattern, Servers: servers}
	for _, key := range root {
		anchor.RootKeys = append(anchor.RootKeys, key.Key().ID())
	}
	data, err := json.Marshal(map[string]any{"anchors": []client.Anchor{anchor}})
	if err != nil {
		m.t.Fatal(err)
	}
	dir := filepath.Join(m.dir, "config", "signet")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trust.json"), data, 0o600); err != nil {
		m.t.Fatal(err)
	}
}
