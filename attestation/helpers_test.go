package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// newKey makes a key in this process, as no stick would.
func newKey(t testing.TB) (*ecdsa.PrivateKey, *tuf.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, keyOf(t, private.Public())
}

func keyOf(t testing.TB, public crypto.PublicKey) *tuf.Key {
	t.Helper()
	key, err := tuf.NewKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newMaker(t testing.TB, options ...card.MakerOption) *card.Maker {
	t.Helper()
	maker, err := card.NewMaker(options...)
	if err != nil {
		t.Fatal(err)
	}
	return maker
}

// attest has a stick of maker say the best of a key, but for edits.
func attest(t testing.TB, maker *card.Maker, key *tuf.Key, edits ...func(*card.Claim)) []string {
	t.Helper()
	claim := card.Claim{Key: key.Public(), Slot: 0x9c, Serial: 12345678, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 4}, PIN: 3, Touch: 2, FormFactor: 1}
	for _, edit := range edits {
		edit(&claim)
	}
	leaf, stick, err := maker.Attest(claim)
	if err != nil {
		t.Fatal(err)
	}
	return chainOf(leaf, stick)
}

func chainOf(certs ...*x509.Certificate) []string {
	var chain []string
	for _, cert := range certs {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	}
	return chain
}

// with returns Yubico's roots and these.
func with(t testing.TB, data []byte) *Roots {
	t.Helper()
	roots, err := Yubico().With(data)
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// A holder is somebody with a certificate and its key.
type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue has by certify a new key under a name, or the key itself when by is nil.
func issue(t testing.TB, by *holder, name string, edit func(*x509.Certificate)) *holder {
	t.Helper()
	private, _ := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := template, crypto.Signer(private)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{cert, private}
}

// authority makes a certificate one that may certify, with so many below it.
func authority(below int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.MaxPathLen, c.MaxPathLenZero = true, true, below, below == 0
		c.KeyUsage = x509.KeyUsageCertSign
	}
}

// leaf makes a certificate that says all that a stick says of a key in slot 9a.
func leaf(c *x509.Certificate) {
	c.ExtraExtensions = []pkix.Extension{
		{Id: piv(3), Value: []byte{5, 7, 4}}, {Id: piv(7), Value: []byte{2, 2, 0x12, 0x34}}, {Id: piv(8), Value: []byte{3, 2}}, {Id: piv(9), Value: []byte{1}},
	}
}

func (h *holder) tuf(t testing.TB) *tuf.Key {
	t.Helper()
	return keyOf(t, h.key.Public())
}
