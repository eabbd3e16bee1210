package api

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Limits on proposals.
const (
	MaxProposals = 32                  // open or stale, of one repository
	MaxWaiting   = 100                 // open, with one token, of repositories that are not there
	ProposalLife = 30 * 24 * time.Hour // from when it was proposed, until the server drops it
	MaxIntent    = 64 << 10            // bytes of a proposal's intent
	MaxNote      = 1000                // bytes of a proposal's note
)

// States of a proposal, as a server sees them when it is read.
const (
	ProposalOpen      = "open"      // signatures are gathered
	ProposalStale     = "stale"     // a version of it was published with other content, or its base is gone: it can only be rebased
	ProposalPublished = "published" // all of its files are what was published
	ProposalWithdrawn = "withdrawn" // somebody took it back; what was signed stays signed
)

// proposalsPrefix is the path of proposals, up to the repository's name.
const proposalsPrefix = "/v1/proposals/"

// A ProposalRequest proposes a publish, or adds signatures to one that was proposed
// with the same content.
type ProposalRequest struct {
	Files []PublishFile `json:"files"` // as in a publish, with the signatures so far, none if need be
	// Intent is what the change was made from, for whoever rebases it. The server does
	// not read it, and nobody is to believe it: what is signed is Files.
	Intent json.RawMessage `json:"intent,omitempty"`
	Note   string          `json:"note,omitempty"` // for people, who are not to believe it either
}

// Metadata returns the files of r.
func (r ProposalRequest) Metadata() []tuf.File { return PublishRequest{Files: r.Files}.Metadata() }

// A Proposal is a publish that waits for signatures. As JSON it is also the form in
// which one is kept in a file. All of it is a claim but the files' signed bytes,
// which tuf.ProposalID of Repository and Files holds to the ID that was asked for.
type Proposal struct {
	ID         string          `json:"id"` // what tuf.ProposalID says
	Repository string          `json:"repository"`
	State      string          `json:"state"`
	Note       string          `json:"note,omitempty"`
	Token      string          `json:"token,omitempty"` // the ID of the token that proposed
	Created    time.Time       `json:"created"`
	Updated    time.Time       `json:"updated"` // the last signature, or the withdrawal
	Expires    time.Time       `json:"expires"` // when the server drops it
	Files      []PublishFile   `json:"files"`   // with the signatures so far
	Intent     json.RawMessage `json:"intent,omitempty"`
}

// Metadata returns the files of p.
func (p Proposal) Metadata() []tuf.File { return PublishRequest{Files: p.Files}.Metadata() }

// A ProposalsResponse lists the proposals of a repository, those of the last 30 days,
// oldest first.
type ProposalsResponse struct {
	Proposals []ProposalSummary `json:"proposals"`
}

// A ProposalSummary is a proposal without contents.
type ProposalSummary struct {
	ID      string         `json:"id"`
	State   string         `json:"state"`
	Note    string         `json:"note,omitempty"`
	Token   string         `json:"token,omitempty"`
	Created time.Time      `json:"created"`
	Updated time.Time      `json:"updated"`
	Expires time.Time      `json:"expires"`
	Files   []ProposedFile `json:"files"`
}

// A ProposedFile is a file of a proposal without its content.
type ProposedFile struct {
	Role       string   `json:"role"`
	Version    int64    `json:"version"`
	Signatures []string `json:"signatures"` // the IDs of the keys that have signed
}

// ProposalsPath returns the path of repository's proposals: to list them, and to
// propose.
func ProposalsPath(repository string) string { return proposalsPrefix + bracket.Replace(repository) }

// ProposalPath returns the path of one proposal: to read it, to sign it and to
// withdraw it.
func ProposalPath(repository, id string) string {
	return ProposalsPath(repository) + "?" + url.Values{"id": {id}}.Encode()
}
