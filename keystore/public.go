package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/signet-trust/signet/tuf"
)

// ReadPublic returns the public key in a file: PEM (a public key or a
// certificate), or one of our key files.
func ReadPublic(path string) (*tuf.Key, error) {
	raw, _, err := readFile(path, maxFile)
	if err != nil {
		return nil, err
	}
	switch {
	case len(raw) > maxFile:
		return nil, fmt.Errorf("%s: larger than %d bytes, not a public key", path, maxFile)
	case bytes.Contains(raw, []byte("PRIVATE KEY-----")):
		return nil, fmt.Errorf("%s: a private key in the clear; only its public half may be given here", path)
	case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		e, err := readEntry(path)
		return e.Key, err
	}
	key, err := tuf.ParseKeyPEM(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// WritePublic writes a public key as PEM, for anyone to read, to a file that
// must not exist yet.
func WritePublic(path string, key *tuf.Key) error {
	return writeNew(path, key.PEM(), 0o644)
}

// Public returns the public key that what means: whatever Find takes, or the
// path of a file that ReadPublic takes.
func (s Store) Public(what string) (*tuf.Key, error) {
	e, err := s.Find(what)
	if err == nil {
		return e.Key, nil
	}
	key, readErr := ReadPublic(what)
	if errors.Is(readErr, fs.ErrNotExist) {
		return nil, err
	}
	return key, readErr
}
