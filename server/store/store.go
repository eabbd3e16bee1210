package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"github.com/signet-trust/signet/tuf"
)

// A DB is an open database. All its methods may be called from several
// goroutines at once.
type DB struct {
	src   *source
	read  *pool
	write *pool // the same as read on Postgres; one single connection on SQLite
}

// A source is a database that can be opened, of either kind.
type source struct {
	name    string // for people, without user and password
	secret  string // the password, to be kept out of every error
	dialect goose.Dialect
	read    driver.Connector
	write   driver.Connector // nil: the same as read
	migrate driver.Connector
	pool    func(read, write *sql.DB)

	// lock waits until no other process migrates this database.
	lock func(context.Context) (unlock func() error, err error)
}

// Options say how to open a database. The zero value is what a server wants.
type Options struct {
	// KeepSchema refuses a database whose schema is not the current one,
	// rather than migrate it.
	KeepSchema bool
}

// Open opens the database at url, and migrates its schema if there is need:
//
//	sqlite:PATH or PATH     one file, created with mode 0600 in a folder that is there
//	postgres://...          as in libpq, with sslmode=verify-full unless it says otherwise
//
// Several processes may open the same database at once; one of them migrates
// it. A schema newer than this program is refused.
func Open(ctx context.Context, url string) (*DB, error) {
	return Options{}.Open(ctx, url)
}

// Open opens the database at url as the options say.
func (o Options) Open(ctx context.Context, url string) (*DB, error) {
	src, err := parse(url)
	if err != nil {
		return nil, err
	}
	db, err := o.open(ctx, src)
	if err != nil {
		// Whoever opens a database is its operator, and needs the driver's words.
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, fmt.Errorf("open database %s: %w (%s)", src.name, err, e.Cause())
		}
		return nil, fmt.Errorf("open database %s: %w", src.name, err)
	}
	return db, nil
}

func parse(url string) (*source, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case url == "":
		return nil, errors.New("no database given, expected sqlite:PATH or a postgres:// URL")
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(url)
	case ok && scheme == "sqlite":
		return parseSQLite(rest)
	case ok && strings.HasPrefix(rest, "//"):
		return nil, fmt.Errorf("database %s://...: expected sqlite:PATH or a postgres:// URL", scheme)
	}
	return parseSQLite(url)
}

func (o Options) open(ctx context.Context, src *source) (*DB, error) {
	if err := migrateSchema(ctx, src, o.KeepSchema); err != nil {
		return nil, err
	}
	db := &DB{src: src, read: newPool(src.read)}
	db.write = db.read
	if src.write != nil {
		db.write = newPool(src.write)
	}
	src.pool(db.read.DB, db.write.DB)
	err := errors.Join(db.read.prepare(ctx, readStatements()), db.write.prepare(ctx, writeStatements()))
	if err != nil {
		return nil, errors.Join(src.trouble(ctx, "prepare statements", err), db.Close())
	}
	return db, nil
}

// Close ends all connections, after what is running.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.read != db.write {
		err = errors.Join(err, db.read.Close())
	}
	if err != nil {
		return db.src.trouble(context.Background(), "close", err)
	}
	return nil
}

// Ping asks the database something small, through its tables.
func (db *DB) Ping(ctx context.Context) error {
	var n int
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM head LIMIT 1) AS one`).Scan(&n)
	if err != nil {
		return db.src.trouble(ctx, "ping", err)
	}
	return nil
}

// A pool is a set of connections with the statements that are prepared on them.
type pool struct {
	*sql.DB
	prepared map[string]*sql.Stmt // by their text
}

func newPool(c driver.Connector) *pool {
	return &pool{DB: sql.OpenDB(c), prepared: make(map[string]*sql.Stmt)}
}

func (p *pool) prepare(ctx context.Context, statements []string) error {
	for _, text := range statements {
		stmt, err := p.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		p.prepared[text] = stmt
	}
	return nil
}

// query runs statement, prepared if it was.
func (p *pool) query(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	if stmt, ok := p.prepared[statement]; ok {
		return stmt.QueryContext(ctx, args...)
	}
	return p.QueryContext(ctx, statement, args...)
}

// rows runs statement and gives every row to scan.
func (p *pool) rows(ctx context.Context, scan func(*sql.Rows) error, statement string, args ...any) error {
	rows, err := p.query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// A tx is a transaction on the writer's connection.
type tx struct {
	*sql.Tx
	pool *pool
}

// exec runs statement, prepared if it was, and tells how many rows it changed.
func (t *tx) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if stmt, ok := t.pool.prepared[statement]; ok {
		res, err = t.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		res, err = t.ExecContext(ctx, statement, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// attempts is how often a transaction is tried that the database itself ends
// because it stands in another's way.
const attempts = 4

// tx runs do in one transaction. Errors of do that are this module's pass
// through; all others are the database's.
func (db *DB) tx(ctx context.Context, op string, do func(*tx) error) error {
	var err error
	for range attempts {
		if err = db.once(ctx, do); !passing(err) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tuf.ErrConflict), errors.Is(err, tuf.ErrNotFound):
		return fmt.Errorf("%s: %w", op, err)
	}
	return db.src.trouble(ctx, op, err)
}

func (db *DB) once(ctx context.Context, do func(*tx) error) error {
	t, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(&tx{Tx: t, pool: db.write}); err != nil {
		return errors.Join(err, ignoreDone(t.Rollback()))
	}
	return t.Commit()
}

// ignoreDone drops the complaint that a transaction has ended by itself, as it
// does when its context or connection ends.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) || errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

// storable tells whether s can be a key at all. What no database can hold is
// not there, and is no reason to call the database broken.
func storable(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// seconds is t as the database keeps it: Unix seconds, 0 for no time at all.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// moment is the inverse of seconds.
func moment(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
