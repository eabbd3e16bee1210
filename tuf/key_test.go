package tuf_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// point returns the public key with the given coordinates.
func point(t testing.TB, curve elliptic.Curve, x, y string) *ecdsa.PublicKey {
	t.Helper()
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, append([]byte{4}, unhex(t, x+y)...))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func ecdsaSignature(t testing.TB, r, s string) []byte {
	t.Helper()
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(unhex(t, r)), new(big.Int).SetBytes(unhex(t, s))})
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// Signatures from RFC 6979 (A.2.5, A.2.6) and RFC 8032 (7.1, test 2).
func TestKeysVerifyThePublishedVectors(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		public    crypto.PublicKey
		msg, sig  []byte
	}{
		{"p256", point(t, elliptic.P256(), "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6", "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"),
			[]byte("sample"), ecdsaSignature(t, "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8")},
		{"p384", point(t, elliptic.P384(), "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
			"8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720"), []byte("sample"),
			ecdsaSignature(t, "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
				"99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8")},
		{"ed25519", ed25519.PublicKey(unhex(t, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")), []byte{0x72},
			unhex(t, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			key, err := tuf.NewKey(c.public)
			if err != nil {
				t.Fatal(err)
			}
			if key.Algorithm() != c.algorithm {
				t.Errorf("algorithm %s", key.Algorithm())
			}
			if err := key.Verify(c.msg, c.sig); err != nil {
				t.Error(err)
			}
			for i := range c.sig {
				bad := bytes.Clone(c.sig)
				bad[i] ^= 1
				if key.Verify(c.msg, bad) == nil {
					t.Errorf("byte %d flipped, and still valid", i)
				}
			}
			if key.Verify(append(c.msg, 0), c.sig) == nil || key.Verify(c.msg, nil) == nil || key.Verify(c.msg, append(bytes.Clone(c.sig), 0)) == nil {
				t.Error("another message, no signature, or one with more behind is valid")
			}
		})
	}
}

func TestKeyRoundTrips(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for want, private := range map[string]crypto.Signer{"p256": p256, "p384": p384, "ed25519": ed} {
		t.Run(want, func(t *testing.T) {
			s, err := tuf.NewSigner(private)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := s.Sign(context.Background(), []byte("msg"))
			if err != nil {
				t.Fatal(err)
			}
			key := s.Key()
			data, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			var fromJSON tuf.Key
			if err := json.Unmarshal(data, &fromJSON); err != nil {
				t.Fatal(err)
			}
			fromPEM, err := tuf.ParseKeyPEM(key.PEM())
			if err != nil {
				t.Fatal(err)
			}
			fromCertificate, err := tuf.ParseKeyPEM(certificate(t, private))
			if err != nil {
				t.Fatal(err)
			}
			for name, k := range map[string]*tuf.Key{"itself": key, "JSON": &fromJSON, "PEM": fromPEM, "certificate": fromCertificate} {
				if k.ID() != key.ID() || !k.Equal(key) || k.Algorithm() != want || k.Verify([]byte("msg"), sig) != nil {
					t.Errorf("by way of %s it is another key", name)
				}
			}
			// Other TUF tools compute the same ID, and read the same public key.
			id, err := key.Metadata().ID()
			if err != nil || id != key.ID() || len(id) != 64 {
				t.Errorf("ID %s, elsewhere %s, %v", key.ID(), id, err)
			}
			public, err := key.Metadata().ToPublicKey()
			if err != nil || !private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Errorf("another public key: %v", err)
			}
		})
	}
}

// The ID of RFC 8032's first key, computed with another program from the
// canonical form of the key object.
func TestKeyIDIsThatOfTheSpecification(t *testing.T) {
	key, err := tuf.NewKey(ed25519.PublicKey(unhex(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")))
	if err != nil {
		t.Fatal(err)
	}
	if want := "74c181c7ad8a0855d4b55e44d2ba87aabdddb196832571f15f92fece332e4916"; key.ID() != want {
		t.Errorf("ID %s, want %s", key.ID(), want)
	}
	p256, err := tuf.NewKey(point(t, elliptic.P256(), "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6", "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "716d622ec609eff48475645919645bb30ef604f59a69c764608fb64272dd5fe5"; p256.ID() != want {
		t.Errorf("ID %s, want %s", p256.ID(), want)
	}
}

func TestMembersOfAKeyArePartOfItsID(t *testing.T) {
	plain, err := tuf.ReadKey([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	more, err := tuf.ReadKey([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},"x":[1,{"a":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if plain.ID() == more.ID() || !plain.Equal(more) {
		t.Error("the same public key with another member is the same key under another ID")
	}
}

func TestUnusableKeysAreRefused(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	for name, public := range map[string]crypto.PublicKey{"RSA": rsaKey.Public(), "P-224": p224.Public(), "P-521": p521.Public(),
		"short Ed25519": ed25519.PublicKey{1}, "no Ed25519": ed25519.PublicKey(nil), "nothing": nil, "a string": "key"} {
		if _, err := tuf.NewKey(public); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, data := range map[string]string{
		"nothing":                  ``,
		"null":                     `null`,
		"an array":                 `[]`,
		"empty":                    `{}`,
		"one byte":                 `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}`,
		"a byte too many":          `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a00"}}`,
		"not hex":                  `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"x75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`,
		"null value":               `{"keytype":"ed25519","scheme":"ed25519","keyval":null}`,
		"unknown type":             `{"keytype":"sphinx","scheme":"ed25519","keyval":{"public":"00"}}`,
		"unknown scheme":           `{"keytype":"ed25519","scheme":"ed448","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`,
		"RSA without a key":        `{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":""}}`,
		"RSA in PKCS #1 v1.5":      `{"keytype":"rsa","scheme":"rsa-pkcs1v15-sha256","keyval":{"public":""}}`,
		"an ECDSA key as RSA":      `{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\nYfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n-----END PUBLIC KEY-----\n"}}`,
		"other letter case":        `{"KeyType":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`,
		"something behind":         `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}{}`,
		"a point not on the curve": `{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\nYfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimA==\n-----END PUBLIC KEY-----\n"}}`,
	} {
		if key, err := tuf.ReadKey([]byte(data)); err == nil {
			t.Errorf("%s is read as %s", name, key.ID())
		}
	}
}

// A private key in the wrong place is refused, and nothing of it is shown.
func TestParseKeyPEMRefusesPrivateKeys(t *testing.T) {
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"} {
		data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		_, err := tuf.ParseKeyPEM(data)
		if err == nil {
			t.Fatalf("%s is taken", kind)
		}
		body := strings.Split(string(data), "\n")[1]
		if strings.Contains(err.Error(), body[:10]) || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: the error says %q", kind, err)
		}
	}
	for name, data := range map[string]string{
		"nothing":          "",
		"no PEM":           "ssh-ed25519 AAAA",
		"garbled":          "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"garbled cert":     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"cut off":          "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZI",
		"a private key in": "-----BEGIN PUBLIC KEY-----\n" + strings.Join(strings.Split(string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: der})), "\n")[1:4], "\n") + "\n-----END PUBLIC KEY-----\n",
	} {
		if _, err := tuf.ParseKeyPEM([]byte(data)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func certificate(t *testing.T, private crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotBefore: now, NotAfter: now.Add(day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A device that answers with rubbish, or with another key's signature, must not
// get it into a file.
func TestSignKeepsOnlyWhatVerifies(t *testing.T) {
	targets := tuf.NewTargets(1, now.Add(day))
	if err := tuf.Sign(context.Background(), targets, faulty{signer(t, "alice"), signer(t, "bob")}); err == nil || len(targets.Signatures) != 0 {
		t.Fatalf("%v, %d signatures", err, len(targets.Signatures))
	}
	for range 2 { // signing again replaces
		if err := tuf.Sign(context.Background(), targets, signer(t, "alice"), signer(t, "bob")); err != nil {
			t.Fatal(err)
		}
	}
	if len(targets.Signatures) != 2 {
		t.Fatalf("%d signatures", len(targets.Signatures))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := tuf.Sign(ctx, targets, waiting{signer(t, "carol")}); err == nil {
		t.Fatal("a signer that was given up signed")
	}
}

// faulty signs with another key than it says.
type faulty struct{ says, is tuf.Signer }

func (f faulty) Key() *tuf.Key { return f.says.Key() }
func (f faulty) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	return f.is.Sign(ctx, msg)
}

// waiting signs only while somebody waits.
type waiting struct{ tuf.Signer }

func (w waiting) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.Signer.Sign(ctx, msg)
}
