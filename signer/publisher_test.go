package signer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

const app = "registry.example/team/app"

// noon is the time in these tests, until one moves it.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a signer under test, with a clock of its own.
type bench struct {
	*Service
	t      *testing.T
	config Config
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: noon}
	b.config = Config{Dir: t.TempDir() + "/signer", Now: func() time.Time { return b.now }}
	b.open()
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.Service, err = Open(b.t.Context(), b.config); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.Service.Close() })
}

// restart ends the service and opens it again on the same files.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) mustSign(r api.SignRequest) *api.Signed {
	b.t.Helper()
	signed, err := b.Sign(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return signed
}

func (b *bench) onlineKeys(repository string) (snapshot, timestamp *tuf.Key) {
	b.t.Helper()
	keys, err := b.OnlineKeys(b.t.Context(), repository)
	if err != nil {
		b.t.Fatal(err)
	}
	return keys[0].Key, keys[1].Key
}

func refreshOf(signed *api.Signed) api.RefreshRequest {
	return api.RefreshRequest{Repository: app, SnapshotVersion: signed.Snapshot.Version, SnapshotSHA256: signed.Snapshot.SHA256()}
}

// A publisher holds one root key and one targets key.
type publisher struct {
	t             *testing.T
	repository    string
	root, targets tuf.Signer
}

func newSigner(t *testing.T) tuf.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := tuf.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newPublisher(t *testing.T) *publisher {
	return &publisher{t: t, repository: app, root: newSigner(t), targets: newSigner(t)}
}

// rootFile makes a root by the publisher's key; change, where given, has the last
// word before it is signed.
func (p *publisher) rootFile(version int64, snapshot, timestamp *tuf.Key, change func(*tuf.RootSpec)) []byte {
	p.t.Helper()
	spec := tuf.RootSpec{
		Repository: p.repository, Version: version, Expires: noon.AddDate(1, 0, 0),
		Root:      tuf.RoleKeys{Keys: []*tuf.Key{p.root.Key()}},
		Targets:   tuf.RoleKeys{Keys: []*tuf.Key{p.targets.Key()}},
		Snapshot:  tuf.RoleKeys{Keys: []*tuf.Key{snapshot}},
		Timestamp: tuf.RoleKeys{Keys: []*tuf.Key{timestamp}},
	}
	if change != nil {
		change(&spec)
	}
	root, err := tuf.NewRoot(spec)
	if err != nil {
		p.t.Fatal(err)
	}
	return encode(p.t, root, p.root)
}

// targetsFile makes targets with one tag whose digest is that of content.
func (p *publisher) targetsFile(version int64, content string, change func(*tuf.Targets)) tuf.File {
	p.t.Helper()
	targets := tuf.NewTargets(version, noon.AddDate(0, 6, 0))
	if content != "" {
		digest := "sha256:" + tuf.File{Bytes: []byte(content)}.SHA256()
		if err := tuf.SetTarget(targets, p.repository, "1.0", tuf.Target{Digest: digest, Length: 1}); err != nil {
			p.t.Fatal(err)
		}
	}
	if change != nil {
		change(targets)
	}
	return tuf.File{Role: tuf.RoleTargets, Version: version, Bytes: encode(p.t, targets, p.targets)}
}

// delegate lets bob sign tags that begin with "dev-".
func (p *publisher) delegate(name string, bob tuf.Signer) func(*tuf.Targets) {
	return func(targets *tuf.Targets) {
		targets.Signed.Delegations = &metadata.Delegations{
			Keys: map[string]*metadata.Key{bob.Key().ID(): bob.Key().Metadata()},
			Roles: []metadata.DelegatedRole{{Name: name, KeyIDs: []string{bob.Key().ID()}, Threshold: 1,
				Paths: []string{p.repository + ":dev-*", p.repository + ":dev-*@sha256:*"}}},
		}
	}
}

// signerFile makes the empty file of the delegated role name.
func signerFile(t *testing.T, name string, version int64, by tuf.Signer) tuf.File {
	t.Helper()
	return tuf.File{Role: name, Version: version, Bytes: encode(t, tuf.NewTargets(version, noon.AddDate(0, 6, 0)), by)}
}

func encode[T metadata.Roles](t *testing.T, md *metadata.Metadata[T], by ...tuf.Signer) []byte {
	t.Helper()
	if err := tuf.Sign(context.Background(), md, by...); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(md)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// request asks for a signature over root and files.
func (p *publisher) request(roots [][]byte, files ...tuf.File) api.SignRequest {
	return api.SignRequest{Repository: p.repository, Roots: roots, Roles: files}
}

// first is the request that creates the repository at b.
func (p *publisher) first(b *bench) api.SignRequest {
	snapshot, timestamp := b.onlineKeys(p.repository)
	return p.request([][]byte{p.rootFile(1, snapshot, timestamp, nil)}, p.targetsFile(1, "one", nil))
}

// checkServed holds what was signed to what a client demands.
func checkServed(t *testing.T, r api.SignRequest, signed *api.Signed, now time.Time) {
	t.Helper()
	state := &tuf.State{Root: tuf.File{Bytes: r.Roots[len(r.Roots)-1]}, Roles: map[string]tuf.File{}, Snapshot: signed.Snapshot, Timestamp: signed.Timestamp}
	for _, f := range r.Roles {
		state.Roles[f.Role] = f
	}
	if _, err := tuf.CheckState(r.Repository, state, now, tuf.Limits{}); err != nil {
		t.Fatalf("a client would refuse what was signed: %v", err)
	}
}

func versions(s *api.Signed) string {
	return fmt.Sprintf("%d/%d", s.Snapshot.Version, s.Timestamp.Version)
}
