package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Token says what the bearer of a secret may do. The secret is not in it.
type Token struct {
	ID            string
	Name          string   // whose it is, for people
	Scopes        []string // "read", "publish", "create", "admin"
	Repositories  []string // patterns of the repositories that it is good for
	Created       time.Time
	Expires       time.Time // zero: never
	Revoked       time.Time // zero: not revoked
	LastPublished time.Time // zero: never; set by Tokens only
}

const selectToken = `
	SELECT id, name, scopes, repositories, created_at, expires_at, revoked_at, 0
	FROM token WHERE sha256 = $1`

// CreateToken stores t under the hex SHA-256 of its secret, or returns
// tuf.ErrConflict if there is one with this ID or secret.
func (db *DB) CreateToken(ctx context.Context, t Token, sha256 string) error {
	op := "create token " + t.ID
	if !storable(t.ID) || len(sha256) != 64 || len(t.Scopes) == 0 || t.Created.IsZero() {
		return fmt.Errorf("%s: expected an ID, a SHA-256 in hex, scopes and a time", op)
	}
	for _, word := range append(append([]string{t.ID}, t.Scopes...), t.Repositories...) {
		if !storable(word) || strings.ContainsAny(word, " \t\r\n") {
			return fmt.Errorf("%s: %q in its ID, scopes or patterns: expected one word", op, word)
		}
	}
	if t.Name != "" && !storable(t.Name) {
		return fmt.Errorf("%s: name %q: expected text", op, t.Name)
	}
	return db.tx(ctx, op, func(tx *tx) error {
		n, err := tx.exec(ctx, `
			INSERT INTO token (id, sha256, name, scopes, repositories, created_at, expires_at, revoked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
			ON CONFLICT DO NOTHING`,
			t.ID, sha256, t.Name, strings.Join(t.Scopes, " "), strings.Join(t.Repositories, " "),
			seconds(t.Created), seconds(t.Expires))
		if err == nil && n == 0 {
			return fmt.Errorf("it exists: %w", tuf.ErrConflict)
		}
		return err
	})
}

// Tokens lists all tokens, revoked and expired ones too, oldest first.
func (db *DB) Tokens(ctx context.Context) ([]Token, error) {
	var list []Token
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		t, err := scanToken(rows)
		list = append(list, t)
		return err
	}, `
		SELECT id, name, scopes, repositories, created_at, expires_at, revoked_at,
			(SELECT COALESCE(MAX(published_at), 0) FROM publication WHERE publication.token = token.id)
		FROM token ORDER BY created_at, id`)
	if err != nil {
		return nil, db.src.trouble(ctx, "list tokens", err)
	}
	return list, nil
}

// TokenByHash returns the token whose secret has this hex SHA-256, provided that
// it may be used at now. Otherwise the error is tuf.ErrNotFound, and says
// whether it is unknown, revoked or expired.
//
// The look-up is not in constant time, and need not be: the hash of a random
// secret, learned byte by byte, does not lead to the secret.
func (db *DB) TokenByHash(ctx context.Context, sha256 string, now time.Time) (Token, error) {
	if !storable(sha256) {
		return Token{}, fmt.Errorf("token: %w", tuf.ErrNotFound)
	}
	var t Token
	err := db.read.rows(ctx, func(rows *sql.Rows) (err error) {
		t, err = scanToken(rows)
		return err
	}, selectToken, sha256)
	switch {
	case err != nil:
		return Token{}, db.src.trouble(ctx, "look a token up", err)
	case t.ID == "":
		return Token{}, fmt.Errorf("token: %w", tuf.ErrNotFound)
	case !t.Revoked.IsZero():
		return Token{}, fmt.Errorf("token %s was revoked at %s: %w", t.ID, t.Revoked.Format(time.RFC3339), tuf.ErrNotFound)
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return Token{}, fmt.Errorf("token %s expired at %s: %w", t.ID, t.Expires.Format(time.RFC3339), tuf.ErrNotFound)
	}
	return t, nil
}

// RevokeToken makes the token of this ID useless from now on, or returns
// tuf.ErrNotFound. A token that is revoked already keeps its first time.
func (db *DB) RevokeToken(ctx context.Context, id string, at time.Time) error {
	op := "revoke token " + id
	if at.IsZero() {
		return errors.New(op + ": expected a time")
	}
	if !storable(id) {
		return fmt.Errorf("%s: %w", op, tuf.ErrNotFound)
	}
	return db.tx(ctx, op, func(tx *tx) error {
		n, err := tx.exec(ctx, `
			UPDATE token SET revoked_at = CASE WHEN revoked_at = 0 THEN $2 ELSE revoked_at END
			WHERE id = $1`, id, seconds(at))
		if err == nil && n == 0 {
			return tuf.ErrNotFound
		}
		return err
	})
}

func scanToken(rows *sql.Rows) (Token, error) {
	var t Token
	var scopes, repositories string
	var created, expires, revoked, published int64
	err := rows.Scan(&t.ID, &t.Name, &scopes, &repositories, &created, &expires, &revoked, &published)
	t.Scopes, t.Repositories = strings.Fields(scopes), strings.Fields(repositories)
	t.Created, t.Expires, t.Revoked = moment(created), moment(expires), moment(revoked)
	t.LastPublished = moment(published)
	return t, err
}
