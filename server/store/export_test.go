package store

import (
	"context"
	"database/sql"
)

// ClaimStatement is what ClaimRefresh runs.
const ClaimStatement = claimRefresh

// Reader returns the connections that db reads with.
func Reader(db *DB) *sql.DB { return db.read.DB }

// Writer returns the connections that db writes with.
func Writer(db *DB) *sql.DB { return db.write.DB }

// Lock keeps others from migrating the database at url, as a server does that
// migrates it.
func Lock(ctx context.Context, url string) (unlock func() error, err error) {
	src, err := parse(url)
	if err != nil {
		return nil, err
	}
	return src.lock(ctx)
}
