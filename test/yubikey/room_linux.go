package yubikey

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

// A room is where pcscd runs: a network of its own, if we may make one. The driver
// listens on all interfaces, and nobody else on the network should be able to plug
// a card into it. Without the right to make one (it takes root) pcscd runs on the
// machine's network.
//
// All work in the room is done by one thread, which stays until the room is left:
// a network belongs to a thread, and so does the order to die with the parent.
type room struct {
	work chan func()
	gone chan struct{} // closed when the room is left
}

func newRoom() (*room, error) {
	r := &room{work: make(chan func()), gone: make(chan struct{})}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine, since no other must
		// find itself in the room.
		runtime.LockOSThread()
		err := enter()
		entered <- err
		for err == nil {
			select {
			case f := <-r.work:
				f()
			case <-r.gone:
				return
			}
		}
	}()
	return r, <-entered
}

func enter() error {
	if syscall.Unshare(syscall.CLONE_NEWNET) != nil {
		return nil // not allowed: the machine's network it is
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("network of pcscd's own: %w", err)
	}
	return nil
}

// loopbackUp switches on the interface that a new network has.
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	request := struct { // struct ifreq of netdevice(7)
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

// do runs f in the room.
func (r *room) do(f func() error) error {
	done := make(chan error)
	select {
	case r.work <- func() { done <- f() }:
		return <-done
	case <-r.gone:
		return net.ErrClosed
	}
}

// start runs cmd in the room. It dies when this process does.
func (r *room) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return r.do(cmd.Start)
}

// dial connects to a port in the room.
func (r *room) dial(port int) (conn *net.TCPConn, err error) {
	err = r.do(func() error {
		conn, err = net.DialTCP("tcp4", nil, loopback(port))
		return err
	})
	return conn, err
}

// ports finds n pairs of neighbouring free ports and gives the first of each. They
// are free at the moment only: pcscd cannot be handed an open socket.
func (r *room) ports(n int) (ports []int, err error) {
	const attempts = 100
	err = r.do(func() error {
		for range attempts {
			if len(ports) == n {
				return nil
			}
			a, err := net.ListenTCP("tcp4", loopback(0))
			if err != nil {
				return err
			}
			defer a.Close()
			port := a.Addr().(*net.TCPAddr).Port
			b, err := net.ListenTCP("tcp4", loopback(port+1))
			if err != nil {
				continue
			}
			defer b.Close()
			ports = append(ports, port)
		}
		return fmt.Errorf("%d pairs of free ports: found %d", n, len(ports))
	})
	return ports, err
}

// leave ends the room's thread, and with it what was started there.
func (r *room) leave() { close(r.gone) }

func loopback(port int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
}

// quick reads from conn and acknowledges at once. Debian's vpcd sends the length and
// the body apart, and the kernel holds the second back until the first is
// acknowledged: some 40 ms for each command otherwise. Linux forgets the wish, so
// it is made before each read.
func quick(conn *net.TCPConn) io.Reader {
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn
	}
	return quickReader{conn, raw}
}

type quickReader struct {
	conn *net.TCPConn
	raw  syscall.RawConn
}

func (r quickReader) Read(b []byte) (int, error) {
	err := r.raw.Control(func(fd uintptr) {
		// Slower, but no less right, where it does not work.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
	if err != nil {
		return 0, err
	}
	return r.conn.Read(b)
}
