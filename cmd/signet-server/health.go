package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
)

// newHealth asks a running server whether it answers. It asks /healthz, not
// /readyz: a server whose signer is away still serves reads, and restarting it
// mends nothing.
func newHealth(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the server at --health-listen whether it is alive",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := program.AskHealth(cmd.Context(), o.healthListen, "/healthz", "the server"); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
}
