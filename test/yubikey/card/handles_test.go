package card

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

func TestSecretsOfANewCard(t *testing.T) {
	management := bytes.Repeat([]byte{7}, 32)
	term := insert(t, "5.7.4", func(c *Config) { c.PIN, c.PUK, c.ManagementKey = "246813", "86427531", management })
	term.want("00F7008000", "0101FF050100060203039000")
	term.want("00F7008100", "0101FF050100060203039000")
	term.want("00F7009B00", "01010C020200010501009000")
	term.want(verifyPIN, "63C2")
	term.want("0020008008 323436383133FFFF", "9000")
	term.want("002C008010 3836343237353331 313131313131FFFF", "9000")
	term.manage(managementKey{Algorithm: algorithmAES256, Key: management})

	if err := term.card.Reset(); err != nil {
		t.Fatal(err)
	}
	term.want("00A4040005A000000308", "*9000")
	term.want(verifyPIN, "9000")
	term.manageDefault()
}

func TestSecretsThatNoCardTakes(t *testing.T) {
	for _, c := range []struct {
		name     string
		firmware Firmware
		config   Config
	}{
		{"short PIN", Firmware{5, 7, 4}, Config{PIN: "12345"}},
		{"long PIN", Firmware{5, 7, 4}, Config{PIN: "123456789"}},
		{"PUK that is not ASCII", Firmware{5, 7, 4}, Config{PUK: "\xC1234567"}},
		{"management key of 20 bytes", Firmware{5, 7, 4}, Config{ManagementKey: make([]byte, 20)}},
		{"AES before 5.4.2", Firmware{5, 2, 7}, Config{ManagementKey: make([]byte, 32)}},
	} {
		c.config.Firmware = c.firmware
		if _, err := New(c.config); err == nil {
			t.Errorf("%s: taken", c.name)
		}
	}
}

func TestAPDUsAreCounted(t *testing.T) {
	term := insert(t, "5.7.4")
	before := term.card.APDUs()
	term.want("00CB3FFF05 5C035FFF0100", "*61xx")
	term.want(getResponse, "*9000")
	term.want("1020008004 31323334", "9000")
	term.want("0020008004 3536FFFF", "9000")
	if n := term.card.APDUs() - before; n != 4 {
		t.Errorf("counted %d commands, want 4", n)
	}
}

func TestAdvanceEndsACachedTouch(t *testing.T) {
	asked := 0
	term := insert(t, "5.7.4", func(c *Config) {
		c.Now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
		c.Touch = counter(&asked)
	})
	term.manageDefault()
	term.want("0047009E0B AC09800111AA0101AB0103", "*9000")
	for _, step := range []struct {
		after   time.Duration
		touches int
	}{{0, 1}, {touchCache - time.Nanosecond, 1}, {time.Nanosecond, 2}} {
		term.card.Advance(step.after)
		term.want("0087119E26"+digestOf32, "*9000")
		if asked != step.touches {
			t.Errorf("after %s more: %d touches, want %d", step.after, asked, step.touches)
		}
	}
}

func TestObjectsFromOutside(t *testing.T) {
	term := insert(t, "5.7.4")
	if err := term.card.SetObject(0x5FC10A, []byte("garbled")); err != nil {
		t.Fatal(err)
	}
	term.want("00CB3FFF05 5C035FC10A", "5307676172626C6564 9000")
	if got := term.card.Object(0x5FC10A); string(got) != "garbled" {
		t.Errorf("object is %q", got)
	}
	if err := term.card.SetObject(0x5FC10A, nil); err != nil {
		t.Fatal(err)
	}
	term.want("00CB3FFF05 5C035FC10A", "6A82")
}

func TestLiesAboutAKey(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	term.want(generate9C, "*9000")
	truth := term.want("00F99C00 000000", "*9000")
	term.card.SetAttestation(slotSignature, []byte("lie"))
	term.want("00F99C00 000000", "6C6965 9000")
	term.card.SetAttestation(slotSignature, nil)
	parse(t, truth)
	parse(t, term.want("00F99C00 000000", "*9000"))

	if err := term.card.DeleteKey(slotSignature); err != nil {
		t.Fatal(err)
	}
	term.want("00F99C00 000000", "6A80")
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestMakers checks the chains of each kind of maker as a verifier does.
func TestMakers(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name          string
		options       []MakerOption
		intermediates int
		refused       bool
	}{
		{"Yubico's before 5.7.4", []MakerOption{RSA()}, 0, false},
		{"Yubico's from 5.7.4 on", []MakerOption{RSA(), Intermediates(2)}, 2, false},
		{"elliptic", nil, 0, false},
		{"expired root", []MakerOption{Until(now.Add(-time.Hour))}, 0, true},
		{"expired root and intermediates", []MakerOption{Intermediates(1), Until(now.Add(-time.Hour))}, 1, true},
		{"expired stick", []MakerOption{SticksUntil(now.Add(-time.Hour))}, 0, true},
		{"stick that may not certify", []MakerOption{WithoutConstraints()}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			maker, err := NewMaker(c.options...)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(maker.Intermediates()); n != c.intermediates {
				t.Errorf("%d intermediate certificates, want %d", n, c.intermediates)
			}
			term := insert(t, "5.7.4", func(c *Config) { c.Maker = maker })
			term.manageDefault()
			term.want(generate9C, "*9000")
			leaf := parse(t, term.want("00F99C00 000000", "*9000"))
			der, err := readCertificateObject(term.card.Object(0x5FFF01))
			if err != nil {
				t.Fatal(err)
			}
			if err := chain(maker, leaf, parse(t, der), now); (err != nil) != c.refused {
				t.Errorf("verified: %v", err)
			}
			other, err := NewMaker()
			if err != nil {
				t.Fatal(err)
			}
			var unknown x509.UnknownAuthorityError
			if err := chain(other, leaf, parse(t, der), now); !errors.As(err, &unknown) && !c.refused {
				t.Errorf("under another root: %v", err)
			}
		})
	}
}

func chain(maker *Maker, leaf, card *x509.Certificate, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(maker.RootPEM())
	between.AppendCertsFromPEM(maker.AuthorityPEM())
	between.AddCert(card)
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

func TestMakerAttestsAnything(t *testing.T) {
	maker, err := NewMaker(Intermediates(1))
	if err != nil {
		t.Fatal(err)
	}
	key, err := maker.newKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf, stick, err := maker.Attest(Claim{
		Key: key.Public(), Slot: 0x82, Serial: 9, Firmware: Firmware{5, 2, 7}, PIN: pinNever, Touch: touchNever, FormFactor: 2,
		Edit: func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:3] },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := chain(maker, leaf, stick, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Error(err)
	}
	if got := leaf.Subject.CommonName; got != "YubiKey PIV Attestation 82" {
		t.Errorf("subject %q", got)
	}
	if n := len(leaf.Extensions); n != 3 {
		t.Errorf("%d extensions, want the three that were left", n)
	}
	if !bytes.Equal(leaf.Extensions[2].Value, []byte{pinNever, touchNever}) {
		t.Errorf("policies %x", leaf.Extensions[2].Value)
	}
}

func TestMakerIsKept(t *testing.T) {
	dir := t.TempDir()
	made, err := LoadMaker(dir, Intermediates(2), RSA())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := LoadMaker(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.AuthorityPEM(), kept.AuthorityPEM()) {
		t.Error("another authority after a restart")
	}
	leaf, stick, err := kept.Attest(Claim{Key: made.key.Public(), Slot: 0x9C})
	if err != nil {
		t.Fatal(err)
	}
	if err := chain(made, leaf, stick, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Error(err)
	}
}
