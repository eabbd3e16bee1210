package tuf

import (
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// result builds the next state from the files that were checked, with signatures
// that count for nothing taken off.
func (p *publish) result() (*State, []File, error) {
	next := &State{Roles: map[string]File{}}
	if p.cur != nil {
		*next = *p.cur
		next.Roles = maps.Clone(p.cur.Roles)
	}
	var changed []File
	if p.root != nil {
		by := RoleKeysOf(p.root, RoleRoot).Keys
		if p.cur != nil {
			old, err := ReadRoot(p.cur.Root.Bytes)
			if err != nil {
				return nil, nil, err
			}
			by = append(by, RoleKeysOf(old, RoleRoot).Keys...)
		}
		data, err := encodeSignedBy(p.root, by)
		if err != nil {
			return nil, nil, err
		}
		next.Root = File{Role: RoleRoot, Version: p.root.Signed.Version, Bytes: data}
		changed = append(changed, next.Root)
	}
	for _, role := range slices.Sorted(maps.Keys(p.roles)) {
		targets := p.roles[role]
		keys, data := p.keysFor(role), p.bytes[role]
		// As many signatures as the threshold, which was met: each of them counted,
		// none can go. Looking at them again would cost as much as the check did.
		if p.proposed || len(targets.Signatures) != keys.Threshold {
			var err error
			if data, err = encodeSignedBy(targets, keys.Keys); err != nil {
				return nil, nil, err
			}
		}
		next.Roles[role] = File{Role: role, Version: targets.Signed.Version, Bytes: data}
		changed = append(changed, next.Roles[role])
	}
	return next, changed, nil
}

// keysFor returns the keys that may sign role after the publish, and how many must.
func (p *publish) keysFor(role string) RoleKeys {
	if role == RoleTargets {
		return RoleKeysOf(p.effective, RoleTargets)
	}
	for _, targets := range p.tree {
		if keys, ok := SignerKeysOf(targets, role); ok {
			return keys
		}
	}
	return RoleKeys{}
}

// encodeSignedBy encodes md with only those signatures that one of keys made.
func encodeSignedBy[T metadata.Roles](md *metadata.Metadata[T], keys []*Key) ([]byte, error) {
	payload, err := Payload(md)
	if err != nil {
		return nil, err
	}
	kept := *md
	kept.Signatures = slices.DeleteFunc(slices.Clone(md.Signatures), func(s metadata.Signature) bool {
		return !slices.ContainsFunc(keys, func(k *Key) bool {
			return k.ID() == s.KeyID && k.Verify(payload, s.Signature) == nil
		})
	})
	return Encode(&kept)
}
