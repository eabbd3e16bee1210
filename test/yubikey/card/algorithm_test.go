package card

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"testing"
)

// authenticate is GENERAL AUTHENTICATE in slot 9e, chained if need be.
func (term *terminal) authenticate(algorithm, tag byte, input []byte) ([]byte, Status) {
	term.t.Helper()
	data := tlv(tagTemplate, append(tlv(tagResponse), tlv(tag, input...)...)...)
	for len(data) > 255 {
		link := Command{Class: 0x10, Instruction: insAuthenticate, P1: algorithm, P2: slotCardAuth, Data: data[:255]}
		term.want(hex.EncodeToString(link.Bytes()), "9000")
		data = data[255:]
	}
	last := Command{Instruction: insAuthenticate, P1: algorithm, P2: slotCardAuth, Data: data, Le: 65536, Extended: true}
	answer, status := term.send(hex.EncodeToString(last.Bytes()))
	if status != StatusOK {
		return nil, status
	}
	output, err := unwrap(tagTemplate, answer)
	if err == nil {
		output, err = unwrap(tagResponse, output)
	}
	if err != nil {
		term.t.Fatalf("answer %x: %v", answer, err)
	}
	return output, status
}

// signs checks that the key in slot 9e signs as the public key demands.
func (term *terminal) signs(algorithm byte, public crypto.PublicKey) {
	term.t.Helper()
	digest := sha256.Sum256([]byte("message"))
	input := digest[:]
	if public, ok := public.(*rsa.PublicKey); ok { // PKCS #1 1.5, which the host pads
		info := append([]byte("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"), digest[:]...)
		padding := bytes.Repeat([]byte{0xFF}, public.Size()-3-len(info))
		input = append(append(append([]byte{0, 1}, padding...), 0), info...)
	}
	signature, status := term.authenticate(algorithm, tagChallenge, input)
	if status != StatusOK {
		term.t.Fatalf("sign: %v", status)
	}
	good := false
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(public, digest[:], signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(public, digest[:], signature)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	}
	if !good {
		term.t.Error("wrong signature")
	}
}

// agrees checks that the key in slot 9e makes the same secret as its peer.
func (term *terminal) agrees(algorithm byte, public *ecdh.PublicKey) {
	term.t.Helper()
	peer, err := public.Curve().GenerateKey(rand.Reader)
	if err != nil {
		term.t.Fatal(err)
	}
	want, err := peer.ECDH(public)
	if err != nil {
		term.t.Fatal(err)
	}
	got, status := term.authenticate(algorithm, tagExponent, peer.PublicKey().Bytes())
	if status != StatusOK || !bytes.Equal(got, want) {
		term.t.Errorf("shared secret %x, %v; want %x", got, status, want)
	}
	if _, status := term.authenticate(algorithm, tagExponent, []byte{4, 1, 2, 3}); status != StatusWrongData {
		term.t.Errorf("secret shared with no point: %v", status)
	}
}

// use checks all that the key in slot 9e can do, and that it does nothing else.
func (term *terminal) use(algorithm byte, public crypto.PublicKey) {
	term.t.Helper()
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		term.signs(algorithm, public)
		point, err := public.ECDH()
		if err != nil {
			term.t.Fatal(err)
		}
		term.agrees(algorithm, point)
	case *ecdh.PublicKey:
		term.agrees(algorithm, public)
		if _, status := term.authenticate(algorithm, tagChallenge, make([]byte, 32)); status != StatusWrongData {
			term.t.Errorf("signed with a key that cannot: %v", status)
		}
	default:
		term.signs(algorithm, public)
		if _, status := term.authenticate(algorithm, tagExponent, make([]byte, 32)); status != StatusWrongData {
			term.t.Errorf("shared a secret with a key that cannot: %v", status)
		}
	}
}

// attested is the public key in slot 9e, as its attestation tells.
func (term *terminal) attested() crypto.PublicKey {
	term.t.Helper()
	certificate, err := x509.ParseCertificate(term.want("00F99E00 000000", "*9000"))
	if err != nil {
		term.t.Fatal(err)
	}
	maker, err := readCertificateObject(term.card.Object(0x5FFF01))
	if err != nil {
		term.t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(maker)
	if err != nil {
		term.t.Fatal(err)
	}
	if err := certificate.CheckSignatureFrom(issuer); err != nil {
		term.t.Errorf("attestation: %v", err)
	}
	public, err := x509.ParsePKIXPublicKey(certificate.RawSubjectPublicKeyInfo) // X25519 stands nowhere else
	if err != nil {
		term.t.Fatal(err)
	}
	return public
}

// TestEveryAlgorithm uses a key that was generated on the card, and then one that
// was imported.
func TestEveryAlgorithm(t *testing.T) {
	for _, c := range []struct {
		name     string
		id       byte
		imported func(t *testing.T) (standardKey, []byte)
	}{
		{"P-256", algorithmP256, importECDSA(elliptic.P256())},
		{"P-384", algorithmP384, importECDSA(elliptic.P384())},
		{"Ed25519", algorithmEd25519, func(t *testing.T) (standardKey, []byte) {
			key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
			return key, tlv(0x07, key.Seed()...)
		}},
		{"X25519", algorithmX25519, func(t *testing.T) (standardKey, []byte) {
			key, err := ecdh.X25519().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return key, tlv(0x08, key.Bytes()...)
		}},
		{"RSA 1024", algorithmRSA1024, importRSA(1024)},
		{"RSA 2048", algorithmRSA2048, importRSA(2048)},
		{"RSA 3072", algorithmRSA3072, importRSA(3072)},
		{"RSA 4096", algorithmRSA4096, importRSA(4096)},
	} {
		t.Run(c.name, func(t *testing.T) {
			term := insert(t, "5.7.4")
			term.manageDefault()
			term.send(command(insGenerate, 0, slotCardAuth, tlv(tagGenerate, tlv(tagAlgorithm, c.id)...)))
			term.use(c.id, term.attested())

			key, template := c.imported(t)
			term.want(hex.EncodeToString(Command{
				Instruction: insImport, P1: c.id, P2: slotCardAuth, Data: template, Extended: true,
			}.Bytes()), "9000")
			term.use(c.id, key.Public())
			term.want(command(insImport, c.id, slotCardAuth, tlv(0x06, 1, 2, 3)), "6A80")
		})
	}
}

func importECDSA(curve elliptic.Curve) func(*testing.T) (standardKey, []byte) {
	return func(t *testing.T) (standardKey, []byte) {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return key, tlv(0x06, raw...)
	}
}

func importRSA(bits int) func(*testing.T) (standardKey, []byte) {
	return func(t *testing.T) (standardKey, []byte) {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		var template []byte
		for i, part := range []*big.Int{
			key.Primes[0], key.Primes[1], key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv,
		} {
			template = appendTLV(template, byte(i+1), part.FillBytes(make([]byte, bits/16)))
		}
		return key, template
	}
}
