package yubikey

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
)

// A card is an open connection to a PIV applet, which no other program can use
// meanwhile. Calls block as long as the card likes, and only one may run at a
// time. The one implementation is in card_piv.go, which needs cgo; this seam
// keeps everything else the same without.
type card interface {
	Serial() (uint32, error)
	Version() Version
	Slot(Slot) (SlotInfo, crypto.PublicKey, error) // isAbsent when there is no key, or none that the firmware tells of
	Certificate(Slot) (*x509.Certificate, error)   // isAbsent when there is none
	Attest(Slot) (*x509.Certificate, error)        // isAbsent when there is nothing to attest
	AttestationCertificate() (*x509.Certificate, error)
	Retries() (int, error)
	VerifyPIN(pin string) error
	ProtectedManagementKey(pin string) ([]byte, error)
	Generate(managementKey []byte, slot Slot, r Request) (crypto.PublicKey, error)
	Import(managementKey []byte, slot Slot, r Request, private crypto.Signer) error
	SetCertificate(managementKey []byte, slot Slot, cert *x509.Certificate) error
	Signer(Slot, crypto.PublicKey) (crypto.Signer, error) // does not verify the PIN
	// Raw lends the card for commands of our own, and takes it back. When that
	// fails the error is errLost, and the card is of no more use.
	Raw(func(wire) error) error
	Close() error
}

// A driver finds readers and opens the cards in them. What watch returns changes
// whenever a card comes or goes.
type driver struct {
	readers func() ([]string, error)
	watch   func() (string, error)
	open    func(reader string) (card, error)
}

// await runs f and returns what it returns, but no later than ctx ends. Then f
// is left to itself: abandoned is closed when it is over, and what it got is
// passed to drop.
func await[T any](ctx context.Context, f func() (T, error), drop func(T)) (v T, abandoned <-chan struct{}, err error) {
	type result struct {
		v   T
		err error
	}
	results := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil { // a card must not be able to end the process
				r.err = fmt.Errorf("%w: %v", ErrCard, p)
			}
			results <- r
		}()
		r.v, r.err = f()
	}()
	select {
	case r := <-results:
		return r.v, nil, whyNoDaemon(explain(r.err))
	case <-ctx.Done():
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if r := <-results; r.err == nil && drop != nil {
			drop(r.v)
		}
	}()
	return v, over, ctx.Err()
}
