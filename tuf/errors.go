package tuf

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotFound says that what was asked for is not there. It is no verdict: a
// missing file proves nothing.
var ErrNotFound = errors.New("not found")

// ErrConflict says that someone else published first, so that what was built on
// the old state has to be built again on the new one.
var ErrConflict = errors.New("conflict: somebody else published first")

// A Rule names the rule that decided a refusal. It is stable, part of the JSON
// that verifiers and the server answer with. It is an error of its own, so that
// errors.Is(err, tuf.RuleThreshold) asks a refusal for its rule.
type Rule string

// Error returns the rule's name.
func (r Rule) Error() string { return string(r) }

// The rules. Clauses are named by each refusal.
const (
	RuleShape      Rule = "shape"        // the JSON is not that of TUF metadata
	RuleName       Rule = "name"         // a repository, tag or digest that is not one
	RuleKeyID      Rule = "key-id"       // a key listed under an ID that is not its own
	RuleThreshold  Rule = "threshold"    // too few valid signatures
	RuleRollback   Rule = "rollback"     // older than what was seen
	RuleExpired    Rule = "expired"      // past its expiry
	RuleHash       Rule = "hash"         // other bytes than those that were signed for
	RuleRootChain  Rule = "root-chain"   // a root that does not follow from the trusted one
	RuleAnchor     Rule = "anchor"       // no or another trust anchor
	RuleAbsent     Rule = "absent"       // signed metadata lists nothing for this path
	RuleDigest     Rule = "digest"       // another digest is signed
	RuleRepository Rule = "repository"   // metadata of another repository
	RuleVersion    Rule = "version"      // not the version that follows
	RuleExpiry     Rule = "expiry-limit" // an expiry further away than allowed
	RulePath       Rule = "path"         // a target path outside of what the role may sign
	RuleLimit      Rule = "limit"        // larger or more than allowed
	RuleOnlineKey  Rule = "online-key"   // online keys that are not the signer's
	RuleCanonical  Rule = "canonical"    // bytes that are not in the one form
	RuleDelegation Rule = "delegation"   // a tree of signers that is not allowed
	RuleClock      Rule = "clock"        // the clock stepped back
	RuleCompare    Rule = "compare"      // the registry serves something else
	RuleVoice      Rule = "voice"        // a signer whom the trust anchor requires does not vouch
)

// The rules of a policy, which package policy checks of images that are signed.
const (
	RulePolicy   Rule = "policy"   // no rule of the policy fits, or one could not be held against the name
	RuleAge      Rule = "age"      // confirmed or signed longer ago than the policy takes
	RulePlatform Rule = "platform" // not signed for a platform that the policy demands
	RuleCurrent  Rule = "current"  // no longer what the tag means, and the policy demands that
	RulePin      Rule = "pin"      // trusted, and named without the digest that the policy has written into such names
)

// The rules for keys that have to be in hardware, which package attestation checks.
const (
	RuleNotAttested         Rule = "not-attested"         // no attestation travels with the key: a file key, an imported one, or it was left out
	RuleAttestationChain    Rule = "attestation-chain"    // a wrong, forged or garbled chain, or one that leads to no root that is trusted
	RuleAttestationExpired  Rule = "attestation-expired"  // a chain that does not hold at this time
	RuleAttestationKey      Rule = "attestation-key"      // another key is attested
	RuleAttestationPolicy   Rule = "attestation-policy"   // a lesser touch or PIN policy than is demanded
	RuleAttestationFirmware Rule = "attestation-firmware" // older firmware than is demanded
)

// A Refusal is a verdict: the metadata, or what it says, is not to be trusted.
type Refusal struct {
	Repository string // canonical name, "" when not known
	Role       string // "root", "targets", a signer's name; "" when no role is at fault
	Version    int64  // version of the role's file, 0 when not known
	Rule       Rule   // the rule that decided
	Clause     string // where the rule stands: "TUF §5.3.4"
	Detail     string // what was found and what was expected
}

// Error tells the whole refusal in one line.
func (r *Refusal) Error() string {
	var b strings.Builder
	if r.Repository != "" {
		b.WriteString(r.Repository + ": ")
	}
	if r.Role != "" {
		b.WriteString(r.Role)
		if r.Version > 0 {
			fmt.Fprintf(&b, " version %d", r.Version)
		}
		b.WriteString(": ")
	}
	b.WriteString(r.Detail)
	if r.Clause != "" {
		b.WriteString(" (" + r.Clause + ")")
	}
	return b.String()
}

// Unwrap returns the rule, for errors.Is.
func (r *Refusal) Unwrap() error { return r.Rule }

// An ExpiredError is a refusal because of time: a role's file is past its expiry.
type ExpiredError struct {
	Repository string
	Role       string
	Version    int64
	Expired    time.Time // when the file expired
	Now        time.Time // the time that was judged by
}

// Error says what expired, when, and how long ago that was.
func (e *ExpiredError) Error() string {
	name := e.Repository
	if name != "" {
		name += ": "
	}
	return fmt.Sprintf("%s%s version %d expired %s ago, at %s", name, e.Role, e.Version,
		e.Now.Sub(e.Expired).Round(time.Second), e.Expired.UTC().Format(time.RFC3339))
}

// Unwrap returns RuleExpired, for errors.Is.
func (e *ExpiredError) Unwrap() error { return RuleExpired }

// IsRefusal tells whether err is a verdict of untrusted, rather than trouble.
func IsRefusal(err error) bool {
	if _, ok := errors.AsType[*Refusal](err); ok {
		return true
	}
	_, ok := errors.AsType[*ExpiredError](err)
	return ok
}

// RuleOf returns the rule that decided err, or "" when err is no verdict.
func RuleOf(err error) Rule {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Rule
	}
	if _, ok := errors.AsType[*ExpiredError](err); ok {
		return RuleExpired
	}
	return ""
}
