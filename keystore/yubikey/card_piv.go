//go:build windows || (cgo && (linux || darwin))

package yubikey

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/go-piv/piv-go/v2/piv"
)

func newDriver() driver {
	return driver{
		readers: piv.Cards,
		open: func(reader string) (card, error) {
			yk, err := piv.Open(reader)
			if err != nil {
				return nil, err
			}
			return pivCard{yk}, nil
		},
	}
}

// pivCard is a card by piv-go.
type pivCard struct{ yk *piv.YubiKey }

func (c pivCard) Serial() (uint32, error)    { return c.yk.Serial() }
func (c pivCard) Retries() (int, error)      { return c.yk.Retries() }
func (c pivCard) VerifyPIN(pin string) error { return c.yk.VerifyPIN(pin) }
func (c pivCard) Close() error               { return c.yk.Close() }

func (c pivCard) Version() Version {
	v := c.yk.Version()
	return Version{v.Major, v.Minor, v.Patch}
}

func pivSlot(s Slot) piv.Slot {
	for _, fixed := range []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotKeyManagement, piv.SlotCardAuthentication} {
		if fixed.Key == uint32(s) {
			return fixed
		}
	}
	retired, _ := piv.RetiredKeyManagementSlot(uint32(s))
	return retired
}

var (
	algorithms = map[piv.Algorithm]string{
		piv.AlgorithmEC256: "p256", piv.AlgorithmEC384: "p384", piv.AlgorithmEd25519: "ed25519",
		piv.AlgorithmRSA1024: "rsa1024", piv.AlgorithmRSA2048: "rsa2048", piv.AlgorithmRSA3072: "rsa3072",
		piv.AlgorithmRSA4096: "rsa4096", piv.AlgorithmX25519: "x25519",
	}
	pinPolicies = map[piv.PINPolicy]string{
		piv.PINPolicyNever: Never, piv.PINPolicyOnce: Once, piv.PINPolicyAlways: Always,
		piv.PINPolicyMatchOnce: fingerprint, piv.PINPolicyMatchAlways: fingerprint,
	}
	touchPolicies = map[piv.TouchPolicy]string{
		piv.TouchPolicyNever: Never, piv.TouchPolicyAlways: Always, piv.TouchPolicyCached: Cached,
	}
	origins = map[piv.Origin]string{piv.OriginGenerated: Generated, piv.OriginImported: Imported}
)

// Slot asks for metadata, which firmware 5.3 brought. Before, the attestation
// tells the same of keys that were generated, and the certificate, which anyone
// with the management key can write, is all there is on imported ones.
func (c pivCard) Slot(slot Slot) (SlotInfo, crypto.PublicKey, error) {
	info := SlotInfo{Slot: slot}
	if c.Version().AtLeast(5, 3) {
		ki, err := c.yk.KeyInfo(pivSlot(slot))
		info.Algorithm, info.PIN, info.Touch, info.Origin = algorithms[ki.Algorithm], pinPolicies[ki.PINPolicy], touchPolicies[ki.TouchPolicy], origins[ki.Origin]
		return info, ki.PublicKey, err
	}
	cert, err := c.Attest(slot)
	if err == nil {
		info.Origin = Generated
		info.PIN, info.Touch = attestedPolicies(cert)
		return info, cert.PublicKey, nil
	}
	if !isAbsent(err) && status(err) != 0x6d00 { // 6d00: older than attestation
		return info, nil, err
	}
	if cert, err = c.Certificate(slot); err != nil {
		return info, nil, err
	}
	return info, cert.PublicKey, nil
}

// attestedPolicies reads the policies from an attestation: two bytes.
func attestedPolicies(cert *x509.Certificate) (pin, touch string) {
	policy := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 8}
	for _, e := range cert.Extensions {
		if e.Id.Equal(policy) && len(e.Value) == 2 {
			return pinPolicies[piv.PINPolicy(e.Value[0])], touchPolicies[piv.TouchPolicy(e.Value[1])]
		}
	}
	return "", ""
}

func (c pivCard) Certificate(slot Slot) (*x509.Certificate, error) {
	return c.yk.Certificate(pivSlot(slot))
}

func (c pivCard) Attest(slot Slot) (*x509.Certificate, error) {
	cert, err := c.yk.Attest(pivSlot(slot))
	if errors.Is(err, piv.ErrNotFound) {
		return nil, errNothing
	}
	return cert, err
}

func (c pivCard) AttestationCertificate() (*x509.Certificate, error) {
	return c.yk.AttestationCertificate()
}

func (c pivCard) ProtectedManagementKey(pin string) ([]byte, error) {
	m, err := c.yk.Metadata(pin)
	if err != nil {
		return nil, err
	}
	if m.ManagementKey == nil {
		return nil, errNothing
	}
	return *m.ManagementKey, nil
}

func (c pivCard) Generate(managementKey []byte, slot Slot, r Request) (crypto.PublicKey, error) {
	key := piv.Key{
		Algorithm:   name(algorithms, r.Algorithm),
		PINPolicy:   name(pinPolicies, r.PIN),
		TouchPolicy: name(touchPolicies, r.Touch),
	}
	return c.yk.GenerateKey(orFactory(managementKey), pivSlot(slot), key)
}

func (c pivCard) SetCertificate(managementKey []byte, slot Slot, cert *x509.Certificate) error {
	return c.yk.SetCertificate(orFactory(managementKey), pivSlot(slot), cert)
}

// orFactory turns nil into the management key that sticks are sold with.
func orFactory(managementKey []byte) []byte {
	if managementKey == nil {
		return bytes.Clone(piv.DefaultManagementKey)
	}
	return managementKey
}

// name returns the library's value for one of our words, or 0, which the
// library refuses.
func name[T comparable](words map[T]string, word string) (value T) {
	for v, w := range words {
		if w == word && word != "" {
			return v
		}
	}
	return value
}

// Signer leaves the PIN to us: the library has no place for a notice between
// the PIN and the touch.
func (c pivCard) Signer(slot Slot, public crypto.PublicKey) (crypto.Signer, error) {
	key, err := c.yk.PrivateKey(pivSlot(slot), public, piv.KeyAuth{PINPolicy: piv.PINPolicyNever})
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", key)
	}
	return signer, nil
}
