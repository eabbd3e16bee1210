package card

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Maker plays Yubico: the certificate authority below which the attestation
// certificates of its cards stand. Verifiers that trust its root believe what its
// cards attest, so it also makes, on request, what no card would: see Attest.
type Maker struct {
	certificates []*x509.Certificate // the root, then the intermediate ones downwards
	key          crypto.Signer       // that of the last
	rules        makerRules
}

type makerRules struct {
	intermediates int
	until         time.Time
	sticksUntil   time.Time
	bare          bool
	rsa           bool
}

// A MakerOption changes how a Maker does its work.
type MakerOption func(*makerRules)

// Intermediates puts n certificates between the root and those of the cards.
// Yubico has none up to firmware 5.7.3, and two from 5.7.4 on. No card can be asked
// for them: verifiers have them from the maker.
func Intermediates(n int) MakerOption {
	return func(r *makerRules) { r.intermediates = n }
}

// Until ends the validity of the root and of all below it.
func Until(end time.Time) MakerOption {
	return func(r *makerRules) { r.until = end }
}

// SticksUntil ends the validity of the cards' attestation certificates, and so of
// what they attest, but not that of the root.
func SticksUntil(end time.Time) MakerOption {
	return func(r *makerRules) { r.sticksUntil = end }
}

// WithoutConstraints leaves out of the cards' attestation certificates that they may
// certify others. Some early YubiKeys are like that.
func WithoutConstraints() MakerOption {
	return func(r *makerRules) { r.bare = true }
}

// RSA makes all keys of the chain RSA 2048, as Yubico's are, in place of P-256, which
// is quicker to make.
func RSA() MakerOption {
	return func(r *makerRules) { r.rsa = true }
}

// NewMaker makes an authority with keys of its own.
func NewMaker(options ...MakerOption) (*Maker, error) {
	m := &Maker{rules: makerRules{until: mustTime(attestedUntil), sticksUntil: mustTime(attestedUntil)}}
	for _, option := range options {
		option(&m.rules)
	}
	if err := m.issue("Virtual YubiKey Attestation Root"); err != nil {
		return nil, fmt.Errorf("make attestation root: %w", err)
	}
	for i := range m.rules.intermediates {
		if err := m.issue(fmt.Sprintf("Virtual YubiKey Attestation Intermediate %d", i+1)); err != nil {
			return nil, fmt.Errorf("make attestation intermediate: %w", err)
		}
	}
	return m, nil
}

// issue makes the next certificate of the chain, the root when there is none yet.
func (m *Maker) issue(subject string) error {
	key, err := m.newKey()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               name(subject),
		NotBefore:             mustTime(attestedFrom),
		NotAfter:              m.rules.until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	parent, signer := template, crypto.Signer(key)
	if len(m.certificates) > 0 {
		parent, signer = m.last(), m.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	m.certificates, m.key = append(m.certificates, certificate), key
	return nil
}

// LoadMaker reads the authority that is kept in dir, and makes it when there is none.
// The options count for one that is made.
func LoadMaker(dir string, options ...MakerOption) (*Maker, error) {
	path := filepath.Join(dir, "attestation-root.json")
	var kept struct {
		Root          []byte   `json:"root"`
		Intermediates [][]byte `json:"intermediates,omitempty"`
		Key           []byte   `json:"key"`
	}
	err := readJSON(path, &kept)
	if errors.Is(err, fs.ErrNotExist) {
		maker, err := NewMaker(options...)
		if err != nil {
			return nil, err
		}
		kept.Root = maker.Root().Raw
		for _, certificate := range maker.certificates[1:] {
			kept.Intermediates = append(kept.Intermediates, certificate.Raw)
		}
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
	m := &Maker{}
	for _, der := range append([][]byte{kept.Root}, kept.Intermediates...) {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		m.certificates = append(m.certificates, certificate)
	}
	key, err := parsePrivateKey(kept.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var ok bool
	if m.key, ok = key.private().(crypto.Signer); !ok {
		return nil, fmt.Errorf("%s: want a key that signs", path)
	}
	m.rules.until, m.rules.sticksUntil = m.last().NotAfter, m.last().NotAfter
	return m, nil
}

// Root is the certificate that a verifier trusts.
func (m *Maker) Root() *x509.Certificate { return m.certificates[0] }

// RootPEM is Root in the form for configuration files.
func (m *Maker) RootPEM() []byte { return encodePEM(m.certificates[0]) }

// Intermediates are the certificates between the root and those of the cards, the
// root's own first.
func (m *Maker) Intermediates() []*x509.Certificate { return m.certificates[1:] }

// AuthorityPEM is the root and all intermediate certificates, which is what a
// verifier has to know of the maker.
func (m *Maker) AuthorityPEM() []byte { return encodePEM(m.certificates...) }

func encodePEM(certificates ...*x509.Certificate) (b []byte) {
	for _, certificate := range certificates {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return b
}

func (m *Maker) last() *x509.Certificate { return m.certificates[len(m.certificates)-1] }

func (m *Maker) newKey() (crypto.Signer, error) {
	if m.rules.rsa {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// certify makes the certificate that a card keeps in object 5FFF01.
func (m *Maker) certify(public crypto.PublicKey) ([]byte, error) {
	end := m.last().NotAfter
	if m.rules.sticksUntil.Before(end) {
		end = m.rules.sticksUntil
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               name("Yubico PIV Attestation"),
		NotBefore:             m.last().NotBefore,
		NotAfter:              end,
		IsCA:                  !m.rules.bare,
		MaxPathLenZero:        !m.rules.bare,
		BasicConstraintsValid: !m.rules.bare,
	}, m.last(), public, m.key)
}

// Attest plays a card of this maker that attests whatever the claim says, true or
// not. It gives the attestation and the certificate of the card's attestation key.
// A verifier that trusts the maker can tell it from a real one by nothing but what
// it says.
func (m *Maker) Attest(claim Claim) (attestation, card *x509.Certificate, err error) {
	key, err := m.newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := m.certify(key.Public())
	if err != nil {
		return nil, nil, err
	}
	if card, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	if der, err = claim.sign(card, key); err != nil {
		return nil, nil, err
	}
	attestation, err = x509.ParseCertificate(der)
	return attestation, card, err
}
