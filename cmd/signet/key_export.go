package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func newKeyExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export KEY",
		Short: "Print the public half of a key, in PEM",
		Long: `Print the public half of a key, in PEM, for those who are to trust it. A private
key never leaves its file or its YubiKey by signet.

` + keyHelp,
		Args: cobra.ExactArgs(1),
	}
	a.waitFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		key, err := ring.public(ctx, args[0])
		if err != nil {
			return err
		}
		v := struct {
			ID        string `json:"keyid"`
			Algorithm string `json:"algorithm"`
			PEM       string `json:"pem"`
		}{key.ID(), key.Algorithm(), string(key.PEM())}
		return a.print(v, func(w io.Writer) { w.Write(key.PEM()) })
	})
	return cmd
}
