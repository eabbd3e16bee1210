package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How many bytes of what a stranger sent a text of ours repeats: a reason, which
// may hold several of them, and a name.
const (
	maxReason = 2000
	maxName   = 120
)

// tidy makes what a stranger sent fit for a line of ours: short, and without what
// a terminal would obey or a person could not see: control characters, and those
// of Unicode's category Cf, which are zero-width or turn the direction of text.
func tidy(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
