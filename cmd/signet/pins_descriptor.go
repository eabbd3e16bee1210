package main

import (
	"errors"
	"os"
)

// descriptors reads secrets from file descriptors, and remembers by which flag: each
// is read once.
type descriptors map[int]string

// read reads the secret that flag says is at fd. It takes only what was handed down
// by whoever started us: the language's runtime and the libraries have files of their
// own open, under the numbers that are free when a descriptor was forgotten, and some
// of them even read like a PIN.
func (d descriptors) read(flag string, fd int) ([]byte, error) {
	if other, again := d[fd]; again {
		return nil, usagef("%s and %s are one file descriptor, from which only one secret is read", other, flag)
	}
	if fd == 1 || fd == 2 {
		return nil, errors.New("that is where output goes")
	}
	if err := inherited(fd); err != nil {
		return nil, err
	}
	d[fd] = flag
	f := os.Stdin // closed, the next file that is opened would be in its place
	if fd != 0 {
		if f = os.NewFile(uintptr(fd), "descriptor"); f == nil {
			return nil, errors.New("it is no file descriptor")
		}
		defer f.Close()
	}
	secret, err := readSecret(f)
	return secret, reading(err)
}

// errNotInherited is about a descriptor that is closed, or open by our own doing.
func errNotInherited(fd int) error {
	return advise(errors.New("no such descriptor was given to signet"), "hand it down, as in a shell: %d<FILE", fd)
}
