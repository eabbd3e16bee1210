package guard

import (
	"errors"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Next is what somebody can do about a refusal who was about to run an image, in one
// line. image is how to name it to that person; d may be nil.
func Next(image string, d *client.Decision, err error) string {
	if d != nil && d.Hint != "" {
		return clean(d.Hint)
	}
	expired, isExpired := errors.AsType[*tuf.ExpiredError](err)
	refusal, isRefusal := errors.AsType[*tuf.Refusal](err)
	switch {
	case isExpired && (expired.Role == tuf.RoleTimestamp || expired.Role == tuf.RoleSnapshot):
		return "the trust server no longer vouches for its own freshness; ask its operator"
	case isExpired:
		return "a publisher renews what has expired: signet renew " + clean(expired.Repository)
	case !isRefusal:
		return "try again; if it stays so, ask whoever runs signet-guard, who finds this decision in its log"
	}
	if text, ok := hint(refusal.Rule); ok {
		return strings.NewReplacer("IMAGE", image, "TAGGED", tagged(image)).Replace(text)
	}
	return "do not run it; what the trust server says is not what was signed: ask its operator"
}

// hint is by rule. Those about the repository itself are for its operator.
func hint(rule tuf.Rule) (text string, ok bool) {
	switch rule {
	case tuf.RuleAbsent:
		return "correct the tag or, if the image is yours, sign it: signet sign IMAGE", true
	case tuf.RuleDigest:
		return "name the digest that was signed (signet verify TAGGED prints it), or have this one signed", true
	case tuf.RuleVoice:
		return "the policy demands another signer's word: ask for it, who runs signet sign IMAGE --as NAME", true
	case tuf.RuleAnchor:
		return "nobody is trusted for this name: use an image from a repository that the policy names, or ask whoever keeps the policy", true
	case tuf.RulePolicy:
		return "no rule of the policy is for this name: use an image from a repository that it names, or ask whoever keeps the policy", true
	case tuf.RuleCurrent:
		return "the tag means a newer digest: name the tag without the digest, or that newer one", true
	case tuf.RuleAge:
		return "the policy takes newer word only: have it signed again, signet sign IMAGE; if a server did not answer for long, ask its operator", true
	case tuf.RulePin:
		return "ask whoever runs this cluster to register signet's mutating webhook for it", true
	case tuf.RulePlatform:
		return "build and sign the image for the platform that is named", true
	case tuf.RuleName:
		return "correct the image's name", true
	case tuf.RuleRepository:
		return "the metadata is another repository's: ask the operator of the trust server", true
	}
	return "", false
}

// tagged is an image without its digest.
func tagged(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if strings.LastIndexByte(image, ':') <= strings.LastIndexByte(image, '/') {
		image += ":TAG"
	}
	return image
}
