package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// hint says what the person can do about err, or "". It is the only place that
// does, but for advice that only the command line itself can give (advise).
func hint(err error) string {
	if own, ok := errors.AsType[*advised](err); ok {
		return own.advice
	}
	for _, ask := range []func(error) string{hintExpired, hintRefused, hintProblem, hintKeys, hintServer} {
		if text := ask(err); text != "" {
			return text
		}
	}
	_, isUsage := errors.AsType[*usageError](err)
	switch {
	case isUsage:
		return "signet --help, or --help after any command, tells what it takes"
	case errors.Is(err, context.Canceled):
		return ""
	case errors.Is(err, registry.ErrChanged):
		return "nothing of it is used; find out who changed what the registry holds, and push it anew from where it was signed"
	case errors.Is(err, client.ErrRetired):
		return "ask those who start it again for their root keys; signet trust forget REPO then gives up what this machine remembers"
	case errors.Is(err, fs.ErrNotExist):
		return "look at the name of the file, and at the folder that this runs in"
	case errors.Is(err, fs.ErrExist):
		return "choose another name, or move that file away"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full; make room, then try again"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return "signet needs folders that it can write to; choose others with --state-dir, --config-dir and --data-dir"
	}
	return ""
}

func hintExpired(err error) string {
	expired, ok := errors.AsType[*tuf.ExpiredError](err)
	switch {
	case !ok:
		return ""
	case expired.Role == tuf.RoleTimestamp, expired.Role == tuf.RoleSnapshot:
		return "the server has stopped vouching for its own freshness, or this machine's clock is wrong; ask its operator to look at the signer"
	}
	return "check this machine's clock; if it is right, a publisher must run: signet renew " + expired.Repository
}

func hintRefused(err error) string {
	if _, theirs := errors.AsType[*api.ProblemError](err); theirs {
		return ""
	}
	refusal, ok := errors.AsType[*tuf.Refusal](err)
	if !ok {
		return ""
	}
	if refusal.Clause == client.ClauseProposals {
		return "do not sign it; ask who proposed it, by another way than this server or file"
	}
	asked, image, policy, place, unsigned := "IMAGE", "IMAGE", "POLICY", "", ""
	if about, ok := errors.AsType[*imageError](err); ok {
		place = about.place
		if about.asked != "" {
			asked = clip(about.asked, 300)
		}
		if image = about.image; image == "" {
			image = orName(refusal.Repository) + ":TAG"
		}
		unsigned = "; where nobody signs it, a policy can let it run, by an exemption of its digest or a rule of mode warn: signet verify --policy FILE, docs/policy.md"
		if about.policy != "" {
			policy = argument(oneLine(about.policy))
			unsigned = "; where nobody signs it, the policy can let it run, by an exemption of its digest or a rule of mode warn: docs/policy.md"
		}
	}
	switch refusal.Rule {
	case tuf.RuleName:
		if place != "" {
			return "write an image's name there: " + place
		}
	case tuf.RuleAnchor:
		if refusal.Role == tuf.RoleRoot {
			return "either the pinned key is not the publisher's (signet trust list shows what is pinned here; compare it with what signet init printed), or somebody shows a forged repository"
		}
		return "say whom to trust: signet trust add " + orName(refusal.Repository) + " --root-key KEY --server URL; a new repository of your own starts with signet init" + unsigned
	case tuf.RuleAbsent:
		// Metadata does not tell what was never signed from what was revoked.
		return "do not run it; it was never signed, or was withdrawn (signet revoke), so ask before you sign it anew. If it is yours, and meant to run: signet sign " + image + "; signet list " + orName(refusal.Repository) + " shows what is signed"
	case tuf.RuleDigest, tuf.RuleCurrent:
		if place != "" {
			return "write there what the tag means, which signet verify prints for the tag alone: " + place
		}
		if refusal.Rule == tuf.RuleCurrent {
			return "run what the tag means now, which signet verify prints for the tag alone"
		}
		return "run what the tag means, which signet verify prints for the tag alone; this digest was never signed under it, or was withdrawn (signet revoke), so have it signed only if it is meant to run"
	case tuf.RuleVoice:
		return fmt.Sprintf("do not run it before %s has looked at it and signed it too: signet sign %s --as %s; signet trust list shows whose word is required here, and signet signer list %s who the signers are", word(refusal.Role), image, word(refusal.Role), orName(refusal.Repository))
	case tuf.RuleCompare:
		return "the registry's tag was moved without being signed; pull the signed digest, and find out who moved the tag"
	case tuf.RuleRollback:
		return "somebody shows older metadata than this machine has seen: the server was restored from an old backup, or an attacker replays it; ask its operator. Where it was an attacker with stolen online keys who ran versions ahead, whoever holds the root keys undoes it: signet rotate REPO snapshot timestamp --state-dir NEWDIR"
	case tuf.RuleThreshold:
		if refusal.Role == tuf.RoleRoot {
			return "somebody shows a root that the keys trusted here did not sign: an attack, or its owners lost their keys and started again. Ask them by another way; when they say so: signet trust replace " + orName(refusal.Repository) + " --notice FILE"
		}
		return "what the server sent is not what was signed; something between here and the publisher changes it"
	case tuf.RuleHash, tuf.RuleShape, tuf.RuleCanonical, tuf.RuleKeyID:
		return "what the server sent is not what was signed; something between here and the publisher changes it"
	case tuf.RuleRootChain:
		return "the server's root does not follow from the one that this machine trusts; do not go on before the repository's admin has explained it"
	case tuf.RuleRepository:
		return "the server answered with another repository's metadata; ask its operator"
	case tuf.RuleClock:
		return "if the clock is right now and ran ahead before: signet trust reset-clock " + orName(refusal.Repository)
	case tuf.RuleLimit:
		return "the server sent more than it should; something between here and it misbehaves"
	case tuf.RulePolicy, tuf.RulePlatform:
		return "signet policy explain " + policy + " " + asked + " tells which rules were held against it; whoever keeps the policy can add one"
	case tuf.RuleAge:
		return "where it was signed too long ago, a publisher must run: signet renew " + orName(refusal.Repository) + "; where a server last confirmed it too long ago, see that this machine reaches the server"
	case tuf.RulePath:
		return "signet signer list " + orName(refusal.Repository) + " shows who may sign which tags; --as NAME chooses"
	}
	return hintHardware(refusal)
}

// hintHardware says what mends a repository that a trust anchor demands more of
// than its keys prove.
func hintHardware(refusal *tuf.Refusal) string {
	rotate := "signet rotate " + orName(refusal.Repository) + " ROLE --add NEWKEY --remove OLDKEY"
	switch refusal.Rule {
	case tuf.RuleNotAttested:
		return "the trust anchor demands keys that were made on YubiKeys (signet trust list shows it); a publisher gives the role such keys: " + rotate
	case tuf.RuleAttestationChain:
		return "if an authority of your own vouches for these YubiKeys, name it: signet trust add ... --attestation-root FILE --replace; else they are not genuine, or somebody forged this"
	case tuf.RuleAttestationExpired:
		return "check this machine's clock; if it is right, a publisher moves to another YubiKey: " + rotate
	case tuf.RuleAttestationKey:
		return "the attestation is that of another key; a publisher mends it: " + rotate
	case tuf.RuleAttestationPolicy, tuf.RuleAttestationFirmware:
		return "the trust anchor demands more than this key has (signet trust list shows it); a publisher moves to one that has it: " + rotate
	}
	return ""
}

func orName(repository string) string {
	if repository == "" {
		return "REPO"
	}
	return repository
}

// isAboutHardware tells whether a server refused keys for what their attestations
// prove.
func isAboutHardware(err error) bool {
	problem, ok := errors.AsType[*api.ProblemError](err)
	return ok && hintHardware(&tuf.Refusal{Rule: problem.Rule}) != ""
}

func hintProblem(err error) string {
	switch {
	case errors.Is(err, client.ErrUncertain), errors.Is(err, api.ErrUncertain): // whatever was the last that went wrong
		return "it is not known whether it was published; the same command again finds out"
	case errors.Is(err, client.ErrSigned):
		return "have something else published for this version first, and sign what comes after it; or, if both may be shown to anybody: --sign-again"
	case errors.Is(err, client.ErrIntent):
		return "signet propose sign, revoke, renew, rotate and so on propose it anew"
	case errors.Is(err, client.ErrExists):
		return "signet inspect REPO shows what is there, once this machine trusts it; nothing of it was changed"
	case errors.Is(err, client.ErrRoleKeys):
		return "signet inspect REPO shows the keys and thresholds that there are"
	case errors.Is(err, tuf.ErrConflict):
		return "someone else published first; look at what is there now, then try again"
	case errors.Is(err, api.ErrUnauthorized):
		return "signet login URL --token-file FILE, with a token that the server knows and that is neither expired nor revoked"
	case errors.Is(err, api.ErrForbidden):
		return "ask the server's operator for a token with the scope and the names that this needs (signet-server token create)"
	case errors.Is(err, api.ErrRefused) && isAboutHardware(err):
		return "nothing was published; this server takes only keys that were made on YubiKeys, under the policies that it names: signet key generate --yubikey; its operator can change the rule"
	case errors.Is(err, api.ErrRefused):
		return "nothing was published; the server's rules are stricter than TUF's: docs/formats.md has each, the server's operator can change limits"
	case errors.Is(err, api.ErrSignerUnavailable):
		return "nothing was published; ask the server's operator to look at the signer, then try again"
	case errors.Is(err, api.ErrStoreUnavailable), errors.Is(err, api.ErrInternal), errors.Is(err, api.ErrBusy):
		return "nothing is known to be published; try again, and if it stays so, ask the server's operator for its log"
	case errors.Is(err, api.ErrTooManyRequests):
		return "wait a moment, then try again"
	case errors.Is(err, client.ErrKeys):
		return "signet inspect REPO shows who may sign, signet key list which keys are at hand; --key KEY chooses"
	case errors.Is(err, client.ErrNoServer):
		return "signet login URL --token-file FILE"
	case errors.Is(err, client.ErrAmbiguousServer):
		return "add --server URL, or give each server its names: signet login URL --for PATTERN"
	}
	return ""
}

// doctorLooks is what doctor itself leaves out.
const doctorLooks = " signet doctor looks at all of it"

// hintServer reads what is wrong with a server.
func hintServer(err error) string {
	trouble, ok := errors.AsType[*client.ServerError](err)
	if !ok {
		return ""
	}
	switch trouble.Trouble {
	case client.TroubleAddress:
		return "an address reads https://HOST[:PORT]; http:// is for this machine alone, or when asked for with --allow-http"
	case client.TroubleNoRoute, client.TroubleTimeout, client.TroubleBroken:
		advice := "is the server running, and the address right?" + doctorLooks
		if _, verifies := errors.AsType[*imageError](err); verifies {
			advice += "; verify --offline answers from what was verified before"
		}
		return advice
	case client.TroubleCA:
		return "if the server has a CA of its own, give it: --ca FILE with signet login or signet trust add; else somebody is in between"
	case client.TroubleCertExpired:
		return "check this machine's clock; if it is right, the server's operator must renew its certificate"
	case client.TroubleCertName:
		return "use the name that the certificate is for, or have the operator add this one to it"
	case client.TroubleTLS:
		return "is this an https address, and a server behind it?"
	case client.TroubleNotFound:
		return "the server has nothing of this name; check the name, and that the repository was created: signet init"
	case client.TroubleRedirect, client.TroubleEncoding, client.TroubleStatus, client.TroubleAnswer:
		return "something else than a Signet server answers there; check the address, and proxies in between"
	}
	return ""
}

// word is a name that somebody else chose, as one word of a command that a person
// may copy into a shell.
func word(name string) string { return argument(clip(name, 100)) }

// argument is a text as one word of a command line.
func argument(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:@", r)
	}
	if text != "" && text[0] != '-' && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
