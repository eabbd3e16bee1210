package policy

import (
	"path"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// A Pattern fits images by name: a pattern of repository names, as in an anchor, and
// where it ends in ":TAG", by their tags, in which '*' and '?' stand for characters.
type Pattern struct {
	Repository string
	Tag        string // "": any, or none
	Line       int

	literal string // what a name must begin with: most patterns are told apart by it
}

// ParsePattern reads a pattern as a person writes it. A name without wildcards may be
// in short form: alpine is docker.io/library/alpine.
func ParsePattern(s string) (Pattern, error) {
	p := Pattern{Repository: s}
	if colon := strings.LastIndexByte(s, ':'); colon > strings.LastIndexByte(s, '/') {
		p.Repository, p.Tag = s[:colon], s[colon+1:]
		// Wildcards stand for characters that a tag may have.
		if err := tuf.CheckTag(wildcards.Replace(p.Tag)); err != nil {
			return Pattern{}, err
		}
	}
	if !strings.ContainsAny(p.Repository, "*?") {
		name, err := tuf.ParseRepository(p.Repository)
		if err != nil {
			return Pattern{}, err
		}
		p.Repository = name
	}
	if err := tuf.CheckPattern(p.Repository); err != nil {
		return Pattern{}, err
	}
	p.literal = p.Repository
	if i := strings.IndexAny(p.Repository, "*?"); i >= 0 {
		p.literal = p.Repository[:i]
	}
	return p, nil
}

var wildcards = strings.NewReplacer("*", "x", "?", "x")

// String returns the pattern in canonical form.
func (p Pattern) String() string {
	if p.Tag != "" {
		return p.Repository + ":" + p.Tag
	}
	return p.Repository
}

// Fits tells whether an image's name, and its tag, fit. A pattern with a tag fits no
// image that is named by its digest alone.
func (p Pattern) Fits(image tuf.Image) bool {
	return strings.HasPrefix(image.Repository, p.literal) && tuf.MatchName(p.Repository, image.Repository) &&
		(p.Tag == "" || image.Tag != "" && glob(p.Tag, image.Tag))
}

// glob tells whether s fits a pattern of '*' and '?'; nothing else has a meaning.
func glob(pattern, s string) bool {
	ok, err := path.Match(literally.Replace(pattern), s)
	return err == nil && ok
}

// literally keeps what path.Match would read as a class or an escape.
var literally = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`)

// fits tells whether one of the patterns fits.
func fits(patterns []Pattern, image tuf.Image) bool {
	for i := range patterns {
		if patterns[i].Fits(image) {
			return true
		}
	}
	return false
}
