package client

import (
	"time"

	"github.com/signet-trust/signet/tuf"
)

// An InitRequest asks for a new repository.
type InitRequest struct {
	Repository string       `json:"repository"`
	Root       tuf.RoleKeys `json:"root"`
	Targets    tuf.RoleKeys `json:"targets"`
	// Signers hold enough of the root and targets keys to meet both thresholds.
	Signers []tuf.Signer `json:"-"`
	// Attestations of keys, by key ID: PEM certificates, leaf first.
	Attestations map[string][]string `json:"attestations,omitempty"`
}

// A TagTarget is one tag and what it is to mean.
type TagTarget struct {
	Tag    string     `json:"tag"`
	Target tuf.Target `json:"target"`
}

// A SignRequest asks for tags to be signed, several in one step.
type SignRequest struct {
	Repository string      `json:"repository"`
	Tags       []TagTarget `json:"tags"`
	// Role is "targets" or a signer's name; "" finds the one role that Signers
	// have keys of.
	Role string `json:"role,omitempty"`
	// Signers hold enough keys of the role to meet its threshold.
	Signers []tuf.Signer `json:"-"`
}

// A RevokeRequest asks for a tag, or one digest under it, to be withdrawn.
type RevokeRequest struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest,omitempty"` // "": the tag and every digest that was signed under it
	// Role limits the step to one role; "" means every role that lists the tag.
	Role    string       `json:"role,omitempty"`
	Signers []tuf.Signer `json:"-"`
}

// A RenewRequest asks for roles to be signed anew with a later expiry, and
// nothing else changed.
type RenewRequest struct {
	Repository string `json:"repository"`
	// Roles are those to renew; none means every role that Signers can sign.
	Roles []string `json:"roles,omitempty"`
	// Within leaves out what expires later than that from now; 0 leaves out nothing.
	Within  time.Duration `json:"-"`
	Signers []tuf.Signer  `json:"-"`
}

// A ChangeKeysRequest asks for other keys, or another threshold, for one role.
type ChangeKeysRequest struct {
	Repository string     `json:"repository"`
	Role       string     `json:"role"`                // "root", "targets" or a signer's name
	Add        []*tuf.Key `json:"add,omitempty"`       // keys that come; those that the role has already do no harm
	Remove     []string   `json:"remove,omitempty"`    // IDs of keys that go
	Threshold  int        `json:"threshold,omitempty"` // how many must sign from now on; 0: as many as before
	// Attestations of the role's keys, by key ID: PEM certificates, leaf first.
	Attestations map[string][]string `json:"attestations,omitempty"`
	// Signers hold the keys at hand, of whatever role, best first. Each file is
	// signed by as many of them as it needs, and the others are not asked.
	Signers []tuf.Signer `json:"-"`
}

// An AddSignerRequest asks for a new signer: a role that targets, or another signer,
// delegates to.
type AddSignerRequest struct {
	Repository  string       `json:"repository"`
	Name        string       `json:"name"`
	Keys        tuf.RoleKeys `json:"keys"`
	Tags        []string     `json:"tags"`                  // patterns of the tags that it may sign, such as "release-*"
	Terminating bool         `json:"terminating,omitempty"` // no signer after it is asked for these tags
	Parent      string       `json:"parent,omitempty"`      // the signer that delegates to it; "": targets
	Before      string       `json:"before,omitempty"`      // the signer beside it that it is to be asked just ahead of; "": it is asked last
	// Attestations of the signer's keys, by key ID: PEM certificates, leaf first.
	Attestations map[string][]string `json:"attestations,omitempty"`
	// Signers hold the keys at hand, best first: those of targets, or of Parent, and
	// enough of the signer's own, which sign its first, empty file.
	Signers []tuf.Signer `json:"-"`
}

// A RemoveSignerRequest asks for a signer to be removed. What only it signed is
// trusted no more.
type RemoveSignerRequest struct {
	Repository string       `json:"repository"`
	Name       string       `json:"name"`
	Signers    []tuf.Signer `json:"-"` // the keys at hand, best first
}
