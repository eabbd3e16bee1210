package tuf

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// seeds are files with which the parser below has had trouble, and good ones.
func seeds(f *testing.F) {
	const head = `"spec_version":"1.0.34","version":1,"expires":"2030-01-02T03:04:05Z"`
	const key = `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`
	const role = `{"keyids":["a"],"threshold":1}`
	for _, s := range []string{
		`{"signatures":[],"signed":{"_type":"targets",` + head + `,"targets":{"x":null}}}`,
		`{"signatures":[],"signed":{"_type":"targets",` + head + `,"targets":{"x":{"length":1,"hashes":{"sha256":"00"},"custom":{"a":null}}}}}`,
		`{"signatures":[],"signed":{"_type":"targets",` + head + `,"targets":{},"delegations":{"keys":{"a":` + key + `},"roles":[{"name":"r","keyids":["a"],"threshold":1,"terminating":true,"paths":["*"]}]}}}`,
		`{"signatures":[],"signed":{"_type":"targets",` + head + `,"targets":{},"delegations":{"keys":{"a":` + key + `},"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":4,"name_prefix":"b"}}}}`,
		`{"signatures":[{"keyid":"a","sig":"00"}],"signed":{"_type":"root",` + head + `,"consistent_snapshot":true,"keys":{"a":` + key + `},"roles":{"root":` + role + `,"targets":` + role + `,"snapshot":` + role + `,"timestamp":` + role + `}}}`,
		`{"signatures":[],"signed":{"_type":"root",` + head + `,"keys":{"a":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}},"roles":{"root":` + role + `,"targets":` + role + `,"snapshot":` + role + `,"timestamp":null}}}`,
		`{"signatures":[],"signed":{"_type":"snapshot",` + head + `,"meta":{"targets.json":{"version":1,"length":1,"hashes":{"sha256":"00"}},"a.json":null}}}`,
		`{"signatures":[],"signed":{"_type":"timestamp",` + head + `,"meta":{}}}`,
		`{"signatures":[],"signed":{"_type":"timestamp",` + head + `,"meta":{"snapshot.json":{"version":1}},"Version":2}}`,
	} {
		f.Add([]byte(s))
	}
}

// FuzzCheckShape checks that no bytes make the shape check panic, and that what
// it lets pass does not make go-tuf panic either: not in its parser, and not in
// the checks that read what was parsed. Nothing recovers here.
func FuzzCheckShape(f *testing.F) {
	seeds(f)
	limits := Limits{Bytes: 1 << 16}.orDefault()
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, kind := range []string{RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp} {
			if checkShape(in, kind, limits) != nil {
				continue // refusing is fine
			}
			use(in, kind)
		}
	})
}

// FuzzDecodeSigned checks that our reader of whole files reads what go-tuf's reads:
// the same files, to the same end. Two readers must not see two documents.
func FuzzDecodeSigned(f *testing.F) {
	seeds(f)
	limits := Limits{Bytes: 1 << 16}.orDefault()
	f.Fuzz(func(t *testing.T, in []byte) {
		sameReading[metadata.RootType](t, in, RoleRoot, limits)
		sameReading[metadata.TargetsType](t, in, RoleTargets, limits)
		sameReading[metadata.SnapshotType](t, in, RoleSnapshot, limits)
		sameReading[metadata.TimestampType](t, in, RoleTimestamp, limits)
	})
}

func sameReading[T metadata.Roles](t *testing.T, in []byte, kind string, limits Limits) {
	t.Helper()
	if checkShape(in, kind, limits) != nil {
		return
	}
	ours, err := decodeSigned[T](in)
	theirs, theirErr := new(metadata.Metadata[T]).FromBytes(in)
	if (err == nil) != (theirErr == nil) {
		t.Fatalf("%q as %s: %v here, %v there", in, kind, err, theirErr)
	}
	if err == nil && !reflect.DeepEqual(ours, theirs) {
		t.Fatalf("%q as %s: %+v here, %+v there", in, kind, ours, theirs)
	}
}

// use does with a file what an update does with it.
func use(in []byte, kind string) {
	set := &trustedmetadata.TrustedMetadata{Targets: map[string]*Targets{}, RefTime: time.Unix(0, 0)}
	switch kind {
	case RoleRoot:
		if root, err := new(Root).FromBytes(in); err == nil {
			for _, by := range []*Root{root, usableRoot(root)} {
				if by == root && !allUsable(root) {
					continue // usableRoot is what keeps such keys away from go-tuf
				}
				for role := range root.Signed.Roles {
					_ = by.VerifyDelegate(role, root)
				}
			}
			_, _ = Payload(root)
			_ = RepositoryOf(root)
			_ = Attestations(root)
			for role := range root.Signed.Roles {
				for _, key := range RoleKeysOf(root, role).Keys {
					_ = key.Verify(in, in)
				}
			}
		}
	case RoleTargets:
		if targets, err := new(Targets).FromBytes(in); err == nil {
			usableDelegations(targets)
			_ = targets.VerifyDelegate("r", targets)
			_, _ = Payload(targets)
			_ = Entries(targets)
			_ = checkTargets("r.io/app", "targets", targets)
			_ = delegatesFor(targets.Signed.Delegations, "x")
			_, _ = delegateNames(targets.Signed.Delegations)
			for _, file := range targets.Signed.Targets {
				_ = file.VerifyLengthHashes(in)
			}
		}
	case RoleSnapshot:
		if snapshot, err := new(Snapshot).FromBytes(in); err == nil {
			set.Snapshot = snapshot
			for _, file := range snapshot.Signed.Meta {
				_ = file.VerifyLengthHashes(in)
			}
			_, _ = Payload(snapshot)
		}
	case RoleTimestamp:
		if timestamp, err := new(Timestamp).FromBytes(in); err == nil {
			set.Timestamp = timestamp
			set.Root = &Root{}
			_, _ = set.UpdateSnapshot(in, false)
			_ = timestamp.Signed.Meta["snapshot.json"].VerifyLengthHashes(in)
			_, _ = Payload(timestamp)
		}
	}
}

func allUsable(root *Root) bool {
	for _, key := range root.Signed.Keys {
		if !usableKey(key) {
			return false
		}
	}
	return true
}

// FuzzReadPublished checks that whatever a server takes has one form only, and
// that all of it that is not a signature is what the signatures cover. If a second
// byte string could carry the same signature, a server could show one form to the
// auditor and another to the verifier.
func FuzzReadPublished(f *testing.F) {
	seeds(f)
	limits := Limits{Bytes: 1 << 16}.orDefault()
	f.Fuzz(func(t *testing.T, in []byte) {
		if md, err := readPublished[metadata.RootType](File{Bytes: in}, RoleRoot, limits); err == nil {
			oneFormOnly(t, in, md.Signed)
		}
		if md, err := readPublished[metadata.TargetsType](File{Bytes: in}, RoleTargets, limits); err == nil {
			oneFormOnly(t, in, md.Signed)
		}
	})
}

// oneFormOnly compares a file that was taken with what plain JSON and canonical
// JSON make of it, without go-tuf's types.
func oneFormOnly(t *testing.T, in []byte, signed any) {
	t.Helper()
	var doc map[string]any
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(doc)
	if err != nil || !bytes.Equal(in, again) {
		t.Fatalf("taken: %q, whose plain form is %q", in, again)
	}
	if len(doc) != 2 {
		t.Fatalf("taken with members that nobody signed: %q", in)
	}
	raw, err1 := cjson.EncodeCanonical(doc["signed"])
	covered, err2 := cjson.EncodeCanonical(signed)
	if err1 != nil || err2 != nil || !bytes.Equal(raw, covered) {
		t.Fatalf("the file says %q, the signature covers %q (%v, %v)", raw, covered, err1, err2)
	}
	last := ""
	for _, s := range doc["signatures"].([]any) {
		id := s.(map[string]any)["keyid"].(string)
		if last != "" && id <= last {
			t.Fatalf("signatures are not sorted by key ID, once each: %q", in)
		}
		last = id
	}
}

// FuzzParseImage checks that a reference that is read has one canonical form,
// which reads as the same, and which the servers' stricter check takes.
func FuzzParseImage(f *testing.F) {
	for _, s := range []string{"alpine", "localhost:5000/team/app:1.0", "r.io/a@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "[::1]:1/a", "\u212a.io/a", "index.docker.io/a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		image, err := ParseImage(in)
		if err != nil {
			return
		}
		again, err := ParseImage(image.String())
		if err != nil || again != image {
			t.Fatalf("%q reads as %+v, whose form %q reads as %+v, %v", in, image, image, again, err)
		}
		if err := CheckRepository(image.Repository); err != nil {
			t.Fatalf("%q reads as a repository that is none: %v", in, err)
		}
		for _, c := range image.Repository {
			if c >= 0x7f || c <= ' ' || c == '%' || c == '\\' || 'A' <= c && c <= 'Z' {
				t.Fatalf("%q reads as %q", in, image.Repository)
			}
		}
		if !MatchName(image.Repository, image.Repository) || CheckPattern(image.Repository) != nil {
			t.Fatalf("%q is no pattern of itself", image.Repository)
		}
		if image.Tag != "" {
			p := TagPath(image.Repository, image.Tag)
			if image.Digest != "" {
				p = RecordPath(image.Repository, image.Tag, image.Digest)
			}
			if back, err := ParsePath(p); err != nil || back != image {
				t.Fatalf("path %q reads as %+v, %v", p, back, err)
			}
		}
	})
}

// FuzzReadKey checks that a key that is read can be used without a panic, and
// keeps its ID through writing and reading.
func FuzzReadKey(f *testing.F) {
	f.Add([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`), []byte("sig"))
	f.Add([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}`), []byte("sig"))
	f.Fuzz(func(t *testing.T, in, sig []byte) {
		key, err := ReadKey(in)
		if err != nil {
			return
		}
		_ = key.Verify([]byte("msg"), sig)
		data, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadKey(data)
		if err != nil || again.ID() != key.ID() || !again.Equal(key) {
			t.Fatalf("%s is written as %s, which is another key: %v", in, data, err)
		}
	})
}

// FuzzParseKeyPEM checks that a key read from PEM is one of the profile and comes
// back from its own PEM.
func FuzzParseKeyPEM(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\nYfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		key, err := ParseKeyPEM(in)
		if err != nil {
			return
		}
		again, err := ParseKeyPEM(key.PEM())
		if err != nil || again.ID() != key.ID() || key.Algorithm() == "rsa" {
			t.Fatalf("%q: %s key, %v", in, key.Algorithm(), err)
		}
	})
}
