package client

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A FileChange is one file of a Change.
type FileChange struct {
	Role         string              `json:"role"`
	Version      int64               `json:"version"`
	Expires      time.Time           `json:"expires"`
	WasExpires   *time.Time          `json:"wasExpires,omitempty"`   // nil for a role's first file
	Signed       *time.Time          `json:"signed,omitempty"`       // when it says that it is signed; nil: it does not say
	Targets      []tuf.Change        `json:"targets,omitempty"`      // what happens to target paths
	Keys         []KeyChange         `json:"keys,omitempty"`         // what happens to roles' keys
	Thresholds   []ThresholdChange   `json:"thresholds,omitempty"`   // and to how many of them must sign
	Signers      []SignerChange      `json:"signers,omitempty"`      // and to signers
	Order        []string            `json:"order,omitempty"`        // the signers' new order, unless those that stay keep their places and the others come after them
	Attestations []AttestationChange `json:"attestations,omitempty"` // and to what attests keys
	Members      []string            `json:"members,omitempty"`      // other signed members that change, by name
	Roles        []Holders           `json:"roles,omitempty"`        // who signs what from now on, as root or a file with signers says
	SignedBy     []string            `json:"signedBy"`               // IDs of the keys that will sign, one for each signature
	SHA256       string              `json:"sha256"`                 // of the bytes that will be signed
	Payload      []byte              `json:"-"`                      // the bytes that will be signed
}

// A KeyChange is a key that a role gets or loses.
type KeyChange struct {
	Role  string   `json:"role"`
	Key   *tuf.Key `json:"key"`
	Added bool     `json:"added"` // else removed
}

// A ThresholdChange is a role's new threshold.
type ThresholdChange struct {
	Role string `json:"role"`
	Old  int    `json:"old"` // 0: the role is new
	New  int    `json:"new"` // 0: the role goes
}

// A SignerChange is a signer that comes, goes, or may sign other paths than before.
type SignerChange struct {
	Name string      `json:"name"`
	Old  *Delegation `json:"old,omitempty"` // nil: the signer is new
	New  *Delegation `json:"new,omitempty"` // nil: the signer goes
}

// A Delegation is what a signer may sign.
type Delegation struct {
	Paths       []string `json:"paths"`       // the target paths, with '*' and '?'
	Terminating bool     `json:"terminating"` // no signer after it is asked for these paths
}

// An AttestationChange is a key whose attestation comes, goes, or is another.
type AttestationChange struct {
	KeyID string   `json:"keyID"`
	Key   *tuf.Key `json:"-"`             // nil: no role lists it from now on
	Old   []string `json:"old,omitempty"` // PEM certificates, leaf first; none: the attestation is new
	New   []string `json:"new,omitempty"` // none: it goes
}

// Holders are the keys that a role has, by ID, and how many of them must sign.
type Holders struct {
	Role      string   `json:"role"`
	Keys      []string `json:"keys"`
	Threshold int      `json:"threshold"`
}

// a side is what one of the two files that are compared says.
type side struct {
	keys         map[string]tuf.RoleKeys
	signers      []string // in their order
	delegations  map[string]*Delegation
	attestations map[string][]string
	members      map[string]any // signed members that are not compared on their own
}

// change settles the bytes to be signed, decodes them again and tells what they
// say against what was there.
func (d *draft) change() (FileChange, error) {
	var err error
	if d.payload, err = d.encodePayload(); err != nil {
		return FileChange{}, err
	}
	c := FileChange{Role: d.role, SHA256: digestHex(d.payload), Payload: d.payload, SignedBy: []string{}}
	for _, signer := range d.signers {
		c.SignedBy = append(c.SignedBy, signer.Key().ID())
	}
	file := slices.Concat([]byte(`{"signatures":[],"signed":`), plainJSON(d.payload), []byte("}"))
	unreadable := func(err error) (FileChange, error) {
		return FileChange{}, fmt.Errorf("what would be signed as %s cannot be read: %w", d.role, err)
	}
	var before, after side
	if d.root != nil {
		root, err := tuf.ReadRoot(file)
		if err != nil {
			return unreadable(err)
		}
		c.Version, c.Expires, after = root.Signed.Version, root.Signed.Expires, rootSide(root)
		if d.oldRoot != nil {
			c.WasExpires, before = &d.oldRoot.Signed.Expires, rootSide(d.oldRoot)
		}
	} else {
		targets, err := tuf.ReadTargets(file)
		if err != nil {
			return unreadable(err)
		}
		c.Version, c.Expires, after = targets.Signed.Version, targets.Signed.Expires, targetsSide(targets)
		c.Targets = tuf.Diff(d.oldTargets, targets)
		if at := tuf.SignedAt(targets); !at.IsZero() {
			c.Signed = &at
		}
		if d.oldTargets != nil {
			c.WasExpires, before = &d.oldTargets.Signed.Expires, targetsSide(d.oldTargets)
		}
	}
	c.compareKeys(before.keys, after.keys)
	c.compareSigners(before, after)
	c.compareAttestations(before.attestations, after)
	if c.WasExpires != nil {
		c.compareMembers(before.members, after.members)
	}
	for _, role := range slices.Sorted(maps.Keys(after.keys)) {
		now := Holders{Role: role, Keys: []string{}, Threshold: after.keys[role].Threshold}
		for _, key := range after.keys[role].Keys {
			now.Keys = append(now.Keys, key.ID())
		}
		c.Roles = append(c.Roles, now)
	}
	return c, nil
}

// plainJSON returns canonical JSON as JSON: canonical form leaves control
// characters in strings raw (the line ends of a PEM, say), and has none elsewhere.
func plainJSON(canonical []byte) []byte {
	if !slices.ContainsFunc(canonical, func(c byte) bool { return c < ' ' }) {
		return canonical
	}
	var plain []byte
	for _, c := range canonical {
		if c < ' ' {
			plain = fmt.Appendf(plain, `\u%04x`, c)
			continue
		}
		plain = append(plain, c)
	}
	return plain
}

func rootSide(root *tuf.Root) side {
	s := side{keys: map[string]tuf.RoleKeys{}, attestations: tuf.Attestations(root)}
	for role := range root.Signed.Roles {
		s.keys[role] = tuf.RoleKeysOf(root, role)
	}
	s.members = membersOf(root.Signed.UnrecognizedFields, root.Signed.SpecVersion)
	s.members["consistent_snapshot"] = root.Signed.ConsistentSnapshot
	return s
}

func targetsSide(targets *tuf.Targets) side {
	s := side{keys: map[string]tuf.RoleKeys{}, delegations: map[string]*Delegation{}, attestations: tuf.TargetsAttestations(targets)}
	if d := targets.Signed.Delegations; d != nil {
		for _, role := range d.Roles {
			s.keys[role.Name], _ = tuf.SignerKeysOf(targets, role.Name)
			s.signers = append(s.signers, role.Name)
			s.delegations[role.Name] = &Delegation{Paths: slices.Concat(role.Paths, hashPrefixes(role.PathHashPrefixes)), Terminating: role.Terminating}
		}
		if bins := d.SuccinctRoles; d.Roles == nil && bins != nil {
			name := bins.NamePrefix + "-*"
			s.keys[name], _ = tuf.SignerKeysOf(targets, bins.GetRolesForTarget("")[0].Name)
			s.delegations[name] = &Delegation{Paths: []string{fmt.Sprintf("%d bins by the hash of the path", 1<<bins.BitLength)}, Terminating: true}
		}
	}
	s.members = membersOf(targets.Signed.UnrecognizedFields, targets.Signed.SpecVersion)
	return s
}

// hashPrefixes are path_hash_prefixes in words: other tools use them.
func hashPrefixes(prefixes []string) []string {
	var paths []string
	for _, prefix := range prefixes {
		paths = append(paths, "paths whose SHA-256 begins with "+prefix)
	}
	return paths
}

func membersOf(unknown map[string]any, spec string) map[string]any {
	members := map[string]any{"spec_version": spec}
	maps.Copy(members, unknown)
	delete(members, tuf.MemberAttestations)
	delete(members, tuf.MemberSigned)
	return members
}

// compareKeys notes which roles get or lose keys, or another threshold.
func (c *FileChange) compareKeys(before, after map[string]tuf.RoleKeys) {
	roles := map[string]tuf.RoleKeys{}
	maps.Copy(roles, before)
	maps.Copy(roles, after)
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		was, is := before[role], after[role]
		for _, key := range was.Keys {
			if !slices.ContainsFunc(is.Keys, key.Equal) {
				c.Keys = append(c.Keys, KeyChange{Role: role, Key: key})
			}
		}
		for _, key := range is.Keys {
			if !slices.ContainsFunc(was.Keys, key.Equal) {
				c.Keys = append(c.Keys, KeyChange{Role: role, Key: key, Added: true})
			}
		}
		if was.Threshold != is.Threshold {
			c.Thresholds = append(c.Thresholds, ThresholdChange{Role: role, Old: was.Threshold, New: is.Threshold})
		}
	}
}

// compareSigners notes which signers come, go, may sign other paths, or are asked
// in another order.
func (c *FileChange) compareSigners(before, after side) {
	names := map[string]*Delegation{}
	maps.Copy(names, before.delegations)
	maps.Copy(names, after.delegations)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := before.delegations[name], after.delegations[name]
		if was == nil || is == nil || was.Terminating != is.Terminating || !slices.Equal(was.Paths, is.Paths) {
			c.Signers = append(c.Signers, SignerChange{Name: name, Old: was, New: is})
		}
	}
	stay := func(list []string, in map[string]*Delegation) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return in[name] == nil })
	}
	expected := stay(before.signers, after.delegations) // and whoever is new, after them
	for _, name := range after.signers {
		if before.delegations[name] == nil {
			expected = append(expected, name)
		}
	}
	if !slices.Equal(expected, after.signers) {
		c.Order = after.signers
	}
}

func (c *FileChange) compareAttestations(before map[string][]string, after side) {
	chains := map[string][]string{}
	maps.Copy(chains, before)
	maps.Copy(chains, after.attestations)
	keys := map[string]*tuf.Key{}
	for _, role := range after.keys {
		for _, key := range role.Keys {
			keys[key.ID()] = key
		}
	}
	for _, id := range slices.Sorted(maps.Keys(chains)) {
		if was, is := before[id], after.attestations[id]; !slices.Equal(was, is) {
			c.Attestations = append(c.Attestations, AttestationChange{KeyID: id, Key: keys[id], Old: was, New: is})
		}
	}
}

// compareMembers notes what else changes, so that nothing is signed unseen.
func (c *FileChange) compareMembers(before, after map[string]any) {
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !reflect.DeepEqual(before[name], after[name]) {
			c.Members = append(c.Members, name)
		}
	}
}
