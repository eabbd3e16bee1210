package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
)

const (
	postgresConns   = 16
	connectTimeout  = 5 * time.Second
	idleTransaction = "30s"

	// migrationLock is the advisory lock under which a server migrates:
	// "signet" in ASCII.
	migrationLock = 0x7369676e6574
)

// parsePostgres describes the database at a postgres:// URL. Its errors never
// quote the URL, which may hold a password.
func parsePostgres(text string) (*source, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("database postgres://...: not a URL (special characters in a password are written %XX)")
	}
	config, err := pq.NewConfig(text)
	if err != nil {
		return nil, fmt.Errorf("database postgres://...: %s", scrub(err.Error(), u))
	}
	switch {
	case onSocket(config):
		config.SSLMode = pq.SSLModeDisable
	case !u.Query().Has("sslmode"):
		config.SSLMode = pq.SSLModeVerifyFull
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.ApplicationName == "" {
		config.ApplicationName = "signet-server"
	}
	migrate, err := pq.NewConnectorConfig(config.Clone())
	if err != nil {
		return nil, fmt.Errorf("database postgres://...: %s", scrub(err.Error(), u))
	}
	// A server that vanishes in the middle of a publish must not keep the
	// repository's row locked until TCP gives up, in hours.
	if config.Runtime == nil {
		config.Runtime = make(map[string]string)
	}
	if _, ok := config.Runtime["idle_in_transaction_session_timeout"]; !ok {
		config.Runtime["idle_in_transaction_session_timeout"] = idleTransaction
	}
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, fmt.Errorf("database postgres://...: %s", scrub(err.Error(), u))
	}
	host := config.Host
	if !onSocket(config) {
		host = net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	}
	return &source{
		name:    "postgres://" + host + "/" + config.Database,
		secret:  config.Password,
		dialect: goose.DialectPostgres,
		read:    connector,
		migrate: migrate,
		pool: func(db, _ *sql.DB) {
			db.SetMaxOpenConns(postgresConns)
			db.SetMaxIdleConns(postgresConns)
			db.SetConnMaxIdleTime(5 * time.Minute)
			db.SetConnMaxLifetime(time.Hour)
		},
		lock: func(ctx context.Context) (func() error, error) { return lockPostgres(ctx, migrate) },
	}, nil
}

// onSocket tells whether config reaches Postgres over a Unix socket, where
// there is no TLS, nor need for it.
func onSocket(config pq.Config) bool {
	return !config.Hostaddr.IsValid() && len(config.Multi) == 0 &&
		(filepath.IsAbs(config.Host) || strings.HasPrefix(config.Host, "@"))
}

// scrub takes the URL's own password out of text, in both its forms.
func scrub(text string, u *url.URL) string {
	password, ok := u.User.Password()
	if !ok || password == "" {
		return text
	}
	return strings.NewReplacer(password, "[password]", url.QueryEscape(password), "[password]",
		url.PathEscape(password), "[password]").Replace(text)
}

// lockPostgres waits for the advisory lock. It is this session's, so it is
// free again when the session ends, whatever happens.
func lockPostgres(ctx context.Context, connector *pq.Connector) (func() error, error) {
	db := sql.OpenDB(connector)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	return func() error { return errors.Join(conn.Close(), db.Close()) }, nil
}
