package attestation

import (
	"crypto/aes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// A terminal speaks to a card without a reader between.
type terminal struct {
	testing.TB
	card *card.Card
}

func insert(t testing.TB, maker *card.Maker) terminal {
	t.Helper()
	c, err := card.New(card.Config{Serial: 4294967295, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 4}, FormFactor: 3, Maker: maker})
	if err != nil {
		t.Fatal(err)
	}
	term := terminal{t, c}
	term.send(0xA4, 0x04, 0x00, []byte{0xA0, 0x00, 0x00, 0x03, 0x08})
	// The card's challenge, encrypted by the management key of the factory.
	block, err := aes.NewCipher([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08"))
	if err != nil {
		t.Fatal(err)
	}
	challenge := term.send(0x87, 0x0A, 0x9B, []byte{0x7C, 0x02, 0x81, 0x00})
	response := challenge[4:]
	block.Encrypt(response, response)
	term.send(0x87, 0x0A, 0x9B, append([]byte{0x7C, 0x12, 0x82, 0x10}, response...))
	return term
}

// send returns the answer to a command, which has to be a good one.
func (t terminal) send(instruction, p1, p2 byte, data []byte) []byte {
	t.Helper()
	answer, status := t.try(instruction, p1, p2, data)
	if status != 0x9000 {
		t.Fatalf("command %02x %02x %02x: %04x", instruction, p1, p2, status)
	}
	return answer
}

func (t terminal) try(instruction, p1, p2 byte, data []byte) (answer []byte, status int) {
	t.Helper()
	out := t.card.Transmit(t.Context(), card.Command{Instruction: instruction, P1: p1, P2: p2, Data: data, Le: 65536, Extended: true}.Bytes())
	n := len(out) - 2
	return out[:n], int(out[n])<<8 | int(out[n+1])
}

// attest returns a slot's chain, as signet reads it from a stick.
func (t terminal) attest(slot byte) []string {
	t.Helper()
	leaf, err := x509.ParseCertificate(t.send(0xF9, slot, 0, nil))
	if err != nil {
		t.Fatal(err)
	}
	var object, wrapped asn1.RawValue
	if _, err := asn1.Unmarshal(t.send(0xCB, 0x3F, 0xFF, []byte{0x5C, 0x03, 0x5F, 0xFF, 0x01}), &object); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(object.Bytes, &wrapped); err != nil {
		t.Fatal(err)
	}
	stick, err := x509.ParseCertificate(wrapped.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return chainOf(leaf, stick)
}

// TestVirtualCard has keys made on a card, with every algorithm of ours and every
// policy, and checks what it says of them.
func TestVirtualCard(t *testing.T) {
	maker := newMaker(t, card.Intermediates(2))
	roots := with(t, maker.AuthorityPEM())
	term := insert(t, maker)
	pins := map[byte]string{1: "never", 2: "once", 3: "always"}
	touches := map[byte]string{1: "never", 2: "always", 3: "cached"}
	var other []string
	for algorithm, name := range map[byte]string{0x11: "p256", 0x14: "p384", 0xE0: "ed25519"} {
		for _, slot := range []byte{0x9a, 0x9c, 0x82, 0x95} {
			for pin, pinWord := range pins {
				for touch, touchWord := range touches {
					term.send(0x47, 0, slot, []byte{0xAC, 0x09, 0x80, 0x01, algorithm, 0xAA, 0x01, pin, 0xAB, 0x01, touch})
					chain := term.attest(slot)
					key, err := tuf.ParseKeyPEM([]byte(chain[0]))
					if err != nil || key.Algorithm() != name {
						t.Fatalf("%v, %v; expected %s", key, err, name)
					}
					proof, err := roots.Check(key, chain, now)
					if err != nil {
						t.Fatal(err)
					}
					want := &Proof{Serial: 4294967295, Firmware: Version{5, 7, 4}, Slot: fmt.Sprintf("%02x", slot), PIN: pinWord, Touch: touchWord,
						FormFactor: "USB-C keychain", Root: "Virtual YubiKey Attestation Root", Until: time.Date(2052, 4, 17, 0, 0, 0, 0, time.UTC)}
					if diff := cmp.Diff(want, proof); diff != "" {
						t.Error(diff)
					}
					if other != nil {
						if _, err := roots.Check(key, other, now); !errors.Is(err, tuf.RuleAttestationKey) {
							t.Errorf("by the attestation of the key before: %v", err)
						}
					}
					other = chain
				}
			}
		}
	}
}

// TestCardAttestsNoImportedKey asks for what the forger would need.
func TestCardAttestsNoImportedKey(t *testing.T) {
	term := insert(t, newMaker(t))
	private, _ := newKey(t)
	secret, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	term.send(0xFE, 0x11, 0x9c, append([]byte{0x06, 32}, secret...))
	if _, status := term.try(0xF9, 0x9c, 0, nil); status != 0x6A80 {
		t.Errorf("status %04x, expected 6a80", status)
	}
}
