package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The four top-level roles (§2.1).
const (
	RoleRoot      = metadata.ROOT
	RoleTargets   = metadata.TARGETS
	RoleSnapshot  = metadata.SNAPSHOT
	RoleTimestamp = metadata.TIMESTAMP
)

// IsTopLevel tells whether role is one of the four top-level roles.
func IsTopLevel(role string) bool {
	switch role {
	case RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp:
		return true
	}
	return false
}

// A File is one role's signed metadata file: exactly the bytes that were signed
// and published. They are stored, served and checked as they are, never re-made.
type File struct {
	Role    string // "root", "targets", "snapshot", "timestamp" or a signer's name
	Version int64  // the version that the bytes state, 1 or more
	Bytes   []byte
}

// Name returns the file's name under consistent snapshots (§6.2): "3.root.json",
// and plain "timestamp.json".
func (f File) Name() string { return FileName(f.Role, f.Version) }

// SHA256 returns the hex form of the bytes' SHA-256.
func (f File) SHA256() string {
	sum := sha256.Sum256(f.Bytes)
	return hex.EncodeToString(sum[:])
}

// FileName returns the name of version version of role's file.
func FileName(role string, version int64) string {
	if role == RoleTimestamp {
		return "timestamp.json"
	}
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// maxRoleName is the longest name of a signer, in bytes.
const maxRoleName = 64

// rolePattern is what a signer (delegated role) may be called: it starts with a
// letter, so that no version number can be mistaken for a part of it.
var rolePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// CheckRoleName refuses what may not be a signer's name: top-level roles' names,
// and anything but a letter followed by up to 63 letters, digits, '-' and '_'.
func CheckRoleName(name string) error {
	if IsTopLevel(strings.ToLower(name)) { // "Root" would be root's file where folders do not tell letter cases apart
		return &Refusal{Rule: RuleName, Clause: "TUF §4.5", Detail: fmt.Sprintf("%q is a top-level role, not a signer's name", name)}
	}
	if len(name) > maxRoleName || !rolePattern.MatchString(name) {
		return &Refusal{Rule: RuleName, Clause: "Signet profile: names",
			Detail: fmt.Sprintf("%q is no signer's name: a letter, then up to 63 letters, digits, '-' or '_'", name)}
	}
	return nil
}

// ParseFileName is the inverse of FileName. It returns version 0 for
// "timestamp.json", and ErrNotFound for what is not the name of a file that a
// server has.
func ParseFileName(name string) (role string, version int64, err error) {
	if name == "timestamp.json" {
		return RoleTimestamp, 0, nil
	}
	number, rest, ok := strings.Cut(name, ".")
	role, isJSON := strings.CutSuffix(rest, ".json")
	if !ok || !isJSON || number == "" || number[0] < '1' || number[0] > '9' || len(number) > 18 {
		return "", 0, fmt.Errorf("%q is not a metadata file's name: %w", name, ErrNotFound)
	}
	version, err = strconv.ParseInt(number, 10, 64)
	if err != nil || role == RoleTimestamp || (!IsTopLevel(role) && CheckRoleName(role) != nil) {
		return "", 0, fmt.Errorf("%q is not a metadata file's name: %w", name, ErrNotFound)
	}
	return role, version, nil
}
