package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

func newYubiKey(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "yubikey",
		Short: "Set a YubiKey up, look at it, change its PIN and PUK",
		Long: `Set a YubiKey up, look at it, change its PIN and PUK.

The PIN is asked for when the stick signs; three wrong ones in a row block it. The
PUK sets a new PIN then; three wrong PUKs in a row, and only a reset is left, which
destroys the keys on the stick. The management key is what makes and overwrites
keys; signet keeps a random one on the stick itself, readable with the PIN.

With a new stick, begin with: signet yubikey setup`,
	}, a)
	cmd.AddCommand(newYubiKeyStatus(a), newYubiKeySetup(a), newChangePIN(a), newChangePUK(a), newUnblock(a))
	return cmd
}

// serialFlag adds --serial.
func serialFlag(cmd *cobra.Command, serial *uint32) {
	cmd.Flags().Uint32Var(serial, "serial", 0, "serial `number` of the YubiKey, which is printed on it, when several are plugged in")
}

// withStick runs do with one YubiKey.
func (a *app) withStick(ctx context.Context, serial uint32, do func(*keyring, *yubikey.Stick) error) error {
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	stick, err := ring.stick(ctx, serial)
	if err != nil {
		return err
	}
	return do(ring, stick)
}

// factoryList names what is still the factory's on a stick: "PIN, PUK and
// management key", or "".
func factoryList(s yubikey.Status) string {
	var list []string
	for _, secret := range []struct {
		name    string
		factory yubikey.Answer
	}{{"PIN", s.PIN.Factory}, {"PUK", s.PUK.Factory}, {"management key", s.Management.Factory}} {
		if secret.factory == yubikey.Yes {
			list = append(list, secret.name)
		}
	}
	return enumerate(list)
}

// enumerate is "a", "a and b", "a, b and c".
func enumerate(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return fmt.Sprintf("%s and %s", strings.Join(list[:len(list)-1], ", "), list[len(list)-1])
}
