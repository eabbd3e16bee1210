package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// never is when a repository that was retired is due for a refresh.
const never = int64(1) << 62

const selectFloors = `SELECT role, version FROM version_floor WHERE repository = $1`

// A Floors is what the next files of a repository have to be above, beyond what is
// stored as current.
type Floors struct {
	Generation int64            // of the head, what a publish builds on; 0: there is no such repository
	Retired    time.Time        // when the repository was retired; zero: it is in use
	Versions   map[string]int64 // by role; clients may have seen these, and nothing above
}

// Floors returns the floors of repository: none, without an error, for one that is
// not there.
func (db *DB) Floors(ctx context.Context, repository string) (*Floors, error) {
	f := &Floors{}
	if !storable(repository) {
		return f, nil
	}
	var retired int64
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		return rows.Scan(&f.Generation, &retired)
	}, `SELECT generation, retired_at FROM head WHERE repository = $1`, repository)
	if err == nil {
		f.Retired = moment(retired)
		f.Versions, err = db.floors(ctx, repository)
	}
	if err != nil {
		return nil, db.src.trouble(ctx, "read version floors of "+repository, err)
	}
	return f, nil
}

// floors returns the versions alone; nil for none.
func (db *DB) floors(ctx context.Context, repository string) (map[string]int64, error) {
	var versions map[string]int64
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var role string
		var version int64
		if err := rows.Scan(&role, &version); err != nil {
			return err
		}
		if versions == nil {
			versions = map[string]int64{}
		}
		versions[role] = version
		return nil
	}, selectFloors, repository)
	return versions, err
}

// RaiseFloors has the next file of each role be above a version. A floor never goes
// down. It returns tuf.ErrNotFound if there is no such repository.
func (db *DB) RaiseFloors(ctx context.Context, repository string, versions map[string]int64) error {
	return db.tx(ctx, "raise version floors of "+repository, func(tx *tx) error {
		n, err := tx.exec(ctx, `UPDATE head SET generation = generation WHERE repository = $1`, repository)
		if err == nil && n == 0 {
			err = fmt.Errorf("repository %q: %w", repository, tuf.ErrNotFound)
		}
		if err != nil {
			return err
		}
		for role, version := range versions {
			_, err := tx.exec(ctx, `
				INSERT INTO version_floor (repository, role, version) VALUES ($1, $2, $3)
				ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version
				WHERE version_floor.version < excluded.version`, repository, role, version)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Retire ends the use of repository at a time: nothing of it is current any more,
// nothing is refreshed, and its proposals, snapshots and timestamps are gone. Its roots, targets
// and signers' files stay for ever, and their versions, snapshot's and timestamp's too,
// become floors: whoever creates the name again starts above, on the generation that
// Floors tells. It returns tuf.ErrNotFound if there is no such repository in use.
func (db *DB) Retire(ctx context.Context, repository string, at time.Time) error {
	return db.tx(ctx, "retire "+repository, func(tx *tx) error {
		n, err := tx.exec(ctx, `
			UPDATE head SET generation = generation + 1, updated_at = $2, retired_at = $2, refresh_at = $3, lease_until = 0,
				timestamp_expires = 0, root_expires = 0
			WHERE repository = $1 AND retired_at = 0`, repository, seconds(at), never)
		if err == nil && n == 0 {
			err = fmt.Errorf("repository %q: %w", repository, tuf.ErrNotFound)
		}
		if err != nil {
			return err
		}
		for _, statement := range []string{
			// WHERE keeps SQLite from reading ON CONFLICT as a join's.
			`INSERT INTO version_floor (repository, role, version)
				SELECT repository, role, version FROM head_file WHERE repository = $1
				ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version
				WHERE version_floor.version < excluded.version`,
			`DELETE FROM head_file WHERE repository = $1`,
			`DELETE FROM expiry WHERE repository = $1`,
			`DELETE FROM proposal WHERE repository = $1`,
			`DELETE FROM file WHERE repository = $1 AND role IN ('snapshot', 'timestamp')`,
		} {
			if _, err := tx.exec(ctx, statement, repository); err != nil {
				return err
			}
		}
		return nil
	})
}
