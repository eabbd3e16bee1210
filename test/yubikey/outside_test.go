//go:build cgo && linux

package yubikey_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/yubikey"
)

// These tests drive the card with programs that we did not write: Debian's
// yubico-piv-tool, which speaks 3DES only and so cannot manage firmware 5.7, and
// OpenSC.

// outside runs a program and gives its output.
func outside(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func contains(t *testing.T, output string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
}

func TestYubicoPIVTool(t *testing.T) {
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 4711, Firmware: "5.4.3"}}})
	stick := bench.Stick(4711)
	dir := t.TempDir()
	public, certificate := filepath.Join(dir, "public.pem"), filepath.Join(dir, "certificate.pem")

	contains(t, outside(t, "yubico-piv-tool", "-a", "status"), "5.4.3", "4711", "PIN tries left:	3")
	outside(t, "yubico-piv-tool", "-a", "generate", "-s", "9c", "-A", "ECCP256",
		"--pin-policy", "always", "--touch-policy", "always", "-o", public)
	outside(t, "yubico-piv-tool", "-a", "attest", "-s", "9c", "-o", certificate)
	contains(t, outside(t, "yubico-piv-tool", "-a", "verify-pin", "-P", "123456"), "Successfully verified PIN")
	contains(t, outside(t, "yubico-piv-tool", "-a", "import-certificate", "-s", "9c", "-i", certificate), "Successfully imported")
	contains(t, outside(t, "yubico-piv-tool", "-a", "verify-pin", "-P", "123456", "-a", "test-signature", "-s", "9c", "-i", certificate),
		"Successful ECDSA verification")
	if n := stick.Signatures(); n != 1 {
		t.Errorf("%d signatures, want 1", n)
	}
	outside(t, "yubico-piv-tool", "-a", "set-chuid", "-a", "set-ccc")
	contains(t, outside(t, "yubico-piv-tool", "-a", "status"), "Slot 9c", "YubiKey PIV Attestation 9c")

	got := readPEM(t, certificate)
	attested, err := x509.ParseCertificate(got)
	if err != nil {
		t.Fatal(err)
	}
	generated, err := x509.ParsePKIXPublicKey(readPEM(t, public))
	if err != nil {
		t.Fatal(err)
	}
	if !attested.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(generated) {
		t.Error("attested another key than was generated")
	}

	wrong := exec.CommandContext(t.Context(), "yubico-piv-tool", "-a", "verify-pin", "-P", "000000")
	if output, err := wrong.CombinedOutput(); err == nil || !bytes.Contains(output, []byte("2 tries left")) {
		t.Errorf("wrong PIN: %v\n%s", err, output)
	}
}

func readPEM(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s is no PEM: %s", path, b)
	}
	return block.Bytes
}

func TestOpenSCSeesTheSameCard(t *testing.T) {
	stick := startOne(t, "5.4.3")
	certificate := filepath.Join(t.TempDir(), "certificate.pem")
	outside(t, "yubico-piv-tool", "-a", "generate", "-s", "9a", "-A", "ECCP256", "-o", filepath.Join(t.TempDir(), "public.pem"))
	outside(t, "yubico-piv-tool", "-a", "attest", "-s", "9a", "-o", certificate)
	outside(t, "yubico-piv-tool", "-a", "import-certificate", "-s", "9a", "-i", certificate, "-a", "set-chuid")

	contains(t, outside(t, "opensc-tool", "-l"), stick.Reader())
	contains(t, outside(t, "opensc-tool", "-r", stick.Reader(), "-a", "-n"),
		"3b:fd:13:00:00:81:31:fe:15:80:73:c0:21:c0:57:59:75:62:69:4b:65:79:40", "Personal Identity Verification Card")
	contains(t, outside(t, "pkcs15-tool", "--reader", stick.Reader(), "--list-pins", "--list-keys", "--list-certificates"),
		"PIN [PIV PUK]", "Private EC Key [PIV AUTH key]", "X.509 Certificate [Certificate for PIV Authentication]")
	got, _ := pem.Decode([]byte(outside(t, "pkcs15-tool", "--reader", stick.Reader(), "--read-certificate", "01")))
	if got == nil || !bytes.Equal(got.Bytes, readPEM(t, certificate)) {
		t.Error("OpenSC reads another certificate than was stored")
	}
}

func TestBenchesSideBySide(t *testing.T) {
	for _, serial := range []uint32{31, 32, 33} {
		t.Run(fmt.Sprint(serial), func(t *testing.T) {
			t.Parallel()
			bench, err := yubikey.Start(yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: serial}}})
			if err != nil {
				t.Fatal(err)
			}
			defer bench.Close()
			cmd := exec.CommandContext(t.Context(), "yubico-piv-tool", "-a", "status")
			cmd.Env = append(os.Environ(), bench.Env()...)
			output, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			contains(t, string(output), fmt.Sprintf("Serial Number:\t%d\n", serial))
		})
	}
}
