package signer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/signet-trust/signet/tuf"
)

// DefaultVersionGap is how far a restore moves the marks up. What was signed
// after the backup is not in it, so the numbers that it used are not known; they
// are left out. The gap holds as long as fewer than this many signatures were
// made for any one repository since the backup, and costs nothing but numbers.
const DefaultVersionGap = 1_000_000

// A BackupReport says what a backup holds.
type BackupReport struct {
	File         string `json:"file"`
	Identity     string `json:"identity"` // key ID
	Repositories int    `json:"repositories"`
	LogReport
	KeyIncluded bool `json:"keyEncryptionKeyIncluded"`
}

// Backup writes the signer's database to the new file at path, as of one moment,
// while the signer may go on. The private keys in it are sealed. withKey puts the
// key-encryption key beside them: whoever has that file is the signer. The
// signer's keys are checked to open first, and the log to hold together.
func (s *Service) Backup(ctx context.Context, path string, withKey bool) (*BackupReport, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("back up to %s: %w", path, fs.ErrExist)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return nil, err
	}
	if _, err := s.db.write.ExecContext(ctx, `VACUUM INTO $1`, tmp.Name()); err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	var key []byte
	if withKey {
		if s.config.Wrapper != nil {
			return nil, errors.New("back up: the key-encryption key is not in a file")
		}
		if key, err = readPrivate(s.config.KeyFile); err != nil {
			return nil, fmt.Errorf("back up the key-encryption key: %w", err)
		}
		defer clear(key)
	}
	report, err := s.config.sealBackup(ctx, tmp.Name(), key)
	if err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	report.File = path
	if err := syncFile(tmp.Name()); err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	if err := place(tmp.Name(), path); err != nil {
		return nil, fmt.Errorf("back up to %s: %w", path, err)
	}
	return report, nil
}

// sealBackup marks the copied database as a backup, puts key into it if there is
// one, and reads the copy once as a restore would.
func (c Config) sealBackup(ctx context.Context, path string, key []byte) (*BackupReport, error) {
	db, err := openCopy(ctx, path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	err = db.tx(ctx, "mark the backup", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE backup (made_at INTEGER NOT NULL, key_encryption_key BLOB) STRICT`)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO backup (made_at, key_encryption_key) VALUES ($1, $2)`, c.Now().Unix(), key)
		return err
	})
	if err != nil {
		return nil, err
	}
	report, _, err := db.readBackup(ctx)
	return report, errors.Join(err, db.Close())
}

// openCopy opens a database file that nobody else has, without a journal that
// would stay beside it.
func openCopy(ctx context.Context, path string) (*database, error) {
	db, err := connect(path, map[string][]string{"_journal_mode": {"MEMORY"}, "_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	d := &database{read: db, write: db}
	if err := d.prepareSchema(ctx, false); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

// readBackup checks that a backup is whole, and returns what it holds and its
// key-encryption key, if it has it.
func (db *database) readBackup(ctx context.Context) (*BackupReport, []byte, error) {
	var state string
	if err := db.read.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&state); err != nil || state != "ok" {
		return nil, nil, errors.Join(fmt.Errorf("the database is damaged: %s", state), err)
	}
	log, err := db.verifyLog(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	report := &BackupReport{LogReport: *log}
	var key []byte
	err = db.read.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM repository), key_encryption_key FROM backup`).Scan(&report.Repositories, &key)
	if err != nil {
		return nil, nil, fmt.Errorf("not a signer's backup: %w", err)
	}
	report.KeyIncluded = key != nil
	identity, err := db.keys(ctx, "", roleIdentity)
	if err != nil || len(identity) != 1 {
		return nil, nil, errors.Join(fmt.Errorf("%d identity keys, expected one", len(identity)), err)
	}
	report.Identity = identity[0].public.ID()
	return report, key, nil
}

// Restore makes a signer in c.Dir from the backup at path. It never overwrites:
// where a signer is, it stays, and is the better one. Since the backup cannot
// know what was signed after it, every version mark moves up by gap (0 means
// DefaultVersionGap), and what was signed last is forgotten: Refresh answers
// tuf.ErrNotFound until the server has shown its current state to Sign, and Last has
// what was accepted alone.
// Root and role files that were accepted before the backup still cannot step
// back below it.
//
// The key-encryption key comes from c.KeyFile, where it is there, else from the
// backup.
func Restore(ctx context.Context, c Config, path string, gap int64) (*BackupReport, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if gap == 0 {
		gap = DefaultVersionGap
	}
	if gap < 1 || gap > maxGap {
		return nil, fmt.Errorf("version gap %d: expected 1 to 2^40", gap)
	}
	report, err := c.restore(ctx, path, gap)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", path, err)
	}
	report.File = path
	return report, nil
}

func (c Config) restore(ctx context.Context, path string, gap int64) (*BackupReport, error) {
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	tmp, sum, err := copyPrivate(path, c.Dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	db, err := openCopy(ctx, tmp)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	report, key, err := db.readBackup(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if err := c.refuseToOverwrite(ctx, db); err != nil {
		return nil, err
	}
	if err := c.restoreKey(ctx, db, key); err != nil {
		return nil, err
	}
	if err := db.moveOn(ctx, gap, Entry{Role: logRestore, SHA256: sum, At: c.Now().Unix()}); err != nil {
		return nil, err
	}
	// The key-encryption key was in the file; nothing of it may stay in free pages.
	if _, err := db.write.ExecContext(ctx, `VACUUM`); err != nil {
		return nil, err
	}
	if err := errors.Join(db.Close(), syncFile(tmp), place(tmp, c.database())); err != nil {
		return nil, err
	}
	return report, nil
}

// moveOn makes a backup's database one that can go on: marks up by gap, what was
// signed last forgotten, the restore on record.
func (db *database) moveOn(ctx context.Context, gap int64, entry Entry) error {
	return db.tx(ctx, "move the marks up", func(tx *sql.Tx) error {
		if err := moveMarks(ctx, tx, gap, entry); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DROP TABLE backup`)
		return err
	})
}

// moveMarks moves all marks up by gap and forgets what was signed last.
func moveMarks(ctx context.Context, tx *sql.Tx, gap int64, entry Entry) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE repository SET generation = generation + 1, snapshot_mark = snapshot_mark + $1, timestamp_mark = timestamp_mark + $1`, gap)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM role_file WHERE role IN ('snapshot', 'timestamp')`); err != nil {
		return err
	}
	return logCounted(ctx, tx, entry)
}

// refuseToOverwrite tells whether a signer is in the folder already, and where it
// is ahead of the backup.
func (c Config) refuseToOverwrite(ctx context.Context, backup *database) error {
	if _, err := os.Lstat(c.database()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	there, err := openDatabase(ctx, c.database(), false)
	if err != nil {
		return fmt.Errorf("%s is there already, and cannot be read (%v); move the folder away first: %w", c.database(), err, fs.ErrExist)
	}
	defer there.Close()
	rows, err := there.read.QueryContext(ctx, `SELECT name, snapshot_mark, timestamp_mark FROM repository ORDER BY name`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var snapshot, timestamp int64
		if err := rows.Scan(&name, &snapshot, &timestamp); err != nil {
			return err
		}
		old, err := backup.record(ctx, name)
		if err != nil {
			return err
		}
		if old.snapshotMark < snapshot || old.timestampMark < timestamp {
			return fmt.Errorf("the signer in %s is ahead of the backup: it has signed timestamp version %d of %s, and the backup ends at %d: %w",
				c.Dir, timestamp, name, old.timestampMark, fs.ErrExist)
		}
	}
	return errors.Join(rows.Err(), fmt.Errorf("a signer is in %s already, and the backup has nothing above it: %w", c.Dir, fs.ErrExist))
}

// restoreKey sees to it that the key-encryption key of the backup is in place.
func (c Config) restoreKey(ctx context.Context, db *database, key []byte) error {
	wrapper := c.Wrapper
	if wrapper == nil {
		if _, err := os.Lstat(c.KeyFile); errors.Is(err, fs.ErrNotExist) {
			if key == nil {
				return fmt.Errorf("the backup has no key-encryption key; put the file that belongs to it at %s", c.KeyFile)
			}
			if wrapper, err = parseKeyFile("in the backup", key); err != nil {
				return err
			}
		} else if wrapper, err = readKeyFile(c.KeyFile); err != nil {
			return err
		}
	}
	identity, err := db.keys(ctx, "", roleIdentity)
	if err != nil {
		return err
	}
	if err := identity[0].use(ctx, wrapper, func(tuf.Signer) error { return nil }); err != nil {
		return err
	}
	if _, err := os.Lstat(c.KeyFile); c.Wrapper == nil && errors.Is(err, fs.ErrNotExist) {
		return writeNew(c.KeyFile, key)
	}
	return nil
}

// copyPrivate copies a file into dir, for its owner's eyes only, and returns the
// copy's path and the hex SHA-256 of what it copied.
func copyPrivate(path, dir string) (tmp, sum string, err error) {
	from, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer from.Close()
	to, err := os.CreateTemp(dir, ".restore-*") // mode 0600
	if err != nil {
		return "", "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, hash), from)
	if err := errors.Join(err, to.Close()); err != nil {
		return "", "", errors.Join(err, os.Remove(to.Name()))
	}
	return to.Name(), hex.EncodeToString(hash.Sum(nil)), nil
}

// syncFile has a file's content on the disk.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
