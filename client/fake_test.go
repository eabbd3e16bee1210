package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

const day = 24 * time.Hour

// newKey returns a fresh key that can sign.
func newKey(t testing.TB) tuf.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tuf.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func publicKeys(signers ...tuf.Signer) []*tuf.Key {
	var keys []*tuf.Key
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	return keys
}

// fakeClock is a clock that stands still until it is moved.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *fakeClock { return &fakeClock{at: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fakeRepo is one repository with all of its keys at hand: what honest people
// publish with, and what thieves may have stolen.
type fakeRepo struct {
	t     testing.TB
	name  string
	clock *fakeClock

	rootKeys, targetsKeys, snapshotKeys, timestampKeys []tuf.Signer

	mu        sync.Mutex
	root      *tuf.Root
	rootFile  tuf.File
	roles     map[string]tuf.File
	snapshot  tuf.File
	timestamp tuf.File
	files     map[string][]byte // what is served, by file name
	noHashes  bool              // snapshot and timestamp list versions only, as other tools do
}

func newRepo(t testing.TB, name string, clock *fakeClock) *fakeRepo {
	t.Helper()
	r := &fakeRepo{t: t, name: name, clock: clock, roles: map[string]tuf.File{}, files: map[string][]byte{},
		rootKeys: []tuf.Signer{newKey(t)}, targetsKeys: []tuf.Signer{newKey(t)}, snapshotKeys: []tuf.Signer{newKey(t)}, timestampKeys: []tuf.Signer{newKey(t)}}
	return r
}

// start publishes the first version of everything.
func (r *fakeRepo) start() *fakeRepo {
	r.t.Helper()
	root, err := tuf.NewRoot(tuf.RootSpec{Repository: r.name, Version: 1, Expires: r.clock.Now().Add(365 * day),
		Root: tuf.RoleKeys{Keys: publicKeys(r.rootKeys...)}, Targets: tuf.RoleKeys{Keys: publicKeys(r.targetsKeys...)},
		Snapshot: tuf.RoleKeys{Keys: publicKeys(r.snapshotKeys...)}, Timestamp: tuf.RoleKeys{Keys: publicKeys(r.timestampKeys...)}})
	r.must(err)
	r.putRoot(root, r.rootKeys...)
	r.putTargets(tuf.RoleTargets, tuf.NewTargets(1, r.clock.Now().Add(180*day)), r.targetsKeys...)
	r.release()
	return r
}

func (r *fakeRepo) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func finish[T interface {
	*tuf.Root | *tuf.Targets | *tuf.Snapshot | *tuf.Timestamp
}](r *fakeRepo, md T, signers []tuf.Signer) []byte {
	r.t.Helper()
	var data []byte
	var err error
	switch md := any(md).(type) {
	case *tuf.Root:
		r.must(tuf.Sign(context.Background(), md, signers...))
		data, err = tuf.Encode(md)
	case *tuf.Targets:
		r.must(tuf.Sign(context.Background(), md, signers...))
		data, err = tuf.Encode(md)
	case *tuf.Snapshot:
		r.must(tuf.Sign(context.Background(), md, signers...))
		data, err = tuf.Encode(md)
	case *tuf.Timestamp:
		r.must(tuf.Sign(context.Background(), md, signers...))
		data, err = tuf.Encode(md)
	}
	r.must(err)
	return data
}

// putRoot signs and serves a root.
func (r *fakeRepo) putRoot(root *tuf.Root, signers ...tuf.Signer) {
	r.t.Helper()
	root.Signatures = nil
	data := finish(r, root, signers)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.root, r.rootFile = root, tuf.File{Role: tuf.RoleRoot, Version: root.Signed.Version, Bytes: data}
	r.files[r.rootFile.Name()] = data
}

// nextRoot serves the next root after edit; signers are the old and new root keys.
func (r *fakeRepo) nextRoot(edit func(*tuf.Root), signers ...tuf.Signer) {
	r.t.Helper()
	root, err := tuf.ReadRoot(r.rootFile.Bytes)
	r.must(err)
	root.Signed.Version++
	if edit != nil {
		edit(root)
	}
	if len(signers) == 0 {
		signers = r.rootKeys
	}
	r.putRoot(root, signers...)
}

// putTargets signs and serves a role's file; a release makes it count.
func (r *fakeRepo) putTargets(role string, targets *tuf.Targets, signers ...tuf.Signer) {
	r.t.Helper()
	targets.Signatures = nil
	data := finish(r, targets, signers)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roles[role] = tuf.File{Role: role, Version: targets.Signed.Version, Bytes: data}
	r.files[fmt.Sprintf("%d.%s.json", targets.Signed.Version, quote(role))] = data
	r.files[quote(role)+".json"] = data
}

// edit publishes the next version of a role, and releases it.
func (r *fakeRepo) edit(role string, edit func(*tuf.Targets), signers ...tuf.Signer) {
	r.t.Helper()
	targets, err := tuf.ReadTargets(r.roles[role].Bytes)
	r.must(err)
	targets.Signed.Version++
	edit(targets)
	if len(signers) == 0 {
		signers = r.targetsKeys
	}
	r.putTargets(role, targets, signers...)
	r.release()
}

// sign makes a tag mean a digest.
func (r *fakeRepo) sign(tag, digest string) {
	r.t.Helper()
	r.edit(tuf.RoleTargets, func(md *tuf.Targets) { r.must(tuf.SetTarget(md, r.name, tag, target(digest))) })
}

func target(digest string) tuf.Target {
	return tuf.Target{Digest: digest, Length: 1234, MediaType: "application/vnd.oci.image.index.v1+json"}
}

// digestOf returns the digest of a word, for readable tests.
func digestOf(word string) string { return "sha256:" + digestHex([]byte(word)) }

// release signs the next snapshot and timestamp over what is there.
func (r *fakeRepo) release() {
	r.t.Helper()
	r.releaseAt(r.snapshot.Version+1, r.timestamp.Version+1)
}

// releaseAt does so with chosen versions.
func (r *fakeRepo) releaseAt(snapshotVersion, timestampVersion int64) {
	r.t.Helper()
	var files []tuf.File
	for _, f := range r.roles {
		files = append(files, f)
	}
	snapshot := tuf.NewSnapshot(snapshotVersion, r.clock.Now().Add(7*day), files)
	if r.noHashes {
		for _, m := range snapshot.Signed.Meta {
			m.Hashes, m.Length = nil, 0
		}
	}
	data := finish(r, snapshot, r.snapshotKeys)
	r.mu.Lock()
	r.snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: snapshotVersion, Bytes: data}
	r.files[r.snapshot.Name()] = data
	r.files["snapshot.json"] = data
	r.mu.Unlock()
	r.stamp(timestampVersion)
}

// stamp signs a timestamp over the snapshot that is there.
func (r *fakeRepo) stamp(version int64) {
	r.t.Helper()
	timestamp := tuf.NewTimestamp(version, r.clock.Now().Add(day), r.snapshot)
	if r.noHashes {
		timestamp.Signed.Meta["snapshot.json"].Hashes, timestamp.Signed.Meta["snapshot.json"].Length = nil, 0
	}
	data := finish(r, timestamp, r.timestampKeys)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timestamp = tuf.File{Role: tuf.RoleTimestamp, Version: version, Bytes: data}
	r.files["timestamp.json"] = data
}

// served returns a copy of all that is served, to be served again another day.
func (r *fakeRepo) served() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

// serve replaces what is served.
func (r *fakeRepo) serve(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(files)
}

func (r *fakeRepo) file(name string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.files[name]
	return data, ok
}

// fakeServer serves repositories over TLS, and takes what is published.
type fakeServer struct {
	*httptest.Server
	t        testing.TB
	identity tuf.Signer

	mu        sync.Mutex
	repos     map[string]*fakeRepo
	requests  []string
	intercept func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

func newServer(t testing.TB, repos ...*fakeRepo) *fakeServer {
	t.Helper()
	s := &fakeServer{t: t, repos: map[string]*fakeRepo{}, identity: newKey(t)}
	for _, r := range repos {
		s.repos[r.name] = r
	}
	s.Server = httptest.NewTLSServer(s)
	s.Config.ErrorLog = quiet()
	t.Cleanup(s.Close)
	return s
}

// ca returns the server's certificate as PEM.
func (s *fakeServer) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// setIntercept lets a test answer requests in its own way.
func (s *fakeServer) setIntercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// taken returns the paths asked for since the last call.
func (s *fakeServer) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	intercept := s.intercept
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	switch path := r.URL.EscapedPath(); {
	case strings.HasPrefix(path, "/tuf/"):
		s.read(w, r, strings.TrimPrefix(path, "/tuf/"))
	case strings.HasPrefix(path, "/v1/publish/"):
		s.publish(w, r, strings.TrimPrefix(path, "/v1/publish/"))
	case strings.HasPrefix(path, "/v1/online-keys/"):
		s.onlineKeys(w, strings.TrimPrefix(path, "/v1/online-keys/"))
	default:
		http.NotFound(w, r)
	}
}

func (s *fakeServer) read(w http.ResponseWriter, r *http.Request, path string) {
	slash := strings.LastIndexByte(path, '/')
	s.mu.Lock()
	repo := s.repos[path[:slash]]
	s.mu.Unlock()
	if repo == nil {
		http.NotFound(w, r)
		return
	}
	data, ok := repo.file(path[slash+1:])
	if !ok {
		http.NotFound(w, r)
		return
	}
	etag := `"` + digestHex(data) + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(data)
}

func problem(w http.ResponseWriter, err error) {
	p := api.NewProblem(err)
	w.Header().Set("Content-Type", api.TypeProblem)
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func (s *fakeServer) publish(w http.ResponseWriter, r *http.Request, name string) {
	var request api.PublishRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		problem(w, api.ErrBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.repos[name]
	if repo == nil {
		problem(w, tuf.ErrNotFound)
		return
	}
	var state *tuf.State
	if repo.rootFile.Version > 0 {
		state = &tuf.State{Root: repo.rootFile, Roles: repo.roles, Snapshot: repo.snapshot, Timestamp: repo.timestamp}
	}
	next, changed, err := tuf.CheckPublish(name, state, request.Metadata(), tuf.PublishRules{Now: repo.clock.Now()})
	if err != nil {
		problem(w, err)
		return
	}
	if len(changed) > 0 {
		repo.mu.Lock()
		repo.rootFile, repo.roles = next.Root, next.Roles
		for _, f := range changed {
			repo.files[f.Name()] = f.Bytes
		}
		repo.mu.Unlock()
		repo.release()
	}
	json.NewEncoder(w).Encode(api.PublishResponse{Repository: name, Generation: repo.timestamp.Version, Versions: next.Versions()})
}

func (s *fakeServer) onlineKeys(w http.ResponseWriter, name string) {
	s.mu.Lock()
	repo := s.repos[name]
	s.mu.Unlock()
	if repo == nil {
		problem(w, tuf.ErrNotFound)
		return
	}
	var response api.OnlineKeysResponse
	for role, signer := range map[string]tuf.Signer{tuf.RoleSnapshot: repo.snapshotKeys[0], tuf.RoleTimestamp: repo.timestampKeys[0]} {
		key := api.OnlineKey{Repository: name, Role: role, Key: signer.Key()}
		payload, err := key.Payload()
		if err == nil {
			key.Signature, err = s.identity.Sign(context.Background(), payload)
		}
		if err != nil {
			problem(w, err)
			return
		}
		response.Keys = append(response.Keys, key)
	}
	json.NewEncoder(w).Encode(response)
}

// bench is one repository, its server and a client of it.
type bench struct {
	t      testing.TB
	clock  *fakeClock
	repo   *fakeRepo
	server *fakeServer
	anchor Anchor
	config Config
}

const appName = "registry.example.com/team/app"

func newBench(t testing.TB) *bench {
	t.Helper()
	clock := newClock()
	repo := newRepo(t, appName, clock).start()
	repo.sign("1.0", digestOf("one"))
	b := &bench{t: t, clock: clock, repo: repo, server: newServer(t, repo)}
	b.anchor = Anchor{Pattern: "registry.example.com/team/*", Servers: []string{b.server.URL}, CA: b.server.ca()}
	for _, s := range repo.rootKeys {
		b.anchor.RootKeys = append(b.anchor.RootKeys, s.Key().ID())
	}
	b.config = Config{StateDir: t.TempDir(), Now: clock.Now, Timeouts: Timeouts{Connect: 5 * time.Second, Header: 5 * time.Second, Body: 5 * time.Second}}
	return b
}

// client returns a client with the bench's configuration as it is now.
func (b *bench) client() *Client {
	config := b.config
	config.Anchors = Anchors{b.anchor}
	return New(config)
}

func (b *bench) image(s string) tuf.Image {
	b.t.Helper()
	image, err := tuf.ParseImage(s)
	if err != nil {
		b.t.Fatal(err)
	}
	return image
}

// verify asks for a tag of the bench's repository.
func (b *bench) verify(tag string) (*Decision, error) {
	b.t.Helper()
	return b.client().Verify(b.t.Context(), tuf.Image{Repository: b.repo.name, Tag: tag}, Options{})
}

// trusts fails the test unless tag is trusted as the digest of word.
func (b *bench) trusts(tag, word string) *Decision {
	b.t.Helper()
	d, err := b.verify(tag)
	if err != nil {
		b.t.Fatalf("%s: %v", tag, err)
	}
	if d.Digest != digestOf(word) || !d.Trusted || !d.Current {
		b.t.Fatalf("%s: got %+v, expected the digest of %q", tag, d, word)
	}
	return d
}

// refuses fails the test unless tag is refused by rule.
func (b *bench) refuses(tag string, rule tuf.Rule) {
	b.t.Helper()
	d, err := b.verify(tag)
	if tuf.RuleOf(err) != rule {
		b.t.Fatalf("%s: got %+v, %v; expected a refusal by %q", tag, d, err, rule)
	}
	if d.Trusted || d.Reference != "" || d.Rule != rule || d.Reason == "" {
		b.t.Fatalf("%s: the decision %+v does not tell the refusal by %q", tag, d, rule)
	}
}
