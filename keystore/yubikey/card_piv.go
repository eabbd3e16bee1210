//go:build windows || (cgo && (linux || darwin))

package yubikey

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/attestation"
)

func newDriver() driver {
	return driver{readers: listReaders, watch: watchReaders, open: openCard}
}

// pivCard is a card by piv-go.
type pivCard struct {
	yk     *piv.YubiKey
	reader string
	shown  bool // the card has seen a PIN
}

// openCard asks whether there is a PIV application before the library does:
// where that fails, because the stick is being pulled out or pushed in, the
// library would keep the card to itself until the process ends.
func openCard(reader string) (card, error) {
	err := lend(reader, func(w wire) error { return w.choose(aidPIV) })
	if err != nil {
		return nil, err
	}
	yk, err := piv.Open(reader)
	if err != nil {
		return nil, err
	}
	return &pivCard{yk: yk, reader: reader}, nil
}

func (c *pivCard) Serial() (uint32, error) { return c.yk.Serial() }
func (c *pivCard) Retries() (int, error)   { return c.yk.Retries() }

func (c *pivCard) VerifyPIN(pin string) error {
	c.shown = true
	return c.yk.VerifyPIN(pin)
}

// Close has the card forget the PIN first: it would remember it for as long as it has
// power, and let the next program that takes it use keys that want it once.
func (c *pivCard) Close() error {
	if c.shown {
		_, _ = c.yk.FormFactor() // the one call that chooses another application
	}
	return c.yk.Close()
}

func (c *pivCard) Version() Version {
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
// tells the same of keys that were generated, and nothing tells of others.
func (c *pivCard) Slot(slot Slot) (SlotInfo, crypto.PublicKey, error) {
	info := SlotInfo{Slot: slot}
	if c.Version().hasMetadata() {
		ki, err := c.yk.KeyInfo(pivSlot(slot))
		info.Algorithm, info.PIN, info.Touch, info.Origin = algorithms[ki.Algorithm], pinPolicies[ki.PINPolicy], touchPolicies[ki.TouchPolicy], origins[ki.Origin]
		return info, ki.PublicKey, err
	}
	cert, err := c.Attest(slot)
	if status(err) == swInstruction { // older than attestation
		err = errNothing
	}
	if err != nil {
		return info, nil, err
	}
	info.Origin = Generated
	if says, err := attestation.Read(cert); err == nil { // YubiKeys 4 may leave something out
		info.PIN, info.Touch = says.PIN, says.Touch
	}
	return info, cert.PublicKey, nil
}

func (c *pivCard) Certificate(slot Slot) (*x509.Certificate, error) {
	return c.yk.Certificate(pivSlot(slot))
}

func (c *pivCard) Attest(slot Slot) (*x509.Certificate, error) {
	cert, err := c.yk.Attest(pivSlot(slot))
	if errors.Is(err, piv.ErrNotFound) {
		return nil, errNothing
	}
	return cert, err
}

func (c *pivCard) AttestationCertificate() (*x509.Certificate, error) {
	return c.yk.AttestationCertificate()
}

func (c *pivCard) ProtectedManagementKey(pin string) ([]byte, error) {
	c.shown = true
	m, err := c.yk.Metadata(pin)
	if err != nil {
		return nil, err
	}
	if m.ManagementKey == nil {
		return nil, errNothing
	}
	return *m.ManagementKey, nil
}

func (c *pivCard) Generate(managementKey []byte, slot Slot, r Request) (crypto.PublicKey, error) {
	return c.yk.GenerateKey(orFactory(managementKey), pivSlot(slot), policy(r))
}

func (c *pivCard) Import(managementKey []byte, slot Slot, r Request, private crypto.Signer) error {
	return c.yk.SetPrivateKeyInsecure(orFactory(managementKey), pivSlot(slot), private, policy(r))
}

func policy(r Request) piv.Key {
	return piv.Key{
		Algorithm:   name(algorithms, r.Algorithm),
		PINPolicy:   name(pinPolicies, r.PIN),
		TouchPolicy: name(touchPolicies, r.Touch),
	}
}

func (c *pivCard) SetCertificate(managementKey []byte, slot Slot, cert *x509.Certificate) error {
	return c.yk.SetCertificate(orFactory(managementKey), pivSlot(slot), cert)
}

// orFactory turns nil into the management key that sticks are sold with.
func orFactory(managementKey []byte) []byte {
	if managementKey == nil {
		return factoryManagementKey()
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
func (c *pivCard) Signer(slot Slot, public crypto.PublicKey) (crypto.Signer, error) {
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
