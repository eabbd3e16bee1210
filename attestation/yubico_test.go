package attestation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// now is when the tests take place.
var now = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

// realChain reads an attestation that a real YubiKey made, and the key it is of.
func realChain(t testing.TB, name string) (*tuf.Key, []string) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var chain []string
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, string(pem.EncodeToMemory(block)))
	}
	key, err := tuf.ParseKeyPEM([]byte(chain[0]))
	if err != nil {
		t.Fatal(err)
	}
	return key, chain
}

func TestRealYubiKey(t *testing.T) {
	key, chain := realChain(t, "yubikey-5.4.3.pem")
	proof, err := Yubico().Check(key, chain, now)
	if err != nil {
		t.Fatal(err)
	}
	want := &Proof{Serial: 15732500, Firmware: Version{5, 4, 3}, Slot: "9a", PIN: "once", Touch: "never",
		FormFactor: "USB-C nano", Root: "Yubico PIV Root CA Serial 263751", Yubico: true, Until: time.Date(2052, 4, 17, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, proof); diff != "" {
		t.Error(diff)
	}
	if words := Weak(proof, key); !strings.Contains(words, "EUCLEAK") || !strings.Contains(words, "5.4.3") {
		t.Errorf("the weakness of firmware 5.4.3 is told as %q", words)
	}
	for name, at := range map[string]time.Time{"before": time.Date(2016, 3, 13, 0, 0, 0, 0, time.UTC), "after": time.Date(2052, 4, 18, 0, 0, 0, 0, time.UTC)} {
		if _, err := Yubico().Check(key, chain, at); !errors.Is(err, tuf.RuleAttestationExpired) {
			t.Errorf("%s its time: %v", name, err)
		}
	}
}

// TestOldYubiKey takes a chain of 2018 that RFC 5280 would refuse twice, as far as
// it goes: that stick tells no serial number.
func TestOldYubiKey(t *testing.T) {
	key, chain := realChain(t, "yubikey-4.3.7.pem")
	_, err := Yubico().Check(key, chain, now)
	if !errors.Is(err, tuf.RuleAttestationChain) || !strings.Contains(err.Error(), "serial number") {
		t.Errorf("got %v, expected the serial number to be missed, and nothing else", err)
	}
}

// TestMixedChains swaps the sticks' certificates of two real chains.
func TestMixedChains(t *testing.T) {
	key5, chain5 := realChain(t, "yubikey-5.4.3.pem")
	key4, chain4 := realChain(t, "yubikey-4.3.7.pem")
	for _, test := range []struct {
		name  string
		key   *tuf.Key
		chain []string
		rule  tuf.Rule
	}{
		{"5's key by 4's stick", key5, []string{chain5[0], chain4[1]}, tuf.RuleAttestationChain},
		{"4's key by 5's stick", key4, []string{chain4[0], chain5[1]}, tuf.RuleAttestationChain},
		{"another key", key4, chain5, tuf.RuleAttestationKey},
		{"nothing", key5, nil, tuf.RuleNotAttested},
		{"the key's certificate alone", key5, chain5[:1], tuf.RuleAttestationChain},
		{"the stick's certificate alone", key5, []string{chain5[1], chain5[1]}, tuf.RuleAttestationChain},
	} {
		if _, err := Yubico().Check(test.key, test.chain, now); !errors.Is(err, test.rule) {
			t.Errorf("%s: got %v, expected %s", test.name, err, test.rule)
		}
	}
}

// TestYubicosCertificates holds the files in certs/ to their fingerprints, which
// other projects publish too, and to each other.
func TestYubicosCertificates(t *testing.T) {
	want := map[string]string{
		"Yubico PIV Root CA Serial 263751":    "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546",
		"Yubico U2F Root CA Serial 457200631": "0fa1386f80eb8713263ae5c1d84deb455bdf08aea50ab05503cefee82b092d42",
		"Yubico Attestation Root 1":           "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8",
		"Yubico Attestation Intermediate A 1": "4698a1d3389c3ec60016c216250f1d0439922832d65142327436376dc2942b55",
		"Yubico Attestation Intermediate B 1": "d4cc3f456fdaf4e7812a21aab1dfe9d8e27d24e2fd2d6f21c9940109f0daa754",
		"Yubico PIV Attestation A 1":          "6de693f05376f5d8ca29069261e1c8626c75d503bd2edbfd75354cad1f722870",
		"Yubico PIV Attestation B 1":          "2d55b7998f4e42569d6d8fa382b6dc77d1dacf07358b19701163892922b17052",
	}
	r := Yubico()
	rules := map[string]anchor{
		"Yubico PIV Root CA Serial 263751":    {},
		"Yubico U2F Root CA Serial 457200631": {device: "Yubico PIV Attestation", short: true},
		"Yubico Attestation Root 1":           {issuer: "Yubico PIV Attestation "},
	}
	got := map[string]string{}
	for _, a := range r.anchors {
		rule := rules[a.cert.Subject.CommonName]
		if rule.cert, rule.yubico = a.cert, true; a != rule {
			t.Errorf("below %s another rule holds: %+v", a.cert.Subject, a)
		}
		sum := sha256.Sum256(a.cert.Raw)
		got[a.cert.Subject.CommonName] = hex.EncodeToString(sum[:])
	}
	for _, cert := range r.intermediates {
		sum := sha256.Sum256(cert.Raw)
		got[cert.Subject.CommonName] = hex.EncodeToString(sum[:])
		if !r.leadTo(cert, nil) {
			t.Errorf("%s leads to none of the roots", cert.Subject)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
