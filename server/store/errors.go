package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/signet-trust/signet/server/api"
)

// ErrUnavailable says that the database could not be asked or could not do what
// it was asked. It says nothing about what is stored.
var ErrUnavailable = api.ErrStoreUnavailable

// An Error is trouble with the database. Its text is for anyone: it says what
// was attempted and, in fixed words, what is wrong. The driver's own words, with
// addresses and user names in them, are in Cause, for the operator's log.
type Error struct {
	Op     string // what was attempted: "publish registry.example/app"
	Reason string // what is wrong: "its disk is full"

	cause  error
	secret string
}

// Error says what was attempted and what is wrong.
func (e *Error) Error() string {
	return e.Op + ": database unavailable: " + e.Reason
}

// Unwrap returns ErrUnavailable and the driver's error.
func (e *Error) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

// Cause returns the driver's words, for the operator's log and never for a
// client. The database's password is not in them.
func (e *Error) Cause() string {
	text := e.cause.Error()
	if e.secret != "" {
		text = strings.ReplaceAll(text, e.secret, "[password]")
	}
	return text
}

// trouble makes of a driver's error one that a client may see. A caller that
// gave up gets its own context's error: drivers report that in their own words.
func (s *source) trouble(ctx context.Context, op string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return &Error{Op: op, Reason: reason(err), cause: err, secret: s.secret}
}

// reason says in fixed words what err means to whoever runs the database.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return sqliteReason(e.Code())
	}
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return postgresReason(e.SQLState())
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fileReason(err)
	}
	_, unknownCA := errors.AsType[x509.UnknownAuthorityError](err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case unknownCA, badCertificate, otherName:
		return "its certificate is not trusted"
	case errors.Is(err, pq.ErrSSLNotSupported):
		return "it does not offer TLS"
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE): // how a peer hangs up who has not read everything
		return "the connection to it was lost"
	case network:
		return "it cannot be reached"
	}
	return "it failed"
}

// fileReason is for the file of SQLite, before SQLite itself opens it.
func fileReason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "its folder is not there"
	case errors.Is(err, syscall.EROFS):
		return "its file or folder is read-only"
	case errors.Is(err, syscall.ENOSPC):
		return "its disk is full"
	}
	return "its file cannot be opened"
}

func sqliteReason(code int) string {
	switch code & 0xff { // the primary code; higher bits tell which of its kinds
	case sqlite3.SQLITE_FULL:
		return "its disk is full"
	case sqlite3.SQLITE_READONLY:
		return "its file or folder is read-only"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "its file cannot be opened"
	case sqlite3.SQLITE_NOTADB:
		return "its file is not an SQLite database"
	case sqlite3.SQLITE_CORRUPT:
		return "its file is corrupt"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process keeps it locked"
	case sqlite3.SQLITE_IOERR:
		return "its disk fails"
	case sqlite3.SQLITE_NOMEM:
		return "it is out of memory"
	}
	return "it refused the statement"
}

func postgresReason(state string) string {
	switch state {
	case "53100":
		return "its disk is full"
	case "53300":
		return "it has no connection left"
	case "57P01", "57P02", "57P03":
		return "it is stopping or starting"
	case "25006":
		return "it is read-only, a standby perhaps"
	case "3D000":
		return "it has no database of that name"
	case "42501":
		return "its user may not do that"
	case "42P01", "3F000":
		return "its tables are missing"
	case "57014":
		return "it did not answer in time"
	case "XX001", "XX002":
		return "its files are corrupt"
	}
	switch state[:min(2, len(state))] {
	case "08":
		return "the connection to it was lost"
	case "28":
		return "it refuses the user or password"
	case "40", "55":
		return "too many ask it at once"
	case "53":
		return "it is short of memory or disk"
	case "58":
		return "its disk fails"
	}
	return "it refused the statement"
}

// passing tells whether err went away with its transaction, which the same
// statements may therefore run again: a deadlock or a serialization failure.
func passing(err error) bool {
	e, ok := errors.AsType[*pq.Error](err)
	return ok && (e.SQLState() == "40P01" || e.SQLState() == "40001")
}

// missingTable tells whether err is that of a statement on a table that is not
// there. SQLite has no code of its own for it.
func missingTable(err error) bool {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return e.SQLState() == "42P01"
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_ERROR && strings.Contains(e.Error(), "no such table")
}
