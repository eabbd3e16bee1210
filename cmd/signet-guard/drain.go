package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A listeningServer is a server at its listener.
type listeningServer struct {
	*http.Server
	listener net.Listener
	closing  atomic.Bool

	mu   sync.Mutex
	busy map[net.Conn]bool // connections that are new, or whose request is at work
}

// start serves at a listener until it is closed; failed is told if that was nobody's
// wish.
func start(s *http.Server, l net.Listener, failed chan<- error) *listeningServer {
	ls := &listeningServer{Server: s, listener: l, busy: map[net.Conn]bool{}}
	s.ConnState = ls.state
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && !ls.closing.Load() {
			failed <- err
		}
	}()
	return ls
}

func (ls *listeningServer) state(conn net.Conn, state http.ConnState) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	switch state {
	case http.StateNew, http.StateActive:
		ls.busy[conn] = true
	default:
		delete(ls.busy, conn)
	}
}

// settle takes no new connections, and waits until none is new or at work.
//
// http.Server.Shutdown alone is not enough: a request that it finds just being read,
// on a new connection, is dropped unanswered.
func (ls *listeningServer) settle(ctx context.Context) error {
	ls.closing.Store(true)
	err := ls.listener.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ls.mu.Lock()
		n := len(ls.busy)
		ls.mu.Unlock()
		if n == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("%d connections: %w", n, ctx.Err()))
		}
	}
}

// drain goes on answering for a while, with a word to each client to come back on
// another connection, and to whoever asks /readyz to send nobody here. Then it waits,
// so long, for what is being worked on.
func (g *gate) drain(ctx context.Context) error {
	o := g.options
	g.log.Info("stopping", "answers_for", time.Duration(o.drain), "waits_at_most", time.Duration(o.shutdownTimeout))
	g.Stopping()
	timer := time.NewTimer(time.Duration(o.drain))
	defer timer.Stop()
	select {
	case <-timer.C:
	case err := <-g.failed:
		return errors.Join(err, g.close())
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(o.shutdownTimeout))
	defer cancel()
	var late error
	var closed sync.WaitGroup
	settled := make([]error, len(g.servers))
	for i, s := range g.servers {
		closed.Go(func() { settled[i] = s.settle(wait) })
	}
	closed.Wait()
	for i, s := range g.servers {
		err := s.Shutdown(wait)
		if errors.Is(err, net.ErrClosed) { // the listener, which settle has closed
			err = nil
		}
		late = errors.Join(late, settled[i], err)
	}
	// Answers that took their connection over are not known to the servers.
	late = errors.Join(late, g.entrance.Wait(wait))
	if late != nil {
		return errors.Join(fmt.Errorf("some requests did not finish in %s: %w", time.Duration(o.shutdownTimeout), late), g.close())
	}
	return nil
}

func (g *gate) close() error {
	var err error
	for _, s := range g.servers {
		s.closing.Store(true)
		err = errors.Join(err, s.Close())
	}
	return err
}
