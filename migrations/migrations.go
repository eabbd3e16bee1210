// Package migrations holds the store's schema as goose migrations,
// NNNN_name.sql. One schema fits Postgres and SQLite: TEXT, BIGINT and BYTEA,
// times as Unix seconds, metadata as the exact bytes (never JSONB, which
// rewrites them).
//
// A migration that was released is never edited: the next one mends it. Servers
// of the version before still run while a migration is applied, so it may add,
// and may take away only what the version before no longer used.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed *.sql
var files embed.FS

// Files returns the migrations, one file each, at the top of the file system.
func Files() fs.FS { return files }
