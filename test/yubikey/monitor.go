package yubikey

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// A monitor is a client of pcscd that only watches readers. It speaks the protocol
// of libpcsclite (version 4.4, the same from pcsc-lite 1.8.24 on): requests have a
// header of two little-endian words, size and command; answers are bare structures.
type monitor struct{ conn net.Conn }

const (
	commandVersion = 0x11
	commandWait    = 0x13

	maxReaders = 16

	stateAbsent  = 0x02
	statePresent = 0x04
)

// A readerState is one entry of pcscd's table, as it goes over the socket.
type readerState struct {
	Name      [128]byte
	Events    uint32
	State     uint32
	Sharing   int32
	ATR       [33]byte
	_         [3]byte
	ATRLength uint32
	Protocol  uint32
}

// name is empty where the table has no reader.
func (r *readerState) name() string {
	name, _, _ := bytes.Cut(r.Name[:], []byte{0})
	return string(name)
}

// ready tells that the card is in, has been asked for its ATR and is not being
// looked at for the first time still.
func (r *readerState) ready() bool {
	return r.State&statePresent != 0 && r.ATRLength > 0
}

func (r *readerState) absent() bool {
	return r.State&stateAbsent != 0
}

// watch calls done with pcscd's table at once and after every change, until done
// says true.
func watch(ctx context.Context, socket string, done func([]readerState) bool) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m := monitor{conn}
	if err := m.version(); err != nil {
		return m.failed(ctx, err)
	}
	for {
		var table [maxReaders]readerState
		if err := m.send(commandWait, nil); err != nil {
			return m.failed(ctx, err)
		}
		if err := binary.Read(conn, binary.LittleEndian, &table); err != nil {
			return m.failed(ctx, err)
		}
		var readers []readerState
		for _, reader := range table {
			if reader.name() != "" {
				readers = append(readers, reader)
			}
		}
		if done(readers) {
			return nil
		}
		var event [8]byte // time-out and return value; the table is asked for again
		if _, err := io.ReadFull(conn, event[:]); err != nil {
			return m.failed(ctx, err)
		}
	}
}

func (m monitor) version() error {
	words := []uint32{4, 4, 0} // major, minor, return value
	if err := m.send(commandVersion, words); err != nil {
		return err
	}
	if err := binary.Read(m.conn, binary.LittleEndian, words); err != nil {
		return err
	}
	if words[2] != 0 {
		return fmt.Errorf("pcscd speaks version %d.%d of its protocol", words[0], words[1])
	}
	return nil
}

func (m monitor) send(command uint32, words []uint32) error {
	b := binary.LittleEndian.AppendUint32(nil, uint32(4*len(words)))
	b = binary.LittleEndian.AppendUint32(b, command)
	for _, word := range words {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	_, err := m.conn.Write(b)
	return err
}

// failed prefers to say why the connection was closed.
func (m monitor) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("talk to pcscd: %w", err)
}
