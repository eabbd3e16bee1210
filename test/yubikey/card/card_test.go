package card

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"path/filepath"
	"testing"
	"time"
)

func TestRetryCounterSurvivesPowerLoss(t *testing.T) {
	term := insert(t, "5.7.4")
	term.want(wrongPIN, "63C2")
	term.card.Power()
	term.want(askPIN, "6D00") // nothing is selected any more
	term.want("00A4040005A000000308", "*9000")
	term.want(askPIN, "63C2")
}

func TestResetKeepsTheAttestationKey(t *testing.T) {
	term := insert(t, "5.7.4")
	before := term.want("00CB3FFF 000005 5C035FFF01 0000", "*9000")
	term.manageDefault()
	term.want(generate9C, "*9000")
	for range 3 {
		term.send(wrongPIN)
		term.send("002C008010 3831323334353637 313131313131FFFF")
	}
	term.want("00FB0000", "9000")
	term.want(metadata9C, "6A88")
	term.want(generate9C, "6982")
	term.want(verifyPIN, "9000")
	if after := term.want("00CB3FFF 000005 5C035FFF01 0000", "*9000"); !bytes.Equal(before, after) {
		t.Error("reset changed the attestation certificate")
	}
}

func TestManagementKeyOfEachAlgorithm(t *testing.T) {
	for _, key := range []managementKey{
		{Algorithm: algorithm3DES, Key: bytes.Repeat([]byte{1, 2, 3}, 8)},
		{Algorithm: algorithmAES128, Key: bytes.Repeat([]byte{4}, 16)},
		{Algorithm: algorithmAES192, Key: bytes.Repeat([]byte{5}, 24)},
		{Algorithm: algorithmAES256, Key: bytes.Repeat([]byte{6}, 32)},
	} {
		term := insert(t, "5.7.4")
		term.manageDefault()
		data := append([]byte{key.Algorithm, slotManagement, byte(len(key.Key))}, key.Key...)
		term.want(command(insSetManagementKey, 0xFF, 0xFF, data), "9000")
		term.card.Power()
		term.want("00A4040005A000000308", "*9000")
		term.want(generate9C, "6982")
		term.manage(key)
		term.want(generate9C, "*9000")
		proof := term.singly(key)
		term.want(generate9C, "*9000")
		term.want(proof, "6982") // a challenge is used once
	}
}

func TestTouchPolicy(t *testing.T) {
	asked, given := 0, true
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	term := insert(t, "5.7.4", func(c *Config) {
		c.Touch = func(context.Context, byte) bool { asked++; return given }
		c.Now = func() time.Time { return now }
	})
	term.manageDefault()
	want := func(apdu, answer string, touches int) {
		t.Helper()
		asked = 0
		term.want(apdu, answer)
		if asked != touches {
			t.Fatalf("%s asked for %d touches, want %d", apdu, asked, touches)
		}
	}
	sign := "0087119E26" + digestOf32

	want("0047009E0B AC09800111AA0101AB0101", "*9000", 0)
	want(sign, "*9000", 0)

	want("0047009E0B AC09800111AA0101AB0102", "*9000", 0)
	want(sign, "*9000", 1)
	want(sign, "*9000", 1)
	given = false
	want(sign, "6982", 1)

	given = true
	want("0047009E0B AC09800111AA0101AB0103", "*9000", 0)
	now = now.Add(touchCache)
	want(sign, "*9000", 1)
	now = now.Add(touchCache - time.Second)
	want(sign, "*9000", 0)
	now = now.Add(touchCache)
	want(sign, "*9000", 1)

	want("00FFFFFE1B 0A9B18 010203040506070801020304050607080102030405060708", "9000", 0)
	asked = 0
	term.manageDefault()
	if asked != 1 {
		t.Errorf("management key asked for %d touches, want 1", asked)
	}
}

func TestSignatureIsByTheKeyThatWasGenerated(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	answer := term.want("0047009E05 AC03800111", "*9000") // 7F49 43 86 41 point
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), answer[5:])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	data := tlv(tagTemplate, append(tlv(tagResponse), tlv(tagChallenge, digest[:]...)...)...)
	answer = term.want(command(insAuthenticate, algorithmP256, slotCardAuth, data), "*9000")
	if !ecdsa.VerifyASN1(public, digest[:], answer[4:]) {
		t.Error("wrong signature")
	}
	if n := term.card.Signatures(); n != 1 {
		t.Errorf("%d signatures, want 1", n)
	}
}

func TestImportedKeySignsAndIsNotAttested(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	term.want(command(insImport, algorithmP256, slotCardAuth, append(tlv(0x06, raw...), tlv(tagTouchPolicy, touchNever)...)), "9000")
	digest := sha256.Sum256([]byte("message"))
	data := tlv(tagTemplate, append(tlv(tagResponse), tlv(tagChallenge, digest[:]...)...)...)
	answer := term.want(command(insAuthenticate, algorithmP256, slotCardAuth, data), "*9000")
	if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], answer[4:]) {
		t.Error("wrong signature")
	}
	term.want("00F99E0000", "6A80")
	if metadata := term.want("00F7009E00", "*9000"); !bytes.HasPrefix(metadata, unhex(t, "010111 02020101 030102")) {
		t.Errorf("metadata %x does not say imported", metadata)
	}
}

func TestAttestationSaysWhatTheKeyIs(t *testing.T) {
	term := insert(t, "5.4.3")
	term.manageDefault()
	term.want("0047009C0B AC09800111AA0103AB0102", "*9000")
	certificate, err := x509.ParseCertificate(term.want("00F99C00 000000", "*9000"))
	if err != nil {
		t.Fatal(err)
	}
	if got := certificate.Subject.CommonName; got != "YubiKey PIV Attestation 9c" {
		t.Errorf("subject %q", got)
	}
	want := map[string]string{
		"1.3.6.1.4.1.41482.3.3": "050403",
		"1.3.6.1.4.1.41482.3.7": "020400bc614e",
		"1.3.6.1.4.1.41482.3.8": "0302",
		"1.3.6.1.4.1.41482.3.9": "01",
	}
	if len(certificate.Extensions) != len(want) {
		t.Errorf("%d extensions, want exactly %d", len(certificate.Extensions), len(want))
	}
	for _, extension := range certificate.Extensions {
		if got := hex.EncodeToString(extension.Value); got != want[extension.Id.String()] {
			t.Errorf("%s is %s, want %s", extension.Id, got, want[extension.Id.String()])
		}
	}
	if certificate.SerialNumber.Sign() <= 0 || len(certificate.SerialNumber.Bytes()) != 16 {
		t.Errorf("serial number %x", certificate.SerialNumber)
	}
}

func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stick.json")
	keep := func(c *Config) { c.StateFile = path }
	term := insert(t, "5.7.4", keep)
	term.manageDefault()
	for _, generate := range []string{
		"0047009A05 AC03800111", "0047009C05 AC03800114",
		"0047008205 AC038001E0", "0047008305 AC03800107", "0047008405 AC038001E1",
	} {
		term.send(generate)
	}
	term.want("0047008505 AC038001E1", "*9000")
	term.want("00F68685", "9000")
	term.want("00FE118725 0620 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F AB0103", "9000")
	term.want("00DB3FFF09 5C035FC102 5302CAFE", "9000")
	term.want("0024008010 313233343536FFFF 3132333435363738", "9000")
	term.want("0024008110 3132333435363738 3837363534333231", "9000")
	term.want(wrongPIN, "63C2")
	term.want("002C008010 3831323334353637 313131313131FFFF", "63C2")
	term.want("00FFFFFE13 089B10 0102030405060708090A0B0C0D0E0F10", "9000")
	metadata := func(term *terminal) (all string) {
		for _, slot := range []string{"9A", "9C", "82", "83", "84", "86", "87", "F9", "80", "81", "9B"} {
			all += hex.EncodeToString(term.want("00F700"+slot+"000000", "*9000"))
		}
		return all
	}
	before := metadata(term)

	term = insert(t, "5.7.4", keep)
	if after := metadata(term); after != before {
		t.Errorf("keys are %s, were %s", after, before)
	}
	term.want("00CB3FFF05 5C035FC10200", "5302CAFE9000")
	term.want(askPIN, "63C2")
	term.want("00F7008500", "6A88")
	term.want("0020008008 3132333435363738", "9000")
	term.manage(managementKey{Algorithm: algorithmAES128, Key: unhex(t, "0102030405060708090A0B0C0D0E0F10")})

	if _, err := New(Config{Serial: 1, Firmware: Firmware{5, 7, 4}, StateFile: path}); err == nil {
		t.Error("another stick's state was taken")
	}
}

func TestParseFirmware(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Firmware
		ok   bool
	}{
		{"5.7.4", Firmware{5, 7, 4}, true},
		{"5.2.7", Firmware{5, 2, 7}, true},
		{"4.3.5", Firmware{}, false},
		{"5.2", Firmware{5, 2, 7}, true},
		{"5.4", Firmware{5, 4, 3}, true},
		{"5.7", Firmware{5, 7, 4}, true},
		{"5.6", Firmware{}, false},
		{"5.7.x", Firmware{}, false},
		{"5.7.256", Firmware{}, false},
	} {
		if got, err := ParseFirmware(c.in); got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", c.in, got, err)
		}
	}
}
