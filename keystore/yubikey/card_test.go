package yubikey

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
)

// liar is a card that answers what no card should.
type liar struct {
	card   // the rest panics
	public crypto.PublicKey
	signer crypto.Signer
}

func (l liar) Serial() (uint32, error) { return 66666666, nil }
func (l liar) Version() Version        { return Version{5, 7, 4} }
func (l liar) Close() error            { return nil }
func (l liar) Slot(slot Slot) (SlotInfo, crypto.PublicKey, error) {
	if slot != Signature {
		return SlotInfo{}, nil, errors.New("unknown algorithm in response")
	}
	return SlotInfo{Slot: slot, PIN: Never, Touch: Never}, l.public, nil
}
func (l liar) Signer(Slot, crypto.PublicKey) (crypto.Signer, error) { return l.signer, nil }

type quiet struct{}

func (quiet) Secret(context.Context, string) ([]byte, error) { return []byte("123456"), nil }
func (quiet) Notice(string)                                  {}

func sessionWith(t *testing.T, c card) *Session {
	s := NewSession(Config{Prompter: quiet{}, Wait: -1})
	s.driver = driver{
		readers: func() ([]string, error) { return []string{"Other reader 00 00", "Yubico YubiKey 01 00"}, nil },
		open: func(reader string) (card, error) {
			if reader != "Yubico YubiKey 01 00" {
				t.Errorf("opened %q", reader)
			}
			return c, nil
		},
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSignatureOfAnotherKeyIsNotHandedOut(t *testing.T) {
	claimed, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stick, err := sessionWith(t, liar{public: claimed.Public(), signer: other}).Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := stick.Key(t.Context(), Signature)
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := key.Sign(t.Context(), []byte("x")); sig != nil || !errors.Is(err, ErrCard) {
		t.Errorf("got %x, %v", sig, err)
	}
}

func TestCardCannotEndTheProcess(t *testing.T) {
	stick, err := sessionWith(t, liar{}).Open(t.Context(), 66666666)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stick.Attestation(t.Context(), Signature); !errors.Is(err, ErrCard) {
		t.Errorf("got %v", err)
	}
	if _, err := stick.Keys(t.Context()); err != nil {
		t.Errorf("unreadable slots hide the others: %v", err)
	}
	if _, err := stick.Key(t.Context(), Signature); err == nil {
		t.Error("a key without a public key")
	}
}
