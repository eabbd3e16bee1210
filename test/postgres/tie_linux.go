package postgres

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// An identity is the user that Postgres runs as; nil is the present one.
type identity struct{ uid, gid int }

// unprivileged finds a user for Postgres, which refuses to run as root.
func unprivileged() (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &identity{uid, gid}, nil
	}
	return nil, errors.New("postgres does not run as root, and there is neither a user postgres nor nobody")
}

// own gives dir to the identity.
func (i *identity) own(dir string) error {
	if i == nil {
		return nil
	}
	return os.Chown(dir, i.uid, i.gid)
}

// apply makes cmd run as the identity.
func (i *identity) apply(cmd *exec.Cmd) {
	if i == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)},
	}
}

// tie makes the kernel end cmd, which is about to be started by this goroutine,
// when this process dies. The kernel means the thread that started it, which is
// therefore kept until untie.
func tie(cmd *exec.Cmd) (untie func()) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT // postgres takes it as: stop at once, with all children
	return runtime.UnlockOSThread
}
