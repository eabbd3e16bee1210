package door

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
		return Clean(d.Hint)
	}
	expired, isExpired := errors.AsType[*tuf.ExpiredError](err)
	refusal, isRefusal := errors.AsType[*tuf.Refusal](err)
	switch {
	case isExpired && (expired.Role == tuf.RoleTimestamp || expired.Role == tuf.RoleSnapshot):
		return "the trust server no longer vouches for its own freshness; ask its operator"
	case isExpired:
		return "a publisher renews what has expired: signet renew " + Clean(expired.Repository)
	case !isRefusal:
		return "try again; if it stays so, ask whoever runs signet-guard, who finds this decision in its log"
	}
	if text, ok := hints[refusal.Rule]; ok {
		return strings.NewReplacer("IMAGE", image, "TAGGED", tagged(image)).Replace(text)
	}
	return "do not run it; what the trust server says is not what was signed: ask its operator"
}

// hints are by rule. Those about the repository itself are for its operator.
var hints = map[tuf.Rule]string{
	tuf.RuleAbsent:     "correct the tag or, if the image is yours, sign it: signet sign IMAGE",
	tuf.RuleDigest:     "name the digest that was signed (signet verify TAGGED prints it), or have this one signed",
	tuf.RuleVoice:      "the policy demands another signer's word: ask for it, who runs signet sign IMAGE --as NAME",
	tuf.RuleAnchor:     "nobody is trusted for this name: use an image from a repository that the policy names, or ask whoever keeps the policy",
	tuf.RulePolicy:     "no rule of the policy is for this name: use an image from a repository that it names, or ask whoever keeps the policy",
	tuf.RuleCurrent:    "the tag means a newer digest: name the tag without the digest, or that newer one",
	tuf.RuleAge:        "the policy takes newer word only: have it signed again, signet sign IMAGE; if a server did not answer for long, ask its operator",
	tuf.RulePin:        "ask whoever runs this cluster to register signet's mutating webhook for it",
	tuf.RulePlatform:   "build and sign the image for the platform that is named",
	tuf.RuleName:       "correct the image's name",
	tuf.RuleRepository: "the metadata is another repository's: ask the operator of the trust server",
}

// tagged is an image without its digest.
func tagged(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if strings.LastIndexByte(image, ':') <= strings.LastIndexByte(image, '/') {
		image += ":TAG"
	}
	return image
}
