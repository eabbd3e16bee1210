//go:build cgo && linux

package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
)

// Bars of signing with a YubiKey.
const (
	barToRaw     = 0.95 // of the signatures a second that the bare card library makes
	barAPDUs     = 2    // VERIFY and GENERAL AUTHENTICATE: what PIN policy "always" needs
	barPublishMS = 20   // CPU of one publish, the card's own work aside

	stickPIN = "246802"
	// A YubiKey takes 50 ms and more for a signature. The virtual one is given less
	// than that, so that what is ours weighs more than it would, and in a second row
	// nothing at all.
	stickDelay = 10 * time.Millisecond
)

// asker is a person who types the PIN.
type asker struct{}

func (asker) StickSecret(context.Context, yubikey.Question) ([]byte, error) {
	return []byte(stickPIN), nil
}
func (asker) Notice(string) {}

// yubikey measures signing through keystore, pcscd and a virtual card against the
// bare card library, and a publish with such a key.
func (b *bench) yubikey() error {
	sticks, err := virtual.Start(virtual.Config{Sticks: []virtual.StickConfig{
		{Serial: 11111111, PIN: stickPIN},
		{Serial: 22222222, PIN: stickPIN, Delay: stickDelay},
	}})
	if err != nil {
		return err
	}
	defer sticks.Close()
	// The card library asks for the socket once in the life of a process.
	if err := os.Setenv("PCSCLITE_CSOCK_NAME", sticks.Socket()); err != nil {
		return err
	}
	instant, slow := sticks.Stick(11111111), sticks.Stick(22222222)
	for _, area := range []struct {
		row        string
		stick      *virtual.Stick
		signatures int
	}{
		{"yubikey/signatures-to-piv-go", slow, 40},
		{"yubikey/instant-card-to-piv-go", instant, 200},
	} {
		if err := b.signatures(area.row, area.stick, area.signatures); err != nil {
			return err
		}
	}
	if err := slow.Remove(); err != nil {
		return err
	}
	return b.publishByStick(sticks.Env())
}

// signatures compares n signatures by keystore/yubikey with n by the card library.
func (b *bench) signatures(name string, stick *virtual.Stick, n int) error {
	made, err := b.makeKey(stick)
	if err != nil {
		return err
	}
	var ratios, apdus []float64
	for range b.rounds {
		ours, sent, err := b.signKeystore(stick, made, n)
		if err != nil {
			return err
		}
		theirs, err := signRaw(stick.Reader(), made, n)
		if err != nil {
			return err
		}
		ratios, apdus = append(ratios, theirs.Seconds()/ours.Seconds()), append(apdus, float64(sent)/float64(n))
	}
	row(name, median(ratios), "x", barToRaw, true)
	row(name+"-apdus", median(apdus), "each", barAPDUs, false)
	return nil
}

// makeKey makes a key of PIN policy "always" that wants no touch.
func (b *bench) makeKey(stick *virtual.Stick) (yubikey.SlotInfo, error) {
	session := yubikey.NewSession(yubikey.Config{Asker: asker{}})
	defer session.Close()
	opened, err := session.Open(b.ctx, stick.Serial())
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	made, err := opened.Generate(b.ctx, yubikey.Request{Touch: yubikey.Never})
	return made.SlotInfo, err
}

// signKeystore times n signatures by keystore/yubikey, after a first one, and
// counts the commands that the card was sent for them.
func (b *bench) signKeystore(stick *virtual.Stick, made yubikey.SlotInfo, n int) (took time.Duration, sent int, err error) {
	session := yubikey.NewSession(yubikey.Config{Asker: asker{}})
	defer session.Close()
	key, err := session.Key(b.ctx, made.Serial, made.Slot, made.Key)
	if err != nil {
		return 0, 0, err
	}
	message := make([]byte, 1000)
	took, sent, err = timed(stick, n, func() error {
		_, err := key.Sign(b.ctx, message)
		return err
	})
	return took, sent, err
}

// signRaw times the same by the card library alone.
func signRaw(reader string, made yubikey.SlotInfo, n int) (time.Duration, error) {
	card, err := piv.Open(reader)
	if err != nil {
		return 0, err
	}
	defer card.Close()
	slot, ok := piv.RetiredKeyManagementSlot(uint32(made.Slot))
	if !ok {
		return 0, fmt.Errorf("slot %s is not a retired one", made.Slot)
	}
	private, err := card.PrivateKey(slot, made.Key.Public(), piv.KeyAuth{PIN: stickPIN, PINPolicy: piv.PINPolicyAlways})
	if err != nil {
		return 0, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return 0, fmt.Errorf("a %T does not sign", private)
	}
	message := make([]byte, 1000)
	took, _, err := timed(nil, n, func() error {
		digest := sha256.Sum256(message)
		_, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	})
	return took, err
}

// timed runs sign once, then n times, which count.
func timed(stick *virtual.Stick, n int, sign func() error) (took time.Duration, sent int, err error) {
	if err := sign(); err != nil {
		return 0, 0, err
	}
	if stick != nil {
		sent = -stick.APDUs()
	}
	begun := time.Now()
	for range n {
		if err := sign(); err != nil {
			return 0, 0, err
		}
	}
	took = time.Since(begun)
	if stick != nil {
		sent += stick.APDUs()
	}
	return took, sent, nil
}

// publishByStick measures the CPU of `signet sign` with a key on the stick, from
// the question to the registry to the verified read back. The card's own work and
// pcscd's are other processes'.
func (b *bench) publishByStick(extra []string) error {
	env := append(os.Environ(), extra...)
	for _, name := range []string{"CONFIG", "STATE", "DATA"} {
		env = append(env, "XDG_"+name+"_HOME="+filepath.Join(b.dir, "stick", strings.ToLower(name)))
	}
	pin := filepath.Join(b.dir, "pin")
	if err := os.WriteFile(pin, []byte(stickPIN+"\n"), 0o600); err != nil {
		return err
	}
	signet, data := filepath.Join(b.bin, "signet"), filepath.Join(b.dir, "signet-data")
	image := strings.Replace(b.image, "/team/app:", "/team/stick:", 1)
	if err := b.pushTo(image); err != nil {
		return err
	}
	repository := image[:strings.LastIndexByte(image, ':')]
	for _, args := range [][]string{
		{"login", b.url, "--ca", filepath.Join(data, "ca.pem"), "--token-file", filepath.Join(data, "admin-token"), "--yes"},
		{"key", "generate", "--yubikey", "--role", "targets", "--name", "publish", "--touch", "never", "--pin-file", pin},
		{"init", repository, "--root-key", "publish", "--targets-key", "publish", "--pin-file", pin, "--yes"},
	} {
		if _, err := b.measure(env, append([]string{signet}, args...)...); err != nil {
			return err
		}
	}
	var cpu []time.Duration
	for round := range b.rounds {
		tag := fmt.Sprintf("%s:r%d", repository, round)
		c, err := b.measure(env, signet, "sign", tag+"@"+b.digest, "--pin-file", pin, "--yes")
		if err != nil {
			return err
		}
		if !strings.Contains(c.Out, b.digest) {
			return errors.New("sign printed something else: " + c.Out)
		}
		cpu = append(cpu, c.CPU)
	}
	row("yubikey/publish-cpu", ms(median(cpu)), "ms", barPublishMS, false)
	return nil
}
