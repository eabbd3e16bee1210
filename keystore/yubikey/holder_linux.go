package yubikey

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// findHolders lists the processes that have the library for smart cards loaded,
// as far as we may look, or are known to use it.
func findHolders() []Holder {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var holders []Holder
	certain := map[int]bool{}
	for _, folder := range folders {
		process, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || process == os.Getpid() {
			continue
		}
		name, err := os.ReadFile(folder + "/comm")
		program := string(bytes.TrimSpace(name))
		if err != nil || program == "pcscd" {
			continue
		}
		maps, readable := usesCards(folder + "/maps")
		certain[process] = maps
		if maps || !readable && letsGo(program) != "" {
			holders = append(holders, Holder{process, program})
		}
	}
	return rank(holders, certain)
}

// usesCards tells whether a process has libpcsclite loaded, and whether we may
// know.
func usesCards(path string) (uses, readable bool) {
	f, err := os.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		readable = true
		if bytes.Contains(lines.Bytes(), []byte("/libpcsclite")) {
			return true, true
		}
	}
	return false, readable
}

// whyNoDaemon looks whether a service that cannot be reached is there, and only
// this user is not let in: the library makes no difference.
func whyNoDaemon(err error) error {
	if !errors.Is(err, ErrNoDaemon) {
		return err
	}
	socket := cmp.Or(os.Getenv("PCSCLITE_CSOCK_NAME"), "/run/pcscd/pcscd.comm")
	conn, dialErr := net.Dial("unix", socket)
	if dialErr == nil {
		conn.Close()
	}
	if !errors.Is(dialErr, fs.ErrPermission) {
		return err
	}
	return &wordedError{fmt.Sprintf("the smart card service refuses this user: its socket %s may not be opened", socket), []error{ErrNotAllowed, dialErr}}
}
