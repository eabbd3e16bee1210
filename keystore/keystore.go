// Package keystore keeps the private keys of publishers and admins, and the
// notes on keys that live elsewhere.
//
// A key file is one JSON object, keys/<key ID>.json, mode 0600:
//
//	{"keyid": ..., "key": {a TUF key object}, "created": ..., "name": ..., "role": ...,
//	 "encrypted": {scrypt N=2^17, r=8, p=1, then NaCl secretbox, over PKCS#8}}
//
// In place of "encrypted", "yubikey" says on which stick and in which slot the
// private key is (package yubikey signs with it); with neither, the file is
// somebody else's public key under a name of ours.
//
// Passphrases come from a [Prompter] that the caller gives; nothing here reads
// a terminal. What a key is about to sign travels in the context, see
// [WithReason], so that hardware can say it before it waits for a touch.
//
// Who can read the folder learns which keys there are and may guess at
// passphrases, at 128 MiB and some 0.3 s of CPU a guess. Who can write to it
// can make keys vanish, but not pass one key off as another: a private key is
// compared with the public key that its file names, and a file's name with the
// key inside.
package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// What callers choose by. Each arrives wrapped in the file or key it is about.
var (
	ErrPassphrase  = errors.New("wrong passphrase")
	ErrWeak        = errors.New("passphrase too short")
	ErrDiffer      = errors.New("the two passphrases differ")
	ErrDamaged     = errors.New("damaged key file")
	ErrPermissions = errors.New("key file open to others")
	ErrExists      = errors.New("exists already")
	ErrNotFound    = errors.New("no such key")
	ErrAmbiguous   = errors.New("several keys fit")
	ErrNotHere     = errors.New("private key is not in a file here")
	ErrClosed      = errors.New("key is closed")
)

// The algorithms of keys that can be generated, as tuf.Key names them.
const (
	P256    = "p256"
	P384    = "p384"
	Ed25519 = "ed25519"
)

// MinPassphrase is the least number of characters of a new passphrase.
const MinPassphrase = 12

// A Prompter is the person at the keyboard, or a file in the person's place.
type Prompter interface {
	// Secret asks for a passphrase or PIN and returns it without the end of
	// line. Whoever asked overwrites the slice after use.
	Secret(ctx context.Context, prompt string) ([]byte, error)
	// Notice shows one line that needs no answer, at once.
	Notice(text string)
}

type reasonKey struct{}

// WithReason says what the signatures made under ctx are for, in words that
// follow "sign": "root version 2 of registry.example.com/team/app".
func WithReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}

// Reason returns what WithReason said, or "".
func Reason(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

type touchKey struct{}

// WithTouch says that a signature made under ctx is the n-th of so many that
// cost a touch, so that a person can be told.
func WithTouch(ctx context.Context, n, of int) context.Context {
	return context.WithValue(ctx, touchKey{}, [2]int{n, of})
}

// Touch returns what WithTouch said, or zeros.
func Touch(ctx context.Context) (n, of int) {
	count, _ := ctx.Value(touchKey{}).([2]int)
	return count[0], count[1]
}

// An Entry is what a key file says to those who do not know its passphrase.
type Entry struct {
	Key     *tuf.Key
	Created time.Time
	Name    string   // the owner's word for it, or ""
	Role    string   // the role that it was made for, or ""
	Stick   *OnStick // where the private key is when it is on a YubiKey
	Path    string   // of the file; set by Store

	sealed []byte // the encrypted private key, or nil
}

// OnStick notes where on a YubiKey a private key is.
type OnStick struct {
	Serial      uint32   `json:"serial"`
	Slot        string   `json:"slot"`
	PIN         string   `json:"pin,omitempty"`         // when it wants its PIN, and when a touch,
	Touch       string   `json:"touch,omitempty"`       // as package yubikey has the words
	Firmware    string   `json:"firmware,omitempty"`    // of the stick
	Imported    bool     `json:"imported,omitempty"`    // there may be copies
	Attestation [][]byte `json:"attestation,omitempty"` // DER, the slot's certificate first
}

// HasPrivate reports whether the file holds the private key.
func (e Entry) HasPrivate() bool { return e.sealed != nil }

// String names the key for a person: its name and the start of its ID.
func (e Entry) String() string {
	if e.Name == "" {
		return "key " + short(e.Key)
	}
	return fmt.Sprintf("key %s (%s)", e.Name, short(e.Key))
}

func short(key *tuf.Key) string { return key.ID()[:12] }

// Spec says what key to generate.
type Spec struct {
	Algorithm string // P256 when empty
	Name      string
	Role      string
}

// newPrivate makes a private key.
func newPrivate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "", P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("algorithm %q: a key file holds %s, %s or %s", algorithm, P256, P384, Ed25519)
}
