package containerd

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/signet-trust/signet/guard"
)

// once is a listener that has one connection.
type once struct {
	net.Listener
	conns chan net.Conn
}

func (l once) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l once) Close() error { return nil }

// A client that takes no answer does not hold its place at the gate for good.
func TestRefusalThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe() // takes nothing that is not read
		l := once{conns: make(chan net.Conn, 1)}
		l.conns <- there
		entrance := guard.NewEntrance(guard.New(guard.Config{}), guard.Limits{})
		s := &http.Server{Handler: entrance.Handler(Door(guard.New(guard.Config{})))}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		if _, err := io.WriteString(here, "HEAD /v2/team/app/manifests/1.0?ns=registry.example.com HTTP/1.1\r\nHost: gate\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the refusal is being written
		if err := entrance.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(here); err != nil || strings.Contains(string(data), "200 OK") {
			t.Errorf("%q, %v", data, err)
		}
		close(l.conns)
		<-ended
	})
}
