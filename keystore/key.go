package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/signet-trust/signet/tuf"
)

// A FileKey is a private key out of its file, ready to sign until closed. It is
// a tuf.Signer, safe for concurrent use.
type FileKey struct {
	mu      sync.RWMutex
	private crypto.Signer // nil once closed
	signer  tuf.Signer
}

// Unlock asks for the passphrase, once, and takes the key out of its file. With
// the wrong one the error is ErrPassphrase, and whether to ask again is for the
// caller to say.
func (e Entry) Unlock(ctx context.Context, prompter Prompter) (*FileKey, error) {
	if e.sealed == nil {
		return nil, e.notHere()
	}
	passphrase, err := prompter.Secret(ctx, fmt.Sprintf("Passphrase for %s: ", e))
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	der, err := encrypted.Decrypt(e.sealed, passphrase)
	if err != nil { // its form was checked when it was read, so all that can fail is this
		return nil, fmt.Errorf("%w for %s, or its file is damaged", ErrPassphrase, e)
	}
	defer clear(der)
	private, err := parsePrivate(der)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrDamaged, e.Path, err)
	}
	signer, err := tuf.NewSigner(private)
	if err == nil && signer.Key().ID() != e.Key.ID() {
		err = fmt.Errorf("its private key is that of %s, not of %s", signer.Key().ID(), e.Key.ID())
	}
	if err != nil {
		wipeKey(private)
		return nil, fmt.Errorf("%w %s: %w", ErrDamaged, e.Path, err)
	}
	return &FileKey{private: private, signer: signer}, nil
}

func (e Entry) notHere() error {
	if e.Stick != nil {
		return fmt.Errorf("%s: %w: it is on YubiKey %d, slot %s", e, ErrNotHere, e.Stick.Serial, e.Stick.Slot)
	}
	return fmt.Errorf("%s: %w: only its public half is known", e, ErrNotHere)
}

// parsePrivate takes PKCS#8 and says nothing about what was in it.
func parsePrivate(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#8 key under its passphrase")
	}
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		return private, nil
	case ed25519.PrivateKey:
		return private, nil
	}
	return nil, fmt.Errorf("holds a %T", key)
}

// Key returns the public key.
func (k *FileKey) Key() *tuf.Key { return k.signer.Key() }

// Sign signs msg.
func (k *FileKey) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.private == nil {
		return nil, fmt.Errorf("key %s: %w", short(k.Key()), ErrClosed)
	}
	return k.signer.Sign(ctx, msg)
}

// Close overwrites the private key, as far as Go lets us: copies that the
// crypto packages made are the garbage collector's.
func (k *FileKey) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	wipeKey(k.private)
	k.private = nil
	return nil
}

func wipeKey(key crypto.Signer) {
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 it is overwritten here, never used again
		clear(private.D.Bits())
	case ed25519.PrivateKey:
		clear(private)
	}
}
