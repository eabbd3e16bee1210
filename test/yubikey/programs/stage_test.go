//go:build cgo && linux

package programs_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/yubikey"
)

// The factory's secrets.
const (
	pin        = "123456"
	puk        = "12345678"
	management = "010203040506070801020304050607080102030405060708"
)

// A stage is what one check works with: its sticks, and a folder.
type stage struct {
	*testing.T
	bench   *yubikey.Bench
	dir     string
	version string // of the program
}

// stick is the first one.
func (s *stage) stick() *yubikey.Stick { return s.bench.Sticks()[0] }

// path is a file in the check's folder.
func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// write makes a file in the check's folder.
func (s *stage) write(name, content string) string {
	s.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
	return s.path(name)
}

// read gives the content of a file in the check's folder.
func (s *stage) read(name string) string {
	s.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// command is a program in the check's folder. It finds no other programs: when it
// cannot open a card, ykman ends every scdaemon of the machine, by pkill.
func (s *stage) command(name string, args ...string) *exec.Cmd {
	s.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.Fatalf("%v (scripts/packages installs it)", err)
	}
	cmd := exec.CommandContext(s.Context(), path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PCSCLITE_CSOCK_NAME=" + os.Getenv("PCSCLITE_CSOCK_NAME"),
		"PATH=/nonexistent", "HOME=" + s.dir, "LC_ALL=C.UTF-8",
	}
	return cmd
}

// run runs a program, which must succeed, and gives its output.
func (s *stage) run(name string, args ...string) string {
	s.Helper()
	output, err := s.command(name, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// fails runs a program, which must not succeed, and gives its output.
func (s *stage) fails(name string, args ...string) string {
	s.Helper()
	output, err := s.command(name, args...).CombinedOutput()
	var status *exec.ExitError
	if !errors.As(err, &status) {
		s.Fatalf("%s %s: %v, want it to fail\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// says checks that the output has all these words.
func (s *stage) says(output string, wants ...string) {
	s.Helper()
	for _, want := range wants {
		if !strings.Contains(output, want) {
			s.Errorf("output lacks %q:\n%s", want, output)
		}
	}
}

// used checks how often the first stick's private keys were used.
func (s *stage) used(before, times int) {
	s.Helper()
	if n := s.stick().Signatures() - before; n != times {
		s.Errorf("the stick's keys were used %d times, want %d", n, times)
	}
}

// attested lets openssl check an attestation up to the maker's root.
func (s *stage) attested(attestation, card string) {
	s.Helper()
	root := s.write("root.pem", string(s.bench.Maker().RootPEM()))
	s.says(s.run("openssl", "verify", "-CAfile", root, "-untrusted", card, attestation), attestation+": OK")
}

// sameKey lets openssl check that a certificate is of this public key.
func (s *stage) sameKey(certificate, public string) {
	s.Helper()
	got := s.run("openssl", "x509", "-in", certificate, "-noout", "-pubkey")
	if got != s.run("openssl", "pkey", "-pubin", "-in", public) {
		s.Errorf("%s is of another key than %s", certificate, public)
	}
}

// verified lets openssl check a signature of a digest.
func (s *stage) verified(public, digest, signature string) {
	s.Helper()
	s.says(s.run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-in", digest, "-sigfile", signature),
		"Signature Verified Successfully")
}

// said finds the version in what a program says when asked for it.
func said(pattern, name string, args ...string) func(*stage) string {
	return func(s *stage) string {
		s.Helper()
		output, _ := s.command(name, args...).CombinedOutput() // some want a card as well, and fail later
		found := regexp.MustCompile(pattern).FindSubmatch(output)
		if found == nil {
			s.Fatalf("%s tells no version: %s", name, output)
		}
		return string(found[1])
	}
}

// module is where Debian has a PKCS #11 module.
func (s *stage) module(name string) string {
	s.Helper()
	found, err := filepath.Glob("/usr/lib/*/" + name)
	if err != nil || len(found) == 0 {
		s.Fatalf("no %s in /usr/lib (scripts/packages installs it)", name)
	}
	return found[0]
}

// compress packs content the way certificates are packed on a card.
func compress(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, content)
	w.Close() // into memory: it cannot fail
	return b.String()
}
