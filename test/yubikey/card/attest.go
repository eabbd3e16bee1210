package card

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
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
// key in the slot was made on this card, and what its use demands.
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
	if public, ok := claim.Key.(*ecdh.PublicKey); ok {
		return certifyX25519(template, &parent, public, key)
	}
	return x509.CreateCertificate(rand.Reader, template, &parent, claim.Key, key)
}

// The algorithms in a SubjectPublicKeyInfo (RFC 8410), with all that stands before
// the 32 bytes of the key.
const (
	prefixX25519  = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00"
	prefixEd25519 = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"
)

// certifyX25519 makes a certificate for a key that the standard library certifies no
// keys of: one for an Ed25519 key of the same bytes, which it then renames and signs
// again.
func certifyX25519(template, parent *x509.Certificate, public *ecdh.PublicKey, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, ed25519.PublicKey(public.Bytes()), key)
	if err != nil {
		return nil, err
	}
	var certificate struct {
		Body      asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		return nil, err
	}
	body := bytes.Replace(certificate.Body.FullBytes,
		append([]byte(prefixEd25519), public.Bytes()...), append([]byte(prefixX25519), public.Bytes()...), 1)
	digest := sha256.Sum256(body) // what CreateCertificate takes for RSA 2048 and P-256
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	certificate.Body.FullBytes = body
	certificate.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(certificate)
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
