package card

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// The validity of Yubico's own attestation certificates.
const (
	attestedFrom  = "2016-03-14T00:00:00Z"
	attestedUntil = "2052-04-17T00:00:00Z"
)

// yubico is the arc below which the attestation's extensions stand.
func yubico(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, n}
}

// equip gives a new card its attestation key (F9) and a certificate for it.
func (c *Card) equip(maker *Maker) error {
	key, err := maker.newKey()
	if err != nil {
		return fmt.Errorf("make attestation key: %w", err)
	}
	der, err := maker.certify(key.Public())
	if err != nil {
		return fmt.Errorf("certify attestation key: %w", err)
	}
	c.changed = true
	own, err := wrap(key)
	if err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	c.state.keys[slotAttestation] = &slotKey{key: own, PIN: pinNever, Touch: touchNever, Origin: originImported}
	c.state.Objects[objectAttestation] = certificateObject(der)
	return nil
}

// attest is Yubico's ATTEST: a certificate, by the key in F9, which says that the
// key in the slot was made on this card, and what its use demands. A real card also
// attests X25519 keys, for which Go makes no certificates.
func (c *Card) attest(cmd Command) ([]byte, error) {
	if cmd.P2 != 0 {
		return nil, StatusWrongParameters
	}
	if lie, ok := c.attestations[cmd.P1]; ok {
		return lie, nil
	}
	slot, maker := c.state.keys[cmd.P1], c.state.keys[slotAttestation]
	if slot == nil || slot.Origin != originGenerated || maker == nil {
		return nil, StatusWrongData
	}
	signer, ok := maker.key.private().(crypto.Signer)
	if !ok {
		return nil, StatusWrongData
	}
	der, err := readCertificateObject(c.state.Objects[objectAttestation])
	if err != nil {
		return nil, StatusWrongData
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, StatusWrongData
	}
	der, err = Claim{
		Key: slot.key.private().Public(), Slot: cmd.P1, Serial: c.serial, Firmware: c.firmware,
		PIN: slot.PIN, Touch: slot.Touch, FormFactor: c.formFactor,
	}.sign(issuer, signer)
	if err != nil {
		return nil, StatusWrongData
	}
	return der, nil
}

// A Claim is what an attestation says of a key.
type Claim struct {
	Key        crypto.PublicKey
	Slot       byte
	Serial     uint32
	Firmware   Firmware
	PIN, Touch byte // policies, as their bytes in the certificate: 1 never, 2 once or always, 3 always or cached
	FormFactor byte
	// Edit may change the certificate before it is signed: leave an extension out,
	// say one twice, garble it, end it early.
	Edit func(*x509.Certificate)
}

// sign makes the attestation, as issuer would.
func (claim Claim) sign(issuer *x509.Certificate, key crypto.Signer) ([]byte, error) {
	parent := *issuer
	parent.SubjectKeyId = nil // real keys send no authority key identifier
	serial, err := asn1.Marshal(int64(claim.Serial))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(),
		Subject:      name(fmt.Sprintf("YubiKey PIV Attestation %02x", claim.Slot)),
		NotBefore:    parent.NotBefore,
		NotAfter:     parent.NotAfter,
		ExtraExtensions: []pkix.Extension{
			{Id: yubico(3), Value: claim.Firmware.bytes()},
			{Id: yubico(7), Value: serial},
			{Id: yubico(8), Value: []byte{claim.PIN, claim.Touch}},
			{Id: yubico(9), Value: []byte{claim.FormFactor}},
		},
	}
	if claim.Edit != nil {
		claim.Edit(template)
	}
	return x509.CreateCertificate(rand.Reader, template, &parent, claim.Key, key)
}

// name is CN=common as UTF8String, the way a YubiKey writes it.
func name(common string) pkix.Name {
	return pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{
		Type:  asn1.ObjectIdentifier{2, 5, 4, 3},
		Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(common)},
	}}}
}

// randomSerial is a positive number of sixteen bytes.
func randomSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7F | 0x40
	return new(big.Int).SetBytes(b)
}

func mustTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err) // the two constants above
	}
	return t
}
