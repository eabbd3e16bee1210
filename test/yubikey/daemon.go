package yubikey

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	// driver is where Debian's vsmartcard-vpcd has it.
	driver = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
	// runFolder must be there, though pcscd puts nothing in it when it is given its
	// socket.
	runFolder = "/run/pcscd"
)

// A daemon is a pcscd of our own.
type daemon struct {
	room    *room
	process *os.Process
	ended   chan struct{}
	output  string // file with what it said
	ports   []int  // the first of each reader

	stopping sync.Once
}

// startDaemon runs a pcscd with a number of readers, and its client socket at path.
// The system's own pcscd, if there is one, is not touched and does not see the
// readers.
func startDaemon(dir, path string, readers int) (*daemon, error) {
	pcscd, err := exec.LookPath("pcscd")
	if err != nil {
		pcscd = "/usr/sbin/pcscd" // not on everybody's PATH
	}
	if _, err := os.Stat(pcscd); err != nil {
		return nil, fmt.Errorf("%w (Debian packages: pcscd vsmartcard-vpcd)", err)
	}
	if err := os.MkdirAll(runFolder, 0o755); err != nil {
		return nil, fmt.Errorf("pcscd wants the folder %s: %w (once, as root: mkdir %[1]s)", runFolder, err)
	}
	room, err := newRoom()
	if err != nil {
		return nil, err
	}
	d := &daemon{room: room, ended: make(chan struct{}), output: filepath.Join(dir, "pcscd.log")}
	if err := d.run(pcscd, dir, path, readers); err != nil {
		room.leave()
		return nil, err
	}
	return d, nil
}

func (d *daemon) run(pcscd, dir, path string, readers int) error {
	var err error
	if d.ports, err = d.room.ports(readers); err != nil {
		return err
	}
	config := filepath.Join(dir, "reader.conf.d")
	if err := writeReaders(config, dir, d.ports); err != nil {
		return err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close() // a dead pcscd must look like one
	client, err := listener.File()
	if err != nil {
		return err
	}
	defer client.Close()
	output, err := os.Create(d.output)
	if err != nil {
		return err
	}
	defer output.Close()
	// sd_listen_fds(3): the socket is descriptor 3, meant for the process with this id.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" --foreground --config "$1"`, pcscd, config)
	cmd.ExtraFiles = []*os.File{client}
	cmd.Stdout, cmd.Stderr = output, output
	if err := d.room.start(cmd); err != nil {
		return err
	}
	d.process = cmd.Process
	go func() {
		defer close(d.ended)
		cmd.Wait()
	}()
	return nil
}

// writeReaders writes reader.conf. The driver keeps its slots in a static array, so
// each reader needs a copy of the library at a path of its own.
func writeReaders(config, dir string, ports []int) error {
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	var b strings.Builder
	for i, port := range ports {
		library := filepath.Join(dir, "libifdvpcd-"+strconv.Itoa(i)+".so")
		if err := copyFile(library, driver); err != nil {
			return fmt.Errorf("%w (Debian package: vsmartcard-vpcd)", err)
		}
		fmt.Fprintf(&b, "FRIENDLYNAME %q\nDEVICENAME /dev/null:%d\nLIBPATH %s\nCHANNELID %d\n\n",
			friendlyName(i), port, library, port)
	}
	return os.WriteFile(filepath.Join(config, "virtual"), []byte(b.String()), 0o600)
}

// friendlyName is that of a YubiKey on USB, by which programs find it. pcscd tells
// readers of one name apart only when they share a driver, so the later ones get a
// number.
func friendlyName(i int) string {
	const name = "Yubico YubiKey OTP+FIDO+CCID"
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s (%d)", name, i+1)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// stop ends pcscd. It keeps nothing, so there is nothing that it should put away.
func (d *daemon) stop() {
	d.stopping.Do(func() {
		d.process.Kill()
		<-d.ended
		d.room.leave()
	})
}

// said is the end of what pcscd wrote, for error messages.
func (d *daemon) said() string {
	b, err := os.ReadFile(d.output)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}
