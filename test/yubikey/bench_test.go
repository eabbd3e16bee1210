package yubikey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/test/yubikey"
)

// open connects piv-go to a stick.
func open(t *testing.T, stick *yubikey.Stick) *piv.YubiKey {
	t.Helper()
	key, err := piv.Open(stick.Reader())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	return key
}

func TestSign(t *testing.T) {
	bench, err := yubikey.Start(yubikey.Config{
		Sticks: []yubikey.StickConfig{{Serial: 12345678, Firmware: "5.7.4"}},
		Dir:    t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bench.Close() })
	t.Setenv("PCSCLITE_CSOCK_NAME", bench.Socket())
	key := open(t, bench.Sticks()[0])
	serial, err := key.Serial()
	if err != nil {
		t.Fatal(err)
	}
	if serial != 12345678 {
		t.Fatal(serial)
	}
	public, err := key.GenerateKey(piv.DefaultManagementKey, piv.SlotSignature, piv.Key{
		Algorithm: piv.AlgorithmEC256, PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyAlways,
	})
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.PrivateKey(piv.SlotSignature, public, piv.KeyAuth{PIN: piv.DefaultPIN})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	sig, err := private.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], sig) {
		t.Fatal("wrong signature")
	}
}
