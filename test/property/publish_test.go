package property_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	stdtesting "testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"pgregory.net/rapid"

	"github.com/signet-trust/signet/tuf"
)

// A proposal is a publish on its way to the server: what an honest publisher would
// send, and then what somebody makes of it.
type proposal struct {
	w       *world
	md      *tuf.Targets // of targets or of a signer
	role    string
	root    *tuf.Root // nil: none is sent
	by      []tuf.Signer
	rootBy  []tuf.Signer
	mangle  func(data []byte) []byte
	further []tuf.File
}

func (p *proposal) files() []tuf.File {
	data := encode(p.md, p.by)
	if p.mangle != nil {
		data = p.mangle(data)
	}
	files := []tuf.File{{Role: p.role, Version: p.md.Signed.Version, Bytes: data}}
	if p.root != nil {
		files = append(files, tuf.File{Role: tuf.RoleRoot, Version: p.root.Signed.Version, Bytes: encode(p.root, p.rootBy)})
	}
	return append(files, p.further...)
}

// nextRoot begins the next root.
func (p *proposal) nextRoot() *tuf.Root {
	p.root = must(tuf.ReadRoot(p.w.state.Root.Bytes))
	p.root.Signed.Version++
	p.root.Signed.Expires = p.w.now.Add(300 * day)
	p.rootBy = p.w.root.signers
	return p.root
}

// list puts an entry under a path, whatever path it is.
func (p *proposal) list(path string) {
	scratch := tuf.NewTargets(1, p.w.now)
	if err := tuf.SetTarget(scratch, app, "x", tuf.Target{Digest: digest("evil"), Length: 9}); err != nil {
		panic(err)
	}
	p.md.Signed.Targets[path] = scratch.Signed.Targets[app+":x"]
}

func (p *proposal) delegate(role metadata.DelegatedRole, k tuf.Signer) {
	role.KeyIDs = append(role.KeyIDs, k.Key().ID())
	if p.md.Signed.Delegations == nil {
		p.md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	p.md.Signed.Delegations.Keys[k.Key().ID()] = k.Key().Metadata()
	p.md.Signed.Delegations.Roles = append(p.md.Signed.Delegations.Roles, role)
}

// abuses are what a server has to refuse, by the rule that it has to name. conflict
// stands for tuf.ErrConflict.
const conflict = tuf.Rule("conflict")

var stranger = key(1 << 20)

var abuses = []struct {
	name string
	rule tuf.Rule // "": it is taken
	do   func(p *proposal)
}{
	{"nothing wrong", "", func(*proposal) {}},
	{"a stranger's signature beside", "", func(p *proposal) { p.by = append(slices.Clone(p.by), stranger) }},
	{"a new root of the same keys", "", func(p *proposal) { p.nextRoot() }},
	{"a version is skipped", conflict, func(p *proposal) { p.md.Signed.Version++ }},
	{"the version that is there", conflict, func(p *proposal) { p.md.Signed.Version-- }},
	{"no signature", tuf.RuleThreshold, func(p *proposal) { p.by = nil }},
	{"a signature too few", tuf.RuleThreshold, func(p *proposal) { p.by = p.by[1:] }},
	{"a stranger's signature", tuf.RuleThreshold, func(p *proposal) { p.by = []tuf.Signer{stranger} }},
	{"expired", tuf.RuleExpired, func(p *proposal) { p.md.Signed.Expires = p.w.now }},
	{"for ever", tuf.RuleExpiry, func(p *proposal) { p.md.Signed.Expires = p.w.now.Add(401 * day) }},
	{"another repository's path", tuf.RulePath, func(p *proposal) { p.list(other + ":1.0") }},
	{"a path that is none", tuf.RulePath, func(p *proposal) { p.list("../../etc/passwd") }},
	{"a record of another digest", tuf.RulePath, func(p *proposal) { p.list(app + ":1.0@" + digest("two")) }},
	{"white space at the end", tuf.RuleCanonical, func(p *proposal) {
		p.mangle = func(data []byte) []byte { return append(bytes.Clone(data), '\n') }
	}},
	{"a member that nobody signed", tuf.RuleCanonical, func(p *proposal) {
		p.mangle = func(data []byte) []byte { return append([]byte(`{"note":"x",`), data[1:]...) }
	}},
	{"a member twice", tuf.RuleShape, func(p *proposal) {
		p.mangle = func(data []byte) []byte { return append([]byte(`{"signatures":[],`), data[1:]...) }
	}},
	{"null", tuf.RuleShape, func(p *proposal) {
		p.mangle = func([]byte) []byte { return []byte(`{"signatures":[],"signed":null}`) }
	}},
	{"the same role twice", tuf.RuleShape, func(p *proposal) { p.further = p.files()[:1] }},
	{"a snapshot", tuf.RuleOnlineKey, func(p *proposal) { p.further = []tuf.File{p.w.state.Snapshot} }},
	{"a timestamp", tuf.RuleOnlineKey, func(p *proposal) { p.further = []tuf.File{p.w.state.Timestamp} }},
	{"a role that nobody delegates to", tuf.RuleDelegation, func(p *proposal) {
		md := tuf.NewTargets(1, p.w.now.Add(day))
		p.further = []tuf.File{{Role: "mallory", Version: 1, Bytes: encode(md, p.by)}}
	}},
	{"a delegation without a file", tuf.RuleDelegation, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "mallory", Threshold: 1, Paths: []string{app + ":m", app + ":m@sha256:*"}}, stranger)
	}},
	{"a delegation of another repository", tuf.RulePath, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "mallory", Threshold: 1, Paths: []string{other + ":m", other + ":m@sha256:*"}}, stranger)
	}},
	{"a delegation of tags without their records", tuf.RulePath, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "mallory", Threshold: 1, Paths: []string{app + ":m"}}, stranger)
	}},
	{"a signer called root", tuf.RuleShape, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "root", Threshold: 1, Paths: []string{app + ":m", app + ":m@sha256:*"}}, stranger)
	}},
	{"a signer called Root", tuf.RuleName, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "Root", Threshold: 1, Paths: []string{app + ":m", app + ":m@sha256:*"}}, stranger)
	}},
	{"a threshold that nobody can meet", tuf.RuleThreshold, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "mallory", Threshold: 2, Paths: []string{app + ":m", app + ":m@sha256:*"}}, stranger)
	}},
	{"a key under another's ID", tuf.RuleKeyID, func(p *proposal) {
		p.delegate(metadata.DelegatedRole{Name: "mallory", Threshold: 1, Paths: []string{app + ":m", app + ":m@sha256:*"}}, stranger)
		p.md.Signed.Delegations.Keys[stranger.Key().ID()] = key(1<<20 + 1).Key().Metadata()
	}},
	{"a root of another repository", tuf.RuleRepository, func(p *proposal) {
		p.nextRoot().Signed.UnrecognizedFields[tuf.MemberRepository] = other
	}},
	{"a root without consistent snapshots", tuf.RuleShape, func(p *proposal) { p.nextRoot().Signed.ConsistentSnapshot = false }},
	{"a root that skips a version", conflict, func(p *proposal) { p.nextRoot().Signed.Version++ }},
	{"a root that is signed by strangers", tuf.RuleThreshold, func(p *proposal) { p.nextRoot(); p.rootBy = []tuf.Signer{stranger} }},
	{"a root that its own new keys did not sign", tuf.RuleThreshold, func(p *proposal) {
		if err := tuf.SetRoleKeys(p.nextRoot(), tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{stranger.Key()}}); err != nil {
			panic(err)
		}
	}},
	{"a root that only its own new keys signed", tuf.RuleThreshold, func(p *proposal) {
		if err := tuf.SetRoleKeys(p.nextRoot(), tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{stranger.Key()}}); err != nil {
			panic(err)
		}
		p.rootBy = []tuf.Signer{stranger}
	}},
	{"a root that takes the targets' key from what it comes with", tuf.RuleThreshold, func(p *proposal) {
		if err := tuf.SetRoleKeys(p.nextRoot(), tuf.RoleTargets, tuf.RoleKeys{Keys: []*tuf.Key{stranger.Key()}}); err != nil {
			panic(err)
		}
	}},
	{"a root with the attacker's online keys", tuf.RuleOnlineKey, func(p *proposal) {
		if err := tuf.SetRoleKeys(p.nextRoot(), tuf.RoleTimestamp, tuf.RoleKeys{Keys: []*tuf.Key{stranger.Key()}}); err != nil {
			panic(err)
		}
	}},
	{"a root that has expired", tuf.RuleExpired, func(p *proposal) { p.nextRoot().Signed.Expires = p.w.now.Add(-time.Second) }},
	{"a root with a key that no role has", tuf.RuleKeyID, func(p *proposal) {
		p.nextRoot().Signed.Keys[stranger.Key().ID()] = stranger.Key().Metadata()
	}},
}

// Whatever a server takes, every client takes, wherever it was; and it takes what is
// right and refuses what is not, naming the rule.
func TestServerTakesWhatIsRight(t *stdtesting.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &play{t: t, r: t, w: newWorld(t, app)}
		w := p.w
		v := newVerifier(t, w)
		t.Repeat(map[string]func(*rapid.T){
			"publish":           p.publish,
			"signer comes":      p.signerComes,
			"signer publishes":  p.signerPublishes,
			"signer goes":       p.signerGoes,
			"root's new keys":   func(*rapid.T) { w.rotate(tuf.RoleRoot, p.newKeys()) },
			"targets' new keys": func(*rapid.T) { w.rotate(tuf.RoleTargets, p.newKeys()) },
			"time passes":       p.timePasses,
			"renew":             func(*rapid.T) { w.renew() },
			"propose": func(*rapid.T) {
				abuse := abuses[rapid.IntRange(0, len(abuses)-1).Draw(t, "abuse")]
				q := &proposal{w: w, role: tuf.RoleTargets, by: w.targets.signers[:w.targets.threshold]}
				if len(w.signers) > 0 && rapid.Bool().Draw(t, "by a signer") {
					s := w.signer(p.signerName())
					q.role, q.by = s.name, s.keys.signers[:s.keys.threshold]
				}
				p.propose(q, abuse.name, abuse.rule, abuse.do)
			},
			"ask": func(*rapid.T) {
				w.refresh()
				p.honest(v, p.tag(), w.now)
			},
		})
	})
}

// propose sends a proposal, which is not kept: the next step starts from what was.
func (p *play) propose(q *proposal, name string, rule tuf.Rule, do func(*proposal)) {
	p.t.Helper()
	w := p.w
	q.md = must(tuf.ReadTargets(w.state.Roles[q.role].Bytes))
	q.md.Signed.Version++
	q.md.Signed.Expires = w.now.Add(80 * day)
	do(q)
	if q.role != tuf.RoleTargets && (strings.Contains(name, "path") || strings.Contains(name, "record of")) {
		rule = tuf.RulePath
	}
	files := q.files()
	online := map[string][]*tuf.Key{tuf.RoleSnapshot: w.snapshot.public().Keys, tuf.RoleTimestamp: w.timestamp.public().Keys}
	before := maps.Clone(w.state.Roles)
	next, changed, err := tuf.CheckPublish(app, w.state, files, tuf.PublishRules{Now: w.now, Online: online})
	switch {
	case rule == conflict && errors.Is(err, tuf.ErrConflict), rule != "" && tuf.RuleOf(err) == rule:
		if next != nil || changed != nil {
			p.t.Fatalf("%s as %s: refused, and yet there is something to store", name, q.role)
		}
	case rule == "" && err == nil:
		p.taken(next, changed)
	default:
		p.t.Fatalf("%s as %s: got %v, expected %q", name, q.role, err, rule)
	}
	for role, file := range w.state.Roles {
		if !bytes.Equal(file.Bytes, before[role].Bytes) {
			p.t.Fatalf("%s: the state that was checked against changed", name)
		}
	}
}

// taken looks at what a server would store as every client does.
func (p *play) taken(next *tuf.State, changed []tuf.File) {
	p.t.Helper()
	w := p.w
	for _, file := range changed {
		if bytes.Contains(file.Bytes, []byte(stranger.Key().ID())) {
			p.t.Fatalf("a stranger's signature is stored with %s", file.Name())
		}
	}
	if w.expired() {
		return // and one publish need not mend all of it
	}
	state := *next
	snapshot := tuf.NewSnapshot(w.state.Snapshot.Version+1, w.now.Add(day), slices.Collect(maps.Values(next.Roles)))
	state.Snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: snapshot.Signed.Version, Bytes: encode(snapshot, w.snapshot.signers[:1])}
	timestamp := tuf.NewTimestamp(w.state.Timestamp.Version+1, w.now.Add(day), state.Snapshot)
	state.Timestamp = tuf.File{Role: tuf.RoleTimestamp, Version: timestamp.Signed.Version, Bytes: encode(timestamp, w.timestamp.signers[:1])}
	if _, err := tuf.CheckState(app, &state, w.now, tuf.Limits{}); err != nil {
		p.t.Fatalf("what the server took is no state that a client takes: %v", err)
	}
}

// Each abuse, once, by targets and by a signer: random histories may miss one.
func TestEachAbuse(t *stdtesting.T) {
	for _, abuse := range abuses {
		t.Run(abuse.name, func(t *stdtesting.T) {
			w := newWorld(t, app)
			w.addSigner(signer{name: "alice", keys: w.newKeys(2, 2), pattern: "a-*"})
			w.set("alice", "a-1", "built")
			p := &play{t: t, w: w}
			p.propose(&proposal{w: w, role: tuf.RoleTargets, by: w.targets.signers}, abuse.name, abuse.rule, abuse.do)
			p.propose(&proposal{w: w, role: "alice", by: w.signer("alice").keys.signers}, abuse.name, abuse.rule, abuse.do)
		})
	}
}
