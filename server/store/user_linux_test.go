package store_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// unprivileged makes cmd run as a user whom file modes bind, which root is not.
func unprivileged(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	const nobody = 65534
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}
