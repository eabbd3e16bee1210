package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/signet-trust/signet/client"
)

// A Severity says how much a finding matters.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // it cannot do what it says
	SeverityWarning Severity = "warning" // it may not do what was meant
	SeverityInfo    Severity = "info"    // to be known: less is refused than could be
)

// A Finding is something about a policy that can be read, but may not be what was
// meant. Its JSON is stable.
type Finding struct {
	Severity Severity `json:"severity"`
	Kind     string   `json:"kind"`           // what sort of finding it is
	Line     int      `json:"line"`           // in the file
	Rule     string   `json:"rule,omitempty"` // whose it is
	Text     string   `json:"text"`
}

// The kinds of findings.
const (
	FindingNoRules     = "no-rules"    // nothing can run
	FindingShadowed    = "shadowed"    // an earlier rule decides
	FindingExcepted    = "excepted"    // the rule's own exceptions leave nothing
	FindingIdle        = "idle"        // an exception, mirror or entry that changes nothing
	FindingNoAnchor    = "no-anchor"   // no anchor of the rule fits
	FindingMode        = "mode"        // the rule refuses nothing
	FindingTag         = "tag"         // whoever writes the reference chooses the rule
	FindingUnreachable = "unreachable" // the last verdict counts
	FindingEnded       = "ended"       // an exemption that has ended
	FindingEndsSoon    = "ends-soon"   // one that ends within 14 days
	FindingLong        = "long"        // one that ends in more than a year
	FindingBreakGlass  = "break-glass" // there is a way around
	FindingExempt      = "exempt"      // namespaces that are not looked at
	FindingNotPinned   = "not-pinned"  // rewriting that pins nothing
	endsSoon           = 14 * 24 * time.Hour
	endsLate           = 366 * 24 * time.Hour
)

// Lint looks for what may not be meant, in order of lines.
func (p *Policy) Lint(now time.Time) []Finding {
	l := &linter{}
	if len(p.Rules) == 0 {
		l.add(SeverityWarning, FindingNoRules, 1, "", "there are no rules: nothing may run but what is exempt")
	}
	for i, rule := range p.Rules {
		l.excepted(rule)
		l.shadowed(p.Rules[:i], rule)
		l.anchors(rule)
		l.mirrors(rule)
		l.lenient(rule)
	}
	l.exemptions(p, now)
	l.kubernetes(&p.kubernetes)
	slices.SortStableFunc(l.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return l.found
}

type linter struct{ found []Finding }

func (l *linter) add(severity Severity, kind string, line int, rule, format string, args ...any) {
	l.found = append(l.found, Finding{Severity: severity, Kind: kind, Line: line, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// lenient tells where a rule lets more pass than it could.
func (l *linter) lenient(rule *Rule) {
	if rule.Mode != client.ModeEnforce {
		l.add(SeverityInfo, FindingMode, rule.Line, rule.Name, "mode %s: images that are not trusted run all the same", rule.Mode)
		for _, pattern := range rule.Images {
			if pattern.Tag != "" {
				l.add(SeverityWarning, FindingTag, pattern.Line, rule.Name,
					"%s in mode %s: whoever writes a reference chooses its tag, and with a digest behind it any content of the repository passes", pattern, rule.Mode)
			}
		}
	}
	if rule.Last {
		l.add(SeverityInfo, FindingUnreachable, rule.Line, rule.Name, "while no trust server can be asked, the last verdict counts until its metadata expires: a revocation may be seen that much later")
	}
}

func (l *linter) exemptions(p *Policy, now time.Time) {
	for _, e := range p.Exemptions {
		until := e.Until.UTC().Format(time.RFC3339)
		switch left := e.Until.Sub(now); {
		case left <= 0:
			l.add(SeverityWarning, FindingEnded, e.Line, "", "the exemption of %s ended at %s; take it out", e.Digest, until)
		case left <= endsSoon:
			l.add(SeverityWarning, FindingEndsSoon, e.Line, "", "the exemption of %s ends at %s: have the image signed", e.Digest, until)
		case left > endsLate:
			l.add(SeverityWarning, FindingLong, e.Line, "", "the exemption of %s lasts until %s, more than a year: an exemption is for a time", e.Digest, until)
		}
	}
}

func (l *linter) kubernetes(k *Kubernetes) {
	if len(k.ExemptNamespaces) > 0 {
		l.add(SeverityInfo, FindingExempt, k.Line, "", "not looked at: the namespaces %s", enumerate(k.ExemptNamespaces))
	}
	if k.Glass != nil {
		l.add(SeverityWarning, FindingBreakGlass, k.Glass.Line, "", "whoever may write objects in %s can let them pass by the annotation %s", enumerate(k.Glass.Namespaces), k.Glass.Annotation)
	}
	pins := false
	for i, r := range k.Rewriting {
		pins = pins || r.Pin
		for _, earlier := range k.Rewriting[:i] {
			if coversAll(earlier.Namespaces, r.Namespaces) && coversAll(earlier.Kinds, r.Kinds) && coversAll(earlier.Containers, r.Containers) {
				l.add(SeverityError, FindingShadowed, r.Line, "", "this entry of rewrite never decides: the one in line %d fits all that it fits", earlier.Line)
				break
			}
		}
	}
	if len(k.Rewriting) > 0 && !pins {
		l.add(SeverityInfo, FindingNotPinned, k.Rewriting[0].Line, "", "no entry of rewrite pins anything, which is so without them, too")
	}
}

// coversAll tells whether the patterns of a fit all that those of b fit; none fit all.
func coversAll(a, b []string) bool {
	if len(a) == 0 {
		return true
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(one string) bool {
		return !slices.ContainsFunc(a, func(other string) bool { return coversGlob(other, one) })
	}) || slices.Contains(a, "*")
}
