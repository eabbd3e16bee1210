package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// A proof is what snapshots and timestamps of readers prove to have been published.
// Versions are those that readers still hold to: a root that takes online keys away has
// them forget what these signed (TUF §5.3.11), however far ahead that was.
type proof struct {
	snapshot, timestamp int64
	roles               map[string]int64 // the highest that a snapshot lists
	listed              []map[string]*metadata.MetaFiles
}

// look finds what readers' snapshots and timestamps prove. One that no root's keys have
// signed proves nothing, and is refused.
func (r *restoring) look(seen Seen) (*proof, error) {
	p := &proof{roles: map[string]int64{}}
	var roots []*tuf.Root
	for _, file := range slices.Concat(r.roots, r.chain) {
		root, err := tuf.ReadRoot(file.Bytes)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	for _, file := range seen.Timestamps {
		timestamp, err := tuf.ReadTimestamp(file.Bytes)
		if err != nil {
			return nil, err
		}
		holds, err := vouched(r, roots, tuf.RoleTimestamp, timestamp, timestamp.Signed.Version)
		if err != nil {
			return nil, err
		}
		if holds {
			p.timestamp = max(p.timestamp, timestamp.Signed.Version)
		}
	}
	for _, file := range seen.Snapshots {
		snapshot, err := tuf.ReadSnapshot(file.Bytes)
		if err != nil {
			return nil, err
		}
		holds, err := vouched(r, roots, tuf.RoleSnapshot, snapshot, snapshot.Signed.Version)
		if err != nil {
			return nil, err
		}
		p.listed = append(p.listed, snapshot.Signed.Meta)
		if !holds {
			continue
		}
		p.snapshot = max(p.snapshot, snapshot.Signed.Version)
		for name, meta := range snapshot.Signed.Meta {
			role := strings.TrimSuffix(name, ".json")
			p.roles[role] = max(p.roles[role], meta.Version)
		}
	}
	return p, nil
}

// vouched refuses what no root's keys have signed, and tells whether those of the newest
// root have.
func vouched[T metadata.Roles](r *restoring, roots []*tuf.Root, role string, md *metadata.Metadata[T], version int64) (bool, error) {
	payload, err := tuf.Payload(md)
	if err != nil {
		return false, err
	}
	signed := func(key *tuf.Key) bool {
		return slices.ContainsFunc(md.Signatures, func(s metadata.Signature) bool {
			return s.KeyID == key.ID() && key.Verify(payload, s.Signature) == nil
		})
	}
	if !signedByAny(roots, role, signed) {
		return false, &tuf.Refusal{Repository: r.repository, Role: role, Version: version, Rule: tuf.RuleThreshold, Clause: "TUF §5.4, §5.5",
			Detail: "it is not signed by the keys of any root of the repository"}
	}
	return signedByAny(roots[len(roots)-1:], role, signed), nil
}

// take chooses of each role the newest file that readers have. A signature alone does
// not tell that a file was ever published: it may be of a proposal that was withdrawn,
// or by somebody who stole a key and has no token. That a snapshot lists it does.
func (r *restoring) take(files []tuf.File, p *proof) error {
	var unlisted []tuf.File
	for _, file := range files {
		switch {
		case file.Version <= max(r.next.Roles[file.Role].Version, r.head.Floors[file.Role]):
		case p.lists(file):
			r.next.Roles[file.Role] = file
		default:
			unlisted = append(unlisted, file)
		}
	}
	for _, file := range unlisted {
		// One that was replaced by what nobody has is of no use, and no sign of anything.
		if file.Version > r.next.Roles[file.Role].Version && file.Version >= p.newest(file.Role) {
			return fmt.Errorf("what readers hold of %s does not fit together with what is stored: %w", r.repository,
				&tuf.Refusal{Repository: r.repository, Role: file.Role, Version: file.Version, Rule: tuf.RuleHash, Clause: "Signet recovery",
					Detail: "no snapshot that readers have seen lists this very file, so it may never have been published"})
		}
	}
	return nil
}

// lists tells whether a snapshot lists this very file.
func (p *proof) lists(file tuf.File) bool {
	return slices.ContainsFunc(p.listed, func(meta map[string]*metadata.MetaFiles) bool {
		m := meta[file.Role+".json"]
		return m != nil && m.Version == file.Version && len(m.Hashes) > 0 && m.VerifyLengthHashes(file.Bytes) == nil
	})
}

// newest is the highest version that any snapshot lists, also one that binds no reader.
func (p *proof) newest(role string) (version int64) {
	for _, meta := range p.listed {
		if m := meta[role+".json"]; m != nil {
			version = max(version, m.Version)
		}
	}
	return version
}

// tooFar says that what readers have seen leaves no room above.
func (r *restoring) tooFar(role string, version int64) error {
	return &tuf.Refusal{Repository: r.repository, Role: role, Version: version, Rule: tuf.RuleLimit, Clause: "TUF §5.3.11",
		Detail: fmt.Sprintf("readers have seen this version, too far ahead to go on above: somebody else had the online keys; "+
			"only a root that rotates them helps (signet rotate %s snapshot timestamp), and then recover again", r.repository)}
}

// signedByAny tells whether enough of the keys that one of roots lists for role have
// signed.
func signedByAny(roots []*tuf.Root, role string, signed func(*tuf.Key) bool) bool {
	return slices.ContainsFunc(roots, func(root *tuf.Root) bool {
		listed := tuf.RoleKeysOf(root, role)
		n := 0
		for i, key := range listed.Keys {
			if !slices.ContainsFunc(listed.Keys[:i], key.Equal) && signed(key) {
				n++
			}
		}
		return listed.Threshold > 0 && n >= listed.Threshold
	})
}
