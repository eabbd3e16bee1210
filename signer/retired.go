package signer

import (
	"context"
	"database/sql"

	"github.com/signet-trust/signet/tuf"
)

// dropReplaced deletes the keys that an accepted root has no use for any more: of each
// online role those that are older than all that it lists. No root that follows may
// list them again (the server takes the newest only), so all that is left to do with
// them is to steal them. Newer ones stay: they wait for the next root. It returns what
// the log is to say.
func dropReplaced(ctx context.Context, tx *sql.Tx, repository string, root *tuf.Root) ([]Entry, error) {
	var dropped []Entry
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		listed := map[string]bool{}
		for _, key := range tuf.RoleKeysOf(root, role).Keys {
			listed[key.ID()] = true
		}
		older, err := olderKeys(ctx, tx, repository, role, listed)
		if err != nil {
			return nil, err
		}
		for _, entry := range older {
			if _, err := tx.ExecContext(ctx, `DELETE FROM signing_key WHERE repository = $1 AND role = $2 AND number = $3`, repository, role, entry.Version); err != nil {
				return nil, err
			}
		}
		dropped = append(dropped, older...)
	}
	return dropped, nil
}

// olderKeys returns the keys of a role that are older than all of listed; none when no
// key is listed.
func olderKeys(ctx context.Context, tx *sql.Tx, repository, role string, listed map[string]bool) ([]Entry, error) {
	rows, err := tx.QueryContext(ctx, `SELECT number, public FROM signing_key WHERE repository = $1 AND role = $2 ORDER BY number`, repository, role)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var older []Entry
	for rows.Next() {
		var number int64
		var public string
		if err := rows.Scan(&number, &public); err != nil {
			return nil, err
		}
		key, err := tuf.ReadKey([]byte(public))
		if err != nil {
			return nil, err
		}
		if listed[key.ID()] {
			return older, nil
		}
		older = append(older, Entry{Repository: repository, Role: logReplaced + role, Version: number, SHA256: key.ID()})
	}
	return nil, rows.Err()
}
