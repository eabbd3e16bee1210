package attestation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// FuzzCheck starts from an attestation that a real YubiKey made. Whoever cannot
// sign for Yubico cannot change a byte of what it says: whatever chain is taken says
// the very same of the very same key. Nothing panics, and every refusal is one.
func FuzzCheck(f *testing.F) {
	key, chain := realChain(f, "yubikey-5.4.3.pem")
	want, err := Yubico().Check(key, chain, now)
	if err != nil {
		f.Fatal(err)
	}
	der := func(text string) []byte {
		block, _ := pem.Decode([]byte(text))
		return block.Bytes
	}
	leaf, stick := der(chain[0]), der(chain[1])
	signed, err := x509.ParseCertificate(leaf)
	if err != nil {
		f.Fatal(err)
	}
	_, old := realChain(f, "yubikey-4.3.7.pem")
	f.Add(leaf, stick, []byte(nil), "")
	f.Add(leaf, stick, Yubico().anchors[0].cert.Raw, "")
	f.Add(leaf, leaf, stick, "")
	f.Add(der(old[0]), der(old[1]), stick, old[0])
	f.Add(leaf, stick, Yubico().intermediates[0].Raw, chain[0]+chain[1])
	f.Fuzz(func(t *testing.T, leaf, stick, further []byte, text string) {
		encode := func(der []byte) string {
			return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		given := []string{encode(leaf), encode(stick)}
		if len(further) > 0 {
			given = append(given, encode(further))
		}
		for _, given := range [][]string{given, append(slices.Clone(given), text), {text, encode(stick)}, {encode(leaf), text}, {text}} {
			proof, err := Yubico().Check(key, given, now)
			if err != nil {
				if proof != nil || tuf.RuleOf(err) == "" {
					t.Fatalf("%+v with %v, which is no refusal", proof, err)
				}
				continue
			}
			if diff := cmp.Diff(want, proof); diff != "" {
				t.Fatalf("a chain that Yubico did not sign is believed: %s", diff)
			}
			block, _ := pem.Decode([]byte(given[0]))
			taken, err := x509.ParseCertificate(block.Bytes)
			if err != nil || !bytes.Equal(taken.RawTBSCertificate, signed.RawTBSCertificate) {
				t.Fatalf("a certificate is believed that the stick did not sign (%v)", err)
			}
		}
	})
}

// FuzzWith reads what somebody configured: it is taken as authorities, or refused.
func FuzzWith(f *testing.F) {
	f.Add(yubicoPIV)
	f.Add(yubicoIntermediates)
	f.Add(append(bytes.Clone(yubicoU2F), yubicoRoot1...))
	f.Fuzz(func(t *testing.T, data []byte) {
		roots, err := Yubico().With(data)
		if err != nil {
			return
		}
		if len(roots.anchors) < 3 {
			t.Fatal("Yubico's roots were lost")
		}
		for _, a := range roots.anchors {
			if !a.cert.IsCA {
				t.Fatalf("%s is no authority", a.cert.Subject)
			}
		}
	})
}

// FuzzParseVersion reads back what it wrote.
func FuzzParseVersion(f *testing.F) {
	f.Add("5.7")
	f.Add("5.7.4")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v {
			t.Fatalf("%q was read as %v, and that as %v (%v)", s, v, again, err)
		}
	})
}
