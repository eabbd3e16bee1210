package policy

import (
	"slices"
	"strings"
	"unicode"
)

// Kubernetes is what a policy says for the doors of Kubernetes. The zero value
// rewrites nothing, exempts nobody and knows no way around.
type Kubernetes struct {
	// Rewriting is in order: the first entry that fits a container decides.
	Rewriting []Rewrite
	// ExemptNamespaces are not looked at, each by its full name.
	ExemptNamespaces []string
	// Glass is how a person lets an object pass unverified; nil: there is no way.
	Glass *BreakGlass
	// Line is where it stands in the file.
	Line int
}

// A Rewrite says whether the images of some containers are pinned: TAG is written as
// TAG@DIGEST. Names are patterns of '*' and '?'; an empty list fits all.
type Rewrite struct {
	Namespaces, Kinds, Containers []string
	Pin                           bool
	Line                          int
}

// A BreakGlass names the annotation whose value, a reason, lets an object of some
// namespaces pass.
type BreakGlass struct {
	Annotation string
	Namespaces []string // patterns of '*' and '?'
	Line       int
}

// Rewrites tells whether the image of a container is to be pinned, by the object's
// namespace and kind and the container's name. Nothing is unless the policy says so.
func (k *Kubernetes) Rewrites(namespace, kind, container string) bool {
	for _, r := range k.Rewriting {
		if anyGlob(r.Namespaces, namespace) && anyGlob(r.Kinds, kind) && anyGlob(r.Containers, container) {
			return r.Pin
		}
	}
	return false
}

// anyGlob tells whether s fits one of the patterns, or there are none.
func anyGlob(patterns []string, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return glob(p, s) })
}

// Exempt tells whether a namespace is not looked at.
func (k *Kubernetes) Exempt(namespace string) bool {
	return namespace != "" && slices.Contains(k.ExemptNamespaces, namespace)
}

// BreakGlass tells whether an object's annotations let it pass unverified, and the
// reason that they give. An annotation without a reason does not.
func (k *Kubernetes) BreakGlass(namespace string, annotations map[string]string) (reason string, ok bool) {
	if k.Glass == nil || namespace == "" || len(k.Glass.Namespaces) == 0 || !anyGlob(k.Glass.Namespaces, namespace) {
		return "", false
	}
	reason = tidy(annotations[k.Glass.Annotation])
	return reason, reason != ""
}

// tidy makes what a stranger wrote one line of at most MaxText characters, without
// what a person could not see.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > MaxText {
		return string(runes[:MaxText]) + "..."
	}
	return s
}
