package store

import (
	"context"
	"database/sql"
	"time"
)

// One statement on both databases. On Postgres a second server that picks the
// same rows waits for the first, then sees the lease and skips them.
const claimRefresh = `
	UPDATE head SET lease_until = $2
	WHERE lease_until <= $1 AND repository IN (
		SELECT repository FROM head
		WHERE refresh_at <= $1 AND lease_until <= $1
		ORDER BY refresh_at LIMIT $3
	)
	RETURNING repository`

// ClaimRefresh returns up to limit repositories whose refresh is due at now,
// longest due first to be claimed, and keeps them from every other server for
// the time of the lease. A publish or a refresh that is published ends the
// lease, as does Release.
func (db *DB) ClaimRefresh(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]string, error) {
	var claimed []string
	var err error
	for range attempts {
		claimed = claimed[:0]
		err = db.write.rows(ctx, func(rows *sql.Rows) error {
			var repository string
			err := rows.Scan(&repository)
			claimed = append(claimed, repository)
			return err
		}, claimRefresh, seconds(now), seconds(now.Add(lease)), max(limit, 0))
		if !passing(err) {
			break
		}
	}
	if err != nil {
		return nil, db.src.trouble(ctx, "claim refreshes", err)
	}
	return claimed, nil
}

// OldestTimestamp returns when the first current timestamp expires, of those
// repositories whose root has not expired at now: the others cannot be refreshed.
// It returns the zero time if there are none.
func (db *DB) OldestTimestamp(ctx context.Context, now time.Time) (time.Time, error) {
	var oldest int64
	err := db.read.QueryRowContext(ctx, `
		SELECT COALESCE(MIN(timestamp_expires), 0) FROM head
		WHERE timestamp_expires > 0 AND root_expires > $1`, seconds(now)).Scan(&oldest)
	if err != nil {
		return time.Time{}, db.src.trouble(ctx, "look for the oldest timestamp", err)
	}
	return moment(oldest), nil
}

// Release ends the lease of a refresh that came to nothing (the signer was
// down, say). Nobody claims it again before notBefore.
func (db *DB) Release(ctx context.Context, repository string, notBefore time.Time) error {
	return db.tx(ctx, "release refresh of "+repository, func(tx *tx) error {
		_, err := tx.exec(ctx, `UPDATE head SET lease_until = $2 WHERE repository = $1`,
			repository, seconds(notBefore))
		return err
	})
}

// SetRefreshAt makes repository due for its next refresh at another time.
func (db *DB) SetRefreshAt(ctx context.Context, repository string, at time.Time) error {
	return db.tx(ctx, "set time of refresh of "+repository, func(tx *tx) error {
		_, err := tx.exec(ctx, `UPDATE head SET refresh_at = $2 WHERE repository = $1`,
			repository, seconds(at))
		return err
	})
}

// RefreshAll makes every repository due now, leased or not, and returns how many
// there are. After a database was restored from a backup, the refresh is what
// finds that the signer has signed more than is stored, and brings it back.
func (db *DB) RefreshAll(ctx context.Context) (n int64, err error) {
	err = db.tx(ctx, "make all refreshes due", func(tx *tx) error {
		n, err = tx.exec(ctx, `UPDATE head SET refresh_at = 0, lease_until = 0 WHERE retired_at = 0`)
		return err
	})
	return n, err
}

// pruneBatch bounds how long publishers wait for one step of Prune.
const pruneBatch = 500

// Prune deletes snapshots and timestamps that were replaced before a time, and
// the record of the server's own refreshes of which nothing is left then. It
// returns how many files are gone. What is current, and every root, targets
// and signer's file, stays for ever.
//
// The time counts from when a file was replaced, not from when it was made: a
// client that read the old timestamp a moment ago still finds its snapshot.
func (db *DB) Prune(ctx context.Context, before time.Time) (int64, error) {
	files, err := db.prune(ctx, `
		DELETE FROM file WHERE (repository, role, version) IN (
			SELECT old.repository, old.role, old.version
			FROM head
			JOIN file AS old ON old.repository = head.repository AND old.role IN ('snapshot', 'timestamp')
			WHERE old.version < (
				SELECT MAX(newer.version) FROM file AS newer
				WHERE newer.repository = old.repository AND newer.role = old.role AND newer.stored_at < $1
			)
			LIMIT $2
		)`, before)
	if err != nil {
		return files, err
	}
	_, err = db.prune(ctx, `
		DELETE FROM publication WHERE (repository, generation) IN (
			SELECT p.repository, p.generation
			FROM publication AS p
			WHERE p.token = '' AND p.published_at < $1 AND NOT EXISTS (
				SELECT 1 FROM file
				WHERE file.repository = p.repository AND file.generation = p.generation
			)
			LIMIT $2
		)`, before)
	return files, err
}

// prune runs statement until it finds nothing more, each time in a transaction
// of its own, so that publishers get their turn.
func (db *DB) prune(ctx context.Context, statement string, before time.Time) (total int64, err error) {
	for {
		var n int64
		err := db.tx(ctx, "prune", func(tx *tx) error {
			var err error
			n, err = tx.exec(ctx, statement, seconds(before), pruneBatch)
			return err
		})
		if err != nil || n == 0 {
			return total, err
		}
		total += n
	}
}
