package attack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the signer's database

	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

// Steal takes a repository's online keys out of a signer's folder, as whoever broke
// into its machine can: the database and the key that seals it lie there. It
// returns the newest key of snapshot and of timestamp.
func Steal(t testing.TB, dir, repository string) map[string][]tuf.Signer {
	t.Helper()
	keys, err := steal(dir, repository)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func steal(dir, repository string) (keys map[string][]tuf.Signer, err error) {
	aead, err := openSeal(filepath.Join(dir, signer.KeyFileName))
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(dir, signer.DatabaseName)}).String()+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Query(`SELECT role, public, sealed FROM signing_key WHERE repository = $1 ORDER BY number`, repository)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys = map[string][]tuf.Signer{}
	for rows.Next() {
		var role, public string
		var sealed []byte
		if err := rows.Scan(&role, &public, &sealed); err != nil {
			return nil, err
		}
		key, err := unseal(aead, repository, role, public, sealed)
		if err != nil {
			return nil, err
		}
		keys[role] = []tuf.Signer{key}
	}
	if len(keys) != 2 {
		return nil, fmt.Errorf("%s has %d online keys in %s", repository, len(keys), dir)
	}
	return keys, rows.Err()
}

func openSeal(path string) (cipher.AEAD, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", path)
	}
	c, err := aes.NewCipher(block.Bytes)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(c)
}

func unseal(aead cipher.AEAD, repository, role, public string, sealed []byte) (tuf.Signer, error) {
	var key tuf.Key
	if err := json.Unmarshal([]byte(public), &key); err != nil {
		return nil, err
	}
	associated := strings.Join([]string{"signet-signer-key", repository, role, key.ID()}, "\n")
	n := 1 + aead.NonceSize()
	seed, err := aead.Open(nil, sealed[1:n], sealed[n:], []byte(associated))
	if err != nil {
		return nil, err
	}
	return tuf.NewSigner(ed25519.NewKeyFromSeed(seed))
}
