package signer

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A KeyWrapper seals the private keys that lie on disk. associated says what a
// key is for; what was sealed for one purpose must not open for another.
type KeyWrapper interface {
	Wrap(ctx context.Context, secret, associated []byte) (sealed []byte, err error)
	Unwrap(ctx context.Context, sealed, associated []byte) (secret []byte, err error)
}

const (
	keyFileType = "SIGNET KEY-ENCRYPTION KEY"
	keySize     = 32
	sealVersion = 1 // first byte of what fileKey seals: AES-256-GCM, 96-bit random nonce
)

// errSealed does not say why: a wrong key and a changed envelope look alike.
var errSealed = errors.New("the key-encryption key does not open this private key: it is another one, or the stored key was changed or moved")

// fileKey is a KeyWrapper whose key is in a file. The cipher keeps a copy of the
// key that Go gives no way to wipe; it is there as long as the process.
type fileKey struct{ aead cipher.AEAD }

// readKeyFile reads the key-encryption key at path.
func readKeyFile(path string) (*fileKey, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	defer clear(data)
	return parseKeyFile(path, data)
}

func parseKeyFile(path string, data []byte) (*fileKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != keyFileType || len(block.Bytes) != keySize {
		return nil, fmt.Errorf("key-encryption key %s: expected a PEM block %q of %d bytes", path, keyFileType, keySize)
	}
	defer clear(block.Bytes)
	c, err := aes.NewCipher(block.Bytes)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(c)
	if err != nil {
		return nil, err
	}
	return &fileKey{aead}, nil
}

// createKeyFile makes a new key-encryption key at path. If another process made
// one at the same time, that one is good too.
func createKeyFile(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)
	text := pem.EncodeToMemory(&pem.Block{Type: keyFileType, Bytes: key})
	defer clear(key)
	defer clear(text)
	if err := writeNew(path, text); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create key-encryption key: %w", err)
	}
	return nil
}

// Wrap seals secret: version, nonce, ciphertext.
func (k *fileKey) Wrap(_ context.Context, secret, associated []byte) ([]byte, error) {
	sealed := make([]byte, 1+k.aead.NonceSize(), 1+k.aead.NonceSize()+len(secret)+k.aead.Overhead())
	sealed[0] = sealVersion
	rand.Read(sealed[1:])
	return k.aead.Seal(sealed, sealed[1:], secret, associated), nil
}

// Unwrap opens what Wrap sealed with the same associated data.
func (k *fileKey) Unwrap(_ context.Context, sealed, associated []byte) ([]byte, error) {
	n := 1 + k.aead.NonceSize()
	if len(sealed) < n || sealed[0] != sealVersion {
		return nil, errSealed
	}
	secret, err := k.aead.Open(nil, sealed[1:n], sealed[n:], associated)
	if err != nil {
		return nil, errSealed
	}
	return secret, nil
}

// wrapper returns what seals this signer's keys. fresh says that there is no
// database yet, so that a key-encryption key may be made.
func (c Config) wrapper(fresh bool) (KeyWrapper, error) {
	if c.Wrapper != nil {
		return c.Wrapper, nil
	}
	_, err := os.Stat(c.KeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && fresh:
		if err := createKeyFile(c.KeyFile); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("key-encryption key %s is not there, but %s is; put back the file that belongs to it", c.KeyFile, c.database())
	}
	return readKeyFile(c.KeyFile)
}
