package signer

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/signet-trust/signet/signer/api"
)

const (
	applicationID = 0x5369676e // "Sign": marks the file as a signer's database
	schemaVersion = 1

	// busyTimeout is how long to wait for another process that writes the same
	// file, a backup say. Writers in this process queue for the one connection.
	busyTimeout = 10 * time.Second
	readers     = 4
)

//go:embed schema.sql
var schema string

// A database is the signer's own SQLite file. A commit has reached the disk when
// it returns (WAL, synchronous=FULL).
type database struct {
	read  *sql.DB
	write *sql.DB // one connection, immediate transactions
}

// openDatabase opens the file at path, and creates it if asked to.
func openDatabase(ctx context.Context, path string, create bool) (*database, error) {
	if create {
		unlock, err := lockOpening(ctx, path)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if err := createPrivate(path); err != nil {
			return nil, err
		}
	}
	db := &database{}
	var err error
	if db.write, err = connect(path, url.Values{"_journal_mode": {"WAL"}, "_txlock": {"immediate"}}); err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(1)
	if err := db.prepareSchema(ctx, create); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.write.Close())
	}
	if db.read, err = connect(path, url.Values{"_query_only": {"1"}}); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	return db, nil
}

func connect(path string, extra url.Values) (*sql.DB, error) {
	values := url.Values{
		"mode":          {"rw"}, // createPrivate made it
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"1"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
	}
	for k, v := range extra {
		values[k] = v
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/signer.db
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path}).String() + "?" + values.Encode())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// lockOpening keeps other processes from creating the same database: SQLite's
// change to WAL does not wait for others. An exclusive transaction is held on an
// empty database beside it; it ends with the process, whatever happens.
func lockOpening(ctx context.Context, path string) (unlock func() error, err error) {
	lock := path + "-lock"
	if err := createPrivate(lock); err != nil {
		return nil, err
	}
	db, err := connect(lock, nil)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := conn.ExecContext(ctx, `BEGIN EXCLUSIVE`); err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
		return errors.Join(err, conn.Close(), db.Close())
	}, nil
}

// prepareSchema creates the tables in an empty file, and refuses what is no
// signer's database or a newer one.
func (db *database) prepareSchema(ctx context.Context, create bool) error {
	var version, id, tables int
	for query, to := range map[string]*int{
		`PRAGMA user_version`:                &version,
		`PRAGMA application_id`:              &id,
		`SELECT COUNT(*) FROM sqlite_schema`: &tables,
	} {
		if err := db.write.QueryRowContext(ctx, query).Scan(to); err != nil {
			return fmt.Errorf("open: %w", err)
		}
	}
	switch {
	case tables == 0 && create:
		return db.tx(ctx, "create tables", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion))
			return err
		})
	case id != applicationID:
		return errors.New("not a signer's database")
	case version > schemaVersion:
		return fmt.Errorf("the database has schema %d, and this program knows %d; use the newer one", version, schemaVersion)
	}
	return nil
}

// Close ends all connections, after what is running.
func (db *database) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// tx runs do in one transaction: all of it is on the disk, or none.
func (db *database) tx(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return trouble(what, err)
	}
	defer tx.Rollback() // nothing to do after a commit
	if err := do(tx); err != nil {
		return trouble(what, err)
	}
	return trouble(what, tx.Commit())
}

// snapshotTx runs do over one state of the database, whatever is written
// meanwhile.
func (db *database) snapshotTx(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return trouble(what, err)
	}
	defer tx.Rollback() // it only read
	return trouble(what, do(tx))
}

// trouble says what the database was asked when it failed. An error that is the
// database's own, not a verdict, becomes api.ErrUnavailable: nothing was decided.
func trouble(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*sqlite.Error](err); !ok {
		return err
	}
	return fmt.Errorf("%w: %s: %w", api.ErrUnavailable, what, err)
}
