//go:build linux && cgo

package yubikey_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
)

// TestCommandsPerSignature: after the first signature the card is sent what it
// needs for one, and nothing else.
func TestCommandsPerSignature(t *testing.T) {
	for _, test := range []struct {
		pin  string
		want int
	}{
		{yubikey.Always, 2}, // VERIFY, GENERAL AUTHENTICATE
		{yubikey.Once, 1},
		{yubikey.Never, 1},
	} {
		hardware := plug(t, alice)
		session := newSession(t, types(rightPIN))
		stick, err := session.Open(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		key := makeKey(t, stick, yubikey.Request{PIN: test.pin})
		if err := sign(t, key); err != nil {
			t.Fatal(err)
		}
		before := hardware.APDUs()
		const signatures = 20
		for range signatures {
			if err := sign(t, key); err != nil {
				t.Fatal(err)
			}
		}
		if got := hardware.APDUs() - before; got != signatures*test.want {
			t.Errorf("PIN %s: %d commands for %d signatures, want %d for each", test.pin, got, signatures, test.want)
		}
		session.Close()
	}
}

// TestSignatureCosts holds our own work for a signature, besides the card's and
// the library's, to little CPU.
func TestSignatureCosts(t *testing.T) {
	plug(t, alice)
	stick := open(t, types(rightPIN), alice)
	key := makeKey(t, stick, yubikey.Request{})
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	const signatures = 50
	begin := cpu(t)
	for range signatures {
		if err := sign(t, key); err != nil {
			t.Fatal(err)
		}
	}
	// The virtual stick is in this process too, and so is its signature.
	if each := (cpu(t) - begin) / signatures; each > 20*time.Millisecond {
		t.Errorf("%s of CPU for a signature", each)
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkSign is our signature beside that of the bare library, in turns. Ours
// is checked against the public key, which takes as long as a fifth of a round
// trip to a card that needs no time; a second caller uses the card meanwhile.
func BenchmarkSign(b *testing.B) {
	hardware := bench.Stick(alice)
	if err := hardware.Reset(); err != nil {
		b.Fatal(err)
	}
	if err := hardware.SetPIN(rightPIN); err != nil {
		b.Fatal(err)
	}
	hardware.SetTouch(virtual.Auto)
	if !in[alice] {
		if err := hardware.Insert(); err != nil {
			b.Fatal(err)
		}
		in[alice] = true
	}
	const round = 50
	var key *tufKey
	for _, callers := range []int{1, 2} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			ours, bare, rounds := time.Duration(0), time.Duration(0), 0
			for b.Loop() {
				ours += timeOurs(b, &key, callers, round)
				bare += timeBare(b, key, round)
				rounds++
			}
			b.ReportMetric(float64(rounds*round)/ours.Seconds(), "signet/s")
			b.ReportMetric(float64(rounds*round)/bare.Seconds(), "piv-go/s")
			b.ReportMetric(100*bare.Seconds()/ours.Seconds(), "%")
		})
	}
}

// A tufKey is where the key is that both sign with.
type tufKey struct {
	id     string
	public crypto.PublicKey
}

func timeOurs(b *testing.B, where **tufKey, callers, n int) time.Duration {
	session := yubikey.NewSession(yubikey.Config{Asker: types(rightPIN), Wait: -1})
	defer session.Close()
	ctx := b.Context()
	if *where == nil {
		stick, err := session.Open(ctx, alice)
		if err != nil {
			b.Fatal(err)
		}
		made, err := stick.Generate(ctx, yubikey.Request{})
		if err != nil {
			b.Fatal(err)
		}
		*where = &tufKey{made.Key.ID(), made.Key.Public()}
	}
	key, err := session.Find(ctx, (*where).id)
	if err != nil {
		b.Fatal(err)
	}
	msg := make([]byte, 2000)
	sign := func() {
		if _, err := key.Sign(keystore.WithReason(ctx, "targets"), msg); err != nil {
			b.Error(err)
		}
	}
	sign() // the first asks for the PIN
	begin := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range n / callers {
				sign()
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

func timeBare(b *testing.B, where *tufKey, n int) time.Duration {
	card, err := piv.Open(bench.Stick(alice).Reader())
	if err != nil {
		b.Fatal(err)
	}
	defer card.Close()
	slot, _ := piv.RetiredKeyManagementSlot(0x82)
	private, err := card.PrivateKey(slot, where.public, piv.KeyAuth{PIN: rightPIN, PINPolicy: piv.PINPolicyAlways})
	if err != nil {
		b.Fatal(err)
	}
	signer := private.(crypto.Signer)
	msg := make([]byte, 2000)
	sign := func() {
		digest := sha256.Sum256(msg)
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
	sign()
	begin := time.Now()
	for range n {
		sign()
	}
	return time.Since(begin)
}
