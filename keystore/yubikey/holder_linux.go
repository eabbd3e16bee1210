package yubikey

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// serviceSocket is where the library looks for the smart card service.
func serviceSocket() string {
	return cmp.Or(os.Getenv("PCSCLITE_CSOCK_NAME"), "/run/pcscd/pcscd.comm")
}

// findHolders lists the processes that are connected to the smart card service.
// Of those that we may not look into, it lists the ones whose name is known.
func findHolders() []Holder {
	ends, err := connectedTo(serviceSocket())
	folders, globErr := filepath.Glob("/proc/[0-9]*")
	if err != nil && globErr != nil {
		return nil
	}
	var certain, likely []Holder
	for _, folder := range folders {
		process, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || process == os.Getpid() {
			continue
		}
		name, err := os.ReadFile(folder + "/comm")
		program := string(bytes.TrimSpace(name))
		if err != nil || program == "pcscd" {
			continue
		}
		switch uses, readable := has(folder+"/fd", ends); {
		case uses:
			certain = append(certain, Holder{process, program})
		case !readable && letsGo(program) != "":
			likely = append(likely, Holder{process, program})
		}
	}
	return append(rank(certain), rank(likely)...)
}

// has tells whether a process has one of the sockets open, and whether we may
// know.
func has(descriptors string, sockets []uint32) (has, readable bool) {
	list, err := os.ReadDir(descriptors)
	if err != nil {
		return false, false
	}
	for _, descriptor := range list {
		target, _ := os.Readlink(filepath.Join(descriptors, descriptor.Name()))
		number, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
		if err == nil && slices.Contains(sockets, uint32(inode)) {
			return true, true
		}
	}
	return false, true
}

// The numbers of sock_diag(7).
const (
	netlinkSockDiag  = 4
	sockDiagByFamily = 20
	showName         = 1
	showPeer         = 4
	attributeName    = 0
	attributePeer    = 2
)

// connectedTo asks the kernel which sockets have an end at the path, and returns
// the inodes of their other ends.
func connectedTo(path string) ([]uint32, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	request := make([]byte, syscall.NLMSG_HDRLEN+24)
	order := binary.NativeEndian
	order.PutUint32(request[0:], uint32(len(request)))
	order.PutUint16(request[4:], sockDiagByFamily)
	order.PutUint16(request[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	request[16] = syscall.AF_UNIX
	order.PutUint32(request[20:], ^uint32(0)) // in any state
	order.PutUint32(request[28:], showName|showPeer)
	if err := syscall.Sendto(fd, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, err
	}
	var ends []uint32
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := syscall.Recvfrom(fd, buffer, 0)
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil || len(messages) == 0 {
			return nil, errors.Join(errors.New("the kernel's list of sockets is garbled"), err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return ends, nil
			case syscall.NLMSG_ERROR:
				return nil, errors.New("the kernel does not list its sockets")
			}
			if peer := peerOf(m.Data, path); peer != 0 {
				ends = append(ends, peer)
			}
		}
	}
}

// peerOf reads a struct unix_diag_msg, 16 bytes, and the attributes behind it. It
// returns 0 for a socket of another path or without a peer.
func peerOf(b []byte, path string) uint32 {
	var name string
	var peer uint32
	order := binary.NativeEndian
	for b = b[min(16, len(b)):]; len(b) >= 4; {
		size, kind := int(order.Uint16(b)), order.Uint16(b[2:])
		if size < 4 || size > len(b) {
			break
		}
		switch value := b[4:size]; {
		case kind == attributeName:
			name = string(bytes.TrimRight(value, "\x00"))
		case kind == attributePeer && len(value) == 4:
			peer = order.Uint32(value)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	if name != path {
		return 0
	}
	return peer
}

// whyNoDaemon looks whether a service that cannot be reached is there, and only
// this user is not let in: the library makes no difference.
func whyNoDaemon(err error) error {
	if !errors.Is(err, ErrNoDaemon) {
		return err
	}
	socket := serviceSocket()
	conn, dialErr := net.Dial("unix", socket)
	if dialErr == nil {
		conn.Close()
	}
	if !errors.Is(dialErr, fs.ErrPermission) {
		return err
	}
	return &wordedError{fmt.Sprintf("%v: its socket %s may not be opened", ErrNotAllowed, socket), []error{ErrNotAllowed, dialErr}}
}
