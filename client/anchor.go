package client

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/tuf"
)

// An Anchor is what a verifier pins for the repositories whose names fit a
// pattern: root keys and how many of them must have signed, or the very root
// file, and where the metadata is fetched from. Nothing is trusted without one.
type Anchor struct {
	// Pattern is a repository's name, or one with '*' in its parts and a last
	// '/**' (tuf.MatchName).
	Pattern string `json:"pattern"`
	// RootKeys are the IDs of the pinned root keys.
	RootKeys []string `json:"rootKeys,omitempty"`
	// Threshold is how many of RootKeys must have signed; 0 means all of them.
	Threshold int `json:"threshold,omitempty"`
	// RootSHA256 is the hex SHA-256 of a root file that is trusted as it is, in
	// place of RootKeys.
	RootSHA256 string `json:"rootSHA256,omitempty"`
	// Servers are base addresses. When one does not answer or misbehaves, the
	// next one is tried.
	Servers []string `json:"servers"`
	// CA is the PEM of the only authorities that may vouch for the servers;
	// empty: the system's.
	CA string `json:"ca,omitempty"`
	// PlainHTTP allows http:// for other than loopback addresses.
	PlainHTTP bool `json:"plainHTTP,omitempty"`
	// MinRoot and MinTargets are the lowest versions that are accepted, for those
	// who have no state yet.
	MinRoot    int64 `json:"minRoot,omitempty"`
	MinTargets int64 `json:"minTargets,omitempty"`
	// Hardware demands that the keys of root and targets, and of signers if it says
	// so, be attested to have been made on a YubiKey; nil demands nothing.
	Hardware *attestation.Demand `json:"hardware,omitempty"`
	// MaxStale is by how much timestamp and snapshot may have expired where an answer
	// comes from local state or from a folder, on machines that a network does not
	// reach; 0: not at all. It is what a freeze by whoever carries the files may last.
	MaxStale Duration `json:"maxStale,omitempty"`
	// Require are the signers who must each vouch for a digest, known by their keys.
	Require []Voice `json:"require,omitempty"`
}

// threshold is the number of pinned keys that must have signed.
func (a *Anchor) threshold() int {
	if a.Threshold > 0 {
		return a.Threshold
	}
	return len(a.RootKeys)
}

// exact tells whether the anchor is for one repository only.
func (a *Anchor) exact() bool { return !strings.ContainsAny(a.Pattern, "*?") }

// Check refuses an anchor that could never be met, or that pins nothing.
func (a *Anchor) Check() error {
	if err := a.checkPins(); err != nil {
		return err
	}
	if len(a.Servers) == 0 {
		return errors.New("an anchor names at least one server")
	}
	for _, server := range a.Servers {
		if _, err := checkAddress(server, a.PlainHTTP); err != nil {
			return err
		}
	}
	return nil
}

// checkPins refuses an anchor that trusts nobody, or anybody, whoever is asked.
func (a *Anchor) checkPins() error {
	if err := tuf.CheckPattern(a.Pattern); err != nil {
		return err
	}
	if (len(a.RootKeys) == 0) == (a.RootSHA256 == "") {
		return errors.New("an anchor pins either root keys or the SHA-256 of a root file")
	}
	for i, id := range a.RootKeys {
		if !isSHA256(id) {
			return fmt.Errorf("%q is not a key ID (64 lower-case hex digits)", id)
		}
		if slices.Contains(a.RootKeys[:i], id) {
			return fmt.Errorf("root key %s is given twice", id)
		}
	}
	if a.RootSHA256 != "" && !isSHA256(a.RootSHA256) {
		return fmt.Errorf("%q is not a SHA-256 (64 lower-case hex digits)", a.RootSHA256)
	}
	if a.Threshold < 0 || a.Threshold > len(a.RootKeys) {
		return fmt.Errorf("a threshold of %d with %d root keys", a.Threshold, len(a.RootKeys))
	}
	if a.MinRoot < 0 || a.MinTargets < 0 {
		return errors.New("a lowest version below zero")
	}
	if a.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(a.CA)) {
		return errors.New("ca holds no PEM certificate")
	}
	if a.Hardware != nil {
		if err := a.Hardware.Check(); err != nil {
			return fmt.Errorf("hardware: %w", err)
		}
	}
	if a.MaxStale < 0 {
		return errors.New("maxStale is below zero")
	}
	return checkVoices(a.Require)
}

func isSHA256(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == 32 && s == strings.ToLower(s)
}

// Anchors are all anchors of a verifier.
type Anchors []Anchor

// For returns the anchor for a repository: the one of just this name, or else
// the one whose pattern has the longest literal beginning. It returns a
// *tuf.Refusal with tuf.RuleAnchor when there is none, or when two fit equally
// well: an anchor is never guessed.
func (l Anchors) For(repository string) (*Anchor, error) {
	refuse := func(format string, args ...any) error {
		return &tuf.Refusal{Repository: repository, Rule: tuf.RuleAnchor, Clause: "TUF §5.2", Detail: fmt.Sprintf(format, args...)}
	}
	best, tie := -1, -1
	for i := range l {
		if !tuf.MatchName(l[i].Pattern, repository) {
			continue
		}
		switch {
		case best < 0 || specificity(l[i].Pattern) > specificity(l[best].Pattern):
			best, tie = i, -1
		case specificity(l[i].Pattern) == specificity(l[best].Pattern):
			tie = i
		}
	}
	if best < 0 {
		return nil, refuse("no trust anchor is set for this name")
	}
	if tie >= 0 {
		return nil, refuse("the trust anchors for %q and %q fit equally well", l[best].Pattern, l[tie].Pattern)
	}
	return &l[best], nil
}

// specificity orders patterns: an exact name comes before every pattern, then
// counts the length of what stands before the first wildcard.
func specificity(pattern string) int {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return i
	}
	return 1 << 20
}

// trustFile is the form of trust.json.
type trustFile struct {
	Anchors Anchors `json:"anchors"`
}

// LoadAnchors reads trust.json. A file that is not there holds no anchors.
func LoadAnchors(path string) (Anchors, error) {
	var file trustFile
	if err := readConfig(path, &file); err != nil {
		return nil, err
	}
	for i := range file.Anchors {
		if err := file.Anchors[i].Check(); err != nil {
			return nil, fmt.Errorf("%s: anchor %d, for %q: %w", path, i+1, file.Anchors[i].Pattern, err)
		}
	}
	return file.Anchors, nil
}

// EditAnchors changes trust.json: it reads the file, lets edit change the
// anchors, checks them and writes the file anew, as one step among processes.
func EditAnchors(path string, edit func(Anchors) (Anchors, error)) error {
	return editConfig(path, 0o644, func() (any, error) {
		anchors, err := LoadAnchors(path)
		if err != nil {
			return nil, err
		}
		if anchors, err = edit(anchors); err != nil {
			return nil, err
		}
		if anchors == nil {
			anchors = Anchors{}
		}
		for i := range anchors {
			if err := anchors[i].Check(); err != nil {
				return nil, fmt.Errorf("anchor for %q: %w", anchors[i].Pattern, err)
			}
		}
		return trustFile{Anchors: anchors}, nil
	})
}

// readConfig reads a JSON file into v and refuses members that v does not have.
// A missing file leaves v as it is.
func readConfig(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %s", path, jsonTrouble(err))
	}
	if dec.More() {
		return fmt.Errorf("%s: more than one document", path)
	}
	return nil
}

// jsonTrouble says what is wrong with a JSON file in words for whoever wrote it.
func jsonTrouble(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON at byte %d: %v", e.Offset, e)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "not JSON: it ends too early"
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%q is a JSON %s, expected %s", e.Field, e.Value, e.Type)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// editConfig writes what edit returns as JSON to path, in one step and under a
// lock that other processes honour.
func editConfig(path string, mode fs.FileMode, edit func() (any, error)) error {
	if err := makeParent(path); err != nil {
		return err
	}
	unlock, err := lockFile(context.Background(), path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	v, err := edit()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(path, append(data, '\n'), mode); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
