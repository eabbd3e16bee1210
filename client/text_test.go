package client

import (
	"strings"
	"testing"
)

// TestTidy leaves of a stranger's text what a person can see, and not too much.
func TestTidy(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":                   {"plain, with ümlauts", "plain, with ümlauts"},
		"zero-width":              {"a\u200bb\u200d\ufeff\u2060", "ab"},
		"turns of direction":      {"ab\u202ecd\u2066", "abcd"},
		"what a terminal obeys":   {"a\x1b[31mb\x07\x7f\u009b", "a[31mb"},
		"several lines":           {"a\nb\r\tc\u2028d", "a b  c d"},
		"not UTF-8":               {"\xff\xfe", "\uFFFD"},
		"invisible tags":          {"tag\U000E0041\U000E0042", "tag"},
		"long":                    {strings.Repeat("x", 31), strings.Repeat("x", 30) + "..."},
		"long, cut in a letter":   {"x" + strings.Repeat("ü", 30), "x" + strings.Repeat("ü", 14) + "..."},
		"long before it is clean": {strings.Repeat("\u200b", 100) + "x", "x"},
	} {
		if got := tidy(c.in, 30); got != c.want {
			t.Errorf("%s: got %q, expected %q", name, got, c.want)
		}
	}
}
