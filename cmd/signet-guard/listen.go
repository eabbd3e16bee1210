package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstInherited is the first file descriptor that a supervisor hands over.
const firstInherited = 3

// A supervisor holds listeners for the gate across its restarts (systemd's socket
// units do), so that nobody who connects in between is turned away: two gates that
// have the same socket take from one queue, and the queue outlives both.
//
// The protocol is systemd's: LISTEN_FDS sockets from descriptor 3 on, meant for the
// process LISTEN_PID, called LISTEN_FDNAMES: "listen", "health", or a door's name for
// its --door-listen.
type inherited struct {
	names     []string
	listeners []net.Listener
}

// inherit takes what a supervisor holds for this process.
func inherit(environ []string) (*inherited, error) {
	get := func(name string) string {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
	in := &inherited{}
	if get("LISTEN_FDS") == "" || get("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return in, nil
	}
	n, err := strconv.Atoi(get("LISTEN_FDS"))
	if err != nil || n < 0 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of sockets", get("LISTEN_FDS"))
	}
	in.names = strings.Split(get("LISTEN_FDNAMES"), ":")
	if get("LISTEN_FDNAMES") == "" && n == 1 {
		in.names = []string{"listen"}
	}
	if len(in.names) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES=%q does not name %d sockets", get("LISTEN_FDNAMES"), n)
	}
	for i, name := range in.names {
		file := os.NewFile(uintptr(firstInherited+i), name)
		l, err := net.FileListener(file) // it has a descriptor of its own
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, errors.Join(fmt.Errorf("the socket called %s: %w", name, err), in.close())
		}
		in.listeners = append(in.listeners, l)
	}
	return in, nil
}

// take returns the listener of a name, or one at address where none is held.
func (in *inherited) take(name, address string) (net.Listener, error) {
	if i := slices.Index(in.names, name); i >= 0 {
		l := in.listeners[i]
		in.names, in.listeners = slices.Delete(in.names, i, i+1), slices.Delete(in.listeners, i, i+1)
		return l, nil
	}
	path, isSocket := strings.CutPrefix(address, "unix:")
	if !isSocket {
		return net.Listen("tcp", address)
	}
	// One that nobody listens at is left over from a gate that was killed.
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if conn, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("somebody listens at %s already", path), conn.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

// rest refuses sockets that no listener of this configuration took.
func (in *inherited) rest() error {
	if len(in.names) == 0 {
		return nil
	}
	return errors.Join(fmt.Errorf("the supervisor holds sockets that this configuration has no use for: %s", strings.Join(in.names, ", ")), in.close())
}

func (in *inherited) close() error {
	var err error
	for _, l := range in.listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}
