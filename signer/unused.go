package signer

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// unusedLife is how long keys wait for a first root before they make room.
const unusedLife = 24 * time.Hour

// dropUnused makes room for wanted: it drops the keys of the one repository that
// has waited longest, if it has for unusedLife, and tells whether there was one.
// Keys of a repository that was ever signed for stay, also when it was forgotten:
// a root may list them. So asking for keys of names that never get a root does
// not use up the limit for everybody.
func dropUnused(ctx context.Context, tx *sql.Tx, wanted *storedKey) (bool, error) {
	var repository string
	err := tx.QueryRowContext(ctx, `
		SELECT repository FROM signing_key
		WHERE repository NOT IN ('', $1) AND NOT EXISTS (SELECT 1 FROM repository WHERE name = signing_key.repository)
		GROUP BY repository HAVING MAX(created_at) < $2
		ORDER BY MAX(created_at), repository LIMIT 1`, wanted.repository, wanted.createdAt-int64(unusedLife/time.Second)).Scan(&repository)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := deleteKeys(ctx, tx, repository)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		entry.At = wanted.createdAt
		if _, err := appendLog(ctx, tx, entry); err != nil {
			return false, err
		}
	}
	return true, nil
}

// deleteKeys deletes all keys of repository and returns what the log is to say.
func deleteKeys(ctx context.Context, tx *sql.Tx, repository string) ([]Entry, error) {
	rows, err := tx.QueryContext(ctx, `DELETE FROM signing_key WHERE repository = $1 RETURNING role, number, public`, repository)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []Entry
	for rows.Next() {
		var role, public string
		var number int64
		if err := rows.Scan(&role, &number, &public); err != nil {
			return nil, err
		}
		key, err := tuf.ReadKey([]byte(public))
		if err != nil {
			return nil, err
		}
		entries = append(entries, Entry{Repository: repository, Role: logDropped + role, Version: number, SHA256: key.ID()})
	}
	return entries, rows.Err()
}
