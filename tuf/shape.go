package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits bound what is read before any of it is trusted. The zero value of a
// field means the default.
type Limits struct {
	Bytes       int64 // bytes of one file; default 16 MiB
	Depth       int   // nesting of JSON; default 24
	Members     int   // JSON members and elements in one file; default 2,000,000
	Keys        int   // keys in one root or one delegation; default 1,024
	Signatures  int   // signatures on one file; default 64
	Delegations int   // delegated roles in one targets file; default 4,096
	Targets     int   // targets in one file; default 100,000
}

// orDefault fills the fields that were left zero.
func (l Limits) orDefault() Limits {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	set(&l.Depth, 24)
	set(&l.Members, 2_000_000)
	set(&l.Keys, 1024)
	set(&l.Signatures, 64)
	set(&l.Delegations, 4096)
	set(&l.Targets, 100_000)
	return l
}

// WithDefaults returns the limits with zero fields replaced by the defaults.
func (l Limits) WithDefaults() Limits { return l.orDefault() }

func shapeRefusal(clause, format string, args ...any) error {
	return &Refusal{Rule: RuleShape, Clause: clause, Detail: fmt.Sprintf(format, args...)}
}

func limitRefusal(format string, args ...any) error {
	return &Refusal{Rule: RuleLimit, Clause: "Signet limits", Detail: fmt.Sprintf(format, args...)}
}

// recoverShape turns a panic under a parse into a refusal: go-tuf panics on some
// shapes, and one that checkShape does not know yet must not end the process.
func recoverShape(err *error) {
	if p := recover(); p != nil {
		*err = shapeRefusal("TUF §4.1", "reading the metadata failed: %v", p)
	}
}

// checkJSON walks the tokens of one JSON document without building anything. It
// refuses null, duplicate members, names that differ from a known one by case
// only, numbers that are not integers of 64 bits (§4.1: canonical JSON has no
// others), invalid UTF-8, trailing data, and whatever is larger or deeper than
// limits allow. What stands in `custom` (§4.5) or in a member that no parser
// gives a meaning to (§4.1) is the publisher's: there, null and any name may
// stand.
func checkJSON(data []byte, limits Limits) error {
	if int64(len(data)) > limits.Bytes {
		return limitRefusal("%d bytes, of which at most %d are read", len(data), limits.Bytes)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return shapeRefusal("TUF §4.1", "the file is empty")
	}
	if !validUTF8(data) {
		return shapeRefusal("TUF §4.1", "the file is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := walker{dec: dec, limits: limits}
	if err := w.value(0, ""); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return shapeRefusal("TUF §4.1", "the file ends in the middle, after %d bytes", len(data))
		}
		if _, ok := errors.AsType[*Refusal](err); ok {
			return err
		}
		return shapeRefusal("TUF §4.1", "not JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return shapeRefusal("TUF §4.1", "data after the end of the document, at byte %d", dec.InputOffset())
	}
	return nil
}

type walker struct {
	dec    *json.Decoder
	limits Limits
	count  int
	free   int // how many members that are the publisher's own enclose what is read
}

// value reads one JSON value at the given depth; name is its member's name, or ""
// for an element of an array and where names are data.
func (w *walker) value(depth int, name string) error {
	if w.count++; w.count > w.limits.Members {
		return limitRefusal("more than %d members in one file", w.limits.Members)
	}
	if depth > w.limits.Depth {
		return limitRefusal("nested more than %d deep", w.limits.Depth)
	}
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case nil:
		if w.free > 0 && name != "custom" {
			return nil
		}
		return shapeRefusal("TUF §4.1", "null at byte %d; TUF metadata has none", w.dec.InputOffset())
	case json.Number:
		if _, err := t.Int64(); err != nil {
			return shapeRefusal("TUF §4.1", "the number %s is not an integer of 64 bits", clip(t.String()))
		}
	case json.Delim:
		if t == '{' {
			return w.object(depth, name)
		}
		for w.dec.More() {
			if err := w.value(depth+1, ""); err != nil {
				return err
			}
		}
		_, err = w.dec.Token()
		return err
	}
	return nil
}

// dataNames are the members whose own members' names are data: paths, key IDs,
// algorithms, roles.
var dataNames = map[string]bool{"targets": true, "meta": true, "keys": true, "hashes": true, "roles": true}

func (w *walker) object(depth int, parent string) error {
	data := dataNames[parent] || w.free > 0
	var seen nameSet
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return shapeRefusal("TUF §4.1", "a member without a name at byte %d", w.dec.InputOffset())
		}
		if !seen.add(name) {
			return shapeRefusal("TUF §4.1", "the member %q stands twice", clip(name))
		}
		free := false
		if data {
			name = "" // a target may be called "keys": what it holds are no key IDs
		} else if free = name == "custom" || !knownMembers[name]; free {
			if err := checkCase(name); err != nil {
				return err
			}
			w.free++
		}
		if err := w.value(depth+1, name); err != nil {
			return err
		}
		if free {
			w.free--
		}
	}
	_, err := w.dec.Token()
	return err
}

// A nameSet remembers names. Most objects have few, and cost no map.
type nameSet struct {
	few  []string
	many map[string]bool
}

// add returns false when name is there already.
func (s *nameSet) add(name string) bool {
	if s.many[name] || slices.Contains(s.few, name) {
		return false
	}
	if len(s.few) < 12 {
		s.few = append(s.few, name)
		return true
	}
	if s.many == nil {
		s.many = map[string]bool{}
	}
	s.many[name] = true
	return true
}

// checkCase refuses a name that encoding/json would read as a known member
// although it is written otherwise ("Version", or with a long s): two readers
// could see two documents in one.
func checkCase(name string) error {
	if knownMembers[name] {
		return nil
	}
	for known := range knownMembers {
		if strings.EqualFold(known, name) {
			return shapeRefusal("TUF §4.1", "the member %q is not written as %q", clip(name), known)
		}
	}
	return nil
}

var (
	versionPattern = regexp.MustCompile(`^1(?:\.[0-9]+){1,2}$`)
	expiresPattern = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`)
)

// A document is what checkShape reads a file as, ahead of go-tuf's parse: only
// types, no meaning.
type document struct {
	Signed     map[string]json.RawMessage `json:"signed"`
	Signatures []struct {
		KeyID *string `json:"keyid"`
		Sig   *string `json:"sig"`
	} `json:"signatures"`
}

// checkShape refuses whatever is not shaped as a file of the given type ("root",
// "targets", "snapshot" or "timestamp"; a delegated role's is "targets"). It runs
// before every parse, since go-tuf's parser panics on several shapes, and leaves
// others unchecked: spec_version, versions below one, missing members.
func checkShape(data []byte, kind string, limits Limits) error {
	if err := checkJSON(data, limits); err != nil {
		return err
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return shapeRefusal("TUF §4.1", "not a signed file: %s", typeError(err))
	}
	if doc.Signed == nil {
		return shapeRefusal("TUF §4.1", "the member signed is missing")
	}
	if doc.Signatures == nil {
		return shapeRefusal("TUF §4.1", "the member signatures is missing")
	}
	if len(doc.Signatures) > limits.Signatures {
		return limitRefusal("%d signatures, of which at most %d are read", len(doc.Signatures), limits.Signatures)
	}
	for _, s := range doc.Signatures {
		if s.KeyID == nil || s.Sig == nil {
			return shapeRefusal("TUF §4.2", "a signature without keyid or sig")
		}
		if !isHex(*s.Sig, true) {
			return shapeRefusal("TUF §4.2", "the signature by %q is not hex", clip(*s.KeyID))
		}
	}
	if err := checkHeader(doc.Signed, kind); err != nil {
		return err
	}
	switch kind {
	case RoleRoot:
		return checkRootShape(doc.Signed, limits)
	case RoleTargets:
		return checkTargetsShape(doc.Signed, limits)
	case RoleSnapshot:
		return checkMetaShape(doc.Signed, "targets.json")
	case RoleTimestamp:
		return checkMetaShape(doc.Signed, "snapshot.json")
	}
	return shapeRefusal("TUF §4.1", "%q is not a type of metadata", clip(kind))
}

// member reads one member of an object into v and refuses it when it is missing
// or of another type.
func member(object map[string]json.RawMessage, name string, v any) error {
	raw, ok := object[name]
	if !ok {
		return shapeRefusal("TUF §4.1", "the member %s is missing", name)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return shapeRefusal("TUF §4.1", "the member %s: %v", name, typeError(err))
	}
	return nil
}

// typeError says what JSON type was found and expected, without Go's own words.
func typeError(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "a " + t.Value + " where it may not stand"
	}
	return clip(err.Error())
}

// checkHeader checks what all four types have in common (§4.3-4.6).
func checkHeader(signed map[string]json.RawMessage, kind string) error {
	var typ, spec, expires string
	var version int64
	for name, v := range map[string]any{"_type": &typ, "spec_version": &spec, "expires": &expires, "version": &version} {
		if err := member(signed, name, v); err != nil {
			return err
		}
	}
	if typ != kind {
		return shapeRefusal("TUF §4.3", "the type is %q where %q was expected", clip(typ), kind)
	}
	if !versionPattern.MatchString(spec) {
		return shapeRefusal("TUF §4.3", "spec_version %q is not 1.x", clip(spec))
	}
	if version < 1 {
		return shapeRefusal("TUF §4.3", "version %d; versions start at 1", version)
	}
	at, err := time.Parse(time.RFC3339, expires)
	if err != nil || !expiresPattern.MatchString(expires) {
		return shapeRefusal("TUF §4.2", "expires %q is not a time in UTC as 2030-01-02T03:04:05Z", clip(expires))
	}
	if at.Year() > 9998 {
		return shapeRefusal("TUF §4.2", "expires %q is out of range", clip(expires))
	}
	return nil
}

// rawKeys checks a map of key objects. Schemes and types that are unknown stay:
// they can never meet a threshold, and do no harm (§4.2).
func rawKeys(keys map[string]map[string]json.RawMessage, limits Limits) error {
	if len(keys) > limits.Keys {
		return limitRefusal("%d keys, of which at most %d are read", len(keys), limits.Keys)
	}
	for id, key := range keys {
		if key == nil {
			return shapeRefusal("TUF §4.2", "key %q is empty", clip(id))
		}
		if !isKeyID(id) {
			return shapeRefusal("TUF §4.2", "%q is not a key ID", clip(id))
		}
		var typ, scheme string
		var value map[string]json.RawMessage
		for name, v := range map[string]any{"keytype": &typ, "scheme": &scheme, "keyval": &value} {
			if err := member(key, name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// roleShape is the part of a role that names its keys.
type roleShape struct {
	Name             *string   `json:"name"`
	KeyIDs           *[]string `json:"keyids"`
	Threshold        *int64    `json:"threshold"`
	Terminating      *bool     `json:"terminating"`
	Paths            *[]string `json:"paths"`
	PathHashPrefixes *[]string `json:"path_hash_prefixes"`
	BitLength        *int64    `json:"bit_length"`
	NamePrefix       *string   `json:"name_prefix"`
}

func (r *roleShape) check(name string, limits Limits) error {
	if r.KeyIDs == nil || r.Threshold == nil {
		return shapeRefusal("TUF §4.3", "role %q has no keyids or no threshold", clip(name))
	}
	if len(*r.KeyIDs) > limits.Keys {
		return limitRefusal("role %q lists %d keys, of which at most %d are read", clip(name), len(*r.KeyIDs), limits.Keys)
	}
	if *r.Threshold < 1 {
		return shapeRefusal("TUF §4.3", "role %q has the threshold %d; it is 1 or more", clip(name), *r.Threshold)
	}
	seen := map[string]bool{}
	for _, id := range *r.KeyIDs {
		if seen[id] {
			return shapeRefusal("TUF §4.3", "role %q lists key %q twice", clip(name), clip(id))
		}
		seen[id] = true
	}
	return nil
}

func checkRootShape(signed map[string]json.RawMessage, limits Limits) error {
	var keys map[string]map[string]json.RawMessage
	var roles map[string]*roleShape
	var consistent bool
	if _, ok := signed["consistent_snapshot"]; ok {
		if err := member(signed, "consistent_snapshot", &consistent); err != nil {
			return err
		}
	}
	if err := errors.Join(member(signed, "keys", &keys), member(signed, "roles", &roles)); err != nil {
		return err
	}
	if err := rawKeys(keys, limits); err != nil {
		return err
	}
	for _, name := range []string{RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp} {
		role := roles[name]
		if role == nil {
			return shapeRefusal("TUF §4.3", "root names no keys for the role %s", name)
		}
		if err := role.check(name, limits); err != nil {
			return err
		}
	}
	for name, role := range roles {
		if !IsTopLevel(name) && name != "mirrors" {
			return shapeRefusal("TUF §4.3", "root names the role %q, which is not a top-level role", clip(name))
		}
		if role == nil {
			return shapeRefusal("TUF §4.3", "role %q is empty", clip(name))
		}
	}
	return nil
}

// fileShape is one entry of targets or meta.
type fileShape struct {
	Version *int64             `json:"version"`
	Length  *int64             `json:"length"`
	Hashes  *map[string]string `json:"hashes"`
	Custom  json.RawMessage    `json:"custom"`
}

func (f *fileShape) check(name string) error {
	if f.Length != nil && *f.Length < 0 {
		return shapeRefusal("TUF §4.5", "%q has the length %d", clip(name), *f.Length)
	}
	if f.Hashes != nil {
		if len(*f.Hashes) == 0 {
			return shapeRefusal("TUF §4.5", "%q has no hash", clip(name))
		}
		for algorithm, hash := range *f.Hashes {
			if hash == "" || !isHex(hash, false) {
				return shapeRefusal("TUF §4.5", "the %s hash of %q is not lower-case hex", clip(algorithm), clip(name))
			}
		}
	}
	return nil
}

// checkMetaShape checks a snapshot's or timestamp's entries (§4.4, §4.6).
func checkMetaShape(signed map[string]json.RawMessage, required string) error {
	var meta map[string]*fileShape
	if err := member(signed, "meta", &meta); err != nil {
		return err
	}
	if meta[required] == nil {
		return shapeRefusal("TUF §4.4", "meta has no entry %s", required)
	}
	for name, file := range meta {
		if file == nil || file.Version == nil || *file.Version < 1 {
			return shapeRefusal("TUF §4.4", "the entry %q has no version of 1 or more", clip(name))
		}
		if err := file.check(name); err != nil {
			return err
		}
	}
	return nil
}

func checkTargetsShape(signed map[string]json.RawMessage, limits Limits) error {
	var targets map[string]*fileShape
	if err := member(signed, "targets", &targets); err != nil {
		return err
	}
	if err := checkSignedShape(signed); err != nil {
		return err
	}
	if len(targets) > limits.Targets {
		return limitRefusal("%d targets, of which at most %d are read", len(targets), limits.Targets)
	}
	for path, file := range targets {
		if file == nil || file.Length == nil || file.Hashes == nil {
			return shapeRefusal("TUF §4.5", "the target %q has no length or no hashes", clip(path))
		}
		if err := file.check(path); err != nil {
			return err
		}
	}
	if _, ok := signed["delegations"]; !ok {
		return nil
	}
	var delegations map[string]json.RawMessage
	if err := member(signed, "delegations", &delegations); err != nil {
		return err
	}
	return checkDelegationsShape(delegations, limits)
}

func checkDelegationsShape(delegations map[string]json.RawMessage, limits Limits) error {
	var keys map[string]map[string]json.RawMessage
	if err := member(delegations, "keys", &keys); err != nil {
		return err
	}
	if err := rawKeys(keys, limits); err != nil {
		return err
	}
	_, named := delegations["roles"]
	_, succinct := delegations["succinct_roles"]
	if named == succinct { // TAP 15: exactly one of the two
		return shapeRefusal("TUF §4.5, TAP 15", "delegations have either roles or succinct_roles")
	}
	if succinct {
		var bins roleShape
		if err := member(delegations, "succinct_roles", &bins); err != nil {
			return err
		}
		if err := bins.check("succinct_roles", limits); err != nil {
			return err
		}
		if bins.BitLength == nil || *bins.BitLength < 1 || *bins.BitLength > 32 || bins.NamePrefix == nil || !safeRole(*bins.NamePrefix) {
			return shapeRefusal("TAP 15", "succinct_roles have a bit_length of 1 to 32 and a name_prefix")
		}
		return nil
	}
	var roles []*roleShape
	if err := member(delegations, "roles", &roles); err != nil {
		return err
	}
	if len(roles) > limits.Delegations {
		return limitRefusal("%d delegated roles, of which at most %d are read", len(roles), limits.Delegations)
	}
	seen := map[string]bool{}
	for _, role := range roles {
		if role == nil || role.Name == nil || !safeRole(*role.Name) || IsTopLevel(*role.Name) {
			return shapeRefusal("TUF §4.5", "a delegated role has no name, a top-level role's, or one that is no name")
		}
		name := *role.Name
		if seen[name] {
			return shapeRefusal("TUF §4.5", "the role %q stands twice in one list of delegations", clip(name))
		}
		seen[name] = true
		if role.Terminating == nil {
			return shapeRefusal("TUF §4.5", "the role %q does not say whether it is terminating", clip(name))
		}
		if (role.Paths == nil) == (role.PathHashPrefixes == nil) {
			return shapeRefusal("TUF §4.5", "the role %q has either paths or path_hash_prefixes", clip(name))
		}
		if err := role.check(name, limits); err != nil {
			return err
		}
	}
	return nil
}

// safeRole tells whether a role's name is short and free of control characters.
// Where files are concerned, the client escapes it.
func safeRole(name string) bool {
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 })
}

// isHex tells whether s is whole bytes in hex. A pattern would be slower, and
// there is one hash for each target.
func isHex(s string, upper bool) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || upper && 'A' <= c && c <= 'F') {
			return false
		}
	}
	return len(s)%2 == 0
}

// isKeyID tells whether s can be a key ID: up to 256 bytes without control
// characters and slashes. Other tools' IDs need not be hashes.
func isKeyID(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == '/' || r == '\\' })
}
