//go:build !linux

package store_test

import (
	"os/exec"
	"testing"
)

// unprivileged leaves cmd as it is: only on Linux are these tests run as root.
func unprivileged(*testing.T, *exec.Cmd) {}
