package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/server/store"
)

// Files in the data folder, beside the database (signet.db) and the signer's
// folder (signer).
const (
	caFile         = "ca.pem"      // to be given to clients
	caKeyFile      = "ca-key.pem"  // makes new certificates
	certFile       = "cert.pem"    // renewed before it expires
	certKeyFile    = "key.pem"     //
	adminTokenFile = "admin-token" // made once
	signerFolder   = "signer"
)

// needData makes the data folder, for its owner only, where anything is to be
// kept in it.
func (o *options) needData() error {
	if !o.ownDatabase() && o.signer != "" && o.tlsCert != "" {
		return nil
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return program.AdviseFolder(fmt.Errorf("--data: data folder: %w", err), "--data")
	}
	info, err := os.Stat(o.data)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("data folder %s has mode %04o; private keys are in it, so it must be its owner's alone: chmod 700 %s",
			o.data, info.Mode().Perm(), o.data)
	}
	return nil
}

// openStore opens the database.
func openStore(ctx context.Context, o *options) (*store.DB, error) {
	if o.ownDatabase() {
		if err := o.needData(); err != nil {
			return nil, err
		}
	}
	url, err := o.databaseURL()
	if err != nil {
		return nil, err
	}
	db, err := store.Options{KeepSchema: o.keepSchema}.Open(ctx, url)
	if o.ownDatabase() {
		return db, program.AdviseFolder(err, "--data")
	}
	return db, program.Advise(err, "look at --database or --database-file, and whether the database answers from here")
}

// openExisting opens the database for a command that changes one. In a folder
// without the embedded database it does not make one: a token for it would work
// nowhere, and nobody would see why.
func openExisting(ctx context.Context, o *options) (*store.DB, error) {
	if o.ownDatabase() {
		if _, err := os.Stat(o.data); err == nil {
			if err := o.needData(); err != nil {
				return nil, err
			}
		}
		if _, err := os.Stat(filepath.Join(o.data, "signet.db")); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no database in %s: start signet-server there first, or say --data or --database", o.data)
		}
	}
	return openStore(ctx, o)
}

// adminToken makes the first token of a new database in the data folder, and
// returns its file, "" when there is none. The file comes first: a start that died
// in between goes on with it. Once the database has tokens, none is made again,
// so that a file which was removed on purpose stays away.
func (o *options) adminToken(ctx context.Context, db *store.DB, now time.Time) (string, error) {
	if !o.ownDatabase() {
		return "", nil
	}
	path := filepath.Join(o.data, adminTokenFile)
	tokens, err := db.Tokens(ctx)
	if err != nil {
		return "", err
	}
	if len(tokens) > 0 {
		if !exists(path) {
			return "", nil
		}
		return path, nil
	}
	scopes, everything := []string{api.ScopeAdmin}, []string{"**"}
	if exists(path) {
		data, err := program.ReadPrivate(path)
		if err != nil {
			return "", fmt.Errorf("admin token: %w", err)
		}
		token, hash, err := server.TokenOf(strings.TrimSpace(string(data)), "admin", scopes, everything, now, time.Time{})
		if err != nil {
			return "", fmt.Errorf("admin token in %s: %w", path, err)
		}
		return path, db.CreateToken(ctx, store.Token(token), hash)
	}
	secret, token, hash, err := server.NewToken("admin", scopes, everything, now, time.Time{})
	if err != nil {
		return "", err
	}
	if err := program.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	return path, db.CreateToken(ctx, store.Token(token), hash)
}
