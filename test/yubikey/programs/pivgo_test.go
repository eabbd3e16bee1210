//go:build cgo && linux

package programs_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"
	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/test/yubikey"
)

const pivGoModule = "github.com/go-piv/piv-go/v2"

// onlyYubico is the test of piv-go's that accepts attestations below Yubico's own
// roots only. All of it but that is done by the first check.
const onlyYubico = "TestYubiKeyAttestation"

// pivGo is the library that Signet uses, and its own integration tests, as they are
// in its module.
func pivGo() group {
	return group{
		program: program{"piv-go", func(s *stage) string {
			s.Helper()
			output, err := exec.CommandContext(s.Context(), "go", "list", "-m", "-f", "{{.Version}}", pivGoModule).Output()
			if err != nil {
				s.Fatal(err)
			}
			return strings.TrimPrefix(strings.TrimSpace(string(output)), "v")
		}},
		sticks: []yubikey.StickConfig{{Serial: 57, Firmware: "5.7.4"}},
		checks: []check{
			{what: "what its `" + onlyYubico + "` does, under the test authority's root", run: func(s *stage) {
				key, err := piv.Open(s.stick().Reader())
				if err != nil {
					s.Fatal(err)
				}
				defer key.Close()
				card, err := key.AttestationCertificate()
				if err != nil {
					s.Fatal(err)
				}
				rules := piv.Key{Algorithm: piv.AlgorithmEC256, PINPolicy: piv.PINPolicyNever, TouchPolicy: piv.TouchPolicyNever}
				public, err := key.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, rules)
				if err != nil {
					s.Fatal(err)
				}
				attestation, err := key.Attest(piv.SlotAuthentication)
				if err != nil {
					s.Fatal(err)
				}
				verifier := piv.Verifier{Roots: x509.NewCertPool()}
				verifier.Roots.AddCert(s.bench.Maker().Root())
				got, err := verifier.Verify(card, attestation)
				if err != nil {
					s.Fatal(err)
				}
				want := &piv.Attestation{
					Version: key.Version(), Serial: 57, Formfactor: piv.FormfactorUSBAKeychain,
					PINPolicy: rules.PINPolicy, TouchPolicy: rules.TouchPolicy, Slot: piv.SlotAuthentication,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					s.Error(diff)
				}
				if !public.(*ecdsa.PublicKey).Equal(attestation.PublicKey) {
					s.Error("the attestation is of another key")
				}
				if _, err := piv.Verify(card, attestation); err == nil {
					s.Error("the test authority passes for Yubico's")
				}
			}},
			{what: "its own integration tests, unmodified (`go test -args --wipe-yubikey`), all but `" + onlyYubico + "`, which takes Yubico's own roots only", run: func(s *stage) {
				output, err := pivGoTest(s.T, "-skip", "^"+onlyYubico+"$")
				if err != nil {
					s.Fatalf("%v\n%s", err, output)
				}
				// Nothing else is left out, but what wants a fingerprint.
				var skipped []string
				for _, found := range regexp.MustCompile(`(?m)^\s*--- SKIP: (\S+)`).FindAllStringSubmatch(output, -1) {
					skipped = append(skipped, found[1])
				}
				bio := []string{"TestPINPolicyMatchOnceIntegration", "TestPINPolicyMatchAlwaysTwoVerifications", "TestPINPolicyMatchOnceSingleVerification"}
				if diff := cmp.Diff(bio, skipped); diff != "" {
					s.Errorf("skipped, but for the YubiKey Bio: %s", diff)
				}
				for _, name := range []string{"TestSlots", "TestYubiKeySignEd25519", "TestYubiKeyX25519ECDH", "TestYubiKeyReset", "TestMetadata", "TestKeyInfo"} {
					s.says(output, "--- PASS: "+name+" ")
				}
				if s.stick().Signatures() == 0 {
					s.Error("the stick was not used")
				}
			}, slow: true},
			{what: "its `" + onlyYubico + "` gets as far as the roots, and refuses ours", run: func(s *stage) {
				output, err := pivGoTest(s.T, "-run", "^"+onlyYubico+"$")
				if err == nil {
					s.Errorf("the test's authority passes for Yubico's:\n%s", output)
				}
				s.says(output, "failed to verify attestation", "certificate signed by unknown authority")
			}, slow: true},
		},
	}
}

func pivGoTest(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(append([]string{"test", "-count=1", "-v"}, args...), pivGoModule+"/piv", "-args", "--wipe-yubikey")
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GODEBUG=rsa1024min=0") // one of its tests makes an RSA key of 512 bits
	output, err := cmd.CombinedOutput()
	return string(output), err
}
