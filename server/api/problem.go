package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// Errors that have a problem of their own, beside tuf.ErrNotFound,
// tuf.ErrConflict and tuf's refusals.
var (
	ErrBadRequest        = errors.New("bad request")
	ErrUnauthorized      = errors.New("no valid token")
	ErrForbidden         = errors.New("the token does not cover this")
	ErrMethodNotAllowed  = errors.New("method not allowed")
	ErrRequestTimeout    = errors.New("the request took too long to arrive")
	ErrTooLarge          = errors.New("body too large")
	ErrMediaType         = errors.New("body of the wrong media type")
	ErrRefused           = errors.New("the metadata was refused")
	ErrTooManyRequests   = errors.New("too many requests")
	ErrInternal          = errors.New("internal error")
	ErrSignerUnavailable = errors.New("the signer does not answer")
	ErrUncertain         = errors.New("the publish may have taken place")
	ErrStoreUnavailable  = errors.New("the database does not answer")
	ErrBusy              = errors.New("the server is busy or stopping")
)

// problemPrefix starts the type of each of our problems.
const problemPrefix = "urn:signet:problem:"

// problems is the one table. The server reads it from error to problem, first
// match first, the client from problem to error.
var problems = [...]struct {
	err    error
	name   string
	status int
}{
	{ErrBadRequest, "bad-request", http.StatusBadRequest},
	{ErrUnauthorized, "unauthorized", http.StatusUnauthorized},
	{ErrForbidden, "forbidden", http.StatusForbidden},
	{ErrMethodNotAllowed, "method-not-allowed", http.StatusMethodNotAllowed},
	{ErrRequestTimeout, "request-timeout", http.StatusRequestTimeout},
	{ErrTooLarge, "too-large", http.StatusRequestEntityTooLarge},
	{ErrMediaType, "media-type", http.StatusUnsupportedMediaType},
	{ErrTooManyRequests, "too-many-requests", http.StatusTooManyRequests},
	{ErrSignerUnavailable, "signer-unavailable", http.StatusServiceUnavailable},
	{ErrUncertain, "publish-uncertain", http.StatusServiceUnavailable},
	{ErrStoreUnavailable, "store-unavailable", http.StatusServiceUnavailable},
	{ErrBusy, "busy", http.StatusServiceUnavailable},
	{ErrRefused, "refused", http.StatusUnprocessableEntity},
	{tuf.ErrNotFound, "not-found", http.StatusNotFound},
	{tuf.ErrConflict, "conflict", http.StatusConflict},
	{ErrInternal, "internal", http.StatusInternalServerError},
}

// A Problem is the body of every answer that is not a success (RFC 9457).
type Problem struct {
	Type     string           `json:"type"`   // "urn:signet:problem:" and a name of the table
	Title    string           `json:"title"`  // the same for every problem of the type
	Status   int              `json:"status"` // the HTTP status
	Detail   string           `json:"detail,omitempty"`
	Role     string           `json:"role,omitempty"`     // of a refusal
	Rule     tuf.Rule         `json:"rule,omitempty"`     // of a refusal: which rule decided
	Clause   string           `json:"clause,omitempty"`   // of a refusal: where the rule stands
	Version  int64            `json:"version,omitempty"`  // of a refusal: of the role's file
	Versions map[string]int64 `json:"versions,omitempty"` // of a conflict: what is there now
}

// Name returns the problem's name in the table, such as "conflict".
func (p *Problem) Name() string { return strings.TrimPrefix(p.Type, problemPrefix) }

// ProblemNames lists the names in the table.
func ProblemNames() []string {
	var names []string
	for _, row := range problems {
		names = append(names, row.name)
	}
	return names
}

// NewProblem returns the problem that tells err. An error that the table does
// not know is internal, and its text stays on the server.
func NewProblem(err error) *Problem {
	row := problems[len(problems)-1]
	for _, r := range problems {
		if errors.Is(err, r.err) || (r.err == ErrRefused && tuf.IsRefusal(err)) {
			row = r
			break
		}
	}
	p := &Problem{Type: problemPrefix + row.name, Title: row.err.Error(), Status: row.status}
	if row.err != ErrInternal {
		p.Detail = err.Error()
	}
	if conflict, ok := errors.AsType[*ConflictError](err); ok {
		p.Versions = conflict.Versions
	}
	if refusal, ok := errors.AsType[*tuf.Refusal](err); ok && row.err == ErrRefused {
		p.Role, p.Rule, p.Clause, p.Version = refusal.Role, refusal.Rule, refusal.Clause, refusal.Version
	}
	if expired, ok := errors.AsType[*tuf.ExpiredError](err); ok && row.err == ErrRefused {
		p.Role, p.Rule, p.Clause, p.Version = expired.Role, tuf.RuleExpired, "TUF §5.3.10, §5.4.4, §5.5.6, §5.6.6", expired.Version
	}
	return p
}

// A ConflictError is tuf.ErrConflict with the versions that are there now, to
// build on.
type ConflictError struct {
	Repository string
	Versions   map[string]int64
	Err        error // what conflicts; nil when nothing is known beyond that
}

// Error says what conflicts.
func (e *ConflictError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Repository + ": " + tuf.ErrConflict.Error()
}

// Unwrap returns tuf.ErrConflict.
func (e *ConflictError) Unwrap() error { return tuf.ErrConflict }

// A ProblemError is a problem that a server answered with. errors.Is finds the
// error of the table in it (tuf.ErrConflict, api.ErrForbidden, ...), and the rule
// of a refusal (tuf.RuleThreshold, ...). It is no verdict of this side: it is
// not a *tuf.Refusal.
type ProblemError struct {
	Problem
}

// Error returns what the server said.
func (e *ProblemError) Error() string {
	text := e.Title
	if e.Detail != "" {
		text = e.Detail
	}
	return fmt.Sprintf("the server answered %d: %s", e.Status, printable(text))
}

// Unwrap returns the errors that the problem stands for.
func (e *ProblemError) Unwrap() []error {
	var list []error
	for _, row := range problems {
		if row.name == e.Name() {
			list = append(list, row.err)
		}
	}
	if e.Rule != "" {
		list = append(list, e.Rule)
	}
	return list
}

// ReadProblem returns the error that an answer stands for: a *ProblemError, made
// from status alone where the body is not one of our problems (a proxy's error
// page, say). body need not be complete; at most MaxSmallBody of it is of use.
func ReadProblem(status int, contentType string, body []byte) error {
	e := &ProblemError{}
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == TypeProblem && json.Unmarshal(body, &e.Problem) == nil && strings.HasPrefix(e.Type, problemPrefix) {
		e.Status = status // of what was really answered
		return e
	}
	// Not ours, so it says nothing about our table beyond the plain statuses.
	e.Problem = Problem{Type: "about:blank", Title: http.StatusText(status), Status: status}
	switch status {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		for _, row := range problems {
			if row.status == status {
				e.Type = problemPrefix + row.name
			}
		}
	}
	return e
}

// printable keeps what a server sends from driving the terminal.
func printable(s string) string {
	if len(s) > 2000 {
		s = s[:2000]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
}
