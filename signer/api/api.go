package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Limits of one request.
const (
	// MaxBody is the most bytes of one request or answer.
	MaxBody = 64 << 20
	// MaxFiles is the most bytes that the files of one SignRequest may have together:
	// all that a snapshot is to list, and the roots. In base64, with what stands
	// around them, they fit into MaxBody. A signer in the server's own process has the
	// same limit, so that a repository can move from one to the other.
	MaxFiles = 47 << 20
	// MaxRoots is the most root files in one SignRequest.
	MaxRoots = 1024
	// MaxRoles is the most role files in one SignRequest: all that the tree of
	// delegations may have, and as many again that were removed from it.
	MaxRoles = 2 * tuf.MaxRoles
)

// ErrUnavailable says that the signer was not reached, or could not do its work:
// nothing was decided, and asking again later may succeed.
var ErrUnavailable = errors.New("signer unavailable")

// ErrBadRequest says that a request makes no sense, whatever the signer knows.
var ErrBadRequest = errors.New("bad request to the signer")

// Identity is who a signer is. Its key is shown and pinned at login.
type Identity struct {
	Key           *tuf.Key      // signs the online keys that the signer hands out
	SnapshotLife  time.Duration // how long a snapshot lives when just signed
	TimestampLife time.Duration // how long a timestamp lives
}

// OnlineKey is a key that the signer holds for one role of one repository, with
// the signer's word for it.
type OnlineKey = tuf.OnlineKey

// SignRequest shows the signer all that a snapshot is to list, and the roots
// that prove it.
type SignRequest struct {
	Repository string
	// Roots are root files in ascending order, the newest last: every one above
	// the newest that the signer accepted. Older ones may be there too.
	Roots [][]byte
	// Roles are all files that the snapshot lists: targets, every signer, and
	// the last file of each signer that was removed.
	Roles []tuf.File
}

// RefreshRequest asks for a fresh timestamp. It names the snapshot that the
// server has, so that a signer that is ahead of it says so.
type RefreshRequest struct {
	Repository      string `json:"repository"`
	SnapshotVersion int64  `json:"snapshot_version"`
	SnapshotSHA256  string `json:"snapshot_sha256"` // hex
}

// Signed is what the signer signed: a timestamp, and the snapshot it names,
// which may be one that was signed before.
type Signed struct {
	Snapshot  tuf.File
	Timestamp tuf.File
}

// Last is all that the signer signed last for a repository. A server that died
// between signing and commit commits this. Of a signer that was raised, or restored
// from a backup, Signed is empty: a server that lacks the rest has it signed again.
type Last struct {
	Root  []byte
	Roles []tuf.File // by name
	Signed
}

// Check refuses a request that makes no sense in itself. It verifies nothing.
func (r *SignRequest) Check() error {
	if err := tuf.CheckRepository(r.Repository); err != nil {
		return err
	}
	switch {
	case len(r.Roots) == 0 || len(r.Roots) > MaxRoots:
		return fmt.Errorf("%w: %d root files, expected 1 to %d", ErrBadRequest, len(r.Roots), MaxRoots)
	case len(r.Roles) == 0 || len(r.Roles) > MaxRoles:
		return fmt.Errorf("%w: %d role files, expected 1 to %d", ErrBadRequest, len(r.Roles), MaxRoles)
	}
	if err := r.checkSize(); err != nil {
		return err
	}
	seen := make(map[string]bool, len(r.Roles))
	for _, file := range r.Roles {
		switch {
		case file.Role == tuf.RoleSnapshot || file.Role == tuf.RoleTimestamp || file.Role == tuf.RoleRoot:
			return &tuf.Refusal{Repository: r.Repository, Role: file.Role, Rule: tuf.RuleName, Clause: "Signet profile: the signer",
				Detail: "the signer takes targets and signers' files to list in a snapshot, not this role"}
		case file.Role != tuf.RoleTargets:
			if err := tuf.CheckRoleName(file.Role); err != nil {
				return err
			}
		}
		if seen[file.Role] {
			return fmt.Errorf("%w: the role %s stands twice", ErrBadRequest, file.Role)
		}
		seen[file.Role] = true
		if file.Version < 1 || len(file.Bytes) == 0 {
			return fmt.Errorf("%w: %s has version %d and %d bytes", ErrBadRequest, file.Role, file.Version, len(file.Bytes))
		}
	}
	return nil
}

// checkSize refuses files that are too many bytes together.
func (r *SignRequest) checkSize() error {
	roots, roles := 0, 0
	for _, data := range r.Roots {
		roots += len(data)
	}
	for _, file := range r.Roles {
		roles += len(file.Bytes)
	}
	if roots+roles <= MaxFiles {
		return nil
	}
	return &tuf.Refusal{Repository: r.Repository, Rule: tuf.RuleLimit, Clause: "Signet limits",
		Detail: fmt.Sprintf("all files of targets and signers together have %d bytes, and roots %d, of which the signer takes at most %d in all: "+
			"remove tags or old records, or sign some images under another repository", roles, roots, MaxFiles)}
}

// Check refuses a request that makes no sense in itself.
func (r *RefreshRequest) Check() error {
	if err := tuf.CheckRepository(r.Repository); err != nil {
		return err
	}
	if r.SnapshotVersion < 1 || tuf.CheckDigest("sha256:"+r.SnapshotSHA256) != nil {
		return fmt.Errorf("%w: a refresh names the snapshot by version and hex SHA-256", ErrBadRequest)
	}
	return nil
}
