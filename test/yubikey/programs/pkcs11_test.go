//go:build cgo && linux

package programs_test

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/signet-trust/signet/test/yubikey"
)

// equip puts a P-256 key into 9c and an RSA key into 9a, with their attestations as
// certificates: PKCS #11 modules find keys by those. ykman does it, whatever the
// firmware.
func (s *stage) equip() {
	s.Helper()
	serial := strconv.Itoa(int(s.stick().Serial()))
	for _, c := range []struct{ slot, algorithm, public string }{{"9c", "ECCP256", "ec.pem"}, {"9a", "RSA2048", "rsa.pem"}} {
		s.run("ykman", "--device", serial, "piv", "keys", "generate", "-m", management, "-a", c.algorithm, c.slot, c.public)
		s.run("ykman", "--device", serial, "piv", "keys", "attest", c.slot, c.slot+".pem")
		s.run("ykman", "--device", serial, "piv", "certificates", "import", "-m", management, c.slot, c.slot+".pem")
	}
	digest := sha256.Sum256([]byte("the words that are signed"))
	s.write("digest", string(digest[:]))
	s.write("message", "the words that are signed")
}

// pkcs11 runs OpenSC's pkcs11-tool on a module.
func (s *stage) pkcs11(module string, args ...string) string {
	s.Helper()
	return s.run("pkcs11-tool", append([]string{"--module", s.module(module)}, args...)...)
}

// signsThrough signs with both keys through a PKCS #11 module.
func (s *stage) signsThrough(module string) {
	s.Helper()
	s.equip()
	before := s.stick().Signatures()
	s.pkcs11(module, "--login", "--pin", pin, "--sign", "--id", "02", "-m", "ECDSA",
		"--signature-format", "openssl", "-i", "digest", "-o", "signature")
	s.verified("ec.pem", "digest", "signature")
	s.pkcs11(module, "--login", "--pin", pin, "--sign", "--id", "01", "-m", "SHA256-RSA-PKCS", "-i", "message", "-o", "signature")
	s.says(s.run("openssl", "dgst", "-sha256", "-verify", "rsa.pem", "-signature", "signature", "message"), "Verified OK")
	s.used(before, 2)
	output := s.fails("pkcs11-tool", "--module", s.module(module), "--login", "--pin", "000000", "--sign", "--id", "02", "-m", "ECDSA", "-i", "digest")
	s.says(output, "CKR_PIN_INCORRECT")
	if n := s.stick().PINTries(); n != 2 {
		s.Errorf("%d tries left after a wrong PIN, want 2", n)
	}
}

func openSC() group {
	return group{
		program: program{"OpenSC", said(`OpenSC (\d\S+)`, "opensc-tool", "--info")},
		sticks:  []yubikey.StickConfig{{Serial: 5252, Firmware: "5.2.7"}},
		checks: []check{
			{what: "`opensc-tool` knows the card by its ATR; `pkcs15-tool` lists PIN, keys and certificates", run: func(s *stage) {
				s.equip()
				s.says(s.run("opensc-tool", "-l"), s.stick().Reader())
				s.says(s.run("opensc-tool", "-r", s.stick().Reader(), "-a", "-n"),
					"3b:fd:13:00:00:81:31:fe:15:80:73:c0:21:c0:57:59:75:62:69:4b:65:79:40", "Personal Identity Verification Card")
				s.says(s.run("pkcs15-tool", "--list-pins", "--list-keys", "--list-certificates"),
					"PIN [PIV PUK]", "Private EC Key [SIGN key]", "Private RSA Key [PIV AUTH key]", "X.509 Certificate [Certificate for Digital Signature]")
			}},
			{what: "`pkcs15-tool` reads a certificate, compressed or not", run: func(s *stage) {
				s.equip()
				want := s.read("9c.pem")
				read := func() {
					s.Helper()
					got := s.run("pkcs15-tool", "--read-certificate", "02")
					if !strings.Contains(strings.ReplaceAll(got, "\n", ""), strings.ReplaceAll(strings.TrimSpace(want), "\n", "")) {
						s.Errorf("read another certificate:\n%s", got)
					}
				}
				read()
				s.run("openssl", "x509", "-in", "9c.pem", "-outform", "DER", "-out", "9c.der")
				s.write("9c.gz", compress(s.read("9c.der")))
				s.run("yubico-piv-tool", "-a", "import-certificate", "-s", "9c", "-K", "GZIP", "-i", "9c.gz")
				read()
			}},
			{what: "`pkcs11-tool` signs through its module with P-256 and RSA 2048, checked by openssl", run: func(s *stage) {
				s.signsThrough("opensc-pkcs11.so")
			}},
			{what: "`pkcs11-tool --test`: its own test of a token", run: func(s *stage) {
				s.equip()
				s.says(s.pkcs11("opensc-pkcs11.so", "--login", "--pin", pin, "--test"), "No errors")
			}},
		},
	}
}

func ykcs11() group {
	const module = "libykcs11.so"
	return group{
		program: program{"ykcs11", func(s *stage) string {
			// The library is of the same source as the tool, and tells no third number.
			return said(`yubico-piv-tool (\S+)`, "yubico-piv-tool", "--version")(s)
		}},
		sticks: []yubikey.StickConfig{{Serial: 5757, Firmware: "5.7.4"}},
		checks: []check{
			{what: "lists the stick by its serial, its keys, certificates and attestations", run: func(s *stage) {
				s.equip()
				s.says(s.pkcs11(module, "-L"), "YubiKey PIV #5757", "serial num         : 5757")
				output := s.pkcs11(module, "-O", "--login", "--pin", pin)
				s.says(output, "Private key for Digital Signature", "Private key for PIV Authentication",
					"X.509 Certificate for PIV Attestation 9c", "always authenticate")
				if slices.Contains(strings.Fields(output), "error") {
					s.Errorf("an error among the objects:\n%s", output)
				}
			}},
			{what: "signs with P-256 and RSA 2048, checked by openssl", run: func(s *stage) { s.signsThrough(module) }},
		},
	}
}
