package yubikey

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// network names the network that a process or thread is in.
func network(t *testing.T, who string) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + who + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestPcscdIsOnNoNetwork shows that nobody else can plug a card into our pcscd,
// whose driver listens on all interfaces. Only root may make the network that this
// takes.
func TestPcscdIsOnNoNetwork(t *testing.T) {
	bench, err := Start(Config{Sticks: []StickConfig{{Serial: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close()
	pcscd := network(t, fmt.Sprint(bench.daemon.process.Pid))
	ours := network(t, "thread-self")
	if os.Geteuid() == 0 && pcscd == ours {
		t.Error("pcscd is on the machine's network")
	}
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", bench.daemon.ports[0]+1)) // the empty slot
	if err == nil {
		conn.Close()
	}
	if pcscd != ours && err == nil {
		t.Error("the driver's port answers outside")
	}
}

func TestRoomThatWasLeft(t *testing.T) {
	r, err := newRoom()
	if err != nil {
		t.Fatal(err)
	}
	r.leave()
	if _, err := r.dial(1); err == nil {
		t.Error("dialled from a room that was left")
	}
}

func TestStartRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		sticks []StickConfig
	}{
		{"no sticks", nil},
		{"more sticks than pcscd has readers", make([]StickConfig, maxSticks+1)},
		{"one serial twice", []StickConfig{{Serial: 1}, {Serial: 1}}},
		{"firmware that is none", []StickConfig{{Serial: 1, Firmware: "new"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if bench, err := Start(Config{Sticks: c.sticks}); err == nil {
				bench.Close()
				t.Error("started")
			}
		})
	}
}

func TestFolderThatPcscdCannotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder, #1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bench, err := Start(Config{Sticks: []StickConfig{{Serial: 1}}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.Close(); err != nil {
		t.Error(err)
	}
}

func TestPcscdThatDies(t *testing.T) {
	bench, err := Start(Config{Sticks: []StickConfig{{Serial: 1}, {Serial: 2, Absent: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.daemon.process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-bench.Ended()
	if err := bench.Stick(2).Insert(); err == nil {
		t.Error("inserted a stick with no pcscd to see it")
	}
	if err := bench.Stick(1).Remove(); err == nil {
		t.Error("removed a stick with no pcscd to see it")
	}
	for range 2 {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(bench.Socket()); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
