package nodecheck

import (
	"slices"
	"strings"
)

// probeRepository is the path of a repository that nobody has.
const probeRepository = "signet-doctor/never-signed"

// references are the images that nobody has signed to ask about at a registry: of the
// probes there or, without any, of a repository that nobody has.
func (n *node) references(registry string) []string {
	var list []string
	for _, repository := range n.Probes {
		if registryIn(repository) == registry {
			list = append(list, repository+":"+n.tag)
		}
	}
	if len(list) == 0 {
		return []string{registry + "/" + probeRepository + ":" + n.tag}
	}
	return list
}

// anywhere are the images to ask about where no registry is given: all probes or,
// without any, one at the first registry that has to be enforced, else at fallback.
func (n *node) anywhere(fallback string) []string {
	var list []string
	for _, repository := range n.Probes {
		list = append(list, repository+":"+n.tag)
	}
	switch {
	case len(list) > 0:
		return list
	case len(n.Registries) > 0:
		return n.references(n.Registries[0])
	}
	return n.references(fallback)
}

// enforceProbes has the registries of the probes looked at.
func (n *node) enforceProbes() {
	n.Registries = slices.Clone(n.Registries)
	for _, repository := range n.Probes {
		if registry := registryIn(repository); !slices.Contains(n.Registries, registry) {
			n.Registries = append(n.Registries, registry)
		}
	}
}

// registryIn is the host in a repository's name.
func registryIn(repository string) string {
	host, _, _ := strings.Cut(repository, "/")
	return host
}

// forWantOfARule tells whether a gate refused because no rule of its policy is for the
// name: it then says nothing of names that a rule is for (policy.Engine.Decide).
func forWantOfARule(reason string) bool { return strings.Contains(reason, "(policy: rules)") }

// unproven says what a refusal for want of a rule is worth.
func (n *node) unproven(check, reference, reason string) {
	n.addf(check, Warning, "name a repository that they are for: signet doctor --node --probe "+registryIn(reference)+"/REPOSITORY asks about a tag of it that nobody has signed",
		"%s is refused because no rule of the policy is for it, which proves nothing about names that rules are for (%s)", reference, reason)
}

// What to do about an image that passes, by why it may.
const (
	byMode = "a rule of mode warn or audit, or an exemption, lets unsigned images pass (signet policy explain names the rule): to refuse them, give the rule the mode enforce, and take the exemption out"

	resolveToo = "write hosts.toml anew without --resolve, or add  capabilities = [\"pull\"]  ahead of the first [host]; not while a rule of mode warn or audit, or an exemption, is to let unsigned images pass: their pulls would fail"
)
