package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Change is what a publish would change, decoded from the exact bytes that
// will be signed and compared with what was verified just before.
type Change struct {
	Repository string       `json:"repository"`
	New        bool         `json:"new"`               // the repository is created
	Rebased    bool         `json:"rebased"`           // somebody else published since this was asked first: this is the new state of affairs
	Files      []FileChange `json:"files"`             // in the order in which they are signed
	Expired    []string     `json:"expired,omitempty"` // roles that have expired, which verifiers refuse until they are renewed
}

// A FileChange is one file of a Change.
type FileChange struct {
	Role       string            `json:"role"`
	Version    int64             `json:"version"`
	Expires    time.Time         `json:"expires"`
	WasExpires *time.Time        `json:"wasExpires,omitempty"` // nil for a role's first file
	Targets    []tuf.Change      `json:"targets,omitempty"`    // what happens to target paths
	Keys       []KeyChange       `json:"keys,omitempty"`       // what happens to roles' keys
	Thresholds []ThresholdChange `json:"thresholds,omitempty"`
	SignedBy   []string          `json:"signedBy"` // IDs of the keys that will sign
	SHA256     string            `json:"sha256"`   // of the bytes that will be signed
	Payload    []byte            `json:"-"`        // the bytes that will be signed
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
	New  int    `json:"new"`
}

// A ConfirmFunc is shown what is about to be signed. An error stops the publish
// before anything is signed; it is returned as it is. When somebody else
// published in between, it is asked again, with Change.Rebased set.
type ConfirmFunc func(ctx context.Context, change *Change) error

// A draft is one file that is about to be signed: of root or of targets or a signer.
type draft struct {
	role       string
	root       *tuf.Root
	targets    *tuf.Targets
	oldRoot    *tuf.Root    // nil: the first
	oldTargets *tuf.Targets // nil: the first
	signers    []tuf.Signer
	payload    []byte // what was shown, and is signed
	file       []byte // what was sent
}

func (d *draft) version() int64 {
	if d.root != nil {
		return d.root.Signed.Version
	}
	return d.targets.Signed.Version
}

func (d *draft) encodePayload() ([]byte, error) {
	if d.root != nil {
		return tuf.Payload(d.root)
	}
	return tuf.Payload(d.targets)
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
	var before, after map[string]tuf.RoleKeys
	if d.root != nil {
		root, err := tuf.ReadRoot(file)
		if err != nil {
			return FileChange{}, fmt.Errorf("what would be signed as %s cannot be read: %w", d.role, err)
		}
		c.Version, c.Expires, after = root.Signed.Version, root.Signed.Expires, topLevelKeys(root)
		if d.oldRoot != nil {
			c.WasExpires, before = &d.oldRoot.Signed.Expires, topLevelKeys(d.oldRoot)
		}
	} else {
		targets, err := tuf.ReadTargets(file)
		if err != nil {
			return FileChange{}, fmt.Errorf("what would be signed as %s cannot be read: %w", d.role, err)
		}
		c.Version, c.Expires, after = targets.Signed.Version, targets.Signed.Expires, signerKeys(targets)
		c.Targets = tuf.Diff(d.oldTargets, targets)
		if d.oldTargets != nil {
			c.WasExpires, before = &d.oldTargets.Signed.Expires, signerKeys(d.oldTargets)
		}
	}
	c.compareKeys(before, after)
	return c, nil
}

// plainJSON returns canonical JSON as JSON: canonical form leaves control
// characters in strings raw (the line ends of a PEM, say), and has none elsewhere.
func plainJSON(canonical []byte) []byte {
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

func topLevelKeys(root *tuf.Root) map[string]tuf.RoleKeys {
	keys := map[string]tuf.RoleKeys{}
	for role := range root.Signed.Roles {
		keys[role] = tuf.RoleKeysOf(root, role)
	}
	return keys
}

func signerKeys(targets *tuf.Targets) map[string]tuf.RoleKeys {
	keys := map[string]tuf.RoleKeys{}
	if targets.Signed.Delegations != nil {
		for _, role := range targets.Signed.Delegations.Roles {
			keys[role.Name], _ = tuf.SignerKeysOf(targets, role.Name)
		}
	}
	return keys
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

// signShown signs the very bytes that were decoded and shown.
func (d *draft) signShown(ctx context.Context) ([]byte, error) {
	for _, signer := range d.signers {
		sig, err := tuf.SignPayload(ctx, d.payload, signer)
		if err != nil {
			return nil, err
		}
		if d.root != nil {
			tuf.AddSignature(d.root, signer.Key().ID(), sig)
		} else {
			tuf.AddSignature(d.targets, signer.Key().ID(), sig)
		}
	}
	if d.root != nil {
		return tuf.Encode(d.root)
	}
	return tuf.Encode(d.targets)
}

// sign signs the bytes that were shown, and returns the finished file.
func (d *draft) sign(ctx context.Context, repository string, withReason func(context.Context, string) context.Context) (tuf.File, error) {
	if withReason != nil {
		ctx = withReason(ctx, fmt.Sprintf("%s version %d of %s", d.role, d.version(), repository))
	}
	data, err := d.signShown(ctx)
	if err != nil {
		return tuf.File{}, fmt.Errorf("sign %s version %d of %s: %w", d.role, d.version(), repository, err)
	}
	d.file = data
	return tuf.File{Role: d.role, Version: d.version(), Bytes: data}, nil
}
