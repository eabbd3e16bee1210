package signer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// A known is what the signer remembers of one role's file.
type known struct {
	version int64
	sha256  string
}

// A record is what the signer remembers of one repository. The zero record is
// that of a repository it never signed for; of one that was forgotten, the marks
// are there.
type record struct {
	generation    int64
	snapshotMark  int64 // versions above are free
	timestampMark int64
	root          []byte           // newest accepted
	roles         map[string]known // all, also root, snapshot and timestamp
	floors        map[string]int64 // versions that the next file of a role has to be above, whatever is known of it
	snapshot      []byte           // last signed; nil when none was, or it was forgotten
}

// record reads what is known of repository.
func (db *database) record(ctx context.Context, repository string) (*record, error) {
	r := &record{roles: map[string]known{}, floors: map[string]int64{}}
	err := db.snapshotTx(ctx, "read marks of "+repository, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT generation, snapshot_mark, timestamp_mark FROM repository WHERE name = $1`, repository).
			Scan(&r.generation, &r.snapshotMark, &r.timestampMark)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		// Only root's and snapshot's bytes are needed; targets can be large.
		rows, err := tx.QueryContext(ctx, `
			SELECT role, version, sha256, CASE WHEN role IN ('root', 'snapshot') THEN bytes END
			FROM role_file WHERE repository = $1`, repository)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var role string
			var k known
			var bytes []byte
			if err := rows.Scan(&role, &k.version, &k.sha256, &bytes); err != nil {
				return err
			}
			if name, ok := strings.CutPrefix(role, floorRole); ok {
				r.floors[name] = k.version
				continue
			}
			r.roles[role] = k
			switch role {
			case tuf.RoleRoot:
				r.root = bytes
			case tuf.RoleSnapshot:
				r.snapshot = bytes
			}
		}
		return rows.Err()
	})
	return r, err
}

// last reads all that was signed last for repository.
func (db *database) last(ctx context.Context, repository string) (*api.Last, error) {
	last := &api.Last{}
	err := db.snapshotTx(ctx, "read last of "+repository, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT role, version, bytes FROM role_file WHERE repository = $1 AND role NOT LIKE 'floor:%'`, repository)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var f tuf.File
			if err := rows.Scan(&f.Role, &f.Version, &f.Bytes); err != nil {
				return err
			}
			switch f.Role {
			case tuf.RoleRoot:
				last.Root = f.Bytes
			case tuf.RoleSnapshot:
				last.Snapshot = f
			case tuf.RoleTimestamp:
				last.Timestamp = f
			default:
				last.Roles = append(last.Roles, f)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	if last.Root == nil {
		return nil, fmt.Errorf("the signer has signed nothing for %s yet: %w", repository, tuf.ErrNotFound)
	}
	if last.Snapshot.Bytes == nil || last.Timestamp.Bytes == nil {
		last.Signed = api.Signed{}
	}
	slices.SortFunc(last.Roles, func(a, b tuf.File) int { return strings.Compare(a.Role, b.Role) })
	return last, nil
}

// A commit is one signature for one repository, to be made durable.
type commit struct {
	repository string
	base       *record    // what it was built on
	changed    []tuf.File // accepted files that are new: root, targets, signers'
	signed     api.Signed
	fresh      bool // the snapshot is new, too
	at         int64
}

// commit makes c durable, or nothing of it. It returns tuf.ErrConflict when
// another process that uses the same database signed in between. The generation
// moves in one conditional UPDATE, so this does not hang on any lock.
func (db *database) commit(ctx context.Context, c commit) (head logHead, err error) {
	files, entries := c.changed, []tuf.File{c.signed.Timestamp}
	if c.fresh {
		entries = []tuf.File{c.signed.Snapshot, c.signed.Timestamp}
	}
	err = db.tx(ctx, "commit what was signed for "+c.repository, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO repository (name, generation, snapshot_mark, timestamp_mark, updated_at)
			VALUES ($1, 0, 0, 0, 0) ON CONFLICT DO NOTHING`, c.repository); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			UPDATE repository SET generation = generation + 1, snapshot_mark = $1, timestamp_mark = $2, updated_at = $3
			WHERE name = $4 AND generation = $5`,
			max(c.base.snapshotMark, c.signed.Snapshot.Version), c.signed.Timestamp.Version, c.at, c.repository, c.base.generation)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("another process signed for %s in between: %w", c.repository, tuf.ErrConflict))
		}
		for _, f := range slices.Concat(files, entries) {
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO role_file (repository, role, version, sha256, bytes) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, bytes = excluded.bytes`,
				c.repository, f.Role, f.Version, f.SHA256(), f.Bytes); err != nil {
				return err
			}
		}
		lines, err := c.replaced(ctx, tx)
		if err != nil {
			return err
		}
		for _, f := range entries {
			lines = append(lines, Entry{Repository: c.repository, Role: f.Role, Version: f.Version, SHA256: f.SHA256()})
		}
		for _, line := range lines {
			line.At = c.at
			if head, err = appendLog(ctx, tx, line); err != nil {
				return err
			}
		}
		return nil
	})
	return head, err
}

// replaced deletes the keys that a new root took out of use.
func (c commit) replaced(ctx context.Context, tx *sql.Tx) ([]Entry, error) {
	for _, f := range c.changed {
		if f.Role == tuf.RoleRoot {
			root, err := tuf.ReadRoot(f.Bytes)
			if err != nil {
				return nil, err
			}
			return dropReplaced(ctx, tx, c.repository, root)
		}
	}
	return nil, nil
}

// keys returns the keys of one repository and role, the newest first.
func (db *database) keys(ctx context.Context, repository, role string) ([]*storedKey, error) {
	var keys []*storedKey
	what := fmt.Sprintf("read keys of %q", repository)
	rows, err := db.read.QueryContext(ctx, `
		SELECT public, sealed, created_at FROM signing_key
		WHERE repository = $1 AND role = $2 ORDER BY number DESC`, repository, role)
	if err != nil {
		return nil, trouble(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		k := &storedKey{repository: repository, role: role}
		var public string
		if err := rows.Scan(&public, &k.sealed, &k.createdAt); err != nil {
			return nil, trouble(what, err)
		}
		if k.public, err = tuf.ReadKey([]byte(public)); err != nil {
			return nil, fmt.Errorf("stored key of %q: %w", repository, err)
		}
		keys = append(keys, k)
	}
	return keys, trouble(what, rows.Err())
}

// addKey stores a new key, beside the want keys that are there. It returns
// tuf.ErrConflict when there is another number of them. Where maxRepositories have
// keys, those that nobody needed for unusedLife make room.
func (db *database) addKey(ctx context.Context, k *storedKey, want, maxRepositories int) error {
	public, err := k.public.MarshalJSON()
	if err != nil {
		return err
	}
	return db.tx(ctx, "store key", func(tx *sql.Tx) error {
		var there, repositories int
		var number int64 // goes on where keys were dropped
		err := tx.QueryRowContext(ctx, `
			SELECT (SELECT COUNT(*) FROM signing_key WHERE repository = $1 AND role = $2),
			       (SELECT COUNT(DISTINCT repository) FROM signing_key WHERE role = $2),
			       (SELECT COALESCE(MAX(version), 0) + 1 FROM log WHERE repository = $1 AND role = $3)`,
			k.repository, k.role, logKey+k.role).Scan(&there, &repositories, &number)
		if err != nil {
			return err
		}
		if there != want {
			return fmt.Errorf("another process made a key for %s of %q: %w", k.role, k.repository, tuf.ErrConflict)
		}
		if there == 0 && repositories >= maxRepositories {
			dropped, err := dropUnused(ctx, tx, k)
			if err != nil {
				return err
			}
			if !dropped {
				return &tuf.Refusal{Repository: k.repository, Rule: tuf.RuleLimit, Clause: "Signet limits",
					Detail: fmt.Sprintf("the signer holds keys of %d repositories, which is all it may", repositories)}
			}
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO signing_key (repository, role, number, public, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			k.repository, k.role, number, string(public), k.sealed, k.createdAt); err != nil {
			return err
		}
		_, err = appendLog(ctx, tx, Entry{Repository: k.repository, Role: logKey + k.role, Version: number,
			SHA256: k.public.ID(), At: k.createdAt})
		return err
	})
}
