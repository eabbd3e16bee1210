package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A Step says how one rule was held against an image. Its JSON is stable.
type Step struct {
	Rule    string   `json:"rule"`
	Line    int      `json:"line"`
	Decides bool     `json:"decides"`           // it is the first that fits
	Why     string   `json:"why"`               // it fits, or not
	Demands []string `json:"demands,omitempty"` // what must hold, of the rule that decides
}

// Explain tells for each rule, in order, whether it fits an image, and why not.
func (p *Policy) Explain(image tuf.Image) []Step {
	steps := make([]Step, 0, len(p.Rules))
	decides := ""
	for _, rule := range p.Rules {
		step := Step{Rule: rule.Name, Line: rule.Line}
		switch match, err := rule.Match(image); {
		case decides != "":
			step.Why = "is not asked, since " + decides + " decides"
		case err != nil:
			step.Decides, step.Why = true, "cannot be held against it, so it is refused: "+detail(err)
			decides = rule.Name
		case match == nil:
			step.Why = rule.whyNot(image)
		default:
			step.Decides, step.Why, step.Demands = true, match.why(), rule.Demands()
			decides = rule.Name
		}
		steps = append(steps, step)
	}
	return steps
}

// why says by which pattern a rule fits.
func (m *Match) why() string {
	fit := slices.IndexFunc(m.Rule.Images, func(p Pattern) bool { return p.Fits(m.Image) })
	text := "fits, by " + m.Rule.Images[fit].String()
	if m.Mirror != nil {
		text += fmt.Sprintf(", as %s, which the mirror %s stands for", m.Image, m.Mirror.From)
	}
	return text
}

// whyNot says why a rule does not fit.
func (r *Rule) whyNot(image tuf.Image) string {
	as := ""
	for i := range r.Mirrors {
		if real, ok, err := r.Mirrors[i].real(image.Repository); ok && err == nil {
			image.Repository = real
			as = ", as " + image.String()
			break
		}
	}
	if fits(r.Images, image) {
		i := slices.IndexFunc(r.Except, func(p Pattern) bool { return p.Fits(image) })
		return fmt.Sprintf("does not fit%s: the exception %s, in line %d, takes it away", as, r.Except[i], r.Except[i].Line)
	}
	for _, pattern := range r.Images {
		if tuf.MatchName(pattern.Repository, image.Repository) {
			return fmt.Sprintf("does not fit%s: %s is for other tags", as, pattern)
		}
	}
	return "does not fit" + as + ": no pattern is for this name"
}

// Demands lists what must hold of an image, in words.
func (r *Rule) Demands() []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if len(r.Anchors) == 0 {
		add("it is signed by whom this machine's trust anchors trust")
	}
	for i := range r.Anchors {
		add("it is signed by whom the rule's anchor for %s trusts", r.Anchors[i].Pattern)
	}
	for _, signer := range r.Signers {
		add("%s vouches for it, by the key %s", signer.Name, strings.Join(signer.Keys, " or "))
	}
	if r.Current {
		add("it is what its tag means now")
	}
	if r.MaxChecked > 0 {
		add("a server confirmed that at most %s ago", span(r.MaxChecked))
	}
	if r.MaxSigned > 0 {
		add("what vouches for it was signed at most %s ago", span(r.MaxSigned))
	}
	if len(r.Platforms) > 0 {
		add("it is signed as an image for %s", enumerate(r.Platforms))
	}
	if r.Last {
		add("while no server can be asked, the last verdict counts until its metadata expires")
	}
	if r.Mode != client.ModeEnforce {
		add("mode %s: it may run even if not", r.Mode)
	}
	return list
}
