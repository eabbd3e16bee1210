package card

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Maker plays Yubico: the certificate authority below which the attestation
// certificates of its cards stand.
type Maker struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

// NewMaker makes an authority with a key of its own.
func NewMaker() (*Maker, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               name("Virtual YubiKey Attestation Root"),
		NotBefore:             mustTime(attestedFrom),
		NotAfter:              mustTime(attestedUntil),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	return &Maker{key, root}, err
}

// LoadMaker reads the authority that is kept in dir, and makes it when there is none.
func LoadMaker(dir string) (*Maker, error) {
	path := filepath.Join(dir, "attestation-root.json")
	var kept struct {
		Root []byte `json:"root"`
		Key  []byte `json:"key"`
	}
	err := readJSON(path, &kept)
	if errors.Is(err, fs.ErrNotExist) {
		maker, err := NewMaker()
		if err != nil {
			return nil, err
		}
		kept.Root = maker.root.Raw
		if kept.Key, err = x509.MarshalPKCS8PrivateKey(maker.key); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		return maker, writeJSON(path, kept)
	}
	if err != nil {
		return nil, fmt.Errorf("read attestation authority: %w", err)
	}
	root, err := x509.ParseCertificate(kept.Root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := parsePrivateKey(kept.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ec, ok := key.(ecdsaKey)
	if !ok {
		return nil, fmt.Errorf("%s: want an elliptic curve key", path)
	}
	return &Maker{ec.PrivateKey, root}, nil
}

// Root is the certificate that a verifier trusts.
func (m *Maker) Root() *x509.Certificate { return m.root }

// RootPEM is Root in the form for configuration files.
func (m *Maker) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw})
}

func (m *Maker) newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// certify makes the certificate that a card keeps in object 5FFF01.
func (m *Maker) certify(public crypto.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               name("Yubico PIV Attestation"),
		NotBefore:             m.root.NotBefore,
		NotAfter:              m.root.NotAfter,
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
	}, m.root, public, m.key)
}
