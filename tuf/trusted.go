package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// The four types of signed metadata, as go-tuf reads them.
type (
	// Root is a root file (§4.3).
	Root = metadata.Metadata[metadata.RootType]
	// Targets is the file of targets or of a delegated role (§4.5).
	Targets = metadata.Metadata[metadata.TargetsType]
	// Snapshot is a snapshot file (§4.4).
	Snapshot = metadata.Metadata[metadata.SnapshotType]
	// Timestamp is a timestamp file (§4.6).
	Timestamp = metadata.Metadata[metadata.TimestampType]
)

// Meta is what a signed file says of another: its version and, where given, its
// length in bytes (else 0) and its hashes.
type Meta struct {
	Version int64
	Length  int64
	Hashes  map[string][]byte // by algorithm: "sha256", "sha512"
}

// Trusted is the metadata that one update has verified so far, in the order of
// §5.3-5.6: root files, timestamp, snapshot, targets, delegated roles. Whoever
// drives it fetches the bytes. Make a fresh one for every update; it is not safe
// for concurrent use.
type Trusted struct {
	repository string
	now        time.Time
	limits     Limits
	set        *trustedmetadata.TrustedMetadata
	edges      map[edge]bool     // (role, delegator) pairs that verified
	bytes      map[string][]byte // by role, the bytes that verified last
	// final says of timestamp and snapshot that the file offered last may be built
	// upon. Others only serve to notice a step back.
	final map[string]bool
	read  []string // roles that searches read since StartReading, each once
}

// edge is one delegation. A role that two others delegate to is verified under
// each of them, since they may list different keys for it.
type edge struct{ role, delegator string }

// NewTrusted starts an update from a root file that the caller already trusts: it
// was pinned, or it was verified before. now is the one time that the whole
// update is judged by (§5.1). repository goes into errors only; zero limits are
// the defaults. The root must be signed by its own keys; that it is expired is
// said by UpdateTimestamp, once newer roots had their chance (§5.3.10).
func NewTrusted(repository string, root []byte, now time.Time, limits Limits) (*Trusted, error) {
	t := &Trusted{
		repository: repository,
		now:        now,
		limits:     limits.orDefault(),
		set:        &trustedmetadata.TrustedMetadata{Targets: map[string]*Targets{}, RefTime: now},
		edges:      map[edge]bool{},
		bytes:      map[string][]byte{},
		final:      map[string]bool{},
	}
	parsed, err := readSigned[metadata.RootType](root, RoleRoot, t.limits)
	if err != nil {
		return nil, t.refuse(err, RoleRoot, 0, "TUF §5.2")
	}
	if err := VerifyRoot(parsed, parsed); err != nil {
		return nil, t.refuse(err, RoleRoot, parsed.Signed.Version, "TUF §5.2")
	}
	t.set.Root = usableRoot(parsed)
	t.bytes[RoleRoot] = root
	return t, nil
}

// readSigned reads one file of the given type, after the strict shape check.
func readSigned[T metadata.Roles](data []byte, kind string, limits Limits) (md *metadata.Metadata[T], err error) {
	defer recoverShape(&err)
	if err := checkShape(data, kind, limits); err != nil {
		return nil, err
	}
	if md, err = decodeSigned[T](data); err != nil {
		return nil, shapeRefusal("TUF §4.1", "%s", clip(err.Error()))
	}
	return md, nil
}

// decodeSigned decodes a file whose shape was checked. The signed part is read by
// go-tuf; its reader of whole files would decode each of them twice more.
func decodeSigned[T metadata.Roles](data []byte) (*metadata.Metadata[T], error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	md := &metadata.Metadata[T]{UnrecognizedFields: map[string]any{}}
	for name, member := range members {
		var err error
		switch name {
		case "signed":
			err = json.Unmarshal(member, &md.Signed)
		case "signatures":
			err = json.Unmarshal(member, &md.Signatures)
		default:
			var value any
			err = json.Unmarshal(member, &value)
			md.UnrecognizedFields[name] = value
		}
		if err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{}
	for _, s := range md.Signatures {
		if seen[s.KeyID] { // §4.2: one signature a key
			return nil, fmt.Errorf("two signatures by key %s", clip(s.KeyID))
		}
		seen[s.KeyID] = true
	}
	return md, nil
}

// ReadRoot reads a root file without verifying any signature.
func ReadRoot(data []byte) (*Root, error) {
	return readSigned[metadata.RootType](data, RoleRoot, Limits{}.orDefault())
}

// ReadTargets reads a targets or delegated role's file without verifying any
// signature.
func ReadTargets(data []byte) (*Targets, error) {
	return readSigned[metadata.TargetsType](data, RoleTargets, Limits{}.orDefault())
}

// ReadSnapshot reads a snapshot file without verifying any signature.
func ReadSnapshot(data []byte) (*Snapshot, error) {
	return readSigned[metadata.SnapshotType](data, RoleSnapshot, Limits{}.orDefault())
}

// ReadTimestamp reads a timestamp file without verifying any signature.
func ReadTimestamp(data []byte) (*Timestamp, error) {
	return readSigned[metadata.TimestampType](data, RoleTimestamp, Limits{}.orDefault())
}

// VerifyRoot checks that root carries the signatures that by, a root or the very
// same one, demands of root files.
func VerifyRoot(by, root *Root) (err error) {
	defer recoverShape(&err)
	return usableRoot(by).VerifyDelegate(RoleRoot, root)
}

// usableRoot returns a copy of root whose roles list only keys that can verify
// anything. One unknown or broken key must not fail a role whose threshold is met
// without it (§4.2 lets a root list keys of other tools).
func usableRoot(root *Root) *Root {
	usable := *root
	usable.Signed.Roles = maps.Clone(root.Signed.Roles)
	for name, role := range usable.Signed.Roles {
		trimmed := *role
		trimmed.KeyIDs = usableKeys(role.KeyIDs, root.Signed.Keys)
		usable.Signed.Roles[name] = &trimmed
	}
	return &usable
}

// usableDelegations trims a targets file's delegated roles in the same way.
func usableDelegations(targets *Targets) {
	d := targets.Signed.Delegations
	if d == nil {
		return
	}
	for i := range d.Roles {
		d.Roles[i].KeyIDs = usableKeys(d.Roles[i].KeyIDs, d.Keys)
	}
	if d.SuccinctRoles != nil {
		d.SuccinctRoles.KeyIDs = usableKeys(d.SuccinctRoles.KeyIDs, d.Keys)
	}
}

func usableKeys(ids []string, keys map[string]*metadata.Key) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return !usableKey(keys[id])
	})
}

func usableKey(key *metadata.Key) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // go-tuf panics on an Ed25519 key of the wrong length
		}
	}()
	if key == nil {
		return false
	}
	switch key.Scheme {
	case metadata.KeySchemeEd25519, metadata.KeySchemeECDSA_SHA2_P256, metadata.KeySchemeECDSA_SHA2_P384, metadata.KeySchemeRSASSA_PSS_SHA256:
	default:
		return false
	}
	if key.Type == metadata.KeyTypeEd25519 && len(key.Value.PublicKey) != 64 {
		return false
	}
	_, err := key.ToPublicKey()
	return err == nil
}

// UpdateRoot takes the root that follows the trusted one: signed to the threshold
// of the trusted root and to its own, and exactly one version above (§5.3.4-5).
func (t *Trusted) UpdateRoot(data []byte) (err error) {
	defer recoverShape(&err)
	if t.set.Timestamp != nil {
		return errors.New("root after timestamp: an update takes roots first (§5.3)")
	}
	root, err := readSigned[metadata.RootType](data, RoleRoot, t.limits)
	if err != nil {
		return t.refuse(err, RoleRoot, t.set.Root.Signed.Version+1, "TUF §5.3.3")
	}
	old, version := t.set.Root, root.Signed.Version
	if err := old.VerifyDelegate(RoleRoot, root); err != nil {
		return t.refuse(err, RoleRoot, version, "TUF §5.3.4, by the keys of version "+fmt.Sprint(old.Signed.Version))
	}
	if version != old.Signed.Version+1 {
		return &Refusal{Repository: t.repository, Role: RoleRoot, Version: version, Rule: RuleRootChain, Clause: "TUF §5.3.5",
			Detail: fmt.Sprintf("version %d follows version %d, but version %d was expected", version, old.Signed.Version, old.Signed.Version+1)}
	}
	usable := usableRoot(root)
	if err := usable.VerifyDelegate(RoleRoot, root); err != nil {
		return t.refuse(err, RoleRoot, version, "TUF §5.3.4, by its own keys")
	}
	t.set.Root = usable
	t.bytes[RoleRoot] = data
	return nil
}

// UpdateTimestamp takes a timestamp (§5.4). Offered the cached one first and then
// the one just fetched, it refuses a step back of either version. The same
// version as the trusted one is accepted and changes nothing, but its expiry is
// judged anew. After an expiry the file still counts for later comparisons.
func (t *Trusted) UpdateTimestamp(data []byte) (err error) {
	defer func() { t.final[RoleTimestamp] = err == nil }()
	defer recoverShape(&err)
	if err := t.checkExpiry(RoleRoot, t.set.Root.Signed.Version, t.set.Root.Signed.Expires); err != nil { // §5.3.10
		return err
	}
	timestamp, err := readSigned[metadata.TimestampType](data, RoleTimestamp, t.limits)
	if err != nil {
		return t.refuse(err, RoleTimestamp, 0, "TUF §5.4.1")
	}
	before := t.set.Timestamp
	_, err = t.set.UpdateTimestamp(data)
	if _, equal := errors.AsType[*metadata.ErrEqualVersionNumber](err); equal {
		err = nil
	} else if t.set.Timestamp != before {
		t.bytes[RoleTimestamp] = data
	}
	if expired := t.checkExpiry(RoleTimestamp, timestamp.Signed.Version, t.timestampExpires(timestamp)); expired != nil && (err == nil || isExpiredMetadata(err)) {
		return expired // §5.4.4
	}
	return t.refuse(err, RoleTimestamp, timestamp.Signed.Version, "TUF §5.4")
}

// timestampExpires is the expiry of the timestamp that counts: the trusted one,
// which is the older file when both have one version.
func (t *Trusted) timestampExpires(fetched *Timestamp) time.Time {
	if t.set.Timestamp != nil {
		return t.set.Timestamp.Signed.Expires
	}
	return fetched.Signed.Expires
}

// UpdateSnapshot takes a snapshot (§5.5): the bytes that the timestamp's hash and
// version name, or, with cached set, one that was verified before and serves to
// notice a step back or a role that vanished (§5.5.5).
func (t *Trusted) UpdateSnapshot(data []byte, cached bool) (err error) {
	defer func() { t.final[RoleSnapshot] = err == nil }()
	defer recoverShape(&err)
	if !t.final[RoleTimestamp] {
		return errors.New("snapshot before timestamp: an update takes the timestamp first (§5.4)")
	}
	snapshot, err := readSigned[metadata.SnapshotType](data, RoleSnapshot, t.limits)
	if err != nil {
		return t.refuse(err, RoleSnapshot, 0, "TUF §5.5.1")
	}
	before := t.set.Snapshot
	_, err = t.set.UpdateSnapshot(data, cached)
	if t.set.Snapshot != before {
		t.bytes[RoleSnapshot] = data
	}
	if err == nil || isExpiredMetadata(err) {
		if expired := t.checkExpiry(RoleSnapshot, snapshot.Signed.Version, snapshot.Signed.Expires); expired != nil {
			return expired // §5.5.6
		}
	}
	if err == nil && cached {
		// The timestamp may name other bytes of this version: then these only compare.
		err = t.set.Timestamp.Signed.Meta["snapshot.json"].VerifyLengthHashes(data)
	}
	return t.refuse(err, RoleSnapshot, snapshot.Signed.Version, "TUF §5.5")
}

// UpdateRole takes the file of targets (delegator "root") or of a delegated role,
// and verifies it against the snapshot and the keys that delegator lists for it
// now (§5.6.2-5).
func (t *Trusted) UpdateRole(data []byte, role, delegator string) (err error) {
	defer recoverShape(&err)
	if !t.final[RoleSnapshot] {
		return errors.New("targets before snapshot: an update takes the snapshot first (§5.5)")
	}
	if !t.delegates(delegator, role) {
		return fmt.Errorf("%s does not delegate to %s, or was not verified yet", delegator, role)
	}
	listed := t.set.Snapshot.Signed.Meta[role+".json"]
	if listed == nil {
		return &Refusal{Repository: t.repository, Role: role, Rule: RuleRollback, Clause: "TUF §5.6.2", Detail: "the snapshot does not list this role"}
	}
	// Length and hash first: what the snapshot does not name is not even parsed.
	if err := listed.VerifyLengthHashes(data); err != nil {
		return t.refuse(err, role, listed.Version, "TUF §5.6.2")
	}
	targets, err := readSigned[metadata.TargetsType](data, RoleTargets, t.limits)
	if err != nil {
		return t.refuse(err, role, 0, "TUF §5.6.1")
	}
	version := targets.Signed.Version
	// trustedmetadata would do what follows, but read the file a second time; a
	// file of many targets costs its reading.
	if delegator == RoleRoot {
		err = t.set.Root.VerifyDelegate(role, targets)
	} else {
		err = t.set.Targets[delegator].VerifyDelegate(role, targets)
	}
	if err != nil {
		return t.refuse(err, role, version, "TUF §5.6.3")
	}
	if version != listed.Version {
		return &Refusal{Repository: t.repository, Role: role, Version: version, Rule: RuleRollback, Clause: "TUF §5.6.4",
			Detail: fmt.Sprintf("the snapshot lists version %d", listed.Version)}
	}
	if err := t.checkExpiry(role, version, targets.Signed.Expires); err != nil {
		return err // §5.6.5
	}
	t.set.Targets[role] = targets
	if !bytes.Equal(t.bytes[role], data) {
		// A snapshot without hashes lets one version have several contents. What the
		// old content was verified under, and what was verified under it, is void.
		maps.DeleteFunc(t.edges, func(e edge, _ bool) bool { return e.role == role || e.delegator == role })
	}
	usableDelegations(t.set.Targets[role])
	t.edges[edge{role, delegator}] = true
	t.bytes[role] = data
	return nil
}

// delegates tells whether delegator, root or a role that was verified, names keys
// for role.
func (t *Trusted) delegates(delegator, role string) bool {
	if delegator == RoleRoot || role == RoleTargets {
		return delegator == RoleRoot && role == RoleTargets
	}
	targets := t.set.Targets[delegator]
	if targets == nil || targets.Signed.Delegations == nil {
		return false
	}
	d := targets.Signed.Delegations
	if d.Roles == nil && d.SuccinctRoles != nil {
		return d.SuccinctRoles.IsDelegatedRole(role)
	}
	return slices.ContainsFunc(d.Roles, func(r metadata.DelegatedRole) bool { return r.Name == role })
}

// Verified tells whether role's file has been verified under delegator.
func (t *Trusted) Verified(role, delegator string) bool { return t.edges[edge{role, delegator}] }

// Bytes returns the file of role that verified last, or nil.
func (t *Trusted) Bytes(role string) []byte { return t.bytes[role] }

// StartReading forgets which roles were read: where one update answers several
// questions, each is to tell what it stands on.
func (t *Trusted) StartReading() { t.read = nil }

// Read returns the roles below root that were read since StartReading, in the order
// in which they were first read: what an answer of the searches stands on.
func (t *Trusted) Read() []string { return slices.Clone(t.read) }

// Now returns the time that the update is judged by.
func (t *Trusted) Now() time.Time { return t.now }

// Repository returns the name given to NewTrusted.
func (t *Trusted) Repository() string { return t.repository }

// Root returns the newest trusted root.
func (t *Trusted) Root() *Root { return t.set.Root }

// Timestamp returns the trusted timestamp, or nil.
func (t *Trusted) Timestamp() *Timestamp { return t.set.Timestamp }

// Snapshot returns the trusted snapshot, or nil.
func (t *Trusted) Snapshot() *Snapshot { return t.set.Snapshot }

// Role returns the verified targets file of role, or nil.
func (t *Trusted) Role(role string) *Targets { return t.set.Targets[role] }

// SnapshotMeta returns what the trusted timestamp says of the snapshot. It is
// the zero Meta before UpdateTimestamp.
func (t *Trusted) SnapshotMeta() Meta {
	if t.set.Timestamp == nil {
		return Meta{}
	}
	return metaOf(t.set.Timestamp.Signed.Meta["snapshot.json"])
}

// RoleMeta returns what the trusted snapshot says of a role's file; ok is false
// when it lists none.
func (t *Trusted) RoleMeta(role string) (meta Meta, ok bool) {
	if t.set.Snapshot == nil {
		return Meta{}, false
	}
	file, ok := t.set.Snapshot.Signed.Meta[role+".json"]
	return metaOf(file), ok
}

func metaOf(file *metadata.MetaFiles) Meta {
	if file == nil {
		return Meta{}
	}
	meta := Meta{Version: file.Version, Length: file.Length, Hashes: map[string][]byte{}}
	for algorithm, hash := range file.Hashes {
		meta.Hashes[algorithm] = hash
	}
	return meta
}

// Matches tells whether data is the file that meta names, by length and hashes.
// A Meta without hashes matches nothing, since nothing is proven.
func (m Meta) Matches(data []byte) bool {
	file := &metadata.MetaFiles{Version: m.Version, Length: m.Length, Hashes: metadata.Hashes{}}
	for algorithm, hash := range m.Hashes {
		file.Hashes[algorithm] = hash
	}
	return len(m.Hashes) > 0 && file.VerifyLengthHashes(data) == nil
}

// CheckExpiry judges every file that the update trusts, at another time than that
// of the update. A verdict that was reached yesterday is asked again before use.
func (t *Trusted) CheckExpiry(now time.Time) error {
	again := *t
	again.now = now
	if err := again.checkExpiry(RoleRoot, t.set.Root.Signed.Version, t.set.Root.Signed.Expires); err != nil {
		return err
	}
	if ts := t.set.Timestamp; ts != nil {
		if err := again.checkExpiry(RoleTimestamp, ts.Signed.Version, ts.Signed.Expires); err != nil {
			return err
		}
	}
	if s := t.set.Snapshot; s != nil {
		if err := again.checkExpiry(RoleSnapshot, s.Signed.Version, s.Signed.Expires); err != nil {
			return err
		}
	}
	for _, role := range slices.Sorted(maps.Keys(t.set.Targets)) {
		signed := t.set.Targets[role].Signed
		if err := again.checkExpiry(role, signed.Version, signed.Expires); err != nil {
			return err
		}
	}
	return nil
}

// checkExpiry refuses a file whose expiry is not after the update's time: at the
// very second of its expiry a file is expired (§5.3.10, §5.4.4, §5.5.6, §5.6.5).
func (t *Trusted) checkExpiry(role string, version int64, expires time.Time) error {
	if expires.After(t.now) {
		return nil
	}
	return &ExpiredError{Repository: t.repository, Role: role, Version: version, Expired: expires, Now: t.now}
}

func isExpiredMetadata(err error) bool {
	_, ok := errors.AsType[*metadata.ErrExpiredMetadata](err)
	return ok
}

// refuse turns an error of go-tuf into a refusal with its rule. A refusal of our
// own gets the names that it lacks; nil stays nil.
func (t *Trusted) refuse(err error, role string, version int64, clause string) error {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		named := *r
		if named.Repository == "" {
			named.Repository = t.repository
		}
		if named.Role == "" {
			named.Role, named.Version = role, version
		}
		return &named
	}
	if _, ok := errors.AsType[*ExpiredError](err); ok || isType[*metadata.ErrRuntime](err) {
		return err // the latter is a caller that left the order of §5, no verdict
	}
	rule, detail := explain(err, role)
	return &Refusal{Repository: t.repository, Role: role, Version: version, Rule: rule, Clause: clause, Detail: detail}
}

// explain tells which rule an error of go-tuf comes from, and what it says in our
// words where it has only a code's.
func explain(err error, role string) (Rule, string) {
	switch e := err.(type) {
	case *metadata.ErrUnsignedMetadata:
		var got, want int
		if i := strings.Index(e.Msg, "got "); i >= 0 {
			if n, _ := fmt.Sscanf(e.Msg[i:], "got %d, want %d", &got, &want); n == 2 {
				return RuleThreshold, fmt.Sprintf("%d of the %d signatures that %s needs are valid", got, want, role)
			}
		}
		return RuleThreshold, e.Msg
	case *metadata.ErrValue:
		return RuleThreshold, e.Msg
	case *metadata.ErrType:
		return RuleThreshold, e.Msg
	case *metadata.ErrBadVersionNumber:
		return RuleRollback, "a step back: " + e.Msg
	case *metadata.ErrEqualVersionNumber:
		return RuleRollback, e.Msg
	case *metadata.ErrLengthOrHashMismatch:
		return RuleHash, "other bytes than those that were signed for: " + e.Msg
	case *metadata.ErrRepository:
		return RuleRollback, e.Msg // an entry that the snapshot no longer, or never, had
	}
	return RuleShape, err.Error()
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
