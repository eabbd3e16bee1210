package yubikey

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/signet-trust/signet/test/yubikey/card"
)

// A socket is the reader's end of one stick: vpcd listens, the stick dials when it
// is plugged in and hangs up when it is pulled out.
type socket struct {
	dial func() (*net.TCPConn, error)
	card *card.Card

	mu     sync.Mutex
	cancel context.CancelFunc // pulls the stick out
	out    chan struct{}      // closed when it is out
}

// insert plugs the stick in. pcscd finds it when it next looks, within half a second.
func (s *socket) insert() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return errors.New("the stick is in already")
	}
	conn, err := s.dial()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := make(chan struct{})
	s.cancel, s.out = cancel, out
	go func() {
		defer close(out)
		s.stay(ctx, conn)
	}()
	return nil
}

// remove pulls the stick out, whatever it is doing.
func (s *socket) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	s.cancel()
	<-s.out
	s.cancel = nil
}

func (s *socket) inserted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancel != nil
}

// stay serves one connection after the other: vpcd hangs up when it is confused,
// and pcscd then finds the stick anew.
func (s *socket) stay(ctx context.Context, conn *net.TCPConn) {
	for {
		s.serve(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		var err error
		if conn, err = s.dial(); err != nil {
			return // pcscd has ended
		}
	}
}

func (s *socket) serve(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.card.Power()
	defer s.card.Power()
	talk(ctx, quick(conn), conn, s.card)
}

// The control codes of vpcd's protocol are messages of one byte; all others are
// command APDUs.
const (
	controlOff   = 0
	controlOn    = 1
	controlReset = 2
	controlATR   = 4
)

// talk speaks vpcd's protocol: each message, either way, is two bytes of length
// and that many bytes.
func talk(ctx context.Context, from io.Reader, to io.Writer, c *card.Card) {
	in := bufio.NewReader(from)
	for {
		var size [2]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		answer, ok := react(ctx, message, c)
		if !ok || ctx.Err() != nil {
			return
		}
		if answer == nil {
			continue
		}
		out := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := to.Write(append(out, answer...)); err != nil {
			return
		}
	}
}

// react does what one message asks for. It says no to what is none of vpcd's.
func react(ctx context.Context, message []byte, c *card.Card) (answer []byte, ok bool) {
	if len(message) > 1 {
		return c.Transmit(ctx, message), true
	}
	if len(message) == 0 {
		return nil, false
	}
	switch message[0] {
	case controlOff, controlOn, controlReset:
		c.Power()
		return nil, true
	case controlATR: // asked for several times a second: the session goes on
		return c.ATR(), true
	}
	return nil, false
}
