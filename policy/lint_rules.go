package policy

import (
	"fmt"
	"slices"
	"strings"
)

// excepted finds what a rule's own exceptions leave of it. Nothing is one fault of the
// rule, and not one of each pattern.
func (l *linter) excepted(rule *Rule) {
	left, whole := false, len(l.found)
	for _, pattern := range rule.Images {
		i := slices.IndexFunc(rule.Except, func(except Pattern) bool { return covers(except, pattern) })
		if i < 0 {
			left = true
			continue
		}
		l.add(SeverityError, FindingExcepted, pattern.Line, rule.Name, "%s never fits: the exception %s in line %d takes all of it away", pattern, rule.Except[i], rule.Except[i].Line)
	}
	if !left {
		l.found = l.found[:whole]
		l.add(SeverityError, FindingExcepted, rule.Line, rule.Name, "the rule fits nothing: its exceptions take all of it away")
	}
	for _, except := range rule.Except {
		if !slices.ContainsFunc(rule.Images, func(p Pattern) bool { return overlaps(p, except) }) {
			l.add(SeverityWarning, FindingIdle, except.Line, rule.Name, "the exception %s takes nothing away: no pattern of the rule fits any of it", except)
		}
	}
}

// shadowed finds patterns for which an earlier rule, or an earlier pattern of the same
// one, always decides. A rule of such alone has one fault, and not one for each pattern.
func (l *linter) shadowed(earlier []*Rule, rule *Rule) {
	shadows, whole := 0, len(l.found)
	var by []string
	for i, pattern := range rule.Images {
		j := slices.IndexFunc(earlier, func(e *Rule) bool { return e.takes(pattern) })
		if j < 0 {
			if k := slices.IndexFunc(rule.Images[:i], func(p Pattern) bool { return covers(p, pattern) }); k >= 0 {
				l.add(SeverityWarning, FindingShadowed, pattern.Line, rule.Name, "%s is not needed: %s in line %d fits all of it", pattern, rule.Images[k], rule.Images[k].Line)
			}
			continue
		}
		shadows++
		if name := fmt.Sprintf("%s (line %d)", earlier[j].Name, earlier[j].Line); !slices.Contains(by, name) {
			by = append(by, name)
		}
		l.add(SeverityError, FindingShadowed, pattern.Line, rule.Name, "%s never decides: rule %s, in line %d, comes first and fits all of it", pattern, earlier[j].Name, earlier[j].Line)
	}
	if shadows == len(rule.Images) && !slices.ContainsFunc(rule.Mirrors, func(m Mirror) bool {
		return !slices.ContainsFunc(earlier, func(e *Rule) bool { return e.takes(Pattern{Repository: m.From}) })
	}) {
		l.found = l.found[:whole]
		l.add(SeverityError, FindingShadowed, rule.Line, rule.Name, "the rule never decides: %s fits all that it fits, and comes first", enumerate(by))
	}
}

// takes tells whether a rule fits all that a pattern fits. Names that are a mirror's
// stand for others there, and are left out.
func (r *Rule) takes(p Pattern) bool {
	return slices.ContainsFunc(r.Images, func(own Pattern) bool { return covers(own, p) }) &&
		!slices.ContainsFunc(r.Except, func(except Pattern) bool { return overlaps(except, p) }) &&
		!slices.ContainsFunc(r.Mirrors, func(m Mirror) bool { return overlapsName(m.From, p.Repository) })
}

// anchors finds images that no anchor of the rule is for.
func (l *linter) anchors(rule *Rule) {
	if len(rule.Anchors) == 0 {
		return
	}
	for _, pattern := range rule.Images {
		found := false
		for i := range rule.Anchors {
			found = found || overlapsName(rule.Anchors[i].Pattern, pattern.Repository)
		}
		if !found {
			l.add(SeverityError, FindingNoAnchor, pattern.Line, rule.Name, "%s is always refused: no anchor of the rule is for any of it", pattern)
		}
	}
}

// mirrors finds mappings that lead nowhere.
func (l *linter) mirrors(rule *Rule) {
	for i, mirror := range rule.Mirrors {
		if !slices.ContainsFunc(rule.Images, func(p Pattern) bool { return overlapsName(p.Repository, mirror.As) }) {
			l.add(SeverityError, FindingIdle, mirror.Line, rule.Name, "the mirror %s leads nowhere: the rule fits nothing of %s", mirror.From, mirror.As)
		}
		if k := slices.IndexFunc(rule.Mirrors[:i], func(m Mirror) bool { return coversName(m.From, mirror.From) }); k >= 0 {
			l.add(SeverityError, FindingShadowed, mirror.Line, rule.Name, "the mirror %s never decides: %s in line %d comes first", mirror.From, rule.Mirrors[k].From, rule.Mirrors[k].Line)
		}
	}
}

// enumerate is "a", "a and b", "a, b and c".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
