package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// Reads of one version, and of the newest (the timestamp: the read that every
// client makes every time).
const (
	selectFile = `
		SELECT version, bytes FROM file
		WHERE repository = $1 AND role = $2 AND version = $3`
	selectNewest = `
		SELECT version, bytes FROM file
		WHERE repository = $1 AND role = $2
		ORDER BY version DESC LIMIT 1`
	// One statement, so that generation and files belong together without a
	// transaction of their own.
	selectHead = `
		SELECT head.generation, file.role, file.version, file.bytes
		FROM head
		JOIN head_file ON head_file.repository = head.repository
		JOIN file ON file.repository = head_file.repository
			AND file.role = head_file.role AND file.version = head_file.version
		WHERE head.repository = $1`
	// The same without the bytes, which are large, and were hashed when they came.
	selectFiles = `
		SELECT head.generation, file.role, file.version, LENGTH(file.bytes), file.sha256
		FROM head
		JOIN head_file ON head_file.repository = head.repository
		JOIN file ON file.repository = head_file.repository
			AND file.role = head_file.role AND file.version = head_file.version
		WHERE head.repository = $1`
)

func readStatements() []string {
	return []string{selectFile, selectNewest, selectHead, selectFiles, selectFloors, selectToken}
}

// A Head is the current state of a repository: what its timestamp, and through
// it its snapshot, lists.
type Head struct {
	Generation int64 // how many publishes there were; what the next one builds on
	State      tuf.State
	Floors     map[string]int64 // versions that the next file of a role has to be above, where they are above State's
	Retired    int64            // always 0 here: Head does not find what was retired
}

// Head returns the current state of repository, or tuf.ErrNotFound, also for one that
// was retired: Floors tells.
func (db *DB) Head(ctx context.Context, repository string) (*Head, error) {
	head := &Head{State: tuf.State{Roles: make(map[string]tuf.File)}}
	if storable(repository) {
		err := db.read.rows(ctx, func(rows *sql.Rows) error {
			var f tuf.File
			if err := rows.Scan(&head.Generation, &f.Role, &f.Version, &f.Bytes); err != nil {
				return err
			}
			switch f.Role {
			case tuf.RoleRoot:
				head.State.Root = f
			case tuf.RoleSnapshot:
				head.State.Snapshot = f
			case tuf.RoleTimestamp:
				head.State.Timestamp = f
			default:
				head.State.Roles[f.Role] = f
			}
			return nil
		}, selectHead, repository)
		if err != nil {
			return nil, db.src.trouble(ctx, "read head of "+repository, err)
		}
	}
	if head.Generation == 0 {
		return nil, fmt.Errorf("repository %q: %w", repository, tuf.ErrNotFound)
	}
	var err error
	if head.Floors, err = db.floors(ctx, repository); err != nil {
		return nil, db.src.trouble(ctx, "read version floors of "+repository, err)
	}
	return head, nil
}

// Files names the current files of repository, root first, then targets and
// signers' by name, then snapshot and timestamp. It returns tuf.ErrNotFound if
// there is no such repository.
func (db *DB) Files(ctx context.Context, repository string) (generation int64, files []api.FileInfo, err error) {
	if storable(repository) {
		err := db.read.rows(ctx, func(rows *sql.Rows) error {
			var f api.FileInfo
			if err := rows.Scan(&generation, &f.Role, &f.Version, &f.Length, &f.SHA256); err != nil {
				return err
			}
			f.Name = tuf.FileName(f.Role, f.Version)
			files = append(files, f)
			return nil
		}, selectFiles, repository)
		if err != nil {
			return 0, nil, db.src.trouble(ctx, "read files of "+repository, err)
		}
	}
	if generation == 0 {
		return 0, nil, fmt.Errorf("repository %q: %w", repository, tuf.ErrNotFound)
	}
	rank := map[string]int{tuf.RoleRoot: -1, tuf.RoleSnapshot: 1, tuf.RoleTimestamp: 2}
	slices.SortFunc(files, func(a, b api.FileInfo) int {
		if d := rank[a.Role] - rank[b.Role]; d != 0 {
			return d
		}
		return strings.Compare(a.Role, b.Role)
	})
	return generation, files, nil
}

// File returns one file of repository, or tuf.ErrNotFound. Version 0 asks for
// the newest of that role.
func (db *DB) File(ctx context.Context, repository, role string, version int64) (tuf.File, error) {
	f := tuf.File{Role: role}
	if storable(repository) && storable(role) {
		statement, args := selectFile, []any{repository, role, version}
		if version == 0 {
			statement, args = selectNewest, args[:2]
		}
		err := db.read.rows(ctx, func(rows *sql.Rows) error {
			return rows.Scan(&f.Version, &f.Bytes)
		}, statement, args...)
		if err != nil {
			return tuf.File{}, db.src.trouble(ctx, "read "+role+" of "+repository, err)
		}
	}
	if f.Version == 0 {
		return tuf.File{}, fmt.Errorf("repository %q: %q: %w", repository, tuf.FileName(role, version), tuf.ErrNotFound)
	}
	return f, nil
}

// Roots returns every root of repository from version from on, in order: none
// if there is no such repository or no such version yet.
func (db *DB) Roots(ctx context.Context, repository string, from int64) ([]tuf.File, error) {
	if !storable(repository) {
		return nil, nil
	}
	var roots []tuf.File
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		f := tuf.File{Role: tuf.RoleRoot}
		if err := rows.Scan(&f.Version, &f.Bytes); err != nil {
			return err
		}
		roots = append(roots, f)
		return nil
	}, `
		SELECT version, bytes FROM file
		WHERE repository = $1 AND role = $2 AND version >= $3
		ORDER BY version`, repository, tuf.RoleRoot, from)
	if err != nil {
		return nil, db.src.trouble(ctx, "read roots of "+repository, err)
	}
	return roots, nil
}

// A Summary is a line of the list of repositories.
type Summary struct {
	Repository string
	Generation int64
	Created    time.Time
	Updated    time.Time // the last publish or refresh
	RefreshAt  time.Time // when the next refresh is due
}

// Repositories lists up to limit repositories whose names follow after, which
// is "" at first and then the last name of the page before, without those that were
// retired. The order is the database's.
func (db *DB) Repositories(ctx context.Context, after string, limit int) ([]Summary, error) {
	if after != "" && !storable(after) {
		return nil, nil
	}
	var list []Summary
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var s Summary
		var created, updated, refresh int64
		if err := rows.Scan(&s.Repository, &s.Generation, &created, &updated, &refresh); err != nil {
			return err
		}
		s.Created, s.Updated, s.RefreshAt = moment(created), moment(updated), moment(refresh)
		list = append(list, s)
		return nil
	}, `
		SELECT repository, generation, created_at, updated_at, refresh_at FROM head
		WHERE repository > $1 AND retired_at = 0
		ORDER BY repository LIMIT $2`, after, max(limit, 0))
	if err != nil {
		return nil, db.src.trouble(ctx, "list repositories", err)
	}
	return list, nil
}
