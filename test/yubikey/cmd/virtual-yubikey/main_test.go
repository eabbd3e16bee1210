//go:build linux

package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes the command.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "virtual-yubikey")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// A session is a running command.
type session struct {
	cmd    *exec.Cmd
	out    *bufio.Scanner
	in     io.WriteCloser
	socket string
}

// begin runs the command until it has said where its socket is.
func begin(t *testing.T, program string, args ...string) *session {
	t.Helper()
	s := &session{cmd: exec.Command(program, args...)}
	s.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.out = bufio.NewScanner(out)
	line := s.line(t, "export PCSCLITE_CSOCK_NAME=")
	s.socket = strings.TrimPrefix(line, "export PCSCLITE_CSOCK_NAME=")
	return s
}

// line reads up to the line with these words.
func (s *session) line(t *testing.T, words string) string {
	t.Helper()
	for s.out.Scan() {
		if strings.Contains(s.out.Text(), words) {
			return s.out.Text()
		}
	}
	t.Fatalf("no line says %q", words)
	return ""
}

// pcscd is a connection that ends when pcscd does.
func (s *session) pcscd(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ends waits until pcscd has ended.
func ends(t *testing.T, pcscd net.Conn) {
	t.Helper()
	pcscd.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := pcscd.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("pcscd is still there: %v", err)
	}
}

func TestEndsCleanlyWhenAsked(t *testing.T) {
	program := build(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		ready := filepath.Join(t.TempDir(), "ready")
		root := filepath.Join(t.TempDir(), "root.pem")
		s := begin(t, program, "--serial", "11", "--serial", "12", "--ready-file", ready, "--attestation-root", root)
		pcscd := s.pcscd(t)
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		for s.out.Scan() {
		}
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", sig, err)
		}
		ends(t, pcscd)
		for _, path := range []string{ready, filepath.Dir(s.socket)} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s left %s behind", sig, path)
			}
		}
		if b, err := os.ReadFile(root); err != nil || !strings.HasPrefix(string(b), "-----BEGIN CERTIFICATE-----") {
			t.Errorf("attestation root: %q, %v", b, err)
		}
	}
}

func TestPcscdDiesWithItsParent(t *testing.T) {
	s := begin(t, build(t))
	pcscd := s.pcscd(t)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()
	ends(t, pcscd)
}

// TestStickSurvivesAKill ends the command with no chance to put anything away.
func TestStickSurvivesAKill(t *testing.T) {
	program, state := build(t), t.TempDir()
	tool := func(s *session, args ...string) string {
		t.Helper()
		cmd := exec.Command("yubico-piv-tool", args...)
		cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+s.socket)
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return string(output)
	}
	certificate := filepath.Join(t.TempDir(), "certificate.pem")
	args := []string{"--state", state, "--firmware", "5.4.3", "--pin", "246813", "--puk", "86427531"}
	s := begin(t, program, args...)
	tool(s, "-a", "generate", "-s", "9c", "-A", "ECCP256", "-o", filepath.Join(t.TempDir(), "public.pem"))
	tool(s, "-a", "attest", "-s", "9c", "-o", certificate)
	tool(s, "-a", "change-pin", "-P", "246813", "-N", "135792")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()

	s = begin(t, program, args...)
	said := tool(s, "-a", "verify-pin", "-P", "135792", "-a", "test-signature", "-s", "9c", "-i", certificate)
	if !strings.Contains(said, "Successful ECDSA verification") {
		t.Errorf("another key after a restart:\n%s", said)
	}
}

func TestTouchByHandAndByTime(t *testing.T) {
	program := build(t)
	for _, c := range []struct{ how, press, says string }{
		{"auto", "", "touch asked by 12345678 slot 9c: given"},
		{"10ms", "", "touch asked by 12345678 slot 9c: given"},
		{"refuse", "", "touch asked by 12345678 slot 9c: refused"},
		{"manual", "\n", "touch asked by 12345678 slot 9c: given"},
	} {
		t.Run(c.how, func(t *testing.T) {
			s := begin(t, program, "--firmware", "5.4.3", "--touch", c.how)
			dir := t.TempDir()
			certificate := filepath.Join(dir, "certificate.pem")
			tool := func(args ...string) *exec.Cmd {
				cmd := exec.Command("yubico-piv-tool", args...)
				cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+s.socket)
				return cmd
			}
			for _, args := range [][]string{
				{"-a", "generate", "-s", "9c", "-A", "ECCP256", "--touch-policy", "always", "-o", filepath.Join(dir, "public.pem")},
				{"-a", "attest", "-s", "9c", "-o", certificate},
			} {
				if output, err := tool(args...).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, output)
				}
			}
			sign := tool("-a", "verify-pin", "-P", "123456", "-a", "test-signature", "-s", "9c", "-i", certificate)
			if err := sign.Start(); err != nil {
				t.Fatal(err)
			}
			if c.press != "" {
				s.line(t, "press enter")
				if _, err := io.WriteString(s.in, c.press); err != nil {
					t.Fatal(err)
				}
			}
			s.line(t, c.says)
			sign.Wait() // it reports success even when the card refuses
		})
	}
}

func TestSticksComeAndGoByCommand(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root.pem")
	s := begin(t, build(t), "--serial", "11=5.2", "--serial", "12", "--commands", "--attestation-root", root, "--intermediates", "2")
	for _, c := range []struct{ say, want string }{
		{"out 11", "virtual YubiKey 11 is out"},
		{"out 13", "want \"out SERIAL\""},
		{"fetch 11", "want \"out SERIAL\""},
		{"in 12", "in already"},
		{"in 11", "virtual YubiKey 11 is in"},
	} {
		if _, err := io.WriteString(s.in, c.say+"\n"); err != nil {
			t.Fatal(err)
		}
		s.line(t, c.want)
	}
	cmd := exec.Command("yubico-piv-tool", "-a", "status")
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+s.socket)
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "5.2.7") {
		t.Errorf("%v\n%s", err, output)
	}
	b, err := os.ReadFile(root)
	if n := strings.Count(string(b), "-----BEGIN CERTIFICATE-----"); err != nil || n != 3 {
		t.Errorf("%d certificates of the authority, want a root and two below it: %v", n, err)
	}
}

func TestRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, args := range [][]string{
		{"--touch", "soon"},
		{"--serial", "many"},
		{"--firmware", "4.3.1"},
		{"--serial", "1=4.3.1"},
		{"stray"},
	} {
		if err := run(args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
