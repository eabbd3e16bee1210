package api

import (
	"net/url"
	"strconv"
	"time"
)

// Limits on a page of history and of what expires.
const (
	MaxHistoryPage  = 1000 // publications in one page
	MaxExpiringPage = 1000 // roles in one page
)

// historyPrefix is the path of histories, up to the repository's name.
const historyPrefix = "/v1/history/"

// ExpiringPage is the path of what expires, without its parameters.
const ExpiringPage = "/v1/expiring"

// A HistoryResponse is a page of what was published to a repository, oldest first.
// Like all that a server says it is a claim: the files are worth what their
// signatures are, and what is left out is seen where versions have a gap.
type HistoryResponse struct {
	Repository   string        `json:"repository"`
	Publications []Publication `json:"publications"`
	Next         int64         `json:"next,omitempty"` // what to give as after for the next page; 0: this is the last
}

// A Publication is one publish that brought root, targets or a signer's file.
type Publication struct {
	Generation int64         `json:"generation"` // counts the publishes and refreshes of the repository
	Time       time.Time     `json:"time"`       // by the server's clock
	Token      string        `json:"token"`      // the ID of the token that published; "": the server itself
	Files      []HistoryFile `json:"files"`      // root, targets and signers', never snapshot or timestamp
}

// A HistoryFile is a file that was published, and that is never changed or removed.
type HistoryFile struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Length  int64  `json:"length"`
	SHA256  string `json:"sha256"` // hex
	// Content is the very bytes, in base64, where they were asked for. A file that is
	// too large for a page alone comes without: it is read under FilePath.
	Content []byte `json:"content,omitempty"`
}

// HistoryPath returns the path of a page of repository's history: what follows the
// generation after, with the files' bytes or without, at most limit publications (0:
// as many as the server likes). With content a page ends before MaxAnswer.
func HistoryPath(repository string, after int64, content bool, limit int) string {
	q := url.Values{}
	if after > 0 {
		q.Set("after", strconv.FormatInt(after, 10))
	}
	if content {
		q.Set("content", "true")
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return withQuery(historyPrefix+bracket.Replace(repository), q)
}

// An ExpiringResponse is a page of current roles that expire soon, or have expired,
// soonest first, in the repositories that the token covers.
type ExpiringResponse struct {
	Roles []ExpiringRole `json:"roles"`
	Next  string         `json:"next,omitempty"` // what to give as after for the next page; "": this is the last
}

// An ExpiringRole is one current file and when it expires. It is a server's word:
// what a verifier holds to is the signed file.
type ExpiringRole struct {
	Repository string    `json:"repository"`
	Role       string    `json:"role"`
	Version    int64     `json:"version"`
	Expires    time.Time `json:"expires"`
}

// ExpiringPath returns the path of a page of roles that expire before a time, after
// the place that a page before named, at most limit of them (0: as many as the
// server likes). The zero time stands for what the server takes for soon.
func ExpiringPath(before time.Time, after string, limit int) string {
	q := url.Values{}
	if !before.IsZero() {
		q.Set("before", before.UTC().Format(time.RFC3339))
	}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return withQuery(ExpiringPage, q)
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
