package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// FuzzParsePrivate checks that whatever file is imported as a private key, what comes
// out can sign for a key that we take, and that no error quotes what was in the file.
func FuzzParsePrivate(f *testing.F) {
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			f.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	seed := []byte("0123456789abcdef0123456789abcdef")
	f.Add(pkcs8(ed25519.NewKeyFromSeed(seed)))
	p256, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pkcs8(p256))
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: sec1}))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file := string(raw)
		private, err := parsePrivate(raw)
		if err != nil {
			for line := range strings.Lines(file) {
				if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
					t.Fatalf("the error quotes the file: %v", err)
				}
			}
			return
		}
		key, err := tuf.NewKey(private.Public())
		if err != nil {
			if _, curve := private.(*ecdsa.PrivateKey); curve {
				return // of a curve that import refuses by name
			}
			t.Fatal(err)
		}
		signer, err := tuf.NewSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		payload := []byte("payload")
		sig, err := tuf.SignPayload(t.Context(), payload, signer)
		if err != nil || key.Verify(payload, sig) != nil {
			t.Fatalf("the key that was taken signs nothing: %v", err)
		}
	})
}
