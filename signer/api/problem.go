package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// ProblemType is the media type of an error's body (RFC 9457).
const ProblemType = "application/problem+json"

const problemPrefix = "urn:signet:problem:"

// A Problem is an error on the wire (RFC 9457).
type Problem struct {
	Type       string     `json:"type"` // urn:signet:problem:NAME
	Title      string     `json:"title"`
	Status     int        `json:"status"`
	Detail     string     `json:"detail,omitempty"`
	Repository string     `json:"repository,omitempty"`
	Role       string     `json:"role,omitempty"`
	Version    int64      `json:"version,omitempty"`
	Rule       tuf.Rule   `json:"rule,omitempty"`
	Clause     string     `json:"clause,omitempty"`
	Expired    *time.Time `json:"expired,omitempty"`
	Now        *time.Time `json:"now,omitempty"`
}

// errTooLarge is a body beyond MaxBody. The caller sees ErrBadRequest.
var errTooLarge = fmt.Errorf("%w: larger than %d bytes", ErrBadRequest, MaxBody)

// problems is the one table between errors and problems; the client reads it
// backwards. The first that fits holds.
func problems() []problemRow {
	return []problemRow{
		{errTooLarge, "too-large", http.StatusRequestEntityTooLarge, "the request is too large"},
		{ErrBadRequest, "bad-request", http.StatusBadRequest, "the request makes no sense"},
		{tuf.ErrConflict, "conflict", http.StatusConflict, "the signer has signed something else since"},
		{tuf.ErrNotFound, "not-found", http.StatusNotFound, "the signer has nothing for this repository"},
		{ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "the signer cannot do this now"},
	}
}

type problemRow struct {
	err    error
	name   string
	status int
	title  string
}

// ProblemOf turns an error of a signer into a problem. Trouble of the signer's
// own is not spelled out: its log has it.
func ProblemOf(err error) Problem {
	if expired, ok := errors.AsType[*tuf.ExpiredError](err); ok {
		return Problem{Type: problemPrefix + "expired", Title: "the metadata has expired", Status: http.StatusUnprocessableEntity, Detail: expired.Error(),
			Repository: expired.Repository, Role: expired.Role, Version: expired.Version, Rule: tuf.RuleExpired, Expired: &expired.Expired, Now: &expired.Now}
	}
	if refusal, ok := errors.AsType[*tuf.Refusal](err); ok {
		return Problem{Type: problemPrefix + "refused", Title: "the signer refuses", Status: http.StatusUnprocessableEntity, Detail: refusal.Detail,
			Repository: refusal.Repository, Role: refusal.Role, Version: refusal.Version, Rule: refusal.Rule, Clause: refusal.Clause}
	}
	for _, row := range problems() {
		if errors.Is(err, row.err) {
			p := Problem{Type: problemPrefix + row.name, Title: row.title, Status: row.status, Detail: err.Error()}
			if errors.Is(err, ErrUnavailable) {
				p.Detail = "the signer's log says why"
			}
			return p
		}
	}
	return Problem{Type: problemPrefix + "internal", Title: "the signer failed", Status: http.StatusInternalServerError, Detail: "the signer's log says why"}
}

// Err turns a problem back into the error that it was made of.
func (p Problem) Err() error {
	switch p.Type {
	case problemPrefix + "expired":
		expired := &tuf.ExpiredError{Repository: p.Repository, Role: p.Role, Version: p.Version}
		if p.Expired != nil && p.Now != nil {
			expired.Expired, expired.Now = *p.Expired, *p.Now
		}
		return expired
	case problemPrefix + "refused":
		return &tuf.Refusal{Repository: p.Repository, Role: p.Role, Version: p.Version, Rule: p.Rule, Clause: p.Clause, Detail: p.Detail}
	}
	for _, row := range problems() {
		if p.Type == problemPrefix+row.name && row.err != ErrUnavailable {
			return &remoteError{text: p.Detail, err: row.err}
		}
	}
	return &remoteError{text: fmt.Sprintf("the signer answered %d: %s: %s", p.Status, p.Title, p.Detail), err: ErrUnavailable}
}

// A remoteError says what the signer said, and is what it was there.
type remoteError struct {
	text string
	err  error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.err }

// writeProblem answers with err, and tells whether it is the signer's to mend.
func writeProblem(w http.ResponseWriter, err error) (ours bool) {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = errTooLarge
	}
	p := ProblemOf(err)
	body, jsonErr := json.Marshal(p)
	if jsonErr != nil {
		body = []byte(`{}`)
	}
	w.Header().Set("Content-Type", ProblemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a caller that has gone needs no answer
	return p.Status >= 500 && !errors.Is(err, context.Canceled)
}
