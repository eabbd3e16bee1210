package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// socketOf gives a listener to gates, as a supervisor does.
func socketOf(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file, "https://" + l.Addr().String()
}

// A gate is replaced by another one, and then restarted, while it is asked without a
// pause, over connections that are kept and over new ones: nobody is turned away.
func TestRestartWithoutAGap(t *testing.T) {
	r := newRoom(t)
	socket, url := socketOf(t)
	sockets := map[string]*os.File{"listen": socket}
	now := r.start(t, "first", sockets, r.args("first")...)

	ctx, stop := context.WithCancel(t.Context())
	var answers, failures atomic.Int64
	var asking sync.WaitGroup
	for i := range 12 {
		client := r.client(i%3 == 1)
		client.Transport.(*http.Transport).DisableKeepAlives = i%3 == 2
		asking.Go(func() {
			for ctx.Err() == nil {
				// What has begun is finished: the end of the test is no failure.
				if err := allowed(context.WithoutCancel(ctx), client, url); err != nil {
					failures.Add(1)
					t.Errorf("asker %d, not answered: %v", i, err)
					return
				}
				answers.Add(1)
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		from := answers.Load()
		eventually(t, "answers", func() bool { return answers.Load() >= from+n || failures.Load() > 0 })
	}
	more(100)
	for i := range 3 { // the new one first
		name := fmt.Sprintf("new-%d", i)
		next := r.start(t, name, sockets, r.args(name)...)
		if err := now.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		now.wait(t)
		now = next
		more(100)
	}
	for i := range 2 { // the old one ends first: who connects in between waits
		if err := now.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		now.wait(t)
		name := fmt.Sprintf("again-%d", i)
		now = r.start(t, name, sockets, r.args(name)...)
		more(100)
	}
	stop()
	asking.Wait()
	t.Logf("%d answers, %d failures", answers.Load(), failures.Load())
	if failures.Load() > 0 {
		t.Fatalf("of %d questions, %d were not answered", answers.Load()+failures.Load(), failures.Load())
	}
	if err := now.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	now.wait(t)
}

// What a supervisor holds has to be of use.
func TestSocketsThatAreOfNoUse(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	for name, environ := range map[string][]string{
		"not a number": {"LISTEN_PID=" + pid, "LISTEN_FDS=many"},
		"names":        {"LISTEN_PID=" + pid, "LISTEN_FDS=2", "LISTEN_FDNAMES=listen"},
		"no names":     {"LISTEN_PID=" + pid, "LISTEN_FDS=2"},
	} {
		if _, err := inherit(environ); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	in, err := inherit([]string{"LISTEN_PID=1", "LISTEN_FDS=1"}) // somebody else's
	if err != nil || len(in.names) != 0 {
		t.Errorf("%v, %v", in, err)
	}
	in = &inherited{names: []string{"admission"}, listeners: []net.Listener{nil}}
	in.listeners = nil
	if err := in.rest(); err == nil || !strings.Contains(err.Error(), "admission") {
		t.Errorf("a socket that nobody uses: %v", err)
	}
}

// The ready file says where the doors are.
func TestReadyFile(t *testing.T) {
	r := newRoom(t)
	p := r.start(t, "gate", nil, r.args("gate", "--door-listen", "decide=unix:"+r.path("s"))...)
	data, err := os.ReadFile(r.path("gate.ready"))
	if err != nil {
		t.Fatal(err)
	}
	var at ready
	if err := json.Unmarshal(data, &at); err != nil || at.Doors["decide"] != "unix:"+r.path("s") || at.PID != p.cmd.Process.Pid || at.Health == "" {
		t.Errorf("%s, %v", data, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if _, err := os.Stat(r.path("gate.ready")); err == nil {
		t.Error("the ready file outlives the gate")
	}
}

// A gate that finds another one at its state folder says so, and what to do. It goes on,
// since at a restart the new one comes before the old one goes; then it says no more.
func TestTwoGatesOnOneFolder(t *testing.T) {
	r := newRoom(t)
	const word = "give each a --state of its own"
	one := r.start(t, "one", nil, r.args("one")...)
	two := r.start(t, "two", nil, r.args("two")...)
	apart := r.start(t, "apart", nil, r.args("apart", "--state", r.path("elsewhere"))...)
	for p, times := range map[*process]int{one: 0, two: 1, apart: 0} {
		if text := p.output.String(); strings.Count(text, word) != times {
			t.Errorf("it says so other than %d times:\n%s", times, text)
		}
	}
	at := r.ready(t, "two")
	if status, body := get(t, at.Health+"/readyz"); status != http.StatusOK || !strings.Contains(body, word) {
		t.Errorf("%d: %s", status, body)
	}
	if err := allowed(t.Context(), r.client(false), at.URL); err != nil {
		t.Error(err)
	}
	if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	one.wait(t)
	eventually(t, "a folder of its own", func() bool {
		_, body := get(t, at.Health+"/readyz")
		return strings.Contains(body, `"state":"ok"`)
	})
	if three := r.start(t, "three", nil, r.args("three")...); !strings.Contains(three.output.String(), word) {
		t.Errorf("the one after it does not say:\n%s", three.output)
	}
}
