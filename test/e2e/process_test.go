package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// A process is a program that runs beside a script.
type process struct {
	cmd    *exec.Cmd
	output *lockedBuffer
	ended  chan error
}

// start runs a program in dir until stop, or the end of the script.
func (s *scene) start(ts *testscript.TestScript, name, dir string, env []string, program string, args ...string) (*process, error) {
	p := &process{output: &lockedBuffer{}, ended: make(chan error, 1)}
	p.cmd = exec.Command(filepath.Join(s.bin, program), args...)
	if !strings.HasPrefix(program, "signet") {
		p.cmd = exec.Command(program, args...)
	}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	s.processes[name] = p
	ts.Defer(func() {
		if s.processes[name] == p {
			ts.Check(s.stop(name, syscall.SIGTERM))
		}
	})
	return p, nil
}

// stop ends a process and waits for its end.
func (s *scene) stop(name string, signal syscall.Signal) error {
	p := s.processes[name]
	if p == nil {
		return fmt.Errorf("%s was not started", name)
	}
	delete(s.processes, name)
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s does not stop:\n%s", name, p.output), p.cmd.Process.Kill())
	}
}

// await waits until a process is ready.
func (p *process) await(ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		select {
		case err := <-p.ended:
			p.ended <- err
			return false, fmt.Errorf("it ended: %v", err)
		default:
			return ready()
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, p.output)
	}
	return nil
}

func exists(path string) func() (bool, error) {
	return func() (bool, error) {
		_, err := os.Stat(path)
		return err == nil, nil
	}
}

// listening tells whether somebody listens at an address.
func listening(address string) func() (bool, error) {
	return func() (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	}
}

// serverCommand starts and stops signet-server. A server that is started again
// has its address and its data again.
func serverCommand(ts *testscript.TestScript, s *scene, args []string) error {
	name := args[1]
	switch args[0] {
	case "stop":
		return s.stop(name, syscall.SIGTERM)
	case "kill":
		return s.stop(name, syscall.SIGKILL)
	case "start":
	default:
		return fmt.Errorf("server %s: expected start, stop or kill", args[0])
	}
	dir := ts.MkAbs(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	address, err := s.address(name)
	if err != nil {
		return err
	}
	ready := filepath.Join(dir, "ready")
	if err := os.RemoveAll(ready); err != nil {
		return err
	}
	p, err := s.start(ts, name, dir, nil, "signet-server", append([]string{"--listen", address, "--health-listen", "off", "--ready-file", ready}, args[2:]...)...)
	if err != nil {
		return err
	}
	ts.Setenv("SERVER", "https://"+address)
	ts.Setenv("DATA", filepath.Join(dir, "signet-data"))
	ts.Setenv("CA", filepath.Join(dir, "signet-data", "ca.pem"))
	ts.Setenv("TOKEN", filepath.Join(dir, "signet-data", "admin-token"))
	return p.await(exists(ready))
}

// signerCommand starts and stops signet-signer.
func signerCommand(ts *testscript.TestScript, s *scene, args []string) error {
	name := args[1]
	switch args[0] {
	case "stop":
		return s.stop(name, syscall.SIGTERM)
	case "kill":
		return s.stop(name, syscall.SIGKILL)
	case "start":
	default:
		return fmt.Errorf("signer %s: expected start, stop or kill", args[0])
	}
	dir := ts.MkAbs(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	address, err := s.address(name)
	if err != nil {
		return err
	}
	data, ready := filepath.Join(dir, "data"), filepath.Join(dir, "ready")
	if _, err := os.Stat(data); err != nil {
		if err := ts.Exec("signet-signer", "tls", "--data", data, "--host", "localhost"); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(ready); err != nil {
		return err
	}
	p, err := s.start(ts, name, dir, nil, "signet-signer", append([]string{"--listen", address, "--health-listen", "off", "--data", data, "--ready-file", ready}, args[2:]...)...)
	if err != nil {
		return err
	}
	ts.Setenv("SIGNER", "https://"+address)
	ts.Setenv("SIGNER_TLS", filepath.Join(data, "tls"))
	return p.await(exists(ready))
}

// address returns a free address of loopback, the same one for the same name.
func (s *scene) address(name string) (string, error) {
	if s.ports[name] == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer l.Close()
		s.ports[name] = port(l.Addr().String())
	}
	return "localhost:" + s.ports[name], nil
}

// A lockedBuffer is written to by a process and read when it fails.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
