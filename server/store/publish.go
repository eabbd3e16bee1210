package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A Publication is a change of one repository: a publish by somebody, or a
// refresh by the server.
type Publication struct {
	Repository string
	Base       int64      // the generation that it builds on; 0 creates the repository
	Files      []tuf.File // what is new, snapshot and timestamp among it; checked by the caller
	By         string     // the ID of the token that published; "" for the server itself
	At         time.Time  // now
	RefreshAt  time.Time  // when snapshot and timestamp are due to be signed anew

	TimestampExpires, RootExpires time.Time // of those that are current from now on
	// Expires says when current files of people's making expire, of those that are new
	// or whose place in the tree changed; with the zero time, no role delegates to the
	// file any more. What it leaves out of Files is not known: see UnknownExpiries.
	Expires []api.ExpiringRole
}

// The statements of a publish, in their order.
const (
	insertHead = `
		INSERT INTO head (repository, generation, created_at, updated_at, refresh_at, lease_until, timestamp_expires, root_expires)
		VALUES ($1, 1, $2, $2, $3, 0, $4, $5)
		ON CONFLICT (repository) DO NOTHING`
	// Who publishes has done the refresh as well, so the lease ends with it.
	moveHead = `
		UPDATE head SET generation = generation + 1, updated_at = $3, refresh_at = $4, lease_until = 0,
			timestamp_expires = $5, root_expires = $6, retired_at = 0
		WHERE repository = $1 AND generation = $2`
	insertFile = `
		INSERT INTO file (repository, role, version, generation, stored_at, sha256, bytes)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (repository, role, version) DO NOTHING`
	// A floor that somebody set holds against whoever does not know of it.
	moveRole = `
		INSERT INTO head_file (repository, role, version)
		SELECT repository, role, version FROM file
		WHERE repository = $1 AND role = $2 AND version = $3 AND NOT EXISTS (
			SELECT 1 FROM version_floor
			WHERE version_floor.repository = $1 AND version_floor.role = $2 AND version_floor.version >= $3
		)
		ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version
		WHERE head_file.version <= excluded.version`
	insertPublication = `
		INSERT INTO publication (repository, generation, token, published_at)
		VALUES ($1, $2, $3, $4)`
)

func writeStatements() []string {
	return []string{insertHead, moveHead, insertFile, moveRole, insertPublication, upsertExpiry, claimRefresh}
}

// Publish adds p's files and moves the head of p.Repository from p.Base to the
// generation that it returns, or does nothing. It returns tuf.ErrConflict if
// the head is no longer at p.Base (or, with base 0, if the repository is there
// already), and also if a file would give a version a second content or take a
// role back. A file that is stored already with the same bytes is no conflict.
//
// After any other error, ErrUnavailable or the context's, the publish may be
// there or not (a connection can break between the commit and its answer):
// Head tells.
//
// The head moves in one compare-and-swap statement rather than by a read and a
// later write, so correctness does not hang on the isolation level, which
// differs between Postgres and SQLite.
func (db *DB) Publish(ctx context.Context, p Publication) (generation int64, err error) {
	op := "publish " + p.Repository
	if err := p.check(); err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	err = db.tx(ctx, op, func(tx *tx) error {
		if err := p.moveHead(ctx, tx); err != nil {
			return err
		}
		for _, f := range p.Files {
			if err := p.putFile(ctx, tx, f); err != nil {
				return err
			}
		}
		if err := putExpiries(ctx, tx, p.Repository, p.Expires); err != nil {
			return err
		}
		_, err := tx.exec(ctx, insertPublication, p.Repository, p.Base+1, p.By, seconds(p.At))
		return err
	})
	if err != nil {
		return 0, err
	}
	return p.Base + 1, nil
}

// check refuses what would leave a head that nobody can use: it finds mistakes
// of the caller, not of a publisher.
func (p Publication) check() error {
	has := make(map[string]bool)
	for _, f := range p.Files {
		if !storable(f.Role) || f.Version < 1 || len(f.Bytes) == 0 {
			return fmt.Errorf("file of role %q, version %d, %d bytes: expected a role, a version and bytes", f.Role, f.Version, len(f.Bytes))
		}
		has[f.Role] = true
	}
	switch {
	case !storable(p.Repository) || p.Base < 0:
		return fmt.Errorf("repository %q, base %d: expected a name and a generation", p.Repository, p.Base)
	case len(p.Files) == 0:
		return errors.New("no files")
	case p.At.IsZero() || p.RefreshAt.IsZero() || p.TimestampExpires.IsZero() || p.RootExpires.IsZero():
		return errors.New("no time of this publish, of the next refresh, or of an expiry")
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		if p.Base == 0 && !has[role] {
			return fmt.Errorf("a new repository without %s", role)
		}
	}
	return nil
}

// moveHead decides whether this publish wins. From here on the row is locked,
// and every other publish of this repository waits.
func (p Publication) moveHead(ctx context.Context, tx *tx) error {
	at, refresh := seconds(p.At), seconds(p.RefreshAt)
	timestamp, root := seconds(p.TimestampExpires), seconds(p.RootExpires)
	if p.Base == 0 {
		n, err := tx.exec(ctx, insertHead, p.Repository, at, refresh, timestamp, root)
		if err == nil && n == 0 {
			return fmt.Errorf("the repository exists: %w", tuf.ErrConflict)
		}
		return err
	}
	n, err := tx.exec(ctx, moveHead, p.Repository, p.Base, at, refresh, timestamp, root)
	if err == nil && n == 0 {
		return fmt.Errorf("generation %d is not the current one: %w", p.Base, tuf.ErrConflict)
	}
	return err
}

func (p Publication) putFile(ctx context.Context, tx *tx, f tuf.File) error {
	sum := f.SHA256()
	n, err := tx.exec(ctx, insertFile, p.Repository, f.Role, f.Version, p.Base+1, seconds(p.At), sum, f.Bytes)
	if err != nil {
		return err
	}
	if n == 0 {
		var stored string
		err := tx.QueryRowContext(ctx, `
			SELECT sha256 FROM file
			WHERE repository = $1 AND role = $2 AND version = $3`, p.Repository, f.Role, f.Version).Scan(&stored)
		if err != nil {
			return err
		}
		if stored != sum {
			return fmt.Errorf("%s version %d is stored with other content: %w", f.Role, f.Version, tuf.ErrConflict)
		}
	}
	n, err = tx.exec(ctx, moveRole, p.Repository, f.Role, f.Version)
	if err == nil && n == 0 {
		return fmt.Errorf("%s version %d is older than the current one, or not above its floor: %w", f.Role, f.Version, tuf.ErrConflict)
	}
	return err
}

// An Entry is one publication in a repository's history.
type Entry struct {
	Generation int64
	By         string // the ID of the token; "" for the server itself
	At         time.Time
	Files      []FileInfo // what it brought, without what was pruned since
}

// A FileInfo names a file without its bytes; File returns them.
type FileInfo struct {
	Role    string
	Version int64
	SHA256  string
}

// History returns up to limit publications of repository after generation
// after, oldest first: who published which versions, and when.
func (db *DB) History(ctx context.Context, repository string, after int64, limit int) ([]Entry, error) {
	if !storable(repository) {
		return nil, nil
	}
	var list []Entry
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var e Entry
		var at int64
		var role, sum sql.NullString
		var version sql.NullInt64
		if err := rows.Scan(&e.Generation, &e.By, &at, &role, &version, &sum); err != nil {
			return err
		}
		if len(list) == 0 || list[len(list)-1].Generation != e.Generation {
			e.At = moment(at)
			list = append(list, e)
		}
		if role.Valid {
			last := &list[len(list)-1]
			last.Files = append(last.Files, FileInfo{role.String, version.Int64, sum.String})
		}
		return nil
	}, `
		SELECT p.generation, p.token, p.published_at, file.role, file.version, file.sha256
		FROM (
			SELECT repository, generation, token, published_at FROM publication
			WHERE repository = $1 AND generation > $2
			ORDER BY generation LIMIT $3
		) AS p
		LEFT JOIN file ON file.repository = p.repository AND file.generation = p.generation
		ORDER BY p.generation, file.role`, repository, after, max(limit, 0))
	if err != nil {
		return nil, db.src.trouble(ctx, "read history of "+repository, err)
	}
	return list, nil
}
