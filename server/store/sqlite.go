package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

const (
	// busyTimeout is how long to wait for another process that writes the
	// same file. Writers in this process queue for the one connection.
	busyTimeout = 10 * time.Second

	sqliteReaders = 8

	// journalLimit lets the write-ahead log shrink again after large files.
	journalLimit = "journal_size_limit(67108864)"
)

// parseSQLite describes the database in the file at path. Readers run beside
// the one writer (WAL), and a commit has reached the disk when it returns
// (synchronous=FULL).
func parseSQLite(path string) (*source, error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("database sqlite:%q: expected the path of a file", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	src := &source{name: path, dialect: goose.DialectSQLite3}
	writer := url.Values{"_journal_mode": {"WAL"}, "_txlock": {"immediate"}, "_pragma": {journalLimit}}
	reader := url.Values{"_query_only": {"1"}}
	for _, c := range []struct {
		to     *driver.Connector
		values url.Values
	}{{&src.read, reader}, {&src.write, writer}, {&src.migrate, writer}} {
		if *c.to, err = sqliteConnector(path, c.values); err != nil {
			return nil, fmt.Errorf("database %s: %w", path, err)
		}
	}
	src.pool = func(read, write *sql.DB) {
		read.SetMaxOpenConns(sqliteReaders)
		read.SetMaxIdleConns(sqliteReaders)
		write.SetMaxOpenConns(1)
	}
	src.lock = func(ctx context.Context) (func() error, error) { return lockSQLite(ctx, path) }
	return src, nil
}

func sqliteConnector(path string, extra url.Values) (driver.Connector, error) {
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
	return sqlite.NewConnector(fileURI(path) + "?" + values.Encode())
}

// fileURI is the absolute path as SQLite's URI, in which a '?' or '%' of the
// path itself means nothing.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/signet.db
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// lockSQLite keeps other processes from migrating, or first opening, the
// database at path: SQLite has no lock that outlives a transaction, and its
// change to WAL does not wait for others. So an exclusive transaction is held
// on an empty database beside it; it ends with the process, whatever happens.
func lockSQLite(ctx context.Context, path string) (func() error, error) {
	lock := path + "-lock"
	for _, file := range []string{path, lock} {
		if err := createPrivate(file); err != nil {
			return nil, err
		}
	}
	// No settings here but how long to wait: others would wait for the lock as
	// the connection opens, where no context ends it.
	connector, err := sqlite.NewConnector(fileURI(lock) + fmt.Sprintf("?mode=rw&_busy_timeout=%d", migrateTimeout.Milliseconds()))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
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

// createPrivate creates an empty file that only its owner may read, or takes
// others' rights away from one that is there. It never opens a file that is
// there: closing it again would drop SQLite's locks of this whole process.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(path, info.Mode().Perm()&0o700)
	}
	return nil
}
