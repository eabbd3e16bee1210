package tuf

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Key is a public key as TUF metadata lists it (§4.2). Its ID is the SHA-256
// of the canonical form of the whole key object.
type Key struct {
	meta   metadata.Key
	id     string
	public crypto.PublicKey
}

// NewKey returns the TUF key for a public key in Signet's profile: ECDSA on P-256
// or P-384, or Ed25519. Others are refused.
func NewKey(public crypto.PublicKey) (*Key, error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() && p.Curve != elliptic.P384() {
			return nil, fmt.Errorf("ECDSA key on %s: Signet takes P-256, P-384 and Ed25519", p.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("%T: Signet takes ECDSA on P-256 or P-384, and Ed25519", public)
	}
	meta, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return nil, err
	}
	if p, ok := public.(*ecdsa.PublicKey); ok && p.Curve == elliptic.P384() {
		meta.Scheme = metadata.KeySchemeECDSA_SHA2_P384 // go-tuf labels every curve as P-256
	}
	return keyFromMetadata(meta)
}

// keyFromMetadata wraps a key object that stands in metadata. Key objects of
// other tools may carry members of their own, which their ID covers.
func keyFromMetadata(meta *metadata.Key) (*Key, error) {
	if !usableKey(meta) {
		return nil, fmt.Errorf("a key of type %q and scheme %q that cannot be used", clip(meta.Type), clip(meta.Scheme))
	}
	public, err := meta.ToPublicKey()
	if err != nil {
		return nil, err
	}
	plain := metadata.Key{Type: meta.Type, Scheme: meta.Scheme, Value: meta.Value, UnrecognizedFields: meta.UnrecognizedFields}
	id, err := plain.ID()
	if err != nil {
		return nil, err
	}
	return &Key{meta: plain, id: id, public: public}, nil
}

// ParseKeyPEM reads a public key from PEM: a PUBLIC KEY or a CERTIFICATE block.
func ParseKeyPEM(data []byte) (*Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block found; expected -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----")
	}
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read PUBLIC KEY: %w", err)
		}
		return NewKey(public)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read CERTIFICATE: %w", err)
		}
		return NewKey(cert.PublicKey)
	}
	// The block's own bytes are not shown: it may be a private key.
	return nil, fmt.Errorf("PEM block %q is neither PUBLIC KEY nor CERTIFICATE", clip(block.Type))
}

// ID returns the key ID: 64 hex digits.
func (k *Key) ID() string { return k.id }

// Public returns the public key: *ecdsa.PublicKey, ed25519.PublicKey or, from
// other tools' metadata, *rsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// PEM returns the public key as a PUBLIC KEY block.
func (k *Key) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil // cannot be: the key was read from, or checked by, the same encoder
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Algorithm returns "p256", "p384", "ed25519" or "rsa".
func (k *Key) Algorithm() string {
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P384() {
			return "p384"
		}
		return "p256"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "rsa"
}

// Metadata returns a copy of the key object that stands in metadata.
func (k *Key) Metadata() *metadata.Key {
	c := k.meta
	return &c
}

// Equal tells whether two keys are the same public key, under whatever ID.
func (k *Key) Equal(other *Key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && other != nil && public.Equal(other.public)
}

// MarshalJSON returns the TUF key object.
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.meta) }

// UnmarshalJSON reads a TUF key object. It refuses what is not a usable key.
func (k *Key) UnmarshalJSON(data []byte) error {
	key, err := ReadKey(data)
	if err != nil {
		return err
	}
	*k = *key
	return nil
}

// ReadKey reads one TUF key object from JSON (§4.2).
func ReadKey(data []byte) (key *Key, err error) {
	defer recoverShape(&err)
	if err := checkJSON(data, Limits{}.orDefault()); err != nil {
		return nil, err
	}
	var meta metadata.Key
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return keyFromMetadata(&meta)
}

// Verify checks one signature by this key over msg, as the key's scheme says:
// ECDSA with SHA-256 (P-256) or SHA-384 (P-384), Ed25519 over msg itself, or
// RSA-PSS with SHA-256.
func (k *Key) Verify(msg, sig []byte) error {
	ok := false
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(p, k.digest(msg), sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, msg, sig)
	case *rsa.PublicKey:
		ok = rsa.VerifyPSS(p, crypto.SHA256, k.digest(msg), sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
	}
	if !ok {
		return fmt.Errorf("signature by key %s does not verify", k.id)
	}
	return nil
}

// digest returns what an ECDSA or RSA key signs instead of msg.
func (k *Key) digest(msg []byte) []byte {
	if k.meta.Scheme == metadata.KeySchemeECDSA_SHA2_P384 {
		sum := sha512.Sum384(msg)
		return sum[:]
	}
	sum := sha256.Sum256(msg)
	return sum[:]
}

// A Signer is one key that can sign, wherever its private half is.
type Signer interface {
	// Key returns the public key.
	Key() *Key
	// Sign returns one signature over msg: for ECDSA the ASN.1 DER form over the
	// scheme's hash of msg, for Ed25519 the signature over msg itself. It may wait
	// for a person; ctx ends the wait.
	Sign(ctx context.Context, msg []byte) ([]byte, error)
}

// NewSigner returns a Signer for a private key in this process.
func NewSigner(private crypto.Signer) (Signer, error) {
	key, err := NewKey(private.Public())
	if err != nil {
		return nil, err
	}
	return &cryptoSigner{key: key, private: private}, nil
}

type cryptoSigner struct {
	key     *Key
	private crypto.Signer
}

func (s *cryptoSigner) Key() *Key { return s.key }

func (s *cryptoSigner) Sign(_ context.Context, msg []byte) ([]byte, error) {
	return SignWith(s.key, s.private, msg)
}

// SignWith makes one signature over msg with a crypto.Signer whose public half is
// key. It is the one place that knows which hash goes with which key.
func SignWith(key *Key, private crypto.Signer, msg []byte) ([]byte, error) {
	switch key.Algorithm() {
	case "ed25519":
		return private.Sign(rand.Reader, msg, crypto.Hash(0))
	case "p384":
		return private.Sign(rand.Reader, key.digest(msg), crypto.SHA384)
	case "p256":
		return private.Sign(rand.Reader, key.digest(msg), crypto.SHA256)
	}
	return nil, fmt.Errorf("key %s: Signet does not sign with %s keys", key.ID(), key.Algorithm())
}
