package tuf_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/signet-trust/signet/tuf"
)

// object is a JSON object as the tests edit it, without go-tuf's types.
type object = map[string]any

// parse reads JSON without losing integers.
func parse(t testing.TB, data []byte) object {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v object
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// in returns the object at the end of a path of names.
func in(o object, path ...string) object {
	for _, name := range path {
		o = o[name].(object)
	}
	return o
}

// seal signs an object as any TUF tool would and returns the file, spaced as few
// tools would. Signatures name the keys by the IDs given, if any.
func seal(t testing.TB, signed object, signers ...tuf.Signer) []byte {
	t.Helper()
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		t.Fatal(err)
	}
	signatures := []any{}
	for _, s := range signers {
		sig, err := s.Sign(context.Background(), payload)
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, object{"keyid": s.Key().ID(), "sig": hex.EncodeToString(sig)})
	}
	data, err := json.MarshalIndent(object{"signed": signed, "signatures": signatures}, " ", "   ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// edited returns a file with its signed part changed and signed anew.
func edited(t testing.TB, file tuf.File, edit func(signed object), signers ...tuf.Signer) tuf.File {
	t.Helper()
	signed := in(parse(t, file.Bytes), "signed")
	edit(signed)
	version, err := signed["version"].(interface{ Int64() (int64, error) }).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return tuf.File{Role: file.Role, Version: version, Bytes: seal(t, signed, signers...)}
}

func number(n string) json.Number { return json.Number(n) }

// clone copies a world, so that a case may change it.
func (w *world) clone(t testing.TB) *world {
	c := *w
	c.TB = t
	c.state.Roles = maps.Clone(w.state.Roles)
	return &c
}

// publish makes targets of the given version mean content for app:1.0, with
// snapshot and timestamp of the same version.
func (w *world) publish(version int64, content string) {
	w.Helper()
	targets := tuf.NewTargets(version, now.Add(180*day))
	w.must(tuf.SetTarget(targets, repository, "1.0", target(content)))
	w.state.Roles[tuf.RoleTargets] = sign(w, tuf.RoleTargets, targets, w.targets)
	w.online(version)
}

// update runs one update as a client does: roots, the timestamp that it kept and
// the one that is served, the same for the snapshot, then targets. kept may be nil.
func update(trusted tuf.File, roots []tuf.File, kept, served *tuf.State, at time.Time) (*tuf.Trusted, error) {
	t, err := tuf.NewTrusted(repository, trusted.Bytes, at, tuf.Limits{})
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if err := t.UpdateRoot(root.Bytes); err != nil {
			return t, err
		}
	}
	if kept != nil {
		_ = t.UpdateTimestamp(kept.Timestamp.Bytes) // what no longer holds is only not used
	}
	if err := t.UpdateTimestamp(served.Timestamp.Bytes); err != nil {
		return t, err
	}
	if kept == nil || t.UpdateSnapshot(kept.Snapshot.Bytes, true) != nil {
		if err := t.UpdateSnapshot(served.Snapshot.Bytes, false); err != nil {
			return t, err
		}
	}
	return t, t.UpdateRole(served.Roles[tuf.RoleTargets].Bytes, tuf.RoleTargets, tuf.RoleRoot)
}

// first runs the update of a client that has only the root.
func (w *world) first() (*tuf.Trusted, error) {
	return update(w.state.Root, nil, nil, &w.state, now)
}
