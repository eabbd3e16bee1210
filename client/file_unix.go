//go:build unix

package client

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// nonblocking has the opening of a pipe not wait for whoever writes to it.
const nonblocking = syscall.O_NONBLOCK

// openToOthers tells whether anyone but the owner has rights on a file.
func openToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
