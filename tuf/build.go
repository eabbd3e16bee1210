package tuf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// SpecVersion is the specification that our files state.
const SpecVersion = "1.0.34"

// Members of our own in signed metadata. Other TUF clients ignore them (§4.1).
const (
	// MemberRepository names, in signed root, the repository that it is for.
	MemberRepository = "x-signet-repository"
	// MemberAttestations holds, in signed root and targets, attestations of keys:
	// an object from key ID to a list of PEM certificates, leaf first.
	MemberAttestations = "x-signet-attestations"
	// MemberSigned says, in signed targets, when they were signed.
	MemberSigned = "x-signet-signed"
)

// RoleKeys are the keys of one role and how many of them must sign.
type RoleKeys struct {
	Keys      []*Key `json:"keys"`
	Threshold int    `json:"threshold"` // 0 means 1
}

// A RootSpec says what a root file is to contain.
type RootSpec struct {
	Repository   string
	Version      int64
	Expires      time.Time
	Root         RoleKeys
	Targets      RoleKeys
	Snapshot     RoleKeys
	Timestamp    RoleKeys
	Attestations map[string][]string // by key ID: PEM certificates, leaf first
}

// NewRoot makes an unsigned root of our profile.
func NewRoot(spec RootSpec) (*Root, error) {
	if err := CheckRepository(spec.Repository); err != nil {
		return nil, err
	}
	root := metadata.Root(utc(spec.Expires))
	root.Signed.SpecVersion = SpecVersion
	root.Signed.Version = spec.Version
	root.Signed.UnrecognizedFields = map[string]any{MemberRepository: spec.Repository}
	for name, keys := range map[string]RoleKeys{RoleRoot: spec.Root, RoleTargets: spec.Targets, RoleSnapshot: spec.Snapshot, RoleTimestamp: spec.Timestamp} {
		if err := SetRoleKeys(root, name, keys); err != nil {
			return nil, err
		}
	}
	SetAttestations(root, spec.Attestations)
	return root, nil
}

// SetRoleKeys makes keys those of a top-level role, in place of what root listed.
// Keys that no role lists any more leave the root, with their attestations.
func SetRoleKeys(root *Root, role string, keys RoleKeys) error {
	if keys.Threshold == 0 {
		keys.Threshold = 1
	}
	if !IsTopLevel(role) {
		return fmt.Errorf("%q is not a top-level role", clip(role))
	}
	if keys.Threshold < 1 || keys.Threshold > len(keys.Keys) {
		return &Refusal{Role: role, Rule: RuleThreshold, Clause: "TUF §4.3",
			Detail: fmt.Sprintf("a threshold of %d with %d keys can never be met, or means nothing", keys.Threshold, len(keys.Keys))}
	}
	for i, key := range keys.Keys {
		for _, other := range keys.Keys[:i] {
			if key.Equal(other) {
				return &Refusal{Role: role, Rule: RuleThreshold, Clause: "Signet profile: distinct keys",
					Detail: fmt.Sprintf("key %s is given twice", key.ID())}
			}
		}
	}
	listed := &metadata.Role{KeyIDs: []string{}, Threshold: keys.Threshold}
	root.Signed.Roles[role] = listed
	for _, key := range keys.Keys {
		listed.KeyIDs = append(listed.KeyIDs, key.ID())
		root.Signed.Keys[key.ID()] = key.Metadata()
	}
	for id := range root.Signed.Keys {
		used := false
		for _, r := range root.Signed.Roles {
			used = used || slices.Contains(r.KeyIDs, id)
		}
		if !used {
			delete(root.Signed.Keys, id)
		}
	}
	SetAttestations(root, Attestations(root))
	return nil
}

// RoleKeysOf returns the keys and threshold that root lists for a top-level role.
// Keys that cannot be used are left out.
func RoleKeysOf(root *Root, role string) RoleKeys {
	listed := root.Signed.Roles[role]
	if listed == nil {
		return RoleKeys{}
	}
	return RoleKeys{Keys: keysOf(listed.KeyIDs, root.Signed.Keys), Threshold: listed.Threshold}
}

// SignerKeysOf returns the keys and threshold that a targets file lists for the
// delegated role name; ok is false when it delegates to no such role.
func SignerKeysOf(targets *Targets, name string) (keys RoleKeys, ok bool) {
	d := targets.Signed.Delegations
	if d == nil {
		return RoleKeys{}, false
	}
	for _, role := range d.Roles {
		if role.Name == name {
			return RoleKeys{Keys: keysOf(role.KeyIDs, d.Keys), Threshold: role.Threshold}, true
		}
	}
	if d.Roles == nil && d.SuccinctRoles != nil && d.SuccinctRoles.IsDelegatedRole(name) {
		return RoleKeys{Keys: keysOf(d.SuccinctRoles.KeyIDs, d.Keys), Threshold: d.SuccinctRoles.Threshold}, true
	}
	return RoleKeys{}, false
}

func keysOf(ids []string, keys map[string]*metadata.Key) []*Key {
	var list []*Key
	for _, id := range ids {
		if !usableKey(keys[id]) {
			continue
		}
		if key, err := keyFromMetadata(keys[id]); err == nil {
			list = append(list, key)
		}
	}
	return list
}

// RepositoryOf returns the repository that a root says it is for, or "".
func RepositoryOf(root *Root) string {
	name, _ := root.Signed.UnrecognizedFields[MemberRepository].(string)
	return name
}

// NewTargets makes an unsigned targets (or signer's) file without targets.
func NewTargets(version int64, expires time.Time) *Targets {
	targets := metadata.Targets(utc(expires))
	targets.Signed.SpecVersion = SpecVersion
	targets.Signed.Version = version
	return targets
}

// NewSnapshot makes an unsigned snapshot that lists files by version, length and
// hash (§4.4; the profile demands all three).
func NewSnapshot(version int64, expires time.Time, files []File) *Snapshot {
	snapshot := metadata.Snapshot(utc(expires))
	snapshot.Signed.SpecVersion = SpecVersion
	snapshot.Signed.Version = version
	snapshot.Signed.Meta = map[string]*metadata.MetaFiles{}
	for _, file := range files {
		snapshot.Signed.Meta[file.Role+".json"] = metaFile(file)
	}
	return snapshot
}

// NewTimestamp makes an unsigned timestamp that names one snapshot (§4.6).
func NewTimestamp(version int64, expires time.Time, snapshot File) *Timestamp {
	timestamp := metadata.Timestamp(utc(expires))
	timestamp.Signed.SpecVersion = SpecVersion
	timestamp.Signed.Version = version
	timestamp.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": metaFile(snapshot)}
	return timestamp
}

func metaFile(file File) *metadata.MetaFiles {
	sum := sha256.Sum256(file.Bytes)
	return &metadata.MetaFiles{Version: file.Version, Length: int64(len(file.Bytes)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// Payload returns the bytes that a signature covers: the canonical form of the
// signed part (§4.1).
func Payload[T metadata.Roles](md *metadata.Metadata[T]) ([]byte, error) {
	return cjson.EncodeCanonical(md.Signed)
}

// Sign adds one signature by each signer, in place of an earlier one by the same
// key. Each signature is verified before it is kept, so that a faulty device
// cannot put a broken file into the world.
func Sign[T metadata.Roles](ctx context.Context, md *metadata.Metadata[T], signers ...Signer) error {
	payload, err := Payload(md)
	if err != nil {
		return err
	}
	for _, signer := range signers {
		sig, err := SignPayload(ctx, payload, signer)
		if err != nil {
			return err
		}
		AddSignature(md, signer.Key().ID(), sig)
	}
	return nil
}

// SignPayload returns signer's signature over payload, the bytes that Payload
// returned. It is verified before it is handed out.
func SignPayload(ctx context.Context, payload []byte, signer Signer) ([]byte, error) {
	sig, err := signer.Sign(ctx, payload)
	if err != nil {
		return nil, err
	}
	if err := signer.Key().Verify(payload, sig); err != nil {
		return nil, fmt.Errorf("what the key just made is no valid signature: %w", err)
	}
	return sig, nil
}

// AddSignature puts a signature that was made elsewhere into md, in place of an
// earlier one by the same key.
func AddSignature[T metadata.Roles](md *metadata.Metadata[T], keyID string, sig []byte) {
	md.Signatures = slices.DeleteFunc(md.Signatures, func(s metadata.Signature) bool { return s.KeyID == keyID })
	md.Signatures = append(md.Signatures, metadata.Signature{KeyID: keyID, Signature: sig})
}

// Encode returns a file's bytes in the one form that a server takes: canonical
// JSON but for control characters in strings, which canonical JSON leaves raw and
// JSON does not allow; members sorted, no space, signatures by key ID.
func Encode[T metadata.Roles](md *metadata.Metadata[T]) ([]byte, error) {
	slices.SortFunc(md.Signatures, func(a, b metadata.Signature) int {
		return bytes.Compare([]byte(a.KeyID), []byte(b.KeyID))
	})
	data, err := md.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return oneForm(data)
}

// oneForm re-encodes a JSON document: sorted members, no space, integers as they
// are. Documents that mean the same have the same form.
func oneForm(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
