package store

import "database/sql"

// Reader and Writer are the connections of db, for tests that look beneath it.
func Reader(db *DB) *sql.DB { return db.read.DB }

// Writer see Reader.
func Writer(db *DB) *sql.DB { return db.write.DB }
