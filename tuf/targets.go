package tuf

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Target is what a tag means: one manifest or index, by digest and length.
type Target struct {
	Digest      string            `json:"digest"`                // "sha256:" and 64 hex digits; "" when the entry has no sha256
	Length      int64             `json:"length"`                // bytes of the manifest or index
	MediaType   string            `json:"mediaType,omitempty"`   // of the manifest or index, "" when not said
	Annotations map[string]string `json:"annotations,omitempty"` // what the publisher added
	Platforms   []string          `json:"platforms,omitempty"`   // that it is for, such as "linux/amd64", sorted; none: not said
}

// targetCustom is the form of `custom` in our targets (§4.5 leaves it to us).
type targetCustom struct {
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platforms   []string          `json:"platforms,omitempty"`
}

// targetOf reads an entry of targets. Entries of other tools may carry another
// custom, or none; only digest and length are then known.
func targetOf(file *metadata.TargetFiles) (Target, error) {
	t := Target{Length: file.Length}
	if sum, ok := file.Hashes["sha256"]; ok {
		if len(sum) != 32 {
			return Target{}, shapeRefusal("TUF §4.5", "a sha256 of %d bytes", len(sum))
		}
		t.Digest = "sha256:" + hex.EncodeToString(sum)
	}
	if file.Custom != nil {
		var custom struct { // platforms apart: another tool's may be of another form
			MediaType   string            `json:"mediaType"`
			Annotations map[string]string `json:"annotations"`
		}
		if json.Unmarshal(*file.Custom, &custom) == nil {
			t.MediaType, t.Annotations = custom.MediaType, custom.Annotations
		}
		if platforms, err := platformsIn(file.Custom); err == nil {
			t.Platforms = platforms
		}
	}
	return t, nil
}

// mediaTypePattern is a media type as RFC 6838, section 4.2, has it, and
// maxMediaType its longest, 127 characters for each half.
var mediaTypePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$`)

const maxMediaType = 255

// entry returns the target as an entry of targets.
func (t Target) entry() (*metadata.TargetFiles, error) {
	if err := CheckDigest(t.Digest); err != nil {
		return nil, err
	}
	if t.Length < 1 {
		return nil, shapeRefusal("TUF §4.5", "a manifest of %d bytes", t.Length)
	}
	// A registry says the media type, and people read it before they sign: it must
	// not be able to say more than that.
	if t.MediaType != "" && (len(t.MediaType) > maxMediaType || !mediaTypePattern.MatchString(t.MediaType)) {
		return nil, shapeRefusal("RFC 6838 §4.2", "%q is no media type", clip(t.MediaType))
	}
	if err := checkPlatforms(t.Platforms); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(t.Digest, "sha256:"))
	if err != nil {
		return nil, err
	}
	file := &metadata.TargetFiles{Length: t.Length, Hashes: metadata.Hashes{"sha256": sum}}
	if t.MediaType != "" || len(t.Annotations) > 0 || len(t.Platforms) > 0 {
		raw, err := json.Marshal(targetCustom{MediaType: t.MediaType, Annotations: t.Annotations, Platforms: t.Platforms})
		if err != nil {
			return nil, err
		}
		file.Custom = (*json.RawMessage)(&raw)
	}
	return file, nil
}

// SetTarget makes repository:tag mean target in md, and adds the record of this
// digest under the tag, which stays when the tag moves on.
func SetTarget(md *Targets, repository, tag string, target Target) error {
	if err := CheckTag(tag); err != nil {
		return err
	}
	for _, p := range []string{TagPath(repository, tag), RecordPath(repository, tag, target.Digest)} {
		file, err := target.entry()
		if err != nil {
			return err
		}
		md.Signed.Targets[p] = file
	}
	return nil
}

// CopyTargets returns a copy of md to which targets can be added, and from which
// they can be removed, while md stays as it is. Signatures are not copied.
func CopyTargets(md *Targets) (*Targets, error) {
	if md.Signed.Delegations != nil {
		unsigned := *md
		unsigned.Signatures = []metadata.Signature{}
		data, err := Encode(&unsigned)
		if err != nil {
			return nil, err
		}
		return ReadTargets(data)
	}
	c := &Targets{Signed: md.Signed}
	c.Signed.Targets = maps.Clone(md.Signed.Targets) // entries are replaced, never changed
	c.Signed.UnrecognizedFields = maps.Clone(md.Signed.UnrecognizedFields)
	return c, nil
}

// RemoveTag withdraws a tag from md. Without a digest the tag and every record
// under it go; with one, the record of that digest goes, and the tag too if it
// means that digest. It returns the paths that it removed, sorted; none means
// that md lists nothing of the kind.
func RemoveTag(md *Targets, repository, tag, digest string) []string {
	var removed []string
	for p, file := range md.Signed.Targets {
		image, err := ParsePath(p)
		if err != nil || image.Repository != repository || image.Tag != tag {
			continue
		}
		target, err := targetOf(file)
		if digest == "" || image.Digest == digest || (image.Digest == "" && err == nil && target.Digest == digest) {
			removed = append(removed, p)
		}
	}
	for _, p := range removed {
		delete(md.Signed.Targets, p)
	}
	slices.Sort(removed)
	return removed
}

// An Entry is one target path of a role and what it means.
type Entry struct {
	Path   string
	Image  Image // the path, read; zero for a path of another tool
	Target Target
}

// Entries lists the targets in md, sorted by path.
func Entries(md *Targets) []Entry {
	entries := make([]Entry, 0, len(md.Signed.Targets))
	for _, p := range slices.Sorted(maps.Keys(md.Signed.Targets)) {
		target, err := targetOf(md.Signed.Targets[p])
		if err != nil {
			continue
		}
		image, err := ParsePath(p)
		if err != nil {
			image = Image{}
		}
		entries = append(entries, Entry{Path: p, Image: image, Target: target})
	}
	return entries
}

// A Change is one difference between what a role's targets said and say.
type Change struct {
	Path string  `json:"path"`
	Old  *Target `json:"old,omitempty"` // nil: the path is new
	New  *Target `json:"new,omitempty"` // nil: the path goes
}

// Diff lists what changes from old to new, sorted by path. old may be nil.
func Diff(old, new *Targets) []Change {
	var before map[string]*metadata.TargetFiles
	if old != nil {
		before = old.Signed.Targets
	}
	var paths []string // of entries that are not the same: nearly all of them are
	for p, is := range new.Signed.Targets {
		if was, ok := before[p]; !ok || !sameEntry(was, is) {
			paths = append(paths, p)
		}
	}
	for p := range before {
		if _, ok := new.Signed.Targets[p]; !ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	var changes []Change
	for _, p := range paths {
		change := Change{Path: p, Old: meaning(before[p]), New: meaning(new.Signed.Targets[p])}
		if (change.Old == nil) != (change.New == nil) || change.Old != nil && !change.Old.equal(*change.New) {
			changes = append(changes, change)
		}
	}
	return changes
}

// sameEntry tells whether two entries say the same in the same bytes.
func sameEntry(a, b *metadata.TargetFiles) bool {
	return a == b || a.Length == b.Length && (a.Custom == nil) == (b.Custom == nil) && (a.Custom == nil || bytes.Equal(*a.Custom, *b.Custom)) &&
		maps.EqualFunc(a.Hashes, b.Hashes, func(x, y metadata.HexBytes) bool { return bytes.Equal(x, y) })
}

// meaning returns what an entry says, nil for one that is not there or says nothing.
func meaning(file *metadata.TargetFiles) *Target {
	if file == nil {
		return nil
	}
	target, err := targetOf(file)
	if err != nil {
		return nil
	}
	return &target
}

func (t Target) equal(u Target) bool {
	return t.Digest == u.Digest && t.Length == u.Length && t.MediaType == u.MediaType && maps.Equal(t.Annotations, u.Annotations) && slices.Equal(t.Platforms, u.Platforms)
}

// checkTargets holds a targets or signer's file to the profile: every path is of
// this repository, has exactly one sha256, and a record names its own digest.
func checkTargets(repository, role string, md *Targets) error {
	refuse := func(rule Rule, format string, args ...any) error {
		return &Refusal{Repository: repository, Role: role, Version: md.Signed.Version, Rule: rule,
			Clause: "Signet profile: target paths", Detail: fmt.Sprintf(format, args...)}
	}
	for p, file := range md.Signed.Targets {
		image, err := ParsePath(p)
		if err != nil {
			return refuse(RulePath, "%s", detail(err))
		}
		if image.Repository != repository {
			return refuse(RulePath, "target path %q belongs to another repository", clip(p))
		}
		if len(file.Hashes) != 1 || len(file.Hashes["sha256"]) != 32 || file.Length < 1 {
			return refuse(RuleShape, "the target %q has other than one sha256 and a length above zero", clip(p))
		}
		if _, err := platformsIn(file.Custom); err != nil {
			return refuse(RuleOf(err), "the target %q: %s", clip(p), detail(err))
		}
		if digest := "sha256:" + hex.EncodeToString(file.Hashes["sha256"]); image.Digest != "" && image.Digest != digest {
			return refuse(RulePath, "the record %q is of another digest, %s", clip(p), digest)
		}
	}
	return nil
}

// checkTagPattern refuses a path of a delegation that is not one of the two forms
// of a tag pattern P, REPOSITORY:P and REPOSITORY:P@sha256:*, or whose other form
// is missing from all.
func checkTagPattern(repository, pattern string, all []string) error {
	tags, ours := strings.CutPrefix(pattern, repository+":")
	if !ours || tags == "" {
		return fmt.Errorf("the pattern %q is not of this repository", clip(pattern))
	}
	tags, isRecord := strings.CutSuffix(tags, recordPattern)
	if plain := strings.NewReplacer("*", "x", "?", "x").Replace(tags); CheckTag(plain) != nil {
		return fmt.Errorf("%q is not a pattern of tags: a tag in which '*' and '?' stand for other characters", clip(pattern))
	}
	other := repository + ":" + tags
	if !isRecord {
		other += recordPattern
	}
	if !slices.Contains(all, other) {
		return fmt.Errorf("the pattern %q stands without %q: a tag and the records of its digests go together", clip(pattern), clip(other))
	}
	return nil
}

// recordPattern makes a tag pattern that of the records under these tags.
const recordPattern = "@sha256:*"

// utc drops what TUF's date form cannot say (§4.2): zone and fractions.
func utc(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }
