package attestation

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxConfigured bounds the PEM of configured roots.
const maxConfigured = 256 << 10

var (
	//go:embed certs/yubico-piv-ca.pem
	yubicoPIV []byte
	//go:embed certs/yubico-u2f-ca.pem
	yubicoU2F []byte
	//go:embed certs/yubico-ca-1.pem
	yubicoRoot1 []byte
	//go:embed certs/yubico-piv-intermediates.pem
	yubicoIntermediates []byte
)

// Roots are those who are believed when they say that a key is a stick's
// attestation key. They never change; With returns others.
type Roots struct {
	anchors       []anchor
	intermediates []*x509.Certificate
}

// An anchor is one root, and what must hold below it because it also vouches for
// other things than PIV.
type anchor struct {
	cert   *x509.Certificate
	yubico bool
	// device is the name that certificates right below it must have, "" for any.
	device string
	// issuer begins the name of the authority that must stand between the root and
	// the stick's certificate; "" for any, or none.
	issuer string
	// short says that the path length that the root states leaves no room for the
	// stick's certificate, which stands there all the same.
	short bool
}

// deviceName is what certificates of attestation keys were called before 5.7.4.
const deviceName = "Yubico PIV Attestation"

var yubico = sync.OnceValue(func() *Roots {
	return &Roots{
		anchors: []anchor{
			{cert: mustOne(yubicoPIV), yubico: true},
			// U2F's root also vouches for U2F's own keys, whose certificates do not say
			// that they are no authorities. Only their names tell them from PIV's.
			{cert: mustOne(yubicoU2F), yubico: true, device: deviceName, short: true},
			// This one vouches for FIDO, OpenPGP, Secure Domain and YubiHSM, too.
			{cert: mustOne(yubicoRoot1), yubico: true, issuer: "Yubico PIV Attestation "},
		},
		intermediates: must(yubicoIntermediates),
	}
})

// Yubico returns Yubico's roots, of both generations.
func Yubico() *Roots { return yubico() }

func must(data []byte) []*x509.Certificate {
	certs, err := readCertificates(data)
	if err != nil {
		panic(err) // a file of this package
	}
	return certs
}

func mustOne(data []byte) *x509.Certificate { return must(data)[0] }

// With returns the roots and, beside them, the authorities in PEM. One that
// follows from a root that is known then is a step on the way to that root, by its
// rules; any other is believed as it is.
func (r *Roots) With(data []byte) (*Roots, error) {
	certs, err := readCertificates(data)
	if err != nil {
		return nil, err
	}
	more := &Roots{anchors: slices.Clone(r.anchors), intermediates: slices.Clone(r.intermediates)}
	add := func(cert *x509.Certificate) { more.anchors = append(more.anchors, anchor{cert: cert}) }
	var steps []*x509.Certificate
	for _, cert := range certs {
		switch {
		case !cert.BasicConstraintsValid || !cert.IsCA:
			return nil, fmt.Errorf("attestation root %q is no certificate authority", clip(cert.Subject))
		case slices.ContainsFunc(more.anchors, func(a anchor) bool { return a.cert.Equal(cert) }):
		case bytes.Equal(cert.RawSubject, cert.RawIssuer):
			add(cert)
		default:
			steps = append(steps, cert)
		}
	}
	for _, cert := range steps {
		if more.leadTo(cert, steps) {
			more.intermediates = append(more.intermediates, cert)
		} else {
			add(cert)
		}
	}
	return more, nil
}

// leadTo tells whether cert follows from one of the roots, by way of others.
func (r *Roots) leadTo(cert *x509.Certificate, others []*x509.Certificate) bool {
	roots := x509.NewCertPool()
	for _, a := range r.anchors {
		roots.AddCert(a.cert)
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool(r.intermediates, others), CurrentTime: cert.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func pool(lists ...[]*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, list := range lists {
		for _, cert := range list {
			p.AddCert(cert)
		}
	}
	return p
}

// readCertificates reads certificates from PEM. Text between them is skipped.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(data) > maxConfigured {
		return nil, fmt.Errorf("attestation roots of %d bytes, of which at most %d are read", len(data), maxConfigured)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block %.30q among attestation roots, expected CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("attestation root %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate among attestation roots; expected -----BEGIN CERTIFICATE-----")
	}
	return certs, nil
}
