package signer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// floorRole stands, with a role's name, for a row that has no file: the version that
// the role's next file has to be above.
const floorRole = "floor:"

// A Retired says what Retire has ended, and above what the name can be used again.
type Retired struct {
	Repository string           `json:"repository"`
	Floors     map[string]int64 `json:"floors"` // by role, snapshot and timestamp too
}

// Retire ends the use of a repository's name as it was: the root that was accepted is
// forgotten, so that the next one need not follow from it. Unlike after Forget, all
// versions go on above those that were signed for, root's too, and above least (by
// role) where the caller knows of higher ones. Fresh online keys are made for the next
// root to list, so that nothing that was signed before passes for what comes. Marks,
// old keys and the log stay. A name that nothing was signed for may be retired, too.
func (s *Service) Retire(ctx context.Context, repository string, least map[string]int64) (*Retired, error) {
	if err := checkFloors(repository, least); err != nil {
		return nil, err
	}
	r, err := s.retireInTurn(ctx, repository, least)
	if err != nil {
		return nil, err
	}
	_, err = s.RotateOnlineKeys(ctx, repository)
	return r, err
}

func (s *Service) retireInTurn(ctx context.Context, repository string, least map[string]int64) (*Retired, error) {
	done, err := s.turn(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.db.retire(ctx, repository, least, s.now().Unix())
}

// Raise moves what the signer holds of a repository above what clients have seen, by
// role: snapshot's and timestamp's marks, and the floors of the others' next files.
// What was signed last is forgotten, as after Restore: the server shows its current
// state to Sign, which then takes files that are new to the signer. It is for a signer
// whose folder was put back as it was at an earlier time. Nothing ever goes down.
func (s *Service) Raise(ctx context.Context, repository string, seen map[string]int64) error {
	if err := checkFloors(repository, seen); err != nil {
		return err
	}
	done, err := s.turn(ctx, repository)
	if err != nil {
		return err
	}
	defer done()
	return s.db.tx(ctx, "raise the marks of "+repository, func(tx *sql.Tx) error {
		if err := raise(ctx, tx, repository, seen, s.now().Unix()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM role_file WHERE repository = $1 AND role IN ('snapshot', 'timestamp')`, repository); err != nil {
			return err
		}
		return logCounted(ctx, tx, Entry{Repository: repository, Role: logRaise, SHA256: digestOf(seen), At: s.now().Unix()})
	})
}

// RaiseAll raises every repository's snapshot and timestamp marks by gap (0 means
// DefaultVersionGap), as Restore does, where the folder was put back as it was and no
// one knows what clients have seen. It returns how many repositories there are.
func (s *Service) RaiseAll(ctx context.Context, gap int64) (int, error) {
	if gap == 0 {
		gap = DefaultVersionGap
	}
	if gap < 1 || gap > maxGap {
		return 0, fmt.Errorf("version gap %d: expected 1 to 2^40", gap)
	}
	var n int
	err := s.db.tx(ctx, "raise all marks", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM repository`).Scan(&n); err != nil {
			return err
		}
		entry := Entry{Role: logRestore, SHA256: digestOf(map[string]int64{"gap": gap}), At: s.now().Unix()}
		return moveMarks(ctx, tx, gap, entry)
	})
	return n, err
}

// maxGap is the most that marks are moved at once: a slip must not use versions up.
const maxGap = 1 << 40

// checkFloors refuses what is no name or version.
func checkFloors(repository string, versions map[string]int64) error {
	if err := tuf.CheckRepository(repository); err != nil {
		return err
	}
	for role, version := range versions {
		if !tuf.IsTopLevel(role) && tuf.CheckRoleName(role) != nil {
			return fmt.Errorf("%.120q is no role", role)
		}
		if version < 0 || version > maxGap {
			return fmt.Errorf("%s version %d: expected 0 to 2^40", role, version)
		}
	}
	return nil
}

// raise sees to it that nothing below seen is signed for again. The generation moves,
// so that a signature which another process is about to commit is refused there.
func raise(ctx context.Context, tx *sql.Tx, repository string, seen map[string]int64, at int64) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO repository (name, generation, snapshot_mark, timestamp_mark, updated_at)
		VALUES ($1, 1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET generation = generation + 1, updated_at = excluded.updated_at,
			snapshot_mark = MAX(snapshot_mark, excluded.snapshot_mark), timestamp_mark = MAX(timestamp_mark, excluded.timestamp_mark)`,
		repository, seen[tuf.RoleSnapshot], seen[tuf.RoleTimestamp], at)
	if err != nil {
		return err
	}
	for role, version := range seen {
		if role == tuf.RoleSnapshot || role == tuf.RoleTimestamp {
			continue
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO role_file (repository, role, version, sha256, bytes) VALUES ($1, $2, $3, '', x'')
			ON CONFLICT (repository, role) DO UPDATE SET version = MAX(version, excluded.version)`,
			repository, floorRole+role, version)
		if err != nil {
			return err
		}
	}
	return nil
}

func (db *database) retire(ctx context.Context, repository string, least map[string]int64, at int64) (*Retired, error) {
	r := &Retired{Repository: repository, Floors: map[string]int64{}}
	maps.Copy(r.Floors, least)
	err := db.tx(ctx, "retire "+repository, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT role, version FROM role_file WHERE repository = $1`, repository)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var role string
			var version int64
			if err := rows.Scan(&role, &version); err != nil {
				return err
			}
			role = strings.TrimPrefix(role, floorRole)
			r.Floors[role] = max(r.Floors[role], version)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		var snapshot, timestamp int64
		err = tx.QueryRowContext(ctx, `SELECT snapshot_mark, timestamp_mark FROM repository WHERE name = $1`, repository).Scan(&snapshot, &timestamp)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r.Floors[tuf.RoleSnapshot] = max(r.Floors[tuf.RoleSnapshot], snapshot)
		r.Floors[tuf.RoleTimestamp] = max(r.Floors[tuf.RoleTimestamp], timestamp)
		if _, err := tx.ExecContext(ctx, `DELETE FROM role_file WHERE repository = $1 AND role NOT LIKE 'floor:%'`, repository); err != nil {
			return err
		}
		if err := raise(ctx, tx, repository, r.Floors, at); err != nil {
			return err
		}
		return logCounted(ctx, tx, Entry{Repository: repository, Role: logRetire, SHA256: digestOf(r.Floors), At: at})
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// logCounted adds an entry whose version counts those of its kind.
func logCounted(ctx context.Context, tx *sql.Tx, entry Entry) error {
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) + 1 FROM log WHERE repository = $1 AND role = $2`, entry.Repository, entry.Role).Scan(&entry.Version)
	if err != nil {
		return err
	}
	_, err = appendLog(ctx, tx, entry)
	return err
}

// digestOf is the hex SHA-256 of the lines "ROLE VERSION", by role.
func digestOf(versions map[string]int64) string {
	hash := sha256.New()
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(hash, "%s %d\n", role, versions[role])
	}
	return hex.EncodeToString(hash.Sum(nil))
}
