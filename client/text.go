package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxForeign is how many bytes of what a stranger sent a text of ours repeats.
const maxForeign = 300

// tidy makes what a stranger sent fit for a line of ours: short, and without what
// a terminal would obey or a person could not see: control characters, and those
// of Unicode's category Cf, which are zero-width or turn the direction of text.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= maxForeign {
		return s
	}
	cut := maxForeign
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
