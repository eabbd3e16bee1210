package policy

import (
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/tuf"
)

// exemption reads one entry of the allow-list.
func (r *reader) exemption(node *yaml.Node, path string) *Exemption {
	exemption := &Exemption{Line: node.Line}
	r.object(node, path, r.exemptionFields(exemption), "digest", "images", "reason", "until")
	return exemption
}

func (r *reader) exemptionFields(exemption *Exemption) fields {
	return fields{
		"digest": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "a digest, sha256: and 64 hex digits")
			if err := tuf.CheckDigest(text); ok && err != nil {
				r.fail(node, path, "%s", detail(err))
			}
			exemption.Digest = text
		},
		"images": r.patternList(&exemption.Images),
		"reason": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "a reason, for whoever reads the log")
			if ok && (tidy(text) == "" || len([]rune(text)) > MaxText) {
				r.fail(node, path, "a reason is a text of at most %d characters", MaxText)
			}
			exemption.Reason = tidy(text)
		},
		"until": func(node *yaml.Node, path string) {
			text, ok := r.scalar(node, path, "the last day, such as 2026-12-31, or an instant, such as 2026-12-31T18:00:00Z")
			if !ok {
				return
			}
			if day, err := time.Parse(time.DateOnly, text); err == nil {
				exemption.Until = day.AddDate(0, 0, 1) // the whole of the day, UTC
				return
			}
			until, err := time.Parse(time.RFC3339, text)
			if err != nil {
				r.fail(node, path, "%q, expected the last day, such as 2026-12-31, or an instant, such as 2026-12-31T18:00:00Z", clip(text))
			}
			exemption.Until = until.UTC()
		},
	}
}

// Names as Kubernetes has them: of a namespace or container, of a kind, of an
// annotation. Wildcards may stand in a pattern.
var (
	label      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelGlob  = regexp.MustCompile(`^[a-z0-9*?-]{1,63}$`)
	kindGlob   = regexp.MustCompile(`^[A-Za-z*?]{1,63}$`)
	annotation = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

func (r *reader) kubernetesFields(k *Kubernetes) fields {
	return fields{
		"rewrite": func(node *yaml.Node, path string) {
			r.items(node, path, 1000, func(item *yaml.Node, path string) {
				rewrite := Rewrite{Line: item.Line}
				r.object(item, path, r.rewriteFields(&rewrite), "pin")
				k.Rewriting = append(k.Rewriting, rewrite)
			})
		},
		"exempt-namespaces": r.words(&k.ExemptNamespaces, label, "a namespace's full name"),
		"break-glass": func(node *yaml.Node, path string) {
			k.Glass = &BreakGlass{Line: node.Line}
			r.object(node, path, r.breakGlassFields(k.Glass), "annotation", "namespaces")
		},
	}
}

func (r *reader) rewriteFields(rewrite *Rewrite) fields {
	return fields{
		"namespaces": r.words(&rewrite.Namespaces, labelGlob, "a namespace, or a pattern such as team-*"),
		"kinds":      r.words(&rewrite.Kinds, kindGlob, "a kind such as Deployment, or *"),
		"containers": r.words(&rewrite.Containers, labelGlob, "a container's name, or a pattern such as sidecar-*"),
		"pin":        r.flag(&rewrite.Pin),
	}
}

func (r *reader) breakGlassFields(glass *BreakGlass) fields {
	return fields{
		"annotation": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "an annotation's name")
			if prefix, _, _ := strings.Cut(text, "/"); ok && (!annotation.MatchString(text) || len(prefix) > 253) {
				r.fail(node, path, "%q, expected an annotation's name such as signet.example.com/break-glass", clip(text))
			}
			glass.Annotation = text
		},
		"namespaces": r.words(&glass.Namespaces, labelGlob, "a namespace, or a pattern such as team-*"),
	}
}

// words returns how a list of names is read.
func (r *reader) words(to *[]string, form *regexp.Regexp, expected string) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		r.items(node, path, 1000, func(item *yaml.Node, path string) {
			text, ok := r.text(item, path, expected)
			if !ok {
				return
			}
			if !form.MatchString(text) {
				r.fail(item, path, "%q, expected %s", clip(text), expected)
				return
			}
			*to = append(*to, text)
		})
	}
}
