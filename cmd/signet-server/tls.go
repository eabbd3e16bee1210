package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
)

// Lives of what the own CA makes. A certificate is renewed in the last third of
// its life, while the server runs too.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	certLife = 90 * 24 * time.Hour
)

// An ownCA makes the server's certificate in the data folder.
type ownCA struct {
	folder string
	names  []string // further names and addresses
}

// load returns the certificate in the folder, and makes a new one where there is
// none, or it is close to expiry or lacks a name.
func (ca ownCA) load(now time.Time) (*tls.Certificate, error) {
	authority, err := ca.authority(now)
	if err != nil {
		return nil, err
	}
	certPath, keyPath := filepath.Join(ca.folder, certFile), filepath.Join(ca.folder, certKeyFile)
	if exists(certPath) && exists(keyPath) {
		pair, err := program.LoadCertificate(certPath, keyPath)(now)
		if err == nil && ca.serves(pair.Leaf, authority.Leaf, now) {
			return pair, nil
		}
	}
	// Key and certificate in one file first, so that a crash in between leaves a
	// pair that does not fit, and is made again, rather than a mixed one.
	certPEM, keyPEM, err := ca.issue(authority, now)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(program.WriteFile(keyPath, keyPEM, 0o600), program.WriteFile(certPath, certPEM, 0o644)); err != nil {
		return nil, fmt.Errorf("own TLS certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}

// serves tells whether cert can still be used.
func (ca ownCA) serves(cert, authority *x509.Certificate, now time.Time) bool {
	if cert.CheckSignatureFrom(authority) != nil || now.Before(cert.NotBefore) || now.After(cert.NotAfter.Add(-certLife/3)) {
		return false
	}
	for _, name := range ca.allNames() {
		if cert.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// allNames are the names that clients may use for this machine.
func (ca ownCA) allNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && validHost(host) {
		names = append(names, host)
	}
	return append(names, ca.names...)
}

// hostPattern is what a host may be called in a certificate of ours.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`)

// validHost tells whether a certificate can be made for a name.
func validHost(name string) bool { return len(name) < 254 && hostPattern.MatchString(name) }

// authority returns the CA, which is made once.
func (ca ownCA) authority(now time.Time) (*tls.Certificate, error) {
	certPath, keyPath := filepath.Join(ca.folder, caFile), filepath.Join(ca.folder, caKeyFile)
	switch {
	case exists(certPath):
		pair, err := program.LoadCertificate(certPath, keyPath)(now)
		if err != nil {
			return nil, fmt.Errorf("own CA: %w; to start over, remove %s and %s, and give clients the new %s", err, certPath, keyPath, caFile)
		}
		return pair, nil
	default: // a key alone is a start that died before the certificate was there
		template := &x509.Certificate{
			Subject:   pkix.Name{CommonName: "Signet server's own CA"},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		}
		certPEM, keyPEM, err := makeCertificate(template, nil)
		if err != nil {
			return nil, err
		}
		if err := program.WriteFile(keyPath, keyPEM, 0o600); err != nil {
			return nil, fmt.Errorf("own CA: %w", err)
		}
		if err := program.WriteFile(certPath, certPEM, 0o644); err != nil {
			return nil, fmt.Errorf("own CA: %w", err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		return &pair, err
	}
}

// issue makes a certificate for this server.
func (ca ownCA) issue(authority *tls.Certificate, now time.Time) (certPEM, keyPEM []byte, err error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "signet-server"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(authority.Leaf.NotAfter) {
		template.NotAfter = authority.Leaf.NotAfter
	}
	for _, name := range ca.allNames() {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case validHost(name):
			template.DNSNames = append(template.DNSNames, name)
		default:
			return nil, nil, fmt.Errorf("--tls-name %q is neither a host's name nor an address", name)
		}
	}
	return makeCertificate(template, authority)
}

// makeCertificate makes a key and a certificate for it, by authority or, without
// one, by itself.
func makeCertificate(template *x509.Certificate, authority *tls.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}
