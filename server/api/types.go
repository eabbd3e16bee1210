package api

import (
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Limits that every server has. A server may state lower ones, in ServerInfo.
const (
	MaxBody      = 32 << 20 // bytes of a publish's body, base64 and all
	MaxSmallBody = 64 << 10 // bytes of every other body
	MaxFiles     = 256      // files in one publish
	MaxPage      = 1000     // repositories in one page
	MaxAnswer    = 4 << 20  // bytes of an answer under /v1/, for clients to read at most
)

// MediaTypes of bodies.
const (
	TypeJSON    = "application/json"
	TypeProblem = "application/problem+json"
)

// Scopes of tokens.
const (
	ScopeRead    = "read"    // read metadata where reads are not open, and the list of repositories
	ScopePublish = "publish" // publish to repositories that exist
	ScopeCreate  = "create"  // create repositories, and be given their online keys
	ScopeAdmin   = "admin"   // all of the above
)

// A PublishRequest is the body of a publish: the new root, targets and signers'
// files, each exactly one version above the stored one. Snapshot and timestamp
// are the signer's.
type PublishRequest struct {
	Files []PublishFile `json:"files"`
}

// A PublishFile is one file of a publish: exactly the bytes that were signed, in
// base64.
type PublishFile struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Content []byte `json:"content"`
}

// NewPublishRequest returns the request that publishes files.
func NewPublishRequest(files []tuf.File) PublishRequest {
	r := PublishRequest{Files: []PublishFile{}}
	for _, f := range files {
		r.Files = append(r.Files, PublishFile{Role: f.Role, Version: f.Version, Content: f.Bytes})
	}
	return r
}

// Metadata returns the files of r.
func (r PublishRequest) Metadata() []tuf.File {
	var files []tuf.File
	for _, f := range r.Files {
		files = append(files, tuf.File{Role: f.Role, Version: f.Version, Bytes: f.Content})
	}
	return files
}

// A PublishResponse acknowledges a publish: it is durable. A publish that was
// there already, as after an answer that got lost, is acknowledged again.
type PublishResponse struct {
	Repository string           `json:"repository"`
	Generation int64            `json:"generation"` // counts the publishes and refreshes of the repository
	Versions   map[string]int64 `json:"versions"`   // of every role, snapshot and timestamp too
}

// ServerInfo says what a server is and asks of those who publish: to a repository
// where one was named (ServerPathOf), since limits differ by name, and to any where
// no rule says otherwise.
type ServerInfo struct {
	Version  string           `json:"version"`
	Time     time.Time        `json:"time"`     // the server's clock, for people to compare
	Identity *tuf.Key         `json:"identity"` // the signer's; a client pins it at login. null: the signer does not answer
	Reads    string           `json:"reads"`    // "open", or "token" where reading takes a token
	Limits   Limits           `json:"limits"`
	Lives    map[string]int64 `json:"lives"`    // seconds that a new root, targets or signer's file should live
	MaxLives map[string]int64 `json:"maxLives"` // seconds that one may live at most
	Hardware *Hardware        `json:"hardware,omitempty"`
}

// Hardware is what a server demands of the keys of a repository: that they are on
// YubiKeys, as attestations in root and targets prove.
type Hardware struct {
	MinFirmware string `json:"minFirmware,omitempty"` // the oldest that a key may be on, as in "5.7.0"
	Touch       bool   `json:"touch"`                 // each signature takes a touch
	PIN         bool   `json:"pin"`                   // the stick wants its PIN
	Signers     bool   `json:"signers"`               // signers' keys too, not only those of root and targets
}

// Limits are what a server takes at most.
type Limits struct {
	Body        int64 `json:"body"`        // bytes of a publish's body
	Files       int   `json:"files"`       // files in one publish
	FileBytes   int64 `json:"fileBytes"`   // bytes of one file
	Keys        int   `json:"keys"`        // keys in one file
	Signatures  int   `json:"signatures"`  // signatures on one file
	Delegations int   `json:"delegations"` // signers that one file delegates to
	Targets     int   `json:"targets"`     // targets in one file
}

// TokenInfo says what the caller's token may do.
type TokenInfo struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Scopes       []string   `json:"scopes"`
	Repositories []string   `json:"repositories"` // patterns, as tuf.MatchName reads them
	Created      time.Time  `json:"created"`
	Expires      *time.Time `json:"expires,omitempty"` // absent: never
}

// OnlineKeysResponse holds the signer's keys for a repository. They are created
// when first asked for.
type OnlineKeysResponse struct {
	Keys []OnlineKey `json:"keys"`
}

// A RepositorySummary is one line of the list of repositories.
type RepositorySummary struct {
	Repository string    `json:"repository"`
	Generation int64     `json:"generation"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`    // the last publish or refresh
	RefreshDue time.Time `json:"refreshDue"` // when the server signs a timestamp anew
}

// RepositoriesResponse is a page of repositories.
type RepositoriesResponse struct {
	Repositories []RepositorySummary `json:"repositories"`
	Next         string              `json:"next,omitempty"` // what to give as after for the next page; absent: this is the last
}

// RepositoryResponse says what a server has of one repository. It is for
// publishers' and admins' eyes; a verifier reads the signed files.
type RepositoryResponse struct {
	Repository string           `json:"repository"`
	Generation int64            `json:"generation"`
	Versions   map[string]int64 `json:"versions"`
	Files      []FileInfo       `json:"files"`
	// Floors are versions, by role, that clients may have seen of files that are not
	// here any more: where a floor is above Versions, the role's next file is one above.
	Floors map[string]int64 `json:"floors,omitempty"`
	// Retired says that the repository is none any more, and since when. It may be
	// created again, above its floors.
	Retired *time.Time `json:"retired,omitempty"`
}

// A FileInfo names a current file.
type FileInfo struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Name    string `json:"name"` // under /tuf/{repository}/
	Length  int64  `json:"length"`
	SHA256  string `json:"sha256"` // hex
}
