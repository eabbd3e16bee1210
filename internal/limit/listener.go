package limit

import (
	"net"
	"sync"
)

// Listener returns a listener that holds at most n connections, and a quarter of
// them from one address: further ones wait in the system's queue, or are closed,
// rather than take memory here.
func Listener(l net.Listener, n int) net.Listener {
	return &listener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

type listener struct {
	net.Listener
	slots chan struct{}
	open  Counts
	done  chan struct{}
	once  sync.Once
}

// Accept waits for a slot, then for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		free, ok := l.open.Take(Address(conn.RemoteAddr().String()), Share(cap(l.slots)))
		if !ok {
			_ = conn.Close() // it has enough of them
			continue
		}
		return &limitedConn{Conn: conn, free: sync.OnceFunc(func() {
			free()
			<-l.slots
		})}, nil
	}
}

// Close ends a waiting Accept too.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	free func()
}

// Close frees the connection's slot.
func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
