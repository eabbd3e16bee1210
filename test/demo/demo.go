package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A demo is one run: its folder, the programs it started, what it found out.
type demo struct {
	bin     string
	dir     string
	out     io.Writer
	started time.Time
	step    int

	procs    []*process // in the order of their start
	registry string     // host:port
	server   string     // https://localhost:port
	env      []string   // of every signet command
	image    string     // registry/team/app
	first    string     // digest of what :1.0 means
	evil     string     // digest of the image that attackers offer
}

// title starts a step of the story.
func (d *demo) title(format string, args ...any) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

// say tells the reader something.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "   %s\n", fmt.Sprintf(format, args...))
}

// signet runs the CLI as a reader could type it, shows the command and what it
// prints, and demands the exit status. It returns what went to standard output.
func (d *demo) signet(ctx context.Context, wantExit int, args ...string) (string, error) {
	return d.command(ctx, wantExit, "signet", args, d.env)
}

// quietly runs the CLI, shows the command, and leaves what it prints to the caller.
func (d *demo) quietly(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintf(d.out, "   $ signet %s\n", shown(args))
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "signet"), args...)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("signet %s: %w", shown(args), err)
	}
	return string(out), nil
}

func (d *demo) command(ctx context.Context, wantExit int, name string, args, env []string) (string, error) {
	fmt.Fprintf(d.out, "   $ %s %s\n", name, shown(args))
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, name), args...)
	cmd.Dir = d.dir
	cmd.Env = env
	var stdout bytes.Buffer
	both := &screen{}
	cmd.Stdout = io.MultiWriter(&stdout, both)
	cmd.Stderr = both
	err := cmd.Run()
	for line := range strings.Lines(both.text.String()) {
		fmt.Fprintf(d.out, "     %s\n", strings.TrimRight(line, "\n"))
	}
	exit := 0
	if exited, ok := errors.AsType[*exec.ExitError](err); ok && exited.ExitCode() >= 0 {
		exit = exited.ExitCode()
	} else if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if exit != 0 || wantExit != 0 {
		d.say("exit status %d", exit)
	}
	if exit != wantExit {
		return "", fmt.Errorf("%s %s: exit status %d, expected %d", name, shown(args), exit, wantExit)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// A screen shows standard output and standard error as a terminal does, one after
// the other as they come.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// shown is how a command line is typed: what a shell would take apart in quotes.
func shown(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		if strings.ContainsAny(arg, "* '\"") {
			arg = "'" + arg + "'"
		}
		quoted[i] = arg
	}
	return strings.Join(quoted, " ")
}

// A process is one program that runs beside the demo.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // path of what it printed
	done chan error
}

// start runs a program until stop. It dies with the demo, whatever happens.
func (d *demo) start(name string, env []string, path string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(d.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, log: log.Name(), done: make(chan error, 1)}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Env = d.dir, env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	tieToParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	d.procs = append(d.procs, p)
	return p, nil
}

// stop ends a process and waits for its end.
func (d *demo) stop(p *process) error {
	for i, other := range d.procs {
		if other == p {
			d.procs = append(d.procs[:i:i], d.procs[i+1:]...)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-p.done
	}
	return nil
}

func (d *demo) stopAll() error {
	var err error
	for len(d.procs) > 0 {
		err = errors.Join(err, d.stop(d.procs[len(d.procs)-1]))
	}
	return err
}

// await asks ready, some times a second, until it says yes, the process ends or
// ctx does.
func (d *demo) await(ctx context.Context, p *process, ready func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case err := <-p.done:
			p.done <- err
			printed, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s ended before it was ready: %v\n%s", p.name, err, printed)
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready in time: %w", p.name, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// port returns the wanted port of loopback if it is free, otherwise another.
func port(wanted int) (int, error) {
	for _, p := range []int{wanted, 0} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err == nil {
			defer l.Close()
			return l.Addr().(*net.TCPAddr).Port, nil
		}
		if p == 0 {
			return 0, err
		}
	}
	return 0, errors.New("no free port")
}
