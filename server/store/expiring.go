package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

const (
	upsertExpiry = `
		INSERT INTO expiry (repository, role, version, expires)
		VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version, expires = excluded.expires`
	// A row of another version than the current one says nothing any more.
	selectExpiring = `
		SELECT expiry.repository, expiry.role, expiry.version, expiry.expires
		FROM expiry
		JOIN head_file ON head_file.repository = expiry.repository
			AND head_file.role = expiry.role AND head_file.version = expiry.version
		WHERE expiry.expires > 0 AND expiry.expires < $1
			AND (expiry.expires, expiry.repository, expiry.role) > ($2, $3, $4)
		ORDER BY expiry.expires, expiry.repository, expiry.role LIMIT $5`
)

// putExpiries keeps when files expire.
func putExpiries(ctx context.Context, tx *tx, repository string, list []api.ExpiringRole) error {
	for _, e := range list {
		if _, err := tx.exec(ctx, upsertExpiry, repository, e.Role, e.Version, seconds(e.Expires)); err != nil {
			return err
		}
	}
	return nil
}

// Expiring returns up to limit current files of people's making that expire before a
// time, in all repositories, soonest first; those that have expired already are among
// them. after is the last of the page before, or the zero value.
func (db *DB) Expiring(ctx context.Context, before time.Time, after api.ExpiringRole, limit int) ([]api.ExpiringRole, error) {
	list := []api.ExpiringRole{}
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var e api.ExpiringRole
		var at int64
		if err := rows.Scan(&e.Repository, &e.Role, &e.Version, &at); err != nil {
			return err
		}
		e.Expires = moment(at)
		list = append(list, e)
		return nil
	}, selectExpiring, seconds(before), seconds(after.Expires), after.Repository, after.Role, max(limit, 0))
	if err != nil {
		return nil, db.src.trouble(ctx, "look for what expires", err)
	}
	return list, nil
}

// CountExpiring counts what Expiring lists, by "root", "targets" and "signer".
func (db *DB) CountExpiring(ctx context.Context, before time.Time) (map[string]int64, error) {
	counts := map[string]int64{tuf.RoleRoot: 0, tuf.RoleTargets: 0, "signer": 0}
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var kind string
		var n int64
		err := rows.Scan(&kind, &n)
		counts[kind] = n
		return err
	}, `
		SELECT kind, COUNT(*) FROM (
			SELECT CASE WHEN expiry.role IN ('root', 'targets') THEN expiry.role ELSE 'signer' END AS kind
			FROM expiry
			JOIN head_file ON head_file.repository = expiry.repository
				AND head_file.role = expiry.role AND head_file.version = expiry.version
			WHERE expiry.expires > 0 AND expiry.expires < $1
		) AS expiring
		GROUP BY kind`, seconds(before))
	if err != nil {
		return nil, db.src.trouble(ctx, "count what expires", err)
	}
	return counts, nil
}

// UnknownExpiries returns up to limit repositories, by name after a name, that have a
// current file of which the store does not know when it expires: it was stored by an
// earlier release.
func (db *DB) UnknownExpiries(ctx context.Context, after string, limit int) ([]string, error) {
	var list []string
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var repository string
		err := rows.Scan(&repository)
		list = append(list, repository)
		return err
	}, `
		SELECT DISTINCT head_file.repository FROM head_file
		LEFT JOIN expiry ON expiry.repository = head_file.repository
			AND expiry.role = head_file.role AND expiry.version = head_file.version
		WHERE head_file.role NOT IN ('snapshot', 'timestamp') AND expiry.role IS NULL AND head_file.repository > $1
		ORDER BY head_file.repository LIMIT $2`, after, max(limit, 0))
	if err != nil {
		return nil, db.src.trouble(ctx, "look for unknown expiries", err)
	}
	return list, nil
}

// SetExpiries keeps when the files of repository expire that are current at a
// generation. It returns tuf.ErrConflict if the head has moved since.
func (db *DB) SetExpiries(ctx context.Context, repository string, generation int64, list []api.ExpiringRole) error {
	return db.tx(ctx, "keep when files of "+repository+" expire", func(tx *tx) error {
		// The row is locked by this, so that no publish comes in between.
		n, err := tx.exec(ctx, `UPDATE head SET generation = generation WHERE repository = $1 AND generation = $2`, repository, generation)
		if err == nil && n == 0 {
			err = fmt.Errorf("generation %d is not the current one: %w", generation, tuf.ErrConflict)
		}
		if err != nil {
			return err
		}
		return putExpiries(ctx, tx, repository, list)
	})
}
