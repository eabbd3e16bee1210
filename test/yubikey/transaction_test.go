//go:build cgo && linux

package yubikey_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ebfe/scard"

	"github.com/signet-trust/signet/test/yubikey"
)

// connect opens the stick beside others, as programs that share it do.
func connect(t *testing.T, stick *yubikey.Stick) *scard.Card {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ctx.Release() })
	card, err := ctx.Connect(stick.Reader(), scard.ShareShared, scard.ProtocolT1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { card.Disconnect(scard.LeaveCard) })
	return card
}

// transmit sends commands and compares the end of each answer. A row is
// "command > answer".
func transmit(t *testing.T, card *scard.Card, rows ...string) {
	t.Helper()
	for _, row := range rows {
		apdu, want, _ := strings.Cut(strings.ReplaceAll(row, " ", ""), ">")
		b, err := hex.DecodeString(apdu)
		if err != nil {
			t.Fatal(err)
		}
		end, err := hex.DecodeString(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := card.Transmit(b); err != nil || !bytes.HasSuffix(got, end) {
			t.Errorf("%s: answer %x, %v", row, got, err)
		}
	}
}

const (
	selectPIV = "00A4040005A000000308 > 9000"
	verifyPIN = "0020008008313233343536FFFF > 9000"
	pinKnown  = "00200080 > 9000"
	pinAsked  = "00200080 > 63C3"
)

func TestTransactionKeepsOthersOut(t *testing.T) {
	stick := startOne(t, "5.7.4")
	mine, other := connect(t, stick), connect(t, stick)
	if err := mine.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var held atomic.Bool
	held.Store(true)
	came := make(chan error, 1)
	go func() {
		err := other.BeginTransaction() // waits for the end of mine
		if err == nil && held.Load() {
			err = errors.New("two transactions at once")
		}
		came <- err
	}()
	transmit(t, mine, selectPIV, verifyPIN)
	for range 100 {
		transmit(t, mine, pinKnown)
	}
	held.Store(false)
	if err := mine.EndTransaction(scard.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	// What one program has proven counts for the next, until the card is reset.
	transmit(t, other, pinKnown)
	if err := other.EndTransaction(scard.ResetCard); err != nil {
		t.Fatal(err)
	}
	if err := other.Reconnect(scard.ShareShared, scard.ProtocolT1, scard.LeaveCard); err != nil {
		t.Fatal(err)
	}
	transmit(t, other, selectPIV, pinAsked)
}

func TestRemovedInTheMiddleOfATransaction(t *testing.T) {
	stick := startOne(t, "5.7.4")
	card := connect(t, stick)
	if err := card.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	transmit(t, card, selectPIV, verifyPIN)
	if err := stick.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit([]byte{0, 0x20, 0, 0x80}); !errors.Is(err, scard.ErrRemovedCard) && !errors.Is(err, scard.ErrResetCard) {
		t.Errorf("command to a stick that is gone: %v", err)
	}
	if err := stick.Insert(); err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit([]byte{0, 0x20, 0, 0x80}); err == nil {
		t.Error("the stick that came back is taken for the one that went")
	}
	transmit(t, connect(t, stick), selectPIV, pinAsked)
}
