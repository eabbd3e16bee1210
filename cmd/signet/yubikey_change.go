package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// A stickChange is a command that changes one secret of a YubiKey.
type stickChange struct {
	use, short, long string
	changes          string // "PIN" or "PUK"
	secrets          []string
	change           func(*yubikey.Stick, context.Context) error
}

func newChangePIN(a *app) *cobra.Command {
	return newStickChange(a, stickChange{
		use: "change-pin", short: "Change a YubiKey's PIN",
		long: `Change a YubiKey's PIN: the old one is asked for, then the new one, twice. A PIN has
6 to 8 characters. Three wrong old ones in a row block it: signet yubikey unblock.`,
		changes: yubikey.PIN, secrets: []string{yubikey.PIN, yubikey.NewPIN}, change: (*yubikey.Stick).ChangePIN,
	})
}

func newChangePUK(a *app) *cobra.Command {
	return newStickChange(a, stickChange{
		use: "change-puk", short: "Change a YubiKey's PUK",
		long: `Change a YubiKey's PUK: the old one is asked for, then the new one, twice. A PUK has
6 to 8 characters, and differs from the PIN. Keep it apart from the stick. Three
wrong old ones in a row block it for good: then nothing unblocks a PIN any more.`,
		changes: yubikey.PUK, secrets: []string{yubikey.PUK, yubikey.NewPUK}, change: (*yubikey.Stick).ChangePUK,
	})
}

func newUnblock(a *app) *cobra.Command {
	return newStickChange(a, stickChange{
		use: "unblock", short: "Set a new PIN by the PUK, when the PIN is blocked or forgotten",
		long: `Set a new PIN by the PUK, when the PIN is blocked after three wrong ones, or
forgotten: the PUK is asked for, then the new PIN, twice. The keys stay as they are.
Three wrong PUKs in a row block it for good: then only a reset is left, which
destroys the keys.`,
		changes: yubikey.PIN, secrets: []string{yubikey.PUK, yubikey.NewPIN}, change: (*yubikey.Stick).Unblock,
	})
}

func newStickChange(a *app, c stickChange) *cobra.Command {
	var serial uint32
	cmd := &cobra.Command{Use: c.use, Short: c.short, Long: c.long, Args: cobra.NoArgs}
	serialFlag(cmd, &serial)
	a.stickFlags(cmd, c.secrets...)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		return a.withStick(ctx, serial, func(ring *keyring, stick *yubikey.Stick) error {
			if err := ring.retry(func() error { return c.change(stick, ctx) }); err != nil {
				return err
			}
			v := struct {
				Serial  uint32 `json:"serial"`
				Changed string `json:"changed"`
			}{stick.Info().Serial, c.changes}
			return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "%s has a new %s\n", stick, c.changes) })
		})
	})
	return cmd
}
