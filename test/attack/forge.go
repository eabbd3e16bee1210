package attack

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// A Forger is a hostile server with keys in its hands, as many or as few as a test
// gives it. It signs whatever it likes with them and checks nothing; what it then
// has is served with Replay.
type Forger struct {
	*Recording
	Keys map[string][]tuf.Signer // by role

	t      testing.TB
	newest map[string]tuf.File // by role
}

// NewForger starts from what an honest server served once.
func NewForger(t testing.TB, r *Recording, keys map[string][]tuf.Signer) *Forger {
	t.Helper()
	f := &Forger{Recording: r.Clone(), Keys: maps.Clone(keys), t: t, newest: map[string]tuf.File{}}
	for name, data := range f.Files {
		role, version, err := tuf.ParseFileName(name)
		f.must(err)
		if role == tuf.RoleTimestamp {
			version = f.timestamp(data).Signed.Version
		}
		if version > f.newest[role].Version {
			f.newest[role] = tuf.File{Role: role, Version: version, Bytes: data}
		}
	}
	return f
}

// Clone returns a copy that can be changed on its own.
func (r *Recording) Clone() *Recording {
	return &Recording{Repository: r.Repository, Files: maps.Clone(r.Files)}
}

func (f *Forger) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *Forger) timestamp(data []byte) *tuf.Timestamp {
	f.t.Helper()
	md, err := tuf.ReadTimestamp(data)
	f.must(err)
	return md
}

// Newest returns the newest file of a role.
func (f *Forger) Newest(role string) tuf.File { return f.newest[role] }

// Put makes bytes the newest file of a role, whatever they are.
func (f *Forger) Put(role string, version int64, data []byte) {
	file := tuf.File{Role: role, Version: version, Bytes: data}
	f.newest[role] = file
	f.Files[file.Name()] = data
}

// PutAs serves the newest file of a role under another version's name, as a server
// that renames files would.
func (f *Forger) PutAs(role string, version int64) {
	f.Put(role, version, f.newest[role].Bytes)
}

// Drop has the snapshots to come list a role no more.
func (f *Forger) Drop(role string) { delete(f.newest, role) }

// sign puts md into the world, signed by signers or else by all keys of its role.
func sign[T metadata.Roles](f *Forger, role string, version int64, md *metadata.Metadata[T], signers []tuf.Signer) {
	f.t.Helper()
	if signers == nil {
		signers = f.Keys[role]
	}
	md.Signatures = []metadata.Signature{}
	f.must(tuf.Sign(context.Background(), md, signers...))
	data, err := tuf.Encode(md)
	f.must(err)
	f.Put(role, version, data)
}

// Root makes the next root after edit.
func (f *Forger) Root(edit func(*tuf.Root), signers ...tuf.Signer) {
	f.t.Helper()
	md, err := tuf.ReadRoot(f.newest[tuf.RoleRoot].Bytes)
	f.must(err)
	md.Signed.Version++
	edit(md)
	sign(f, tuf.RoleRoot, md.Signed.Version, md, signers)
}

// Role makes the next file of targets or of a signer after edit.
func (f *Forger) Role(role string, edit func(*tuf.Targets), signers ...tuf.Signer) {
	f.t.Helper()
	md, err := tuf.ReadTargets(f.newest[role].Bytes)
	f.must(err)
	md.Signed.Version++
	edit(md)
	sign(f, role, md.Signed.Version, md, signers)
}

// NewRole makes the first file of a signer.
func (f *Forger) NewRole(role string, md *tuf.Targets, signers ...tuf.Signer) {
	f.t.Helper()
	sign(f, role, md.Signed.Version, md, signers)
}

// Snapshot makes the next snapshot, of the newest file of every role, after edit
// (nil: none).
func (f *Forger) Snapshot(edit func(*tuf.Snapshot)) {
	f.t.Helper()
	old, err := tuf.ReadSnapshot(f.newest[tuf.RoleSnapshot].Bytes)
	f.must(err)
	var files []tuf.File
	for role, file := range f.newest {
		if role != tuf.RoleRoot && role != tuf.RoleSnapshot && role != tuf.RoleTimestamp {
			files = append(files, file)
		}
	}
	md := tuf.NewSnapshot(old.Signed.Version+1, old.Signed.Expires, files)
	if edit != nil {
		edit(md)
	}
	sign(f, tuf.RoleSnapshot, md.Signed.Version, md, nil)
}

// Timestamp makes the next timestamp, of the newest snapshot, after edit (nil: none).
func (f *Forger) Timestamp(edit func(*tuf.Timestamp)) {
	f.t.Helper()
	old := f.timestamp(f.newest[tuf.RoleTimestamp].Bytes)
	md := tuf.NewTimestamp(old.Signed.Version+1, old.Signed.Expires, f.newest[tuf.RoleSnapshot])
	if edit != nil {
		edit(md)
	}
	sign(f, tuf.RoleTimestamp, md.Signed.Version, md, nil)
}

// Release makes the next snapshot and timestamp of what there is.
func (f *Forger) Release() {
	f.t.Helper()
	f.Snapshot(nil)
	f.Timestamp(nil)
}

// Rewrite replaces text in the newest file of a role, signatures and all: what a
// server without any key can do.
func (f *Forger) Rewrite(role, old, new string) {
	f.t.Helper()
	file := f.newest[role]
	if !strings.Contains(string(file.Bytes), old) {
		f.t.Fatal(fmt.Errorf("%s has no %q", file.Name(), old))
	}
	f.Put(role, file.Version, []byte(strings.Replace(string(file.Bytes), old, new, 1)))
}

// Raw makes text, whatever it says, the signed part of the newest file of a role,
// validly signed by its keys.
func (f *Forger) Raw(role string, version int64, text string) {
	f.t.Helper()
	var value any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	f.must(dec.Decode(&value))
	payload, err := cjson.EncodeCanonical(value)
	if err != nil {
		payload = []byte(text) // no canonical form has it, so no verifier can ask for it
	}
	signatures := []map[string]string{}
	for _, signer := range f.Keys[role] {
		sig, err := signer.Sign(context.Background(), payload)
		f.must(err)
		signatures = append(signatures, map[string]string{"keyid": signer.Key().ID(), "sig": hex.EncodeToString(sig)})
	}
	list, err := json.Marshal(signatures)
	f.must(err)
	f.Put(role, version, fmt.Appendf(nil, `{"signatures":%s,"signed":%s}`, list, text))
}
