package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

func TestWithRefuses(t *testing.T) {
	maker := newMaker(t)
	_, key := newKey(t)
	secret := "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n"
	for name, data := range map[string]string{
		"nothing":                  "",
		"words":                    "not PEM",
		"a private key":            secret,
		"a private key behind it":  string(maker.RootPEM()) + secret,
		"a public key":             string(key.PEM()),
		"something else inside":    strings.ReplaceAll(string(maker.RootPEM()), "CERTIFICATE", "X509 CRL"),
		"a certificate of nothing": "-----BEGIN CERTIFICATE-----\nU0VDUkVU\n-----END CERTIFICATE-----\n",
		"no authority":             attest(t, maker, key)[0],
		"too much":                 string(maker.RootPEM()) + strings.Repeat("\n", maxConfigured),
	} {
		roots, err := Yubico().With([]byte(data))
		if err == nil || roots != nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "U0VDUkVU") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error tells what was in it: %v", name, err)
		}
	}
}

// TestWithKeepsTheRulesOfYubico gives Yubico's own files as configured roots: who
// has them at hand must not lose the rules that hold below them.
func TestWithKeepsTheRulesOfYubico(t *testing.T) {
	var all []byte
	for _, name := range []string{"yubico-piv-ca.pem", "yubico-u2f-ca.pem", "yubico-ca-1.pem", "yubico-piv-intermediates.pem"} {
		data, err := os.ReadFile("certs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	roots := with(t, all)
	if len(roots.anchors) != 3 {
		t.Errorf("%d roots, expected Yubico's 3", len(roots.anchors))
	}
	for _, a := range roots.anchors {
		if !a.yubico {
			t.Errorf("%s is a configured root now", a.cert.Subject)
		}
	}
	// The same holds for what Yubico may add below its roots one day.
	shared := issue(t, nil, "Attestation Root", authority(3))
	between := issue(t, shared, "Intermediate", authority(2))
	fido := issue(t, between, "Yubico FIDO Attestation B2 1", authority(1))
	piv := issue(t, between, "Yubico PIV Attestation B2 1", authority(1))
	base := &Roots{anchors: []anchor{{cert: shared.cert, yubico: true, issuer: "Yubico PIV Attestation "}}}
	var more bytes.Buffer
	for _, text := range chainOf(fido.cert, piv.cert, between.cert) {
		more.WriteString(text)
	}
	roots, err := base.With(more.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		by   *holder
		rule tuf.Rule
	}{{piv, ""}, {fido, tuf.RuleAttestationChain}} {
		stick := issue(t, test.by, "stick", authority(0))
		key := issue(t, stick, "YubiKey PIV Attestation 82", leaf)
		if _, err := roots.Check(key.tuf(t), chainOf(key.cert, stick.cert), now); tuf.RuleOf(err) != test.rule {
			t.Errorf("below %s: %v", test.by.cert.Subject, err)
		}
	}
}

// TestWithChangesNothing adds to one set and asks another.
func TestWithChangesNothing(t *testing.T) {
	_, key := newKey(t)
	one, two := newMaker(t), newMaker(t)
	first := with(t, one.RootPEM())
	third, err := first.With(two.AuthorityPEM())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.With(newMaker(t).AuthorityPEM()); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Check(key, attest(t, two, key), now); err != nil {
		t.Errorf("another set of its own changed it: %v", err)
	}
	if _, err := first.Check(key, attest(t, two, key), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("two's root came to the first set: %v", err)
	}
	both, err := first.With(two.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	for _, maker := range []*card.Maker{one, two} {
		if _, err := both.Check(key, attest(t, maker, key), now); err != nil {
			t.Error(err)
		}
	}
	real, chain := realChain(t, "yubikey-5.4.3.pem")
	if _, err := both.Check(real, chain, now); err != nil {
		t.Errorf("Yubico's are no longer believed: %v", err)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]Version{"5.7": {5, 7, 0}, "5.7.4": {5, 7, 4}, "0.0.0": {}, "255.255.255": {255, 255, 255}, "5.07": {5, 7, 0}} {
		got, err := ParseVersion(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
		var again Version
		out, err := got.MarshalText()
		if err != nil || again.UnmarshalText(out) != nil || again != got {
			t.Errorf("%q: written as %q, read as %v", text, out, again)
		}
	}
	for _, text := range []string{"", "5", "5.", ".7", "5.7.4.1", "5.256", "5.-7", "5.+7", "5.7a", " 5.7", "5,7"} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	ordered := []Version{{4, 3, 9}, {5, 0, 0}, {5, 2, 7}, {5, 7, 0}, {5, 7, 4}, {5, 10, 0}, {6, 0, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%v against %v: %d", a, b, got)
			}
		}
		if got := a.AtLeast(5, 7); got != (i >= 3) {
			t.Errorf("%v at least 5.7: %v", a, got)
		}
	}
}

func TestWeak(t *testing.T) {
	_, p256 := newKey(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, p384 := keyOf(t, public), keyOf(t, private.Public())
	for _, test := range []struct {
		name     string
		key      *tuf.Key
		firmware Version
		form     string
		weak     bool
	}{
		{"P-256 on 5.4.3", p256, Version{5, 4, 3}, "USB-A keychain", true},
		{"P-384 on 5.6.9", p384, Version{5, 6, 9}, "", true},
		{"P-256 on 5.7.0", p256, Version{5, 7, 0}, "USB-C nano, FIPS", false},
		{"P-256 on 6.0.0", p256, Version{6, 0, 0}, "", false},
		{"Ed25519, wherever", edwards, Version{5, 4, 3}, "", false},
		{"a Bio with 5.7.1", p256, Version{5, 7, 1}, "USB-C keychain, Bio", true},
		{"a Bio with 5.7.2", p256, Version{5, 7, 2}, "USB-A keychain, Bio", false},
		{"a Bio of FIPS with 5.7.1", p256, Version{5, 7, 1}, formFactor(0x87), true},
	} {
		words := Weak(&Proof{Serial: 4711, Firmware: test.firmware, FormFactor: test.form}, test.key)
		if (words != "") != test.weak || test.weak && (!strings.Contains(words, "YSA-2024-03") || !strings.Contains(words, "4711") || strings.Contains(words, "\n")) {
			t.Errorf("%s: %q", test.name, words)
		}
	}
}
