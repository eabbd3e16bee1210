package policy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/signet-trust/signet/client"
)

// Limits on a policy. They keep a file that somebody can write to from taking the
// gate's time or memory.
const (
	MaxBytes    = 1 << 20 // of the file, and of each file that it names
	MaxRules    = 1000
	MaxPatterns = 10000 // in the whole file
	MaxAnchors  = 64    // of one rule
	MaxSigners  = 16    // of one rule
	MaxDigests  = 10000 // in the allow-list
	MaxText     = 1000  // characters of a reason
	maxErrors   = 20    // that one reading tells
)

// A Policy is a file that was read, and is not changed after that.
type Policy struct {
	// Name is where it came from, for people: a path, or an artifact's reference.
	Name string
	// Rules are in order: the first that fits an image decides.
	Rules []*Rule
	// Exemptions are digests that may run unverified, each for a time.
	Exemptions []*Exemption

	exempt     map[string][]*Exemption // by digest
	kubernetes Kubernetes
}

// A Rule says what must hold for the images whose names fit.
type Rule struct {
	Name   string
	Images []Pattern // names that it fits
	Except []Pattern // but not these
	// Anchors are whom it trusts; none: the anchors of the machine (trust.json).
	Anchors client.Anchors
	// Signers must each vouch for the digest, beside what the anchor requires.
	Signers []client.Voice
	// Current demands that the digest be what its tag means now.
	Current bool
	// MaxChecked is how old the last word of a server may be; 0: as old as its expiry lets it.
	MaxChecked time.Duration
	// MaxSigned is how long ago the newest file that vouches may have been signed; 0: any time.
	MaxSigned time.Duration
	// Platforms are those that the image must be signed as having.
	Platforms []string
	// Mirrors are other names for the images.
	Mirrors []Mirror
	// Mode is what is done with an image that the rule does not trust.
	Mode client.Mode
	// Last lets the last verdict count while no server can be asked, for as long as
	// its metadata has not expired.
	Last bool
	// Line is where the rule stands in the file.
	Line int
}

// A Mirror says that images called From are trusted as the images called As. Both are
// names, or both end in "/**".
type Mirror struct {
	From, As string
	Line     int
}

// An Exemption lets one digest run unverified, for a time.
type Exemption struct {
	Digest string
	Images []Pattern
	Reason string
	Until  time.Time // it has ended from here on
	Line   int
}

// A FileError says what is wrong with a place in a policy.
type FileError struct {
	File   string
	Line   int    // 0: of the whole file
	Detail string // what is there, and what was expected
}

// Error is FILE:LINE: DETAIL.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Detail
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Detail)
}

// Read reads a policy strictly. name stands for it in errors, which are *FileError,
// joined where there are several. A policy that names other files (keys, CA) has to be
// read by Load.
func Read(data []byte, name string) (*Policy, error) {
	return read(data, name, nil)
}

// Load reads the policy at path. Files that it names are relative to its folder.
func Load(path string) (*Policy, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return read(data, path, func(named string) ([]byte, error) {
		if !filepath.IsAbs(named) {
			named = filepath.Join(filepath.Dir(path), named)
		}
		return ReadFile(named)
	})
}

// ReadFile reads a file of at most MaxBytes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", path, MaxBytes)
	}
	return data, nil
}

// Kubernetes returns what the policy says for the doors of Kubernetes; never nil.
func (p *Policy) Kubernetes() *Kubernetes { return &p.kubernetes }
