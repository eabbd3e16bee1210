//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// inherited refuses a descriptor that was not there when we were started. All that we
// open ourselves is marked to be closed in programs that we start, and a mark like
// that does not survive our own start.
func inherited(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return errNotInherited(fd)
	}
	return nil
}
