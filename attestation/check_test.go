package attestation

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// TestUntil has each certificate of a chain run out first.
func TestUntil(t *testing.T) {
	_, key := newKey(t)
	soon, later := now.Add(time.Hour), now.Add(365*24*time.Hour)
	for name, options := range map[string][]card.MakerOption{
		"the key's": nil, "the stick's": {card.SticksUntil(soon)}, "the root's": {card.Until(soon), card.SticksUntil(later)},
	} {
		maker := newMaker(t, options...)
		chain := attest(t, maker, key, func(c *card.Claim) {
			c.Edit = func(cert *x509.Certificate) {
				cert.NotAfter = later
				if name == "the key's" {
					cert.NotAfter = soon
				}
			}
		})
		proof, err := with(t, maker.AuthorityPEM()).Check(key, chain, now)
		if err != nil || !proof.Until.Equal(soon) {
			t.Errorf("%s: %+v, %v", name, proof, err)
		}
	}
}

func TestConfiguredRoot(t *testing.T) {
	_, key := newKey(t)
	last := time.Date(2052, 4, 17, 0, 0, 0, 0, time.UTC)
	for name, options := range map[string][]card.MakerOption{
		"as before 5.7.4":                 nil,
		"as since 5.7.4":                  {card.Intermediates(2)},
		"a YubiKey 4, no constraints":     {card.WithoutConstraints()},
		"RSA, as Yubico's own":            {card.RSA(), card.Intermediates(2)},
		"in its last minute":              {card.SticksUntil(now)},
		"the root in its last minute too": {card.Until(now)},
	} {
		maker := newMaker(t, options...)
		proof, err := with(t, maker.AuthorityPEM()).Check(key, attest(t, maker, key), now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		until := last
		if strings.Contains(name, "last minute") {
			until = now
		}
		want := &Proof{Serial: 12345678, Firmware: Version{5, 7, 4}, Slot: "9c", PIN: "always", Touch: "always", FormFactor: "USB-A keychain",
			Root: "Virtual YubiKey Attestation Root", Until: until}
		if diff := cmp.Diff(want, proof); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, err := Yubico().Check(key, attest(t, maker, key), now); !errors.Is(err, tuf.RuleAttestationChain) {
			t.Errorf("%s, by Yubico's roots alone: %v", name, err)
		}
	}
}

// TestChainBringsItsSteps has those between the stick and the root in the chain.
func TestChainBringsItsSteps(t *testing.T) {
	_, key := newKey(t)
	maker, eve := newMaker(t, card.Intermediates(2)), newMaker(t, card.Intermediates(2))
	roots := with(t, maker.RootPEM())
	chain := attest(t, maker, key)
	if _, err := roots.Check(key, chain, now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("without them: %v", err)
	}
	whole := slices.Concat(chain, chainOf(maker.Intermediates()...))
	if _, err := roots.Check(key, whole, now); err != nil {
		t.Error(err)
	}
	slices.Reverse(whole[2:])
	if _, err := roots.Check(key, whole, now); err != nil {
		t.Errorf("in another order: %v", err)
	}
	if _, err := roots.Check(key, slices.Concat(attest(t, eve, key), chainOf(eve.Intermediates()...), chainOf(eve.Root())), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("eve's whole chain, root included: %v", err)
	}
	bare := newMaker(t, card.Intermediates(1), card.WithoutConstraints())
	if _, err := with(t, bare.AuthorityPEM()).Check(key, attest(t, bare, key), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("no constraints, but not right below a root: %v", err)
	}
}

// TestTimes tells a chain of another time from one that is wrong.
func TestTimes(t *testing.T) {
	_, key := newKey(t)
	over, begun := now.Add(-time.Second), now.Add(time.Second)
	edited := func(edit func(*x509.Certificate)) func(*card.Claim) { return func(c *card.Claim) { c.Edit = edit } }
	for _, test := range []struct {
		name    string
		options []card.MakerOption
		edits   []func(*card.Claim)
		rule    tuf.Rule
	}{
		{"the root is over", []card.MakerOption{card.Until(over)}, nil, tuf.RuleAttestationExpired},
		{"the stick is over", []card.MakerOption{card.SticksUntil(over)}, nil, tuf.RuleAttestationExpired},
		{"those between are over", []card.MakerOption{card.Until(over), card.Intermediates(2)}, nil, tuf.RuleAttestationExpired},
		{"the key's is over", nil, []func(*card.Claim){edited(func(c *x509.Certificate) { c.NotAfter = over })}, tuf.RuleAttestationExpired},
		{"the key's has not begun", nil, []func(*card.Claim){edited(func(c *x509.Certificate) { c.NotBefore = begun })}, tuf.RuleAttestationExpired},
		{"over before the stick began", nil, []func(*card.Claim){edited(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Unix(1, 0) })}, tuf.RuleAttestationChain},
	} {
		maker := newMaker(t, test.options...)
		if _, err := with(t, maker.AuthorityPEM()).Check(key, attest(t, maker, key, test.edits...), now); !errors.Is(err, test.rule) {
			t.Errorf("%s: got %v, expected %s", test.name, err, test.rule)
		}
	}
	stranger := newMaker(t, card.Until(over))
	if _, err := Yubico().Check(key, attest(t, stranger, key), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("over, and a stranger's: %v", err)
	}
}

// TestAttestedKeyAttestsNothing forges with a key that a stick really holds and
// attests: its certificate has no constraints, as YubiKeys 4 have none.
func TestAttestedKeyAttestsNothing(t *testing.T) {
	for name, constraints := range map[string]func(*x509.Certificate){"a YubiKey 4": nil, "a YubiKey 5": authority(0), "one that sets no bounds": authority(-1)} {
		root := issue(t, nil, "Root", authority(3))
		stick := issue(t, root, deviceName, constraints)
		for _, called := range []string{"YubiKey PIV Attestation 9a", deviceName} {
			attested := issue(t, stick, called, leaf)
			forged := issue(t, attested, "YubiKey PIV Attestation 9c", leaf)
			roots := with(t, []byte(chainOf(root.cert)[0]))
			if called != deviceName {
				if _, err := roots.Check(attested.tuf(t), chainOf(attested.cert, stick.cert), now); err != nil {
					t.Fatalf("%s: the honest chain: %v", name, err)
				}
			}
			for _, chain := range [][]string{chainOf(forged.cert, attested.cert, stick.cert), chainOf(forged.cert, attested.cert, stick.cert, root.cert), chainOf(forged.cert, attested.cert)} {
				if proof, err := roots.Check(forged.tuf(t), chain, now); !errors.Is(err, tuf.RuleAttestationChain) {
					t.Errorf("%s, %d certificates, %q: got %+v, %v", name, len(chain), called, proof, err)
				}
			}
		}
	}
}

// TestWhatElseYubicoCertifies holds roots that vouch for other applets to PIV.
func TestWhatElseYubicoCertifies(t *testing.T) {
	u2f := issue(t, nil, "U2F Root", authority(0))
	shared := issue(t, nil, "Yubico PIV Attestation Root 1", authority(3))
	roots := &Roots{anchors: []anchor{
		{cert: u2f.cert, yubico: true, device: deviceName, short: true},
		{cert: shared.cert, yubico: true, issuer: "Yubico PIV Attestation "},
	}}
	between := issue(t, shared, "Intermediate", authority(2))
	for _, test := range []struct {
		name  string
		steps []*holder // below each other; the first is below a root
		rule  tuf.Rule
	}{
		{"PIV of 2018", []*holder{issue(t, u2f, deviceName, nil)}, ""},
		{"U2F's own key, which does not say that it is no authority", []*holder{issue(t, u2f, "Yubico U2F EE Serial 14803321578", nil)}, tuf.RuleAttestationChain},
		{"the same, if it said that it was one", []*holder{issue(t, u2f, "Yubico U2F EE Serial 14803321578", authority(0))}, tuf.RuleAttestationChain},
		{"an authority below U2F's root", []*holder{issue(t, u2f, "Yubico PIV Attestation A 1", authority(1)), issue(t, nil, deviceName, authority(0))}, tuf.RuleAttestationChain},
		{"PIV of 2025", []*holder{between, issue(t, between, "Yubico PIV Attestation B2 1", authority(1)), nil}, ""},
		{"OpenPGP", []*holder{between, issue(t, between, "Yubico OPGP Attestation A 1", authority(1)), nil}, tuf.RuleAttestationChain},
		{"FIDO", []*holder{between, issue(t, between, "Yubico FIDO Attestation A 1", authority(0)), nil}, tuf.RuleAttestationChain},
		{"PIV's authority with no room for sticks", []*holder{between, issue(t, between, "Yubico PIV Attestation C 1", authority(0)), nil}, tuf.RuleAttestationChain},
		{"PIV's authority that is none", []*holder{between, issue(t, between, "Yubico PIV Attestation D 1", nil), nil}, tuf.RuleAttestationChain},
		{"no authority for PIV", []*holder{between, nil}, tuf.RuleAttestationChain},
		{"right below the root", []*holder{issue(t, shared, deviceName, authority(0))}, tuf.RuleAttestationChain},
	} {
		steps := slices.Clone(test.steps)
		last := len(steps) - 1
		if steps[last] == nil { // a stick that may certify keys
			steps[last] = issue(t, steps[last-1], "stick", authority(0))
		}
		key := issue(t, steps[last], "YubiKey PIV Attestation 9c", leaf)
		certs := []*x509.Certificate{key.cert}
		for _, step := range slices.Backward(steps) {
			certs = append(certs, step.cert)
		}
		if proof, err := roots.Check(key.tuf(t), chainOf(certs...), now); tuf.RuleOf(err) != test.rule {
			t.Errorf("%s: got %+v, %v; expected %q", test.name, proof, err, test.rule)
		}
	}
}

// TestStickThatMayNotCertify, and keys' certificates that say too much.
func TestStickThatMayNotCertify(t *testing.T) {
	root := issue(t, nil, "Root", authority(-1))
	for name, edit := range map[string]func(*x509.Certificate){
		"no authority":              func(c *x509.Certificate) { c.BasicConstraintsValid = true },
		"for signatures only":       func(c *x509.Certificate) { authority(0)(c); c.KeyUsage = x509.KeyUsageDigitalSignature },
		"no constraints, no name":   func(c *x509.Certificate) { c.Subject.CommonName = "stick" },
		"a critical unknown":        func(c *x509.Certificate) { authority(0)(c); critical(c) },
		"no constraints, and usage": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature },
	} {
		stick := issue(t, root, deviceName, edit)
		key := issue(t, stick, "YubiKey PIV Attestation 9c", leaf)
		if _, err := with(t, []byte(chainOf(root.cert)[0])).Check(key.tuf(t), chainOf(key.cert, stick.cert), now); !errors.Is(err, tuf.RuleAttestationChain) {
			t.Errorf("a stick, %s: %v", name, err)
		}
	}
	stick := issue(t, root, deviceName, authority(0))
	for name, edit := range map[string]func(*x509.Certificate){
		"an authority":       func(c *x509.Certificate) { leaf(c); authority(0)(c) },
		"a critical unknown": func(c *x509.Certificate) { leaf(c); critical(c) },
	} {
		key := issue(t, stick, "YubiKey PIV Attestation 9c", edit)
		if _, err := with(t, []byte(chainOf(root.cert)[0])).Check(key.tuf(t), chainOf(key.cert, stick.cert), now); !errors.Is(err, tuf.RuleAttestationChain) {
			t.Errorf("a key, %s: %v", name, err)
		}
	}
	// A name that the stick does not have.
	renamed := &holder{&x509.Certificate{Subject: pkix.Name{CommonName: "Yubico"}}, stick.key}
	named := issue(t, renamed, "YubiKey PIV Attestation 9c", leaf)
	if _, err := with(t, []byte(chainOf(root.cert)[0])).Check(named.tuf(t), chainOf(named.cert, stick.cert), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("by another name: %v", err)
	}
	// A root below which nothing may certify (RFC 5280, section 4.2.1.9).
	low := issue(t, nil, "Root", authority(0))
	below := issue(t, low, deviceName, authority(0))
	belowKey := issue(t, below, "YubiKey PIV Attestation 9c", leaf)
	if _, err := with(t, []byte(chainOf(low.cert)[0])).Check(belowKey.tuf(t), chainOf(belowKey.cert, below.cert), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("below a root that leaves no room: %v", err)
	}
	// A stick of the same name, with another key.
	other := issue(t, root, deviceName, authority(0))
	key := issue(t, stick, "YubiKey PIV Attestation 9c", leaf)
	if _, err := with(t, []byte(chainOf(root.cert)[0])).Check(key.tuf(t), chainOf(key.cert, other.cert), now); !errors.Is(err, tuf.RuleAttestationChain) {
		t.Errorf("another stick: %v", err)
	}
	// One stick can be trusted by itself.
	if _, err := with(t, []byte(chainOf(stick.cert)[0])).Check(key.tuf(t), chainOf(key.cert, stick.cert), now); err != nil {
		t.Errorf("a stick as its own root: %v", err)
	}
}

func critical(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
}

// TestWhatTheLeafSays leaves out, doubles and garbles what a stick states.
func TestWhatTheLeafSays(t *testing.T) {
	_, key := newKey(t)
	maker := newMaker(t)
	roots := with(t, maker.RootPEM())
	without := func(n int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(piv(n)) })
		}
	}
	value := func(n int, b ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			without(n)(c)
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: piv(n), Value: b})
		}
	}
	called := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
	}
	for _, test := range []struct {
		name string
		edit func(*x509.Certificate)
		ok   bool
	}{
		{"all", func(*x509.Certificate) {}, true},
		{"no form factor", without(9), true},
		{"an unknown form factor", value(9, 0x30), true},
		{"a largest serial number", value(7, 2, 5, 0, 0xff, 0xff, 0xff, 0xff), true},
		{"something more", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: piv(10), Value: []byte{2, 1, 6}})
		}, true},
		{"a slot in capitals", called("YubiKey PIV Attestation 9C"), true},
		{"no firmware", without(3), false},
		{"no serial number", without(7), false},
		{"no policies", without(8), false},
		{"firmware of two bytes", value(3, 5, 7), false},
		{"firmware of four bytes", value(3, 5, 7, 4, 0), false},
		{"a serial number of zero", value(7, 2, 1, 0), false},
		{"a serial number below zero", value(7, 2, 1, 0x80), false},
		{"a serial number beyond 32 bits", value(7, 2, 5, 1, 0, 0, 0, 0), false},
		{"a serial number that is text", value(7, 12, 1, '1'), false},
		{"a serial number and more", value(7, 2, 1, 1, 5, 0), false},
		{"a serial number cut off", value(7, 2, 4, 1), false},
		{"an empty serial number", value(7), false},
		{"one policy", value(8, 3), false},
		{"three policies", value(8, 3, 2, 1), false},
		{"an unknown PIN policy", value(8, 9, 2), false},
		{"an unknown touch policy", value(8, 3, 9), false},
		{"no policy at all", value(8, 0, 0), false},
		{"two form factors", value(9, 1, 2), false},
		{"no slot", called("YubiKey PIV Attestation "), false},
		{"no name", called(""), false},
		{"a slot alone", called("9c"), false},
		{"another name", called("YubiKey OPGP Attestation 9c"), false},
		{"the attestation slot", called("YubiKey PIV Attestation f9"), false},
		{"a slot that is none", called("YubiKey PIV Attestation 96"), false},
		{"a slot and zeros", called("YubiKey PIV Attestation 009c"), false},
		{"a slot with a sign", called("YubiKey PIV Attestation +9c"), false},
		{"a slot and more", called("YubiKey PIV Attestation 9c "), false},
		{"twice", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: piv(8), Value: []byte{3, 2}})
		}, false},
	} {
		leaf, stick, err := maker.Attest(card.Claim{Key: key.Public(), Slot: 0x9c, Serial: 12345678, Firmware: card.Firmware{Major: 5, Minor: 7}, PIN: 3, Touch: 2, FormFactor: 1, Edit: test.edit})
		if err != nil {
			if test.name == "twice" { // the library refuses to read such a certificate
				continue
			}
			t.Fatalf("%s: %v", test.name, err)
		}
		proof, err := roots.Check(key, chainOf(leaf, stick), now)
		if test.ok && err != nil || !test.ok && !errors.Is(err, tuf.RuleAttestationChain) {
			t.Errorf("%s: got %+v, %v", test.name, proof, err)
		}
	}
	if _, err := Read(&x509.Certificate{Extensions: []pkix.Extension{{Id: piv(8), Value: []byte{3, 2}}, {Id: piv(8), Value: []byte{3, 2}}}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("an extension that stands twice: %v", err)
	}
}

func TestWordsOfAProof(t *testing.T) {
	_, key := newKey(t)
	maker := newMaker(t)
	roots := with(t, maker.RootPEM())
	for _, test := range []struct {
		slot, pin, touch, form byte
		want                   [4]string
	}{
		{0x9a, 1, 1, 0x82, [4]string{"9a", "never", "never", "USB-A nano, FIPS"}},
		{0x82, 2, 3, 5, [4]string{"82", "once", "cached", "USB-C and Lightning"}},
		{0x95, 4, 2, 7, [4]string{"95", "fingerprint", "always", "USB-C keychain, Bio"}},
		{0x9e, 5, 2, 0, [4]string{"9e", "fingerprint", "always", ""}},
	} {
		proof, err := roots.Check(key, attest(t, maker, key, func(c *card.Claim) { c.Slot, c.PIN, c.Touch, c.FormFactor = test.slot, test.pin, test.touch, test.form }), now)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := [4]string{proof.Slot, proof.PIN, proof.Touch, proof.FormFactor}; got != test.want {
			t.Errorf("got %q, expected %q", got, test.want)
		}
	}
}

// TestFormOfAChain garbles the PEM, and goes to the limits.
func TestFormOfAChain(t *testing.T) {
	_, key := newKey(t)
	maker := newMaker(t)
	roots := with(t, maker.RootPEM())
	good := attest(t, maker, key)
	root := chainOf(maker.Root())[0]
	many := func(n int) []string {
		chain := slices.Clone(good)
		for len(chain) < n {
			chain = append(chain, root)
		}
		return chain
	}
	block, _ := pem.Decode([]byte(good[0]))
	headed := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}, Bytes: block.Bytes}))
	other := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes}))
	longer := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(slices.Clone(block.Bytes), 0)}))
	for _, test := range []struct {
		name  string
		chain []string
		ok    bool
	}{
		{"eight", many(8), true},
		{"a line more", []string{good[0] + "\n", good[1]}, true},
		{"nine", many(9), false},
		{"too long", []string{good[0], good[1] + strings.Repeat("\n", 16<<10)}, false},
		{"empty ones", []string{"", ""}, false},
		{"not PEM", []string{string(block.Bytes), good[1]}, false},
		{"two in one", []string{good[0] + good[1], good[1]}, false},
		{"words ahead", []string{"here:\n" + good[0], good[1]}, false},
		{"words behind", []string{good[0] + "there", good[1]}, false},
		{"a header", []string{headed, good[1]}, false},
		{"another kind", []string{other, good[1]}, false},
		{"DER and more", []string{longer, good[1]}, false},
		{"the other way round", []string{good[1], good[0]}, false},
	} {
		_, err := roots.Check(key, test.chain, now)
		if test.ok && err != nil || !test.ok && !errors.Is(err, tuf.RuleAttestationChain) {
			t.Errorf("%s: %v", test.name, err)
		}
		if r, isRefusal := errors.AsType[*tuf.Refusal](err); isRefusal && (len(r.Detail) > 400 || r.Clause != clause) {
			t.Errorf("%s: %d bytes, clause %q", test.name, len(r.Detail), r.Clause)
		}
	}
}

// TestAttestationOfAKeyThatSignsNothing has RSA in the slot, which is none of ours.
func TestAttestationOfAKeyThatSignsNothing(t *testing.T) {
	_, key := newKey(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	maker := newMaker(t)
	chain := attest(t, maker, key, func(c *card.Claim) { c.Key = private.Public() })
	if _, err := with(t, maker.RootPEM()).Check(key, chain, now); !errors.Is(err, tuf.RuleAttestationKey) {
		t.Error(err)
	}
}
