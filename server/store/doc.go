// Package store keeps what was published: the exact bytes of every metadata
// file, which of them are current, who published them, and who may.
//
// It promises:
//
//   - A publish is there whole or not at all, and once Publish has returned it
//     survives a crash.
//   - Of two publishes that build on the same generation, one wins and the other
//     is told tuf.ErrConflict. One conditional UPDATE decides, not a read and a
//     later write, so this does not hang on the isolation level, which differs
//     between Postgres and SQLite.
//   - A version of a role has one content for ever, and no role steps back.
//   - Root, targets and signers' files are kept for ever: the chain of roots is
//     what clients walk, and the rest is evidence of who published what. Only
//     old snapshots and timestamps are ever pruned.
//
// It checks no signatures: that is the caller's, with package tuf, before
// Publish. Whoever can write to it can stop updates, but cannot make a client
// accept anything unsigned, or older than what it has seen. Who can read it
// learns nothing that the server does not publish, but the names of tokens and
// hashes of random secrets.
//
// The database is Postgres or, by default, SQLite in one file: the same schema
// (package migrations), the same statements, and the same suite (storetest)
// that both pass. Several servers may share one Postgres: no state is kept in
// memory, and refresh work is leased.
//
//	db, err := store.Open(ctx, "sqlite:signet.db")
//	head, err := db.Head(ctx, repository)
//	generation, err := db.Publish(ctx, store.Publication{
//		Repository: repository, Base: head.Generation, Files: files, By: token.ID, At: now, RefreshAt: soon,
//		TimestampExpires: tomorrow, RootExpires: nextYear,
//	})
//
// An error is tuf.ErrNotFound, tuf.ErrConflict, the context's, or an *Error,
// which is ErrUnavailable and whose text names no address, user or password.
package store
