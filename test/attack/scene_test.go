package attack_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const (
	app   = "registry.example/team/app"
	other = "registry.example/team/other"
	day   = 24 * time.Hour
)

// A scene is an honest server with its signer, what people publish there, and an
// attacker whom every verifier talks to in place of the server.
type scene struct {
	t      testing.TB
	h      *harness.Harness
	proxy  *attack.Proxy
	url    string // where the attacker listens
	signer string // the signer's folder
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{t: t, signer: filepath.Join(t.TempDir(), "signer")}
	s.h = harness.Start(t, func(c *harness.Config) { c.Signer.Dir = s.signer })
	var err error
	if s.proxy, err = attack.New(s.h.URL, s.h.CA); err != nil {
		t.Fatal(err)
	}
	s.url = listen(t, s.proxy)
	return s
}

// listen serves on loopback, where plain HTTP is allowed.
func listen(t testing.TB, proxy *attack.Proxy) string {
	t.Helper()
	server := httptest.NewUnstartedServer(proxy)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// record keeps what the honest server has now.
func (s *scene) record(repository string) *attack.Recording {
	s.t.Helper()
	r, err := s.proxy.Record(s.t.Context(), repository)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// forger is a hostile server that starts from what is there now, with keys of some
// roles in hand.
func (s *scene) forger(t testing.TB, p *publisher, roles ...string) *attack.Forger {
	t.Helper()
	all := attack.Steal(t, s.signer, p.name)
	all[tuf.RoleRoot], all[tuf.RoleTargets] = p.root, p.targets
	keys := map[string][]tuf.Signer{}
	for _, role := range roles {
		keys[role] = all[role]
	}
	return attack.NewForger(t, s.record(p.name), keys)
}

// serve answers with what a forger has made.
func (s *scene) serve(f *attack.Forger) { s.proxy.Set(attack.Replay(f.Clone())) }

// online are the roles whose keys the signer holds.
var online = []string{tuf.RoleSnapshot, tuf.RoleTimestamp}

// A publisher has all offline keys of one repository.
type publisher struct {
	t             testing.TB
	client        *harness.Client
	name          string
	root, targets []tuf.Signer
	newestRoot    *tuf.Root
	roles         map[string]*tuf.Targets // targets, and signers
	signers       map[string][]tuf.Signer // keys of signers
}

// publisher creates a repository with these keys, of which all must sign, and signs
// the tag 1.0 as "one".
func (s *scene) publisher(name string, root, targets []tuf.Signer) *publisher {
	s.t.Helper()
	p := &publisher{t: s.t, client: s.h.Client(s.h.AdminToken), name: name, root: root, targets: targets,
		roles: map[string]*tuf.Targets{}, signers: map[string][]tuf.Signer{}}
	var keys api.OnlineKeysResponse
	p.must(p.client.Call(s.t.Context(), "POST", api.OnlineKeysPath(name), nil, &keys))
	spec := tuf.RootSpec{Repository: name, Version: 1, Expires: time.Now().Add(365 * day), Root: all(root), Targets: all(targets)}
	for _, k := range keys.Keys {
		if k.Role == tuf.RoleSnapshot {
			spec.Snapshot.Keys = append(spec.Snapshot.Keys, k.Key)
		} else {
			spec.Timestamp.Keys = append(spec.Timestamp.Keys, k.Key)
		}
	}
	var err error
	p.newestRoot, err = tuf.NewRoot(spec)
	p.must(err)
	md := tuf.NewTargets(1, time.Now().Add(180*day))
	p.must(tuf.SetTarget(md, name, "1.0", target("one")))
	p.roles[tuf.RoleTargets] = md
	p.publish(p.file(tuf.RoleRoot, p.newestRoot, root), p.file(tuf.RoleTargets, md, targets))
	return p
}

func (p *publisher) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// all demands a signature of every key.
func all(signers []tuf.Signer) tuf.RoleKeys {
	keys := tuf.RoleKeys{Threshold: len(signers)}
	for _, s := range signers {
		keys.Keys = append(keys.Keys, s.Key())
	}
	return keys
}

func (p *publisher) publish(files ...tuf.File) {
	p.t.Helper()
	_, err := p.client.Publish(p.t.Context(), p.name, files...)
	p.must(err)
}

func (p *publisher) file(role string, md any, signers []tuf.Signer) tuf.File {
	p.t.Helper()
	var version int64
	var data []byte
	var err error
	switch md := md.(type) {
	case *tuf.Root:
		data, err = signed(md, signers)
		version = md.Signed.Version
	case *tuf.Targets:
		data, err = signed(md, signers)
		version = md.Signed.Version
	}
	p.must(err)
	return tuf.File{Role: role, Version: version, Bytes: data}
}

func signed[T metadata.Roles](md *metadata.Metadata[T], signers []tuf.Signer) ([]byte, error) {
	md.ClearSignatures()
	if err := tuf.Sign(context.Background(), md, signers...); err != nil {
		return nil, err
	}
	return tuf.Encode(md)
}

// edit publishes the next file of targets or of a signer.
func (p *publisher) edit(role string, edit func(*tuf.Targets)) {
	p.t.Helper()
	p.publish(p.next(role, edit))
}

func (p *publisher) next(role string, edit func(*tuf.Targets)) tuf.File {
	p.t.Helper()
	md := p.roles[role]
	md.Signed.Version++
	edit(md)
	signers := p.signers[role]
	if role == tuf.RoleTargets {
		signers = p.targets
	}
	return p.file(role, md, signers)
}

// sign makes a tag mean a word's digest.
func (p *publisher) sign(tag, word string) {
	p.t.Helper()
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) { p.must(tuf.SetTarget(md, p.name, tag, target(word))) })
}

// rotate publishes the next root after edit, signed by these keys and by those of
// the root that it has then.
func (p *publisher) rotate(edit func(*tuf.Root), old ...tuf.Signer) {
	p.t.Helper()
	p.newestRoot.Signed.Version++
	edit(p.newestRoot)
	p.publish(p.file(tuf.RoleRoot, p.newestRoot, append(old, p.root...)))
}

// delegate adds a signer with keys of its own, of which all must sign, who may sign the
// tags of pattern.
func (p *publisher) delegate(name, pattern string, keys ...tuf.Signer) {
	p.t.Helper()
	p.signers[name] = keys
	first := p.roles[name]
	if first == nil {
		first = tuf.NewTargets(0, time.Now().Add(90*day))
		p.roles[name] = first
	}
	signer := p.next(name, func(*tuf.Targets) {})
	p.publish(p.next(tuf.RoleTargets, func(md *tuf.Targets) { delegate(md, p.name, name, pattern, keys...) }), signer)
}

// delegate adds a delegation to md, for a pattern of tags and their records.
func delegate(md *tuf.Targets, repository, name, pattern string, keys ...tuf.Signer) {
	if md.Signed.Delegations == nil {
		md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	role := metadata.DelegatedRole{Name: name, Threshold: len(keys), KeyIDs: []string{},
		Paths: []string{tuf.TagPath(repository, pattern), tuf.TagPath(repository, pattern) + "@sha256:*"}}
	for _, key := range keys {
		md.Signed.Delegations.Keys[key.Key().ID()] = key.Key().Metadata()
		role.KeyIDs = append(role.KeyIDs, key.Key().ID())
	}
	md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles, role)
}

func target(word string) tuf.Target {
	return tuf.Target{Digest: harness.Digest("%s", word), Length: 500}
}

// set makes a tag mean a word in md.
func set(t testing.TB, repository, tag, word string) func(*tuf.Targets) {
	return func(md *tuf.Targets) {
		t.Helper()
		if err := tuf.SetTarget(md, repository, tag, target(word)); err != nil {
			t.Fatal(err)
		}
	}
}

// digest is that of a word, which stands for an image.
func digest(word string) string { return harness.Digest("%s", word) }

func newKeys(t testing.TB, n int) []tuf.Signer {
	t.Helper()
	var keys []tuf.Signer
	for range n {
		keys = append(keys, harness.NewKey(t))
	}
	return keys
}

// verifier is a machine that trusts these root keys for a name, and asks the attacker.
func (s *scene) verifier(t testing.TB, pattern string, root []tuf.Signer, args ...string) *machine {
	t.Helper()
	m := newMachine(t)
	m.trust(pattern, s.url, root, args...)
	return m
}

func (m *machine) trust(pattern, server string, root []tuf.Signer, more ...string) {
	m.t.Helper()
	args := []string{"trust", "add", pattern, "--server", server}
	for _, key := range root {
		args = append(args, "--root-key", key.Key().ID())
	}
	m.must(append(args, more...)...)
}
