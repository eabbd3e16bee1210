//go:build !linux

package yubikey

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
)

// A room cannot be had here: vsmartcard's driver and a pcscd that takes its socket
// from its parent are Linux's.
type room struct{}

var errLinuxOnly = fmt.Errorf("virtual YubiKeys need Linux: %w", errors.ErrUnsupported)

func newRoom() (*room, error)                { return nil, errLinuxOnly }
func (*room) start(*exec.Cmd) error          { return errLinuxOnly }
func (*room) dial(int) (*net.TCPConn, error) { return nil, errLinuxOnly }
func (*room) ports(int) ([]int, error)       { return nil, errLinuxOnly }
func (*room) leave()                         {}
func quick(conn *net.TCPConn) io.Reader      { return conn }
