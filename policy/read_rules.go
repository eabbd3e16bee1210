package policy

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func (r *reader) topFields(p *Policy) fields {
	return fields{
		"version": func(node *yaml.Node, path string) {
			if node.Kind != yaml.ScalarNode || node.Tag != "!!int" || node.Value != "1" {
				r.fail(node, path, "%s, expected 1, the only version that there is", what(node))
			}
		},
		"rules": func(node *yaml.Node, path string) {
			lines := map[string]int{}
			r.items(node, path, MaxRules, func(item *yaml.Node, path string) {
				rule := r.rule(item, path)
				if line := lines[rule.Name]; line != 0 && rule.Name != "" {
					r.fail(item, path, "a second rule is called %s; the first is in line %d", rule.Name, line)
				}
				lines[rule.Name] = item.Line
				p.Rules = append(p.Rules, rule)
			})
		},
		"digests": func(node *yaml.Node, path string) {
			p.exempt = map[string][]*Exemption{}
			r.items(node, path, MaxDigests, func(item *yaml.Node, path string) {
				exemption := r.exemption(item, path)
				p.Exemptions = append(p.Exemptions, exemption)
				p.exempt[exemption.Digest] = append(p.exempt[exemption.Digest], exemption)
			})
		},
		"kubernetes": func(node *yaml.Node, path string) {
			p.kubernetes.Line = node.Line
			r.object(node, path, r.kubernetesFields(&p.kubernetes))
		},
	}
}

// rule reads one rule.
func (r *reader) rule(node *yaml.Node, path string) *Rule {
	rule := &Rule{Mode: client.ModeEnforce, Line: node.Line}
	before := len(r.errs)
	r.object(node, path, r.ruleFields(rule), "name", "images")
	if len(r.errs) == before { // what is missing for a mistake would be told as another
		r.sound(node, path, rule)
	}
	return rule
}

// ruleName is what can stand in logs and as a metric's label.
var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (r *reader) ruleFields(rule *Rule) fields {
	unreachable := "refuse"
	return fields{
		"name": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "a name")
			if ok && !ruleName.MatchString(text) {
				r.fail(node, path, "%q, expected up to 63 letters, digits, '.', '_' and '-', the first a letter or digit", clip(text))
				return
			}
			rule.Name = text
		},
		"images": r.patternList(&rule.Images),
		"except": r.patternList(&rule.Except),
		"anchors": func(node *yaml.Node, path string) {
			r.items(node, path, MaxAnchors, func(item *yaml.Node, path string) {
				if anchor, ok := r.anchor(item, path); ok {
					rule.Anchors = append(rule.Anchors, anchor)
				}
			})
		},
		"signers": func(node *yaml.Node, path string) {
			r.items(node, path, MaxSigners, func(item *yaml.Node, path string) {
				var signer client.Voice
				r.object(item, path, r.signerFields(&signer), "name", "keys")
				rule.Signers = append(rule.Signers, signer)
			})
		},
		"current": r.flag(&rule.Current),
		"max-age": func(node *yaml.Node, path string) {
			r.object(node, path, r.maxAgeFields(rule))
			if node.Kind == yaml.MappingNode && len(node.Content) == 0 {
				r.fail(node, path, "neither checked nor signed; leave the key out, or say what is meant")
			}
		},
		"platforms": func(node *yaml.Node, path string) {
			r.items(node, path, tuf.MaxPlatforms, func(item *yaml.Node, path string) {
				text, ok := r.text(item, path, "a platform such as linux/amd64")
				switch err := tuf.CheckPlatform(text); {
				case !ok:
				case err != nil:
					r.fail(item, path, "%s", detail(err))
				case slices.Contains(rule.Platforms, samePlatform(text)):
					r.fail(item, path, "%s stands twice", text)
				default:
					rule.Platforms = append(rule.Platforms, samePlatform(text))
				}
			})
		},
		"mirrors": func(node *yaml.Node, path string) {
			r.items(node, path, 1000, func(item *yaml.Node, path string) {
				mirror := Mirror{Line: item.Line}
				r.object(item, path, r.mirrorFields(&mirror), "from", "as")
				if mirror.From != "" && mirror.As != "" {
					if strings.HasSuffix(mirror.From, "/**") != strings.HasSuffix(mirror.As, "/**") {
						r.fail(item, path, "from and as both end in /**, or neither does")
					}
					rule.Mirrors = append(rule.Mirrors, mirror)
				}
			})
		},
		"mode": choice(r, &rule.Mode, client.ModeEnforce, client.ModeWarn, client.ModeAudit),
		"unreachable": func(node *yaml.Node, path string) {
			choice(r, &unreachable, "refuse", "last")(node, path)
			rule.Last = unreachable == "last"
		},
	}
}

func (r *reader) signerFields(signer *client.Voice) fields {
	return fields{
		"name": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "a signer's name")
			if err := tuf.CheckRoleName(text); ok && err != nil {
				r.fail(node, path, "%s", detail(err))
			}
			signer.Name = text
		},
		"keys": r.keyList(&signer.Keys),
	}
}

func (r *reader) maxAgeFields(rule *Rule) fields {
	return fields{"checked": r.span(&rule.MaxChecked), "signed": r.span(&rule.MaxSigned)}
}

func (r *reader) mirrorFields(mirror *Mirror) fields {
	return fields{"from": r.mirrorName(&mirror.From), "as": r.mirrorName(&mirror.As)}
}

// mirrorName returns how one side of a mirror is read: a name, or one with "/**".
func (r *reader) mirrorName(to *string) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		text, ok := r.text(node, path, "a name, or one that ends in /**")
		if !ok {
			return
		}
		name, below := strings.CutSuffix(text, "/**")
		var err error
		switch {
		case strings.ContainsAny(name, "*?"):
			err = errors.New("a mirror is a name, or one that ends in /**, and has no other wildcard")
		case below: // a host alone is no repository's name, but everything below it is a pattern
			err = tuf.CheckPattern(text)
		default:
			text, err = tuf.ParseRepository(text)
		}
		if err != nil {
			r.fail(node, path, "%q: %s", clip(text), detail(err))
			return
		}
		*to = text
	}
}

// patternList returns how a list of patterns is read.
func (r *reader) patternList(to *[]Pattern) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		r.items(node, path, MaxPatterns, func(item *yaml.Node, path string) {
			if r.patterns++; r.patterns == MaxPatterns+1 {
				r.fail(item, path, "more than %d patterns in the file", MaxPatterns)
			}
			text, ok := r.text(item, path, "a pattern of image names")
			if !ok {
				return
			}
			pattern, err := ParsePattern(text)
			if err != nil {
				r.fail(item, path, "%q fits no image: %s", clip(text), detail(err))
				return
			}
			pattern.Line = item.Line
			*to = append(*to, pattern)
		})
	}
}

// sound refuses a rule whose parts do not go together.
func (r *reader) sound(node *yaml.Node, path string, rule *Rule) {
	probe := client.Anchor{Pattern: "**", RootSHA256: strings.Repeat("0", 64), Servers: []string{"https://localhost"}, Require: rule.Signers}
	if err := probe.Check(); err != nil {
		r.fail(node, join(path, "signers"), "%s", strings.TrimPrefix(detail(err), "require: "))
		return
	}
	for i := range rule.Anchors {
		anchor := &rule.Anchors[i]
		for _, other := range rule.Anchors[:i] {
			if other.Pattern == anchor.Pattern {
				r.fail(node, join(path, "anchors"), "two anchors are for %s: neither could be chosen", anchor.Pattern)
			}
		}
		if _, err := withSigners(anchor, rule.Signers); err != nil {
			r.fail(node, join(path, "anchors"), "the anchor for %s: %s", anchor.Pattern, detail(err))
		}
	}
}

// detail is what is wrong with what a person wrote; it is no verdict on an image.
func detail(err error) string {
	if refusal, ok := errors.AsType[*tuf.Refusal](err); ok {
		return refusal.Detail
	}
	return err.Error()
}
