package door

import (
	"strings"
	"unicode"
)

// maxText bounds what is quoted of anybody.
const maxText = 1024

// Clean makes a text of somebody else's one short line of printable characters.
func Clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return s // nearly all are, and each line has many
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
