//go:build linux || darwin

package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// handed is a descriptor that holds secret, as a parent process hands one down.
func handed(t *testing.T, secret string) int {
	t.Helper()
	f, err := os.Open(secretFile(t, secret))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // it may have been read and closed
	return fd
}

// The language's runtime opens files of its own, under the first free numbers. One of
// them reads "100000" where the kernel says what the processor has: a PIN that nobody
// chose, when the descriptor of --new-pin-fd 4 was forgotten.
func TestDescriptorOfOurOwn(t *testing.T) {
	f, err := os.Open(secretFile(t, "100000"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if secret, err := (descriptors{}).read("--pin-fd 4", int(f.Fd())); err == nil || !strings.Contains(err.Error(), "no such descriptor was given") {
		t.Errorf("got %q, %v", secret, err)
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("what others use was closed: %v", err)
	}
}

func TestDescriptorFromParent(t *testing.T) {
	d := descriptors{}
	secret, err := d.read("--pin-fd 3", handed(t, "864209"))
	if err != nil || string(secret) != "864209" {
		t.Errorf("got %q, %v", secret, err)
	}
}

// A descriptor is read once. Its number is free from then on, and may be that of
// another file the next time.
func TestDescriptorGivenTwice(t *testing.T) {
	a := atNoTerminal(t)
	fd := handed(t, "864209")
	a.secrets.passphrases.fd = fd
	a.secrets.source(yubikey.PIN).fds = []string{strconv.Itoa(fd)}
	_, err := a.keyring()
	if _, usage := errors.AsType[*usageError](err); !usage || !strings.Contains(err.Error(), "--pin-fd") || !strings.Contains(err.Error(), "--passphrase-fd") {
		t.Errorf("got %v", err)
	}
}

// Results and errors go where 1 and 2 point to: closed, the next file that is opened
// would be written to in their place.
func TestDescriptorOfOutput(t *testing.T) {
	for _, fd := range []int{1, 2} {
		if _, err := (descriptors{}).read("--pin-fd", fd); err == nil || !strings.Contains(err.Error(), "output") {
			t.Errorf("%d: got %v", fd, err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			t.Fatalf("%d was closed", fd)
		}
	}
}
