package policy

import (
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// Lint has to say of two patterns whether all that fits one fits the other, too, and
// whether anything can fit both. Where the answer would be long, covers says no and
// overlaps says yes: then lint says nothing.

// covers tells whether everything that fits b fits a.
func covers(a, b Pattern) bool {
	if !coversName(a.Repository, b.Repository) {
		return false
	}
	return a.Tag == "" || b.Tag != "" && coversGlob(a.Tag, b.Tag)
}

// overlaps tells whether something can fit both.
func overlaps(a, b Pattern) bool {
	return overlapsName(a.Repository, b.Repository) && (a.Tag == "" || b.Tag == "" || overlapsGlob(a.Tag, b.Tag))
}

func coversName(a, b string) bool {
	if a == "**" {
		return true
	}
	if b == "**" {
		return false
	}
	if !strings.ContainsAny(b, "*?") {
		return tuf.MatchName(a, b)
	}
	as, aBelow := strings.CutSuffix(a, "/**")
	bs, bBelow := strings.CutSuffix(b, "/**")
	aParts, bParts := strings.Split(as, "/"), strings.Split(bs, "/")
	switch {
	case !aBelow && (bBelow || len(aParts) != len(bParts)):
		return false
	case aBelow && bBelow && len(bParts) < len(aParts):
		return false
	case aBelow && !bBelow && len(bParts) <= len(aParts):
		return false
	}
	for i := range aParts {
		if !coversGlob(aParts[i], bParts[i]) {
			return false
		}
	}
	return true
}

func overlapsName(a, b string) bool {
	if a == "**" || b == "**" {
		return true
	}
	as, aBelow := strings.CutSuffix(a, "/**")
	bs, bBelow := strings.CutSuffix(b, "/**")
	aParts, bParts := strings.Split(as, "/"), strings.Split(bs, "/")
	switch {
	case !aBelow && !bBelow && len(aParts) != len(bParts),
		!aBelow && bBelow && len(aParts) <= len(bParts),
		aBelow && !bBelow && len(bParts) <= len(aParts):
		return false
	}
	for i := range min(len(aParts), len(bParts)) {
		if !overlapsGlob(aParts[i], bParts[i]) {
			return false
		}
	}
	return true
}

// orderly puts each run of wildcards in one form: first what stands for one
// character each, then at most one '*'.
func orderly(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		if pattern[i] != '*' && pattern[i] != '?' {
			b.WriteByte(pattern[i])
			i++
			continue
		}
		star := false
		for ; i < len(pattern) && (pattern[i] == '*' || pattern[i] == '?'); i++ {
			if pattern[i] == '?' {
				b.WriteByte('?')
			} else {
				star = true
			}
		}
		if star {
			b.WriteByte('*')
		}
	}
	return b.String()
}

// coversGlob holds the pattern b against a as if it were a text in which '*' and '?'
// are characters of their own: '?' of a takes any one but '*', '*' takes any.
func coversGlob(a, b string) bool {
	return walk(orderly(a), orderly(b), func(x, y byte) bool { return x == y && x != '*' || x == '?' && y != '*' }, false)
}

// overlapsGlob tells whether a text can fit both patterns.
func overlapsGlob(a, b string) bool {
	return walk(a, b, func(x, y byte) bool { return x == y || x == '?' || y == '?' }, true)
}

// walk goes through two patterns side by side. '*' of a stands for any run of b, and
// with both, the other way about, too.
func walk(a, b string, same func(x, y byte) bool, both bool) bool {
	// ok[j] tells whether a from i on and b from j on go together.
	ok := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		next := ok
		ok = make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			aStar, bStar := i < len(a) && a[i] == '*', both && j < len(b) && b[j] == '*'
			switch {
			case i == len(a) && j == len(b):
				ok[j] = true
			case aStar:
				ok[j] = next[j] || j < len(b) && ok[j+1]
			case bStar:
				ok[j] = ok[j+1] || i < len(a) && next[j]
			case i < len(a) && j < len(b):
				ok[j] = same(a[i], b[j]) && next[j+1]
			}
		}
	}
	return ok[0]
}
