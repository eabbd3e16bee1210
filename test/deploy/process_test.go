//go:build deploy

package deploy

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take to come about.
const patience = 2 * time.Minute

// program finds one of those that scripts/test-deploy has built.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("SIGNET_TEST_DEPLOY_BIN")) {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	t.Fatalf("no %s in SIGNET_TEST_DEPLOY_BIN: run scripts/test-deploy", name)
	return ""
}

// buildGuard builds signet-guard as it is shipped.
func buildGuard(t testing.TB, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "signet-guard")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/signet-guard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build signet-guard: %v: %s", err, out)
	}
	return binary
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run starts a daemon and ends it with the test, or with this process. What it says is
// shown if the test fails.
func run(t testing.TB, dir, path string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(path)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	// The kernel ends it when the thread that started it ends: a thread that is kept.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		close(started)
		cmd.Wait()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said at last: %s", filepath.Base(path), said[max(0, len(said)-4000):])
		}
	})
}

// until asks done again and again.
func until(t testing.TB, what string, done func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come about: %v", what, err)
		}
	}
}

// freePort is a port of loopback that nobody has.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
