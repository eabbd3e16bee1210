package server

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// token returns the token that a request shows. It returns api.ErrUnauthorized
// for none, an unknown, an expired or a revoked one.
func (s *Server) token(w http.ResponseWriter, r *http.Request) (Token, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return Token{}, fmt.Errorf("%w: this takes a token, as Authorization: Bearer TOKEN", api.ErrUnauthorized)
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	id, ok := TokenID(secret)
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || !ok {
		return Token{}, s.rates.wrongToken(clientAddress(r),
			fmt.Errorf("%w: expected Authorization: Bearer TOKEN", api.ErrUnauthorized))
	}
	token, err := s.store.TokenByHash(r.Context(), hashToken(secret), s.now())
	switch {
	case errors.Is(err, tuf.ErrNotFound):
		// Only who has the whole secret is told that it was revoked or expired.
		return Token{}, s.rates.wrongToken(clientAddress(r),
			&publicError{strings.TrimSuffix(err.Error(), ": "+tuf.ErrNotFound.Error()) + ": no valid token", api.ErrUnauthorized})
	case err != nil:
		return Token{}, err
	case subtle.ConstantTimeCompare([]byte(token.ID), []byte(id)) != 1:
		return Token{}, fmt.Errorf("%w: unknown token", api.ErrUnauthorized)
	}
	if a, ok := w.(*answer); ok {
		a.token = token.ID
	}
	return token, s.rates.token(token.ID)
}

// require returns the token of a request, or an error unless it covers repository
// with one of scopes.
func (s *Server) require(w http.ResponseWriter, r *http.Request, repository string, scopes ...string) (Token, error) {
	token, err := s.token(w, r)
	if err != nil {
		return Token{}, err
	}
	if !hasScope(token, scopes...) {
		return Token{}, fmt.Errorf("%w: token %s has the scopes %s; this takes %s",
			api.ErrForbidden, token.ID, strings.Join(token.Scopes, ", "), strings.Join(scopes, " or "))
	}
	if !covers(token, repository) {
		return Token{}, fmt.Errorf("%w: token %s is for %s, not for %s",
			api.ErrForbidden, token.ID, strings.Join(token.Repositories, ", "), repository)
	}
	return token, nil
}

// hasScope tells whether token has one of scopes. admin has all of them, and who
// may publish or create may read.
func hasScope(token Token, scopes ...string) bool {
	return slices.ContainsFunc(token.Scopes, func(has string) bool {
		return has == api.ScopeAdmin || slices.Contains(scopes, has) ||
			(slices.Contains(scopes, api.ScopeRead) && (has == api.ScopePublish || has == api.ScopeCreate))
	})
}

func covers(token Token, repository string) bool {
	return slices.ContainsFunc(token.Repositories, func(pattern string) bool { return tuf.MatchName(pattern, repository) })
}
