package tuf

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Limits on names: OCI's, and a whole name short enough for any file system.
const (
	maxNameLength = 255 // a repository's whole name, as in the OCI distribution spec
	maxTagLength  = 128 // OCI distribution spec, "Pulling manifests"
)

// An Image is a reference in canonical form: a full repository name, and a tag,
// a digest, both or neither.
type Image struct {
	Repository string // "docker.io/library/alpine"
	Tag        string // "3.20", or ""
	Digest     string // "sha256:" and 64 hex digits, or ""
}

// String returns the reference: repository[:tag][@digest].
func (i Image) String() string {
	s := i.Repository
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

func nameRefusal(format string, args ...any) error {
	return &Refusal{Rule: RuleName, Clause: "OCI distribution spec, names", Detail: fmt.Sprintf(format, args...)}
}

// ParseImage reads what a person types: "alpine", "alpine:3.20",
// "localhost:5000/team/app:1.0@sha256:...". A host is a first component with a
// dot, a colon or the word localhost; without one the host is docker.io, and a
// bare name there stands below library/. A missing tag stays missing. It returns
// a *Refusal with RuleName for what is not a reference.
func ParseImage(s string) (Image, error) {
	var image Image
	rest := s
	if name, digest, ok := strings.Cut(rest, "@"); ok {
		if err := CheckDigest(digest); err != nil {
			return Image{}, nameRefusal("%q: %s", clip(s), detail(err))
		}
		rest, image.Digest = name, digest
	}
	// A colon after the last slash starts the tag; before it, a port.
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		image.Tag, rest = rest[colon+1:], rest[:colon]
		if err := CheckTag(image.Tag); err != nil {
			return Image{}, nameRefusal("%q: %s", clip(s), detail(err))
		}
	}
	repository, err := ParseRepository(rest)
	if err != nil {
		return Image{}, err
	}
	image.Repository = repository
	return image, nil
}

// ParseRepository reads a repository's name as a person types it and returns its
// canonical form: "alpine" is docker.io/library/alpine. index.docker.io is
// docker.io.
func ParseRepository(s string) (string, error) {
	host, rest, ok := strings.Cut(s, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		host, rest = "docker.io", s
	}
	host = strings.Map(lowerASCII, host)
	if isDockerAlias(host) {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	name := host + "/" + rest
	if err := CheckRepository(name); err != nil {
		return "", nameRefusal("%q is not a repository's name: %s", clip(s), detail(err))
	}
	return name, nil
}

// lowerASCII leaves letters beyond ASCII alone: some turn into others, such as the
// Kelvin sign into k.
func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// CheckRepository refuses what is not the canonical full name of a repository.
// Servers run it on the raw path, before any routing or SQL.
func CheckRepository(name string) error {
	if len(name) > maxNameLength {
		return nameRefusal("a repository's name has at most %d characters, not %d", maxNameLength, len(name))
	}
	host, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" {
		return nameRefusal("%q has no host and path, such as registry.example.com/team/app", clip(name))
	}
	if !isHost(host) {
		return nameRefusal("%q is not a registry's host (lower case, with a dot or a port, or localhost)", clip(host))
	}
	for component := range strings.SplitSeq(rest, "/") {
		if !isComponent(component) {
			return nameRefusal("%q may not be a part of a repository's name (lower-case letters and digits, single '.', '_' and '-' between them)", clip(component))
		}
		// DESIGN, section 4: it would collide with a metadata file in a mirror's folders.
		if strings.HasSuffix(component, ".json") {
			return nameRefusal("a part of a repository's name may not end in .json, as %q does", clip(component))
		}
	}
	if isDockerAlias(host) || (host == "docker.io" && !strings.Contains(rest, "/")) {
		return nameRefusal("%q is not in canonical form (docker.io/library/NAME)", clip(name))
	}
	return nil
}

// isDockerAlias tells whether host is another name of docker.io.
func isDockerAlias(host string) bool {
	return host == "index.docker.io" || host == "registry-1.docker.io"
}

// isHost tells whether s is a registry's host in canonical form: one host must
// not have two names, so an IPv6 address stands in its shortest form.
func isHost(s string) bool {
	if !strings.ContainsAny(s, ".:") && s != "localhost" {
		return false
	}
	host, port, hasPort := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		v6, rest, ok := strings.Cut(s[1:], "]")
		host, port, hasPort = strings.Cut(rest, ":")
		addr, err := netip.ParseAddr(v6)
		if !ok || host != "" || err != nil || !addr.Is6() || addr.Zone() != "" || addr.String() != v6 {
			return false
		}
	} else {
		for label := range strings.SplitSeq(host, ".") {
			if label == "" || label[0] == '-' || label[len(label)-1] == '-' || !each(label, func(c byte) bool { return isSmall(c) || c == '-' }) {
				return false
			}
		}
	}
	if !hasPort {
		return true
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(number, 10) == port && number > 0
}

// What stands in names. Every decision reads some, so none is matched by a regular
// expression; the test has one for each.

func isSmall(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// each tells whether all of s are such bytes.
func each(s string, such func(byte) bool) bool {
	for i := range len(s) {
		if !such(s[i]) {
			return false
		}
	}
	return true
}

// isComponent tells whether s is one path component of an OCI repository name: small
// letters and digits, with one '.', one or two '_' or any number of '-' between them.
func isComponent(s string) bool {
	for {
		rest := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz0123456789")
		if rest == s || rest == "" {
			return s != "" && rest == ""
		}
		switch rest[0] {
		case '.':
			s = rest[1:]
		case '_':
			s = strings.TrimPrefix(rest[1:], "_")
		default:
			s = strings.TrimLeft(rest, "-")
		}
	}
}

// isTag tells whether s is a tag, of any length.
func isTag(s string) bool {
	return s != "" && s[0] != '.' && s[0] != '-' && each(s, func(c byte) bool {
		return isSmall(c) || 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '-'
	})
}

// CheckTag refuses what is not a tag.
func CheckTag(tag string) error {
	if len(tag) > maxTagLength || !isTag(tag) {
		return nameRefusal("%q is not a tag (letters, digits, '_', '.', '-', up to %d of them)", clip(tag), maxTagLength)
	}
	return nil
}

// CheckDigest refuses what is not "sha256:" and 64 lower-case hex digits, the
// one digest form of the profile.
func CheckDigest(digest string) error {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hex) != 64 || !isHex(hex, false) {
		return nameRefusal("%q is not a digest (sha256: and 64 lower-case hex digits)", clip(digest))
	}
	return nil
}

// TagPath returns the target path of a tag, repository:tag.
func TagPath(repository, tag string) string { return repository + ":" + tag }

// RecordPath returns the target path of the record that digest was signed under
// tag, repository:tag@sha256:HEX. It outlives the tag's move to another digest.
func RecordPath(repository, tag, digest string) string {
	return repository + ":" + tag + "@" + digest
}

// ParsePath reads a target path back. It returns a *Refusal with RulePath for
// what is neither a tag's path nor a record's.
func ParsePath(p string) (Image, error) {
	image, err := ParseImage(p)
	if err == nil && (image.Tag == "" || image.String() != p) {
		err = nameRefusal("%q is not in canonical form", clip(p))
	}
	if err != nil {
		return Image{}, &Refusal{Rule: RulePath, Clause: "Signet profile: target paths",
			Detail: fmt.Sprintf("target path %q is neither REPOSITORY:TAG nor REPOSITORY:TAG@DIGEST: %s", clip(p), detail(err))}
	}
	return image, nil
}

// CheckPattern refuses what is not a pattern of repository names: a name in
// whose components '*' and '?' stand for characters other than '/', and which
// may end in '/**' for everything below. '**' alone is every name.
func CheckPattern(pattern string) error {
	if pattern == "**" {
		return nil
	}
	plain, below := strings.CutSuffix(pattern, "/**")
	bad := strings.Contains(plain, "**")
	plain = strings.NewReplacer("*", "x", "?", "x").Replace(plain)
	if below {
		plain += "/x/x"
	}
	if err := CheckRepository(plain); bad || err != nil {
		why := "'**' stands alone or after the last '/'"
		if !bad {
			why = detail(err)
		}
		return nameRefusal("%q is not a pattern of repository names: %s", clip(pattern), why)
	}
	return nil
}

// literally keeps what path.Match would read as a class or an escape, so that the
// brackets of an IPv6 host are just that.
var literally = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`)

// MatchName tells whether a canonical repository name fits pattern: '*' and '?'
// match within one component, a last '/**' matches everything below, '**' alone
// matches every name.
func MatchName(pattern, repository string) bool {
	if pattern == "**" {
		return true
	}
	patterns, names := strings.Split(pattern, "/"), strings.Split(repository, "/")
	if last := len(patterns) - 1; patterns[last] == "**" {
		if len(names) <= last {
			return false
		}
		patterns, names = patterns[:last], names[:last]
	}
	if len(patterns) != len(names) {
		return false
	}
	for i := range patterns {
		if ok, err := path.Match(literally.Replace(patterns[i]), names[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// detail returns a refusal's detail alone, without clause, for wrapping.
func detail(err error) string {
	if r, ok := err.(*Refusal); ok {
		return r.Detail
	}
	return err.Error()
}

// clip shortens what a stranger sent, so that it cannot flood an error.
func clip(s string) string {
	if len(s) > 120 {
		return s[:117] + "..."
	}
	return s
}
