//go:build cgo && linux

package programs_test

import (
	"strconv"
	"strings"

	"github.com/signet-trust/signet/test/yubikey"
)

// ykman is Yubico's other program, which manages firmware 5.7. Debian's was written
// before that, and knows neither Ed25519 nor moving keys.
func ykman() group {
	const serial = 57575757
	piv := func(s *stage, args ...string) string {
		s.Helper()
		return s.run("ykman", append([]string{"--device", strconv.Itoa(serial), "piv"}, args...)...)
	}
	refused := func(s *stage, args ...string) string {
		s.Helper()
		return s.fails("ykman", append([]string{"--device", strconv.Itoa(serial), "piv"}, args...)...)
	}
	generate := func(s *stage, slot, algorithm string, args ...string) {
		s.Helper()
		args = append([]string{"keys", "generate", "-m", management, "-a", algorithm}, args...)
		piv(s, append(args, slot, "public.pem")...)
	}
	return group{
		program: program{"ykman", said(`version: (\S+)`, "ykman", "--version")},
		sticks:  []yubikey.StickConfig{{Serial: serial, Firmware: "5.7.4"}},
		checks: []check{
			{what: "`list`, `info`, `piv info`", run: func(s *stage) {
				s.says(s.run("ykman", "list"), "YubiKey 5A (5.7.4)", "Serial: 57575757")
				s.says(s.run("ykman", "--device", strconv.Itoa(serial), "info"), "Firmware version: 5.7.4", "Keychain (USB-A)", "PIV         \tEnabled")
				s.says(piv(s, "info"), "PIV version: 5.7.4", "Using default PIN!", "PIN tries remaining: 3/3",
					"Using default Management key!", "Management key algorithm: AES192")
			}},
			{what: "`piv keys generate` P-256, P-384 and RSA 2048 with policies; `attest`, checked by openssl; `export`", run: func(s *stage) {
				piv(s, "certificates", "export", "f9", "card.pem")
				for _, c := range []struct{ slot, algorithm string }{{"9c", "ECCP256"}, {"82", "ECCP384"}, {"95", "RSA2048"}} {
					generate(s, c.slot, c.algorithm, "--pin-policy", "ALWAYS", "--touch-policy", "CACHED")
					piv(s, "keys", "attest", c.slot, "attestation.pem")
					s.attested("attestation.pem", "card.pem")
					s.sameKey("attestation.pem", "public.pem")
					piv(s, "keys", "export", c.slot, "exported.pem")
					if s.read("exported.pem") != s.read("public.pem") {
						s.Error("exported another key than was generated")
					}
				}
				s.says(refused(s, "keys", "attest", "9d", "attestation.pem"), "Attestation failed")
			}},
			{what: "`piv keys import`; such a key is not attested", run: func(s *stage) {
				s.run("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "private.pem")
				s.run("openssl", "pkey", "-in", "private.pem", "-pubout", "-out", "public.pem")
				piv(s, "keys", "import", "-m", management, "--touch-policy", "ALWAYS", "84", "private.pem")
				piv(s, "keys", "export", "84", "exported.pem")
				if s.read("exported.pem") != s.read("public.pem") {
					s.Error("exported another key than was imported")
				}
				s.says(refused(s, "keys", "attest", "84", "attestation.pem"), "Attestation failed")
			}},
			{what: "`piv certificates generate` and `request` (the card signs them), `import --verify`, `export`, `delete`", run: func(s *stage) {
				before := s.stick().Signatures()
				generate(s, "9c", "ECCP256", "--touch-policy", "ALWAYS")
				piv(s, "certificates", "generate", "-s", "CN=signet", "-P", pin, "-m", management, "9c", "public.pem")
				piv(s, "certificates", "export", "9c", "certificate.pem")
				s.says(s.run("openssl", "verify", "-CAfile", "certificate.pem", "certificate.pem"), "OK")
				s.sameKey("certificate.pem", "public.pem")
				piv(s, "certificates", "request", "-s", "CN=signet", "-P", pin, "9c", "public.pem", "request.pem")
				s.says(s.run("openssl", "req", "-in", "request.pem", "-noout", "-verify"), "verify OK")
				s.used(before, 2)
				piv(s, "certificates", "import", "9c", "certificate.pem", "--verify", "-P", pin, "-m", management)
				s.says(piv(s, "info"), "Slot 9c:", "Subject DN:\tCN=signet")
				piv(s, "certificates", "delete", "9c", "-P", pin, "-m", management)
				s.says(refused(s, "certificates", "export", "9c", "-"), "No certificate found")
			}},
			{what: "`piv access change-pin`: wrong PINs are counted, the PIN blocks; `unblock-pin`, `change-puk`", run: func(s *stage) {
				piv(s, "access", "change-pin", "--pin", pin, "--new-pin", "246813")
				s.says(refused(s, "access", "change-pin", "--pin", pin, "--new-pin", "111111"), "2 tries left")
				s.says(piv(s, "info"), "PIN tries remaining: 2/3")
				refused(s, "access", "change-pin", "--pin", pin, "--new-pin", "111111")
				s.says(refused(s, "access", "change-pin", "--pin", pin, "--new-pin", "111111"), "PIN is blocked")
				piv(s, "access", "change-puk", "--puk", puk, "--new-puk", "86427531")
				s.says(refused(s, "access", "unblock-pin", "--puk", puk, "--new-pin", pin), "2 tries left")
				s.says(piv(s, "access", "unblock-pin", "--puk", "86427531", "--new-pin", "135792"), "PIN unblocked")
				piv(s, "access", "change-pin", "--pin", "135792", "--new-pin", pin)
			}},
			{what: "`piv access set-retries`", run: func(s *stage) {
				piv(s, "access", "set-retries", "-P", pin, "-m", management, "-f", "5", "6")
				s.says(piv(s, "info"), "PIN tries remaining: 5/5")
			}},
			{what: "`piv access change-management-key` to 3DES, AES-128, AES-192 and AES-256, and with touch", run: func(s *stage) {
				old := management
				for algorithm, length := range map[string]int{"TDES": 24, "AES128": 16, "AES192": 24, "AES256": 32} {
					fresh := strings.Repeat("5A3C", length/2)
					piv(s, "access", "change-management-key", "-a", algorithm, "-m", old, "-n", fresh, "--touch", "-f")
					s.says(piv(s, "info"), "Management key algorithm: "+algorithm)
					old = fresh
				}
				s.stick().SetTouch(yubikey.Refuse)
				defer s.stick().SetTouch(yubikey.Auto)
				refused(s, "objects", "generate", "-m", old, "CHUID")
				s.stick().SetTouch(yubikey.Auto)
				piv(s, "objects", "generate", "-m", old, "CHUID")
				s.says(refused(s, "objects", "generate", "-m", management, "CHUID"), "Error")
			}},
			{what: "`piv access change-management-key --generate --protect`: the PIN opens it from then on", run: func(s *stage) {
				piv(s, "access", "change-management-key", "-a", "AES192", "--generate", "--protect", "-P", pin, "-m", management)
				s.says(piv(s, "info"), "Management key is stored on the YubiKey, protected by PIN")
				piv(s, "keys", "generate", "-a", "ECCP256", "-P", pin, "9a", "public.pem")
				s.says(refused(s, "keys", "generate", "-a", "ECCP256", "-P", "000000", "9a", "public.pem"), "2 tries left")
			}},
			{what: "`piv objects generate`, `import`, `export`", run: func(s *stage) {
				piv(s, "objects", "generate", "-m", management, "CHUID")
				piv(s, "objects", "generate", "-m", management, "CCC")
				s.says(piv(s, "info"), "CHUID:\t3019", "CCC: \tf015")
				s.write("object", strings.Repeat("what is kept on the card\n", 100))
				piv(s, "objects", "import", "-m", management, "5fc106", "object")
				piv(s, "objects", "export", "5fc106", "exported")
				if s.read("exported") != s.read("object") {
					s.Error("exported another object than was imported")
				}
			}},
			{what: "`piv reset`", run: func(s *stage) {
				piv(s, "access", "change-pin", "--pin", pin, "--new-pin", "246813")
				s.says(piv(s, "reset", "-f"), "Success!")
				s.says(piv(s, "info"), "Using default PIN!", "PIN tries remaining: 3/3", "Management key algorithm: AES192")
			}},
		},
	}
}
