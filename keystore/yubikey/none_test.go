//go:build !windows && !(cgo && (linux || darwin))

package yubikey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/keystore/yubikey"
)

type silent struct{}

func (silent) StickSecret(context.Context, yubikey.Question) ([]byte, error) {
	return nil, errors.New("nobody")
}
func (silent) Notice(string) {}

func TestNoSupport(t *testing.T) {
	session := yubikey.NewSession(yubikey.Config{Asker: silent{}})
	defer session.Close()
	_, list := session.List(t.Context())
	_, open := session.Open(t.Context(), 0)
	_, find := session.Find(t.Context(), "abc")
	_, key := session.Key(t.Context(), 1, yubikey.Signature, nil)
	_, awaited := session.Await(t.Context(), 0, time.Hour)
	for call, err := range map[string]error{"List": list, "Open": open, "Find": find, "Key": key, "Await": awaited} {
		if !errors.Is(err, yubikey.ErrNoSupport) || !strings.Contains(err.Error(), "no YubiKey support") {
			t.Errorf("%s: %v", call, err)
		}
	}
}
