package client

import (
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Decision is the answer to one question. Its JSON is stable.
type Decision struct {
	Image      string           `json:"image"`      // what was asked, in canonical form
	Repository string           `json:"repository"` // canonical name
	Tag        string           `json:"tag,omitempty"`
	Digest     string           `json:"digest,omitempty"`    // the digest that the answer is about: the signed one, or the one asked for
	Reference  string           `json:"reference,omitempty"` // repository@digest, to pull by; only when trusted
	Trusted    bool             `json:"trusted"`
	Current    bool             `json:"current"`             // the digest is what the tag (or one of the tags) means now
	Signers    []string         `json:"signers"`             // the roles that vouch: "targets", or signers' names
	Voices     []VoiceMatch     `json:"voices,omitempty"`    // the signers whom the anchor requires, and by which key each vouches
	Tags       []TagMatch       `json:"tags,omitempty"`      // asked for a digest alone: the tags it is trusted under
	Length     int64            `json:"length,omitempty"`    // bytes of the manifest or index
	MediaType  string           `json:"mediaType,omitempty"` // of the manifest or index
	Rule       tuf.Rule         `json:"rule,omitempty"`      // when untrusted: the rule that decided
	Reason     string           `json:"reason,omitempty"`    // when not trusted: why, in one line
	Hint       string           `json:"hint,omitempty"`      // for whoever prints it; never set here
	Versions   map[string]int64 `json:"versions,omitempty"`  // of every role that was read
	Expires    *time.Time       `json:"expires,omitempty"`   // until when the answer holds: the earliest expiry of what was read, and of the attestations that are demanded
	Offline    bool             `json:"offline"`             // answered from local state alone
	From       string           `json:"from,omitempty"`      // the folder that it was answered from
	Stale      Duration         `json:"stale,omitempty"`     // how long ago timestamp or snapshot expired, where the anchor's MaxStale lets that pass
	Checked    *time.Time       `json:"checked,omitempty"`   // when a server last confirmed that nothing newer is known; nil: not known
	Age        Duration         `json:"age,omitempty"`       // how long ago that was when the answer was given
	Signed     *time.Time       `json:"signed,omitempty"`    // when the newest file that vouches says that it was signed, by its signers' clock; nil: it does not say
	Platforms  []string         `json:"platforms,omitempty"` // that the publisher signed the image for, such as "linux/amd64"; none: not said

	// Annotations are what the publisher added to the target.
	Annotations map[string]string `json:"annotations,omitempty"`

	// Policy is what a policy made of the answer; nil where none was asked.
	Policy *Ruling `json:"policy,omitempty"`
}

// A Ruling is what a policy made of a decision: whether the image may run, and by
// which rule. Trusted alone says what was verified; a policy can let an untrusted
// image pass (a mode other than enforce, an exemption), and says so here.
type Ruling struct {
	Allowed  bool     `json:"allowed"`            // the image may run
	Rule     string   `json:"rule,omitempty"`     // name of the policy's rule that fits; "" when none does
	Mode     Mode     `json:"mode,omitempty"`     // of that rule
	Asked    string   `json:"asked,omitempty"`    // the name that was asked for, where a mirror's name stands for another
	Exempt   string   `json:"exempt,omitempty"`   // why it may run although it was not verified: the exemption's reason
	Until    string   `json:"until,omitempty"`    // when the exemption ends, RFC 3339
	Warnings []string `json:"warnings,omitempty"` // for whoever asked
}

// A Mode is what a policy's rule does with an image that it does not trust.
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce" // refuse it
	ModeWarn    Mode = "warn"    // let it pass, and warn whoever asked
	ModeAudit   Mode = "audit"   // let it pass, and log it
)

// Allowed tells whether the image may run: by the policy's word where one was
// asked, or else if it is trusted.
func (d *Decision) Allowed() bool {
	if d.Policy != nil {
		return d.Policy.Allowed
	}
	return d.Trusted
}

// A TagMatch is one tag under which a digest is trusted.
type TagMatch struct {
	Tag     string `json:"tag"`
	Current bool   `json:"current"` // the tag means the digest now; else it did before
	Signer  string `json:"signer"`
}

// A View is all that is signed for one repository, verified.
type View struct {
	Repository   string              `json:"repository"`
	Roles        []RoleView          `json:"roles"`                  // root, timestamp, snapshot, targets, then signers
	Tags         []TagView           `json:"tags"`                   // by name
	Attestations map[string][]string `json:"attestations,omitempty"` // by key ID, of root's and targets' keys and of signers'; not judged here
	Expires      time.Time           `json:"expires"`                // the earliest expiry of all roles
	Offline      bool                `json:"offline"`
	From         string              `json:"from,omitempty"`  // the folder that it was read from
	Stale        Duration            `json:"stale,omitempty"` // how long ago timestamp or snapshot expired
}

// A RoleView is one role of a repository.
type RoleView struct {
	Name        string    `json:"name"`
	Delegator   string    `json:"delegator"` // who says which keys it has; "root" for top-level roles
	Version     int64     `json:"version"`
	Expires     time.Time `json:"expires"`
	Threshold   int       `json:"threshold"`
	Keys        []KeyView `json:"keys"`
	Paths       []string  `json:"paths,omitempty"`       // of a signer: the target paths that it may sign
	Terminating bool      `json:"terminating,omitempty"` // of a signer: nobody after it is asked for these paths
	Targets     int       `json:"targets,omitempty"`     // entries in its file
}

// A KeyView is one key of a role.
type KeyView struct {
	ID        string   `json:"id"`
	Algorithm string   `json:"algorithm"`
	Key       *tuf.Key `json:"key"`
}

// A TagView is one tag of a repository, where the search for it ends.
type TagView struct {
	Tag         string            `json:"tag"`
	Digest      string            `json:"digest"` // "" when the tag is withdrawn and only records are left
	Length      int64             `json:"length,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platforms   []string          `json:"platforms,omitempty"`
	Signer      string            `json:"signer,omitempty"`
	Earlier     []string          `json:"earlier,omitempty"` // other digests that are still trusted under the tag
	Lacking     []string          `json:"lacking,omitempty"` // signers whom the anchor requires, and who do not vouch for Digest: it is not trusted
}

// Role returns the role of this name, or nil.
func (v *View) Role(name string) *RoleView {
	for i := range v.Roles {
		if v.Roles[i].Name == name {
			return &v.Roles[i]
		}
	}
	return nil
}

// Tag returns the tag of this name, or nil.
func (v *View) Tag(name string) *TagView {
	for i := range v.Tags {
		if v.Tags[i].Tag == name {
			return &v.Tags[i]
		}
	}
	return nil
}
