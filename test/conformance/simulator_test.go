package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// object is JSON as the simulator edits it: it knows none of the types that the
// program under test reads with.
type object = map[string]any

func in(o object, path ...string) object {
	for _, name := range path {
		o = o[name].(object)
	}
	return o
}

// A signer is a private key and the key object that metadata lists.
type signer struct {
	id   string
	key  object
	sign func(msg []byte) []byte
}

// withKey returns a signer whose ID fits its key object.
func withKey(t testing.TB, key object, sign func([]byte) []byte) *signer {
	t.Helper()
	canonical, err := cjson.EncodeCanonical(key)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{id: fmt.Sprintf("%x", sha256.Sum256(canonical)), key: key, sign: sign}
}

func newEd25519(t testing.TB) *signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": hex.EncodeToString(public)}}
	return withKey(t, key, func(msg []byte) []byte { return ed25519.Sign(private, msg) })
}

func newECDSA(t testing.TB) *signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := object{"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": object{"public": publicPEM(t, private)}}
	return withKey(t, key, func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	})
}

func newRSA(t testing.TB) *signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := object{"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": object{"public": publicPEM(t, private)}}
	return withKey(t, key, func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		sig, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], nil)
		if err != nil {
			panic(err)
		}
		return sig
	})
}

func publicPEM(t testing.TB, private crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A simulator is a TUF repository behind HTTP. Tests change what it is about to
// say in md, publish it, and may then do to the published bytes what an attacker
// would.
type simulator struct {
	t         testing.TB
	md        map[string]object    // by role, the signed part to come
	signers   map[string][]*signer // by role, who signs it
	published map[string][][]byte  // by role, one file for each version
	artifacts map[string][]byte    // by target path
	hashes    bool                 // whether snapshot and timestamp state lengths and hashes
	plain     bool                 // targets are served without a hash in their names
	url       string

	mu       sync.Mutex
	requests []string // metadata as asked for: "root 2", "timestamp"
	fetched  []string // targets as asked for
}

const safe = 30 * 24 * time.Hour

func date(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

func head(kind string) object {
	return object{"_type": kind, "spec_version": "1.0.31", "version": 1, "expires": date(time.Now().Add(safe))}
}

func newTargets() object {
	md := head("targets")
	md["targets"] = object{}
	return md
}

// newSimulator starts a repository with version 1 of the four top-level roles.
func newSimulator(t testing.TB) *simulator {
	t.Helper()
	s := &simulator{t: t, md: map[string]object{}, signers: map[string][]*signer{}, published: map[string][][]byte{}, artifacts: map[string][]byte{}}
	root := head("root")
	root["consistent_snapshot"], root["keys"], root["roles"] = true, object{}, object{}
	s.md["root"], s.md["targets"], s.md["snapshot"], s.md["timestamp"] = root, newTargets(), head("snapshot"), head("timestamp")
	s.md["snapshot"]["meta"], s.md["timestamp"]["meta"] = object{}, object{}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		in(root, "roles")[role] = object{"keyids": []any{}, "threshold": 1}
		s.addKey(role, newEd25519(t))
	}
	s.publish("targets", "snapshot", "timestamp", "root")
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// role is what root says of a top-level role.
func (s *simulator) role(name string) object { return in(s.md["root"], "roles", name) }

// addKey lists a key for a top-level role, which it signs from now on.
func (s *simulator) addKey(role string, key *signer) {
	in(s.md["root"], "keys")[key.id] = key.key
	r := s.role(role)
	r["keyids"] = append(r["keyids"].([]any), key.id)
	s.signers[role] = append(s.signers[role], key)
}

// rotate puts as many new keys as the threshold asks in place of a role's keys.
func (s *simulator) rotate(role string) {
	s.role(role)["keyids"] = []any{}
	s.signers[role] = nil
	for range s.role(role)["threshold"].(int) {
		s.addKey(role, newEd25519(s.t))
	}
}

// delegation describes one delegated role. Without keys it gets one of its own.
type delegation struct {
	from, to    string
	paths       []string // nil: "*"
	terminating bool
	keys        []*signer
}

// delegate adds a delegation, and the role when it is new.
func (s *simulator) delegate(d delegation) {
	s.t.Helper()
	if d.paths == nil {
		d.paths = []string{"*"}
	}
	if d.keys == nil {
		d.keys = []*signer{newEd25519(s.t)}
	}
	ids := []any{}
	delegations := s.delegations(d.from)
	for _, key := range d.keys {
		in(delegations, "keys")[key.id] = key.key
		ids = append(ids, key.id)
	}
	list, _ := delegations["roles"].([]any)
	delegations["roles"] = append(list, object{"name": d.to, "keyids": ids, "threshold": 1, "terminating": d.terminating, "paths": d.paths})
	s.signers[d.to] = append(s.signers[d.to], d.keys...)
	if s.md[d.to] == nil {
		s.md[d.to] = newTargets()
	}
}

func (s *simulator) delegations(role string) object {
	if s.md[role] == nil {
		s.md[role] = newTargets()
	}
	if s.md[role]["delegations"] == nil {
		s.md[role]["delegations"] = object{"keys": object{}}
	}
	return in(s.md[role], "delegations")
}

// artifact adds a target with the given hashes (sha256 when none are named).
func (s *simulator) artifact(role, path string, content []byte, algorithms ...string) {
	if len(algorithms) == 0 {
		algorithms = []string{"sha256"}
	}
	hashes := object{}
	for _, algorithm := range algorithms {
		hashes[algorithm] = digest(algorithm, content)
	}
	in(s.md[role], "targets")[path] = object{"length": len(content), "hashes": hashes}
	s.artifacts[path] = content
}

func digest(algorithm string, content []byte) string {
	if algorithm == "sha256" {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", sha512.Sum512(content))
}

// publish signs the next version of each role, in order, and enters targets in
// the snapshot and the snapshot in the timestamp.
func (s *simulator) publish(roles ...string) {
	s.t.Helper()
	for _, role := range roles {
		md := s.md[role]
		if len(s.published[role]) > 0 {
			md["version"] = md["version"].(int) + 1
		}
		s.append(role, s.file(role))
		entry := object{"version": md["version"]}
		if s.hashes {
			data := s.newest(role)
			entry["length"], entry["hashes"] = len(data), object{"sha256": digest("sha256", data)}
		}
		switch role {
		case "root", "timestamp":
		case "snapshot":
			in(s.md["timestamp"], "meta")["snapshot.json"] = entry
		default:
			in(s.md["snapshot"], "meta")[role+".json"] = entry
		}
	}
}

// file signs a role as it stands.
func (s *simulator) file(role string) []byte {
	s.t.Helper()
	canonical, err := cjson.EncodeCanonical(s.md[role])
	if err != nil {
		s.t.Fatal(err)
	}
	signatures := []any{}
	for _, key := range s.signers[role] {
		signatures = append(signatures, object{"keyid": key.id, "sig": hex.EncodeToString(key.sign(canonical))})
	}
	return s.encode(object{"signatures": signatures, "signed": s.md[role]})
}

func (s *simulator) encode(doc object) []byte {
	s.t.Helper()
	data, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

func (s *simulator) append(role string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published[role] = append(s.published[role], data)
}

// newest returns the file that was published last.
func (s *simulator) newest(role string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published[role][len(s.published[role])-1]
}

// tamper changes the file that was published last, signatures and all.
func (s *simulator) tamper(role string, change func(doc object)) {
	s.t.Helper()
	var doc object
	if err := json.Unmarshal(s.newest(role), &doc); err != nil {
		s.t.Fatal(err)
	}
	change(doc)
	s.drop(role)
	s.append(role, s.encode(doc))
}

// drop takes the file that was published last away.
func (s *simulator) drop(role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published[role] = s.published[role][:len(s.published[role])-1]
}

// asked returns the metadata requests so far and forgets them.
func (s *simulator) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.requests
	s.requests = nil
	return asked
}

// downloads returns the target requests so far and forgets them.
func (s *simulator) downloads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	fetched := s.fetched
	s.fetched = nil
	return fetched
}

func (s *simulator) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.find(r.URL.EscapedPath())
	if data == nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// settle orders what a test did to the repository before what requests see of it.
func (s *simulator) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

// find returns what stands at an address, nil for nothing.
func (s *simulator) find(path string) []byte {
	consistent := s.md["root"]["consistent_snapshot"] == true
	if name, ok := strings.CutPrefix(path, "/metadata/"); ok {
		name, ok := strings.CutSuffix(name, ".json")
		if !ok {
			return nil
		}
		number, role, versioned := strings.Cut(name, ".")
		version, err := strconv.Atoi(number)
		if name == "timestamp" || !versioned || err != nil || (!consistent && role != "root") {
			s.requests = append(s.requests, name)
			role, version = name, 0
		} else {
			s.requests = append(s.requests, fmt.Sprint(role, " ", version))
		}
		role, err = url.PathUnescape(role)
		files := s.published[role]
		if version == 0 {
			version = len(files)
		}
		if err != nil || version < 1 || version > len(files) {
			return nil
		}
		return files[version-1]
	}
	if escaped, ok := strings.CutPrefix(path, "/targets/"); ok {
		target, err := url.PathUnescape(escaped)
		if err != nil {
			return nil
		}
		s.fetched = append(s.fetched, target)
		if consistent && !s.plain {
			dir, name := splitPath(target)
			prefix, rest, _ := strings.Cut(name, ".")
			target = dir + rest
			if !s.hasHash(target, prefix) {
				return nil
			}
		}
		return s.artifacts[target]
	}
	return nil
}

// hasHash tells whether some role lists target with this hash.
func (s *simulator) hasHash(target, hash string) bool {
	for _, md := range s.md {
		targets, ok := md["targets"].(object)
		if !ok {
			continue
		}
		if entry, ok := targets[target].(object); ok {
			for _, listed := range in(entry, "hashes") {
				if listed == hash {
					return true
				}
			}
		}
	}
	return false
}
