//go:build cgo && linux

package programs_test

import (
	"bufio"
	"io"
	"os/exec"
	"strings"

	"github.com/signet-trust/signet/test/yubikey"
)

const scdaemonPath = "/usr/lib/gnupg/scdaemon"

// scdaemon is GnuPG's. Debian's knows no PIV; it is here because it takes sticks and
// keeps them, which is what users of other programs complain of.
func scdaemon() group {
	return group{
		program: program{"scdaemon", said(`scdaemon \(GnuPG\) (\S+)`, scdaemonPath, "--version")},
		sticks:  []yubikey.StickConfig{{Serial: 22, Firmware: "5.7.4"}},
		checks: []check{{what: "takes the card for itself: others are kept out until it lets go", run: func(s *stage) {
			s.write("scdaemon.conf", "disable-ccid\n") // through pcscd, not USB
			card := s.talk(scdaemonPath, "--homedir", s.dir, "--server")
			card.hears("OK")
			card.say("SERIALNO undefined")
			card.hears("OK")
			card.say("APDU 00A4040005A000000308")
			card.hears("OK")
			s.says(s.fails("yubico-piv-tool", "-a", "status"), "Failed to connect to yubikey")
			card.say("RESTART")
			card.hears("OK")
			card.say("BYE")
			card.ends()
			s.says(s.run("yubico-piv-tool", "-a", "status"), "Serial Number:\t22")
		}}},
	}
}

// A talk is a program that is spoken with line by line.
type talk struct {
	s   *stage
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func (s *stage) talk(name string, args ...string) *talk {
	s.Helper()
	t := &talk{s: s, cmd: s.command(name, args...)}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		s.Fatal(err)
	}
	if err := t.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	t.out = bufio.NewScanner(out)
	return t
}

func (t *talk) say(line string) {
	t.s.Helper()
	if _, err := io.WriteString(t.in, line+"\n"); err != nil {
		t.s.Fatal(err)
	}
}

// hears reads up to a line that begins so, and takes no error for an answer.
func (t *talk) hears(word string) {
	t.s.Helper()
	for t.out.Scan() {
		line := t.out.Text()
		if strings.HasPrefix(line, "ERR") {
			t.s.Fatalf("answer %q, want %s", line, word)
		}
		if strings.HasPrefix(line, word) {
			return
		}
	}
	t.s.Fatalf("no answer, want %s", word)
}

func (t *talk) ends() {
	t.s.Helper()
	t.in.Close()
	for t.out.Scan() {
	}
	if err := t.cmd.Wait(); err != nil {
		t.s.Error(err)
	}
}
