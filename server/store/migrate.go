package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/signet-trust/signet/migrations"
)

// migrateTimeout is how long to wait for another process that migrates.
const migrateTimeout = 5 * time.Minute

// ErrSchema says that the database's schema is not the one that this program
// works with, and that it was left alone.
var ErrSchema = errors.New("wrong schema version")

// migrateSchema brings the schema to the newest version, or with keep only
// demands that it is there. The lock makes others wait, who then find the work
// done; goose by itself would let two processes run the same migration.
func migrateSchema(ctx context.Context, src *source, keep bool) (err error) {
	fail := func(op string, err error) error { return src.trouble(ctx, op, err) }
	waiting, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	unlock, err := src.lock(waiting)
	if err != nil {
		return fail("lock the schema", err)
	}
	defer func() {
		if e := unlock(); e != nil && err == nil {
			err = fail("unlock the schema", e)
		}
	}()

	db := sql.OpenDB(src.migrate)
	defer db.Close()
	provider, err := goose.NewProvider(src.dialect, db, migrations.Files(),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fail("read the migrations", err)
	}
	current, err := schemaVersion(ctx, db)
	newest := provider.ListSources()[len(provider.ListSources())-1].Version
	switch {
	case err != nil:
		return fail("read the schema's version", err)
	case current > newest:
		return fmt.Errorf("%w: the database has %d, made by a newer release, and this program knows up to %d", ErrSchema, current, newest)
	case current == newest:
		return nil
	case keep:
		return fmt.Errorf("%w: the database has %d, this program needs %d; migrate it first", ErrSchema, current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fail(fmt.Sprintf("migrate the schema from version %d to %d", current, newest), err)
	}
	return nil
}

// schemaVersion asks for what goose keeps in its table; 0 if there is no table
// yet. Goose itself would take any error for a missing table, and hide that the
// database is corrupt.
func schemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&version)
	if missingTable(err) {
		return 0, nil
	}
	return version, err
}
