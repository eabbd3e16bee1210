package signer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/signet-trust/signet/tuf"
)

// A Forgotten says what Forget has given up.
type Forgotten struct {
	Repository string `json:"repository"`
	Root       int64  `json:"root"`       // version of the root that was forgotten
	RootSHA256 string `json:"rootSHA256"` // hex
	Snapshot   int64  `json:"snapshot"`   // mark that stays; the next snapshot is above
	Timestamp  int64  `json:"timestamp"`  // as for Snapshot
}

// Forget frees a repository's name: the root and the files that were accepted and
// what was signed last are dropped, so that the next Sign is a first one. Version
// marks, keys and the log stay: no number is signed twice. It returns
// tuf.ErrNotFound when there is nothing to forget.
func (s *Service) Forget(ctx context.Context, repository string) (*Forgotten, error) {
	if err := tuf.CheckRepository(repository); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.db.forget(ctx, repository, s.now().Unix())
}

// forget moves the generation, so that a signature which another process is about
// to commit is refused there.
func (db *database) forget(ctx context.Context, repository string, at int64) (*Forgotten, error) {
	f := &Forgotten{Repository: repository}
	err := db.tx(ctx, "forget "+repository, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `
			SELECT f.version, f.sha256, r.snapshot_mark, r.timestamp_mark
			FROM repository r JOIN role_file f ON f.repository = r.name AND f.role = $1 WHERE r.name = $2`, tuf.RoleRoot, repository).
			Scan(&f.Root, &f.RootSHA256, &f.Snapshot, &f.Timestamp)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("the signer has signed nothing for %s: %w", repository, tuf.ErrNotFound)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM role_file WHERE repository = $1 AND role NOT LIKE 'floor:%'`, repository); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE repository SET generation = generation + 1, updated_at = $1 WHERE name = $2`, at, repository); err != nil {
			return err
		}
		return logCounted(ctx, tx, Entry{Repository: repository, Role: logForget, SHA256: f.RootSHA256, At: at})
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}
