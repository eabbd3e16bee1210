//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package client

import (
	"errors"
	"os"
)

// tryLock fails where no lock is known: state that two processes may write at
// once could step back.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
