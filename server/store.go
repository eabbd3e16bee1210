package server

import (
	"context"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A Store is what the server needs of a database. The types are those of package
// server/store, which this package does not know: cmd puts the two together.
//
// An error is tuf.ErrNotFound, tuf.ErrConflict, the context's, or trouble with the
// database. That has a method Cause() string, with what its text, which is for
// anyone, leaves out.
type Store interface {
	// Head returns the current state of a repository.
	Head(ctx context.Context, repository string) (*Head, error)
	// Files names the current files of a repository.
	Files(ctx context.Context, repository string) (generation int64, files []api.FileInfo, err error)
	// File returns one file; version 0 asks for the newest of its role.
	File(ctx context.Context, repository, role string, version int64) (tuf.File, error)
	// Roots returns every root from version from on, in order.
	Roots(ctx context.Context, repository string, from int64) ([]tuf.File, error)
	// Publish moves the head from p.Base, or returns tuf.ErrConflict.
	Publish(ctx context.Context, p Publication) (generation int64, err error)
	// Repositories lists up to limit repositories after a name.
	Repositories(ctx context.Context, after string, limit int) ([]Summary, error)
	// TokenByHash returns the token that may be used at now.
	TokenByHash(ctx context.Context, sha256 string, now time.Time) (Token, error)
	// Floors returns what is kept of a repository that was retired.
	Floors(ctx context.Context, repository string) (*Floors, error)
	// Ping tells whether the database works.
	Ping(ctx context.Context) error
	refreshStore
	historyStore
	expiringStore
	proposalStore
}

// A Head is the current state of a repository.
type Head struct {
	Generation int64 // how many publishes there were; what the next one builds on
	State      tuf.State
	Floors     map[string]int64 // versions that the next file of a role has to be above, where they are above State's
	Retired    int64            // the generation of a repository that was retired; then it is not there, and this is what its creation builds on
}

// A Publication is a change of one repository: a publish by somebody, or a refresh
// by the server.
type Publication struct {
	Repository string
	Base       int64      // the generation that it builds on; 0 creates the repository
	Files      []tuf.File // what is new
	By         string     // the ID of the token that published; "" for the server itself
	At         time.Time
	RefreshAt  time.Time // when snapshot and timestamp are due to be signed anew

	TimestampExpires, RootExpires time.Time // of those that are current from now on
	// Expires says when files expire that are new, or whose place in the tree changed;
	// the zero time: no role delegates to the file any more.
	Expires []api.ExpiringRole
}

// Floors are what the next files of a repository have to be above.
type Floors struct {
	Generation int64            // of the head, what a publish builds on; 0: there is no such repository
	Retired    time.Time        // when the repository was retired; zero: it is in use
	Versions   map[string]int64 // by role
}

// A Summary is a line of the list of repositories.
type Summary struct {
	Repository string
	Generation int64
	Created    time.Time
	Updated    time.Time
	RefreshAt  time.Time
}

// A Token says what the bearer of a secret may do. The secret is not in it.
type Token struct {
	ID            string
	Name          string   // whose it is, for people
	Scopes        []string // api.ScopeRead and so on
	Repositories  []string // patterns of the repositories that it is good for
	Created       time.Time
	Expires       time.Time // zero: never
	Revoked       time.Time // zero: not revoked
	LastPublished time.Time // zero: never, or not asked for
}

// trouble is an error of a database that does not work.
type trouble interface {
	error
	Cause() string // for the operator's log
}

// versions are what the next files have to be above.
func (h *Head) versions() map[string]int64 {
	versions := h.State.Versions()
	if h.Generation == 0 {
		versions = map[string]int64{}
	}
	for role, floor := range h.Floors {
		versions[role] = max(versions[role], floor)
	}
	return versions
}
