package signer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/signet-trust/signet/tuf"
)

// Roles of log entries that are no role's file.
const (
	logKey      = "key:"      // with the role: a key was made; SHA256 is its ID, Version its number
	logDropped  = "dropped:"  // with the role: a key that was never used was dropped; else as logKey
	logReplaced = "replaced:" // with the role: a key that no root lists any more was deleted; else as logKey
	logRetire   = "retire"    // a repository was retired; SHA256 is that of its floors, Version its number
	logRaise    = "raise"     // its marks were raised above what clients have seen; else as logRetire
	logForget   = "forget"    // a repository was forgotten; SHA256 is that of its root, Version its number
	logRestore  = "restore"   // the signer was restored; SHA256 is that of the backup, Version its number
)

// logStart is what the first entry names as the one before.
const logStart = "0000000000000000000000000000000000000000000000000000000000000000"

// An Entry is one line of the signer's log: one thing that it signed.
type Entry struct {
	Seq        int64  // 1 for the first
	At         int64  // Unix seconds
	Repository string // "" for what belongs to none
	Role       string
	Version    int64
	SHA256     string // of the file, hex
	Previous   string // Hash of the entry before
	Hash       string // see Chain
}

// Chain returns the hash that the entry must have: the hex SHA-256 of these lines,
// each ended by a line feed: "signet-signer-log", Previous, Seq, At, Repository,
// Role, Version, SHA256.
func (e Entry) Chain() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "signet-signer-log\n%s\n%d\n%d\n%s\n%s\n%d\n%s\n",
		e.Previous, e.Seq, e.At, e.Repository, e.Role, e.Version, e.SHA256))
	return hex.EncodeToString(sum[:])
}

// A logHead is where the log ends.
type logHead struct {
	seq  int64
	hash string
}

func readLogHead(ctx context.Context, tx *sql.Tx) (logHead, error) {
	head := logHead{hash: logStart}
	err := tx.QueryRowContext(ctx, `SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1`).Scan(&head.seq, &head.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return logHead{}, err
	}
	return head, nil
}

// appendLog adds an entry. The table itself refuses a second one for the same
// version of a role.
func appendLog(ctx context.Context, tx *sql.Tx, e Entry) (logHead, error) {
	head, err := readLogHead(ctx, tx)
	if err != nil {
		return logHead{}, err
	}
	e.Seq, e.Previous = head.seq+1, head.hash
	e.Hash = e.Chain()
	_, err = tx.ExecContext(ctx, `
		INSERT INTO log (seq, at, repository, role, version, sha256, previous, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		e.Seq, e.At, e.Repository, e.Role, e.Version, e.SHA256, e.Previous, e.Hash)
	return logHead{e.Seq, e.Hash}, err
}

// A LogReport is what a log that holds together says.
type LogReport struct {
	Entries int64  `json:"entries"`
	Hash    string `json:"hash"` // of the last entry; what a witness elsewhere compares
}

// A LogError says where the log does not hold together.
type LogError struct {
	Seq    int64
	Detail string
}

// Error names the entry.
func (e *LogError) Error() string { return fmt.Sprintf("log entry %d: %s", e.Seq, e.Detail) }

// verifyLog walks the whole log: each entry has the next number, names the hash
// of the one before and has its own; and what was signed last is in it, no mark
// below it. seen, where not nil, gets every entry.
func (db *database) verifyLog(ctx context.Context, seen func(Entry)) (*LogReport, error) {
	head := logHead{hash: logStart}
	type name struct{ repository, role string }
	last := map[name]Entry{}
	err := db.snapshotTx(ctx, "read the log", func(tx *sql.Tx) error {
		err := eachEntry(ctx, tx, func(e Entry) error {
			switch {
			case e.Seq != head.seq+1:
				return &LogError{head.seq + 1, fmt.Sprintf("it is missing; number %d comes next", e.Seq)}
			case e.Previous != head.hash:
				return &LogError{e.Seq, "it does not follow from the entry before"}
			case e.Hash != e.Chain():
				return &LogError{e.Seq, "it was changed: its hash is another"}
			}
			if before := last[name{e.Repository, e.Role}]; before.Version >= e.Version {
				return &LogError{e.Seq, fmt.Sprintf("%s version %d of %s comes after version %d", e.Role, e.Version, e.Repository, before.Version)}
			}
			head = logHead{e.Seq, e.Hash}
			last[name{e.Repository, e.Role}] = e
			if seen != nil {
				seen(e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for at, e := range last {
			if at.role != tuf.RoleSnapshot && at.role != tuf.RoleTimestamp {
				continue
			}
			if err := checkAgainstLog(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &LogReport{Entries: head.seq, Hash: head.hash}, nil
}

func eachEntry(ctx context.Context, tx *sql.Tx, do func(Entry) error) error {
	rows, err := tx.QueryContext(ctx, `SELECT seq, at, repository, role, version, sha256, previous, hash FROM log ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		if err := rows.Scan(&e.Seq, &e.At, &e.Repository, &e.Role, &e.Version, &e.SHA256, &e.Previous, &e.Hash); err != nil {
			return err
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// checkAgainstLog compares the marks and the last file of a role with e, its
// last entry.
func checkAgainstLog(ctx context.Context, tx *sql.Tx, e Entry) error {
	var snapshot, timestamp int64
	err := tx.QueryRowContext(ctx, `SELECT snapshot_mark, timestamp_mark FROM repository WHERE name = $1`, e.Repository).Scan(&snapshot, &timestamp)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	mark := snapshot
	if e.Role == tuf.RoleTimestamp {
		mark = timestamp
	}
	if mark < e.Version {
		return &LogError{e.Seq, fmt.Sprintf("%s version %d of %s was signed, but the signer's mark is %d", e.Role, e.Version, e.Repository, mark)}
	}
	var sha string
	err = tx.QueryRowContext(ctx, `SELECT sha256 FROM role_file WHERE repository = $1 AND role = $2`, e.Repository, e.Role).Scan(&sha)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // Restore and Forget drop what was signed last, and keep the marks
	}
	if err == nil && sha != e.SHA256 {
		return &LogError{e.Seq, fmt.Sprintf("%s version %d of %s is not what is kept as signed last", e.Role, e.Version, e.Repository)}
	}
	return err
}
