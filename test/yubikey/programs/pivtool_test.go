//go:build cgo && linux

package programs_test

import (
	"strings"

	"github.com/signet-trust/signet/test/yubikey"
)

// yubicoPIVTool is Yubico's first program. Debian's proves the management key in
// 3DES only, so it cannot manage firmware 5.7.
func yubicoPIVTool() group {
	const tool = "yubico-piv-tool"
	generate := func(s *stage, slot, algorithm string, args ...string) {
		s.Helper()
		s.says(s.run(tool, append([]string{"-a", "generate", "-s", slot, "-A", algorithm, "-o", "public.pem"}, args...)...), "Successfully generated")
	}
	attest := func(s *stage, slot string) {
		s.Helper()
		s.run(tool, "-a", "attest", "-s", slot, "-o", "attestation.pem")
	}
	test := func(s *stage, slot, certificate, says string) {
		s.Helper()
		before := s.stick().Signatures()
		s.says(s.run(tool, "-a", "verify-pin", "-P", pin, "-a", "test-signature", "-s", slot, "-i", certificate), says)
		s.used(before, 1)
	}
	return group{
		program: program{tool, said(`yubico-piv-tool (\S+)`, tool, "--version")},
		sticks:  []yubikey.StickConfig{{Serial: 4711, Firmware: "5.4.3"}},
		checks: []check{
			{what: "`status`, `version`, `list-readers`", run: func(s *stage) {
				s.says(s.run(tool, "-a", "status"), "5.4.3", "4711", "CHUID:\tNo data available", "PIN tries left:\t3")
				s.says(s.run(tool, "-a", "version"), "5.4.3")
				s.says(s.run(tool, "-a", "list-readers"), s.stick().Reader())
			}},
			{what: "`generate` P-256, P-384, RSA 1024 and 2048; `attest`, checked by openssl; `test-signature`", run: func(s *stage) {
				s.run(tool, "-a", "read-certificate", "-s", "f9", "-o", "card.pem")
				for _, c := range []struct{ slot, algorithm, says string }{
					{"9c", "ECCP256", "ECDSA"}, {"82", "ECCP384", "ECDSA"}, {"95", "RSA1024", "RSA"}, {"9a", "RSA2048", "RSA"},
				} {
					generate(s, c.slot, c.algorithm)
					attest(s, c.slot)
					s.attested("attestation.pem", "card.pem")
					s.sameKey("attestation.pem", "public.pem")
					test(s, c.slot, "attestation.pem", "Successful "+c.says+" verification")
				}
			}},
			{what: "`test-decipher` with P-256 and RSA 2048", run: func(s *stage) {
				for _, algorithm := range []string{"ECCP256", "RSA2048"} {
					generate(s, "9d", algorithm)
					attest(s, "9d")
					s.says(s.run(tool, "-a", "verify-pin", "-P", pin, "-a", "test-decipher", "-s", "9d", "-i", "attestation.pem"), "Successfully performed")
				}
			}},
			{what: "`generate` with PIN and touch policies; no PIN or no touch, no signature", run: func(s *stage) {
				generate(s, "9a", "ECCP256", "--pin-policy", "always", "--touch-policy", "always")
				attest(s, "9a")
				before := s.stick().Signatures()
				s.stick().SetTouch(yubikey.Refuse)
				defer s.stick().SetTouch(yubikey.Auto)
				s.command(tool, "-a", "verify-pin", "-P", pin, "-a", "test-signature", "-s", "9a", "-i", "attestation.pem").Run() // it says nothing of it
				s.used(before, 0)
				s.stick().SetTouch(yubikey.Auto)
				s.command(tool, "-a", "test-signature", "-s", "9a", "-i", "attestation.pem").Run()
				s.used(before, 0)
				test(s, "9a", "attestation.pem", "Successful ECDSA verification")
			}},
			{what: "`import-key` P-256, P-384 and RSA 2048; such a key signs and is not attested", run: func(s *stage) {
				for _, args := range [][]string{
					{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
					{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
					{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
				} {
					s.run("openssl", append([]string{"genpkey", "-out", "private.pem"}, args...)...)
					s.run("openssl", "req", "-new", "-x509", "-key", "private.pem", "-subj", "/CN=imported", "-out", "certificate.pem")
					s.says(s.run(tool, "-a", "import-key", "-s", "83", "-i", "private.pem"), "Successfully imported")
					test(s, "83", "certificate.pem", "verification")
					s.says(s.fails(tool, "-a", "attest", "-s", "83"), "Failed to attest")
				}
			}},
			{what: "`import-certificate`, `read-certificate`, `delete-certificate`; compressed too", run: func(s *stage) {
				generate(s, "9c", "ECCP256")
				attest(s, "9c")
				s.says(s.run(tool, "-a", "import-certificate", "-s", "9c", "-i", "attestation.pem"), "Successfully imported")
				if got := s.run(tool, "-a", "read-certificate", "-s", "9c"); got != s.read("attestation.pem") {
					s.Errorf("read another certificate:\n%s", got)
				}
				s.says(s.run(tool, "-a", "status"), "Slot 9c", "YubiKey PIV Attestation 9c")
				s.says(s.run(tool, "-a", "delete-certificate", "-s", "9c"), "")
				s.says(s.fails(tool, "-a", "read-certificate", "-s", "9c"), "Failed fetching certificate")

				s.run("openssl", "x509", "-in", "attestation.pem", "-outform", "DER", "-out", "attestation.der")
				s.write("attestation.gz", compress(s.read("attestation.der")))
				s.says(s.run(tool, "-a", "import-certificate", "-s", "9c", "-K", "GZIP", "-i", "attestation.gz"), "Successfully imported")
				if !strings.Contains(string(s.stick().Object(0x5FC10A)), s.read("attestation.gz")) {
					s.Error("the card holds no compressed certificate")
				}
			}},
			{what: "`selfsign-certificate`, `request-certificate`: 2.2.0 fails with OpenSSL 3 before it asks the card for a signature", run: func(s *stage) {
				generate(s, "9c", "ECCP256")
				before := s.stick().Signatures()
				for _, action := range []string{"selfsign-certificate", "request-certificate"} {
					args := []string{"-a", "verify-pin", "-P", pin, "-a", action, "-s", "9c", "-S", "/CN=signet/", "-i", "public.pem", "-o", "signed.pem"}
					if s.version != "2.2.0" {
						s.run(tool, args...)
						continue
					}
					s.says(s.fails(tool, args...), "Failed signing")
					s.used(before, 0)
				}
			}},
			{what: "`verify-pin`: wrong PINs are counted, the PIN blocks; `unblock-pin`", run: func(s *stage) {
				s.says(s.run(tool, "-a", "verify-pin", "-P", pin), "Successfully verified PIN")
				s.says(s.fails(tool, "-a", "verify-pin", "-P", "000000"), "2 tries left")
				s.says(s.fails(tool, "-a", "verify-pin", "-P", "000000"), "1 tries left")
				s.says(s.fails(tool, "-a", "verify-pin", "-P", "000000"), "Pin code blocked")
				s.says(s.fails(tool, "-a", "verify-pin", "-P", pin), "Pin code blocked")
				s.says(s.run(tool, "-a", "status"), "PIN tries left:\t0")
				s.says(s.run(tool, "-a", "unblock-pin", "-P", puk, "-N", "654321"), "Successfully unblocked")
				s.says(s.run(tool, "-a", "verify-pin", "-P", "654321"), "Successfully verified PIN")
			}},
			{what: "`change-pin`, `change-puk`; the old ones are refused and counted", run: func(s *stage) {
				s.says(s.run(tool, "-a", "change-pin", "-P", pin, "-N", "654321"), "Successfully changed the pin code")
				s.says(s.fails(tool, "-a", "change-pin", "-P", pin, "-N", "111111"), "2 tries left")
				s.says(s.run(tool, "-a", "change-puk", "-P", puk, "-N", "87654321"), "Successfully changed the puk code")
				s.says(s.fails(tool, "-a", "change-puk", "-P", puk, "-N", "11111111"), "2 tries left")
				s.says(s.run(tool, "-a", "unblock-pin", "-P", "87654321", "-N", pin), "Successfully unblocked")
			}},
			{what: "`pin-retries`", run: func(s *stage) {
				s.says(s.run(tool, "-a", "verify-pin", "-P", pin, "-a", "pin-retries", "--pin-retries", "5", "--puk-retries", "6"), "Successfully changed pin retries to 5 and puk retries to 6")
				if n, m := s.stick().PINTries(), s.stick().PUKTries(); n != 5 || m != 6 {
					s.Errorf("%d tries of the PIN and %d of the PUK, want 5 and 6", n, m)
				}
			}},
			{what: "`set-mgm-key` (3DES, both sides prove it); with touch; the old one is refused", run: func(s *stage) {
				const fresh = "0A0B0C0D0E0F10111213141516171819202122232425262A"
				s.says(s.run(tool, "-a", "set-mgm-key", "-n", fresh, "--touch-policy", "always"), "Successfully set new management key")
				s.says(s.fails(tool, "-a", "set-chuid"), "Failed authentication")
				s.stick().SetTouch(yubikey.Refuse)
				defer s.stick().SetTouch(yubikey.Auto)
				s.says(s.fails(tool, "--key="+fresh, "-a", "set-chuid"), "Failed authentication")
				s.stick().SetTouch(yubikey.Auto)
				s.says(s.run(tool, "--key="+fresh, "-a", "set-chuid"), "Successfully set new CHUID")
			}},
			{what: "`write-object`, `read-object`, `set-chuid`, `set-ccc`; up to 3052 bytes", run: func(s *stage) {
				for _, hex := range []string{"cafe", strings.Repeat("ab", 300), strings.Repeat("cd", 3052)} {
					s.write("object", hex)
					s.run(tool, "-a", "write-object", "--id", "0x5fc106", "-i", "object")
					if got := strings.TrimSpace(s.run(tool, "-a", "read-object", "--id", "0x5fc106")); got != hex {
						s.Errorf("wrote %s, read %s", hex, got)
					}
				}
				s.says(s.run(tool, "-a", "set-chuid", "-a", "set-ccc"), "Successfully set new CHUID", "Successfully set new CCC")
			}},
			{what: "`reset`, which wants PIN and PUK blocked", run: func(s *stage) {
				generate(s, "9c", "ECCP256")
				s.says(s.fails(tool, "-a", "reset"), "are pincodes blocked?")
				for range 3 {
					s.fails(tool, "-a", "verify-pin", "-P", "000000")
					s.fails(tool, "-a", "unblock-pin", "-P", "00000000", "-N", "111111")
				}
				s.says(s.fails(tool, "-a", "unblock-pin", "-P", puk, "-N", pin), "The puk code is blocked")
				s.says(s.run(tool, "-a", "reset"), "Successfully reset")
				s.fails(tool, "-a", "attest", "-s", "9c")
				s.says(s.run(tool, "-a", "verify-pin", "-P", pin), "Successfully verified PIN")
			}},
		},
	}
}
