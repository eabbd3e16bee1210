//go:build windows || (cgo && (linux || darwin))

package yubikey

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ebfe/scard"
	"github.com/go-piv/piv-go/v2/piv"
)

// handover is how long to wait when another program takes the card while we
// close it here and open it there.
const handover = 5 * time.Second

// Raw closes the library's connection, since it suffers no other, and opens it
// again at the end.
func (c *pivCard) Raw(do func(wire) error) error {
	serial, err := c.yk.Serial()
	if err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	err = patiently(func() error {
		return lend(c.reader, func(w wire) error {
			// While the card was nobody's, another stick may have come into the
			// reader. It must not be shown this one's secrets.
			now, err := w.serial(c.Version())
			if err != nil || now != serial {
				return errors.Join(ErrRemoved, err)
			}
			return do(w)
		})
	})
	back := patiently(func() error { return c.reopen(serial) })
	if back != nil {
		return errors.Join(err, errLost, explain(back))
	}
	return err
}

// reopen opens the same stick in the same reader.
func (c *pivCard) reopen(serial uint32) error {
	yk, err := piv.Open(c.reader)
	if err != nil {
		return err
	}
	if now, err := yk.Serial(); err != nil || now != serial {
		yk.Close()
		return errors.Join(ErrRemoved, err)
	}
	c.yk = yk
	return nil
}

// patiently tries again while another program holds the card.
func patiently(open func() error) error {
	for end := time.Now().Add(handover); ; time.Sleep(pause / 4) {
		err := explain(open())
		if !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return err
		}
	}
}

// lend connects, selects nothing, and lets go of the card.
func lend(reader string, do func(wire) error) (err error) {
	context, err := scard.EstablishContext()
	if err != nil {
		return pcscError(err)
	}
	defer context.Release()
	card, err := context.Connect(reader, scard.ShareExclusive, scard.ProtocolT1)
	if err != nil {
		return pcscError(err)
	}
	defer card.Disconnect(scard.LeaveCard)
	if err := card.BeginTransaction(); err != nil {
		return pcscError(err)
	}
	defer card.EndTransaction(scard.LeaveCard)
	return do(func(command []byte) ([]byte, error) {
		answer, err := card.Transmit(command)
		return answer, pcscError(err)
	})
}

// listReaders lists the readers with a card in them.
func listReaders() ([]string, error) {
	states, err := readerStates()
	var names []string
	for _, state := range states {
		if state.EventState&scard.StatePresent != 0 {
			names = append(names, state.Reader)
		}
	}
	return names, err
}

// watchReaders describes which readers there are, and each coming and going.
func watchReaders() (string, error) {
	states, err := readerStates()
	var b strings.Builder
	for _, state := range states {
		fmt.Fprintf(&b, "%s %x\n", state.Reader, state.EventState)
	}
	return b.String(), err
}

func readerStates() ([]scard.ReaderState, error) {
	context, err := scard.EstablishContext()
	if err != nil {
		return nil, pcscError(err)
	}
	defer context.Release()
	readers, err := context.ListReaders()
	if errors.Is(err, scard.ErrNoReadersAvailable) {
		return nil, nil
	}
	if err != nil {
		return nil, pcscError(err)
	}
	states := make([]scard.ReaderState, len(readers))
	for i, reader := range readers {
		states[i] = scard.ReaderState{Reader: reader, CurrentState: scard.StateUnaware}
	}
	if err := context.GetStatusChange(states, 0); err != nil && !errors.Is(err, scard.ErrTimeout) {
		return nil, pcscError(err)
	}
	return states, nil
}

// pcscError says by its code what an error of PC/SC is.
func pcscError(err error) error {
	code, ok := err.(scard.Error)
	if !ok {
		return err
	}
	is := map[scard.Error]error{
		scard.ErrNoService: ErrNoDaemon, scard.ErrServiceStopped: ErrNoDaemon,
		scard.ErrInternalError: ErrNoDaemon, scard.ErrShutdown: ErrNoDaemon,
		scard.ErrSecurityViolation: ErrNotAllowed,
		scard.ErrSharingViolation:  ErrBusy,
		scard.ErrRemovedCard:       ErrRemoved, scard.ErrNoSmartcard: ErrRemoved,
		scard.ErrUnknownReader: ErrRemoved, scard.ErrReaderUnavailable: ErrRemoved,
		scard.ErrNotReady: ErrRemoved, scard.ErrUnpoweredCard: ErrRemoved,
		scard.ErrUnresponsiveCard: ErrRemoved, scard.ErrResetCard: ErrRemoved,
		scard.ErrInvalidHandle: ErrRemoved, scard.ErrCommError: ErrRemoved,
		scard.ErrCommDataLost: ErrRemoved, scard.ErrSystemCancelled: ErrRemoved,
		scard.ErrNoReadersAvailable: ErrRemoved, scard.ErrNotTransacted: ErrRemoved,
	}[code]
	if is == nil {
		return err
	}
	return &wordedError{is.Error(), []error{is, err}}
}
