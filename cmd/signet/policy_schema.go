package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/docs"
)

func newPolicySchema(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of policies, for editors",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = a.action(func(context.Context, []string) error {
		_, err := a.rawStdout().Write(docs.PolicySchema)
		return err
	})
	return cmd
}
