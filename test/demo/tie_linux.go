package main

import (
	"os/exec"
	"syscall"
)

// tieToParent lets the kernel end the process when the demo is gone.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
