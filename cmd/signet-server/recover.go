package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newRecover is what an admin runs after a database was restored from a backup.
// It may run while servers do.
func newRecover(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "recover",
		Short: "After a database was restored: have every repository brought up to what the signer signed last",
		Long: `Recover makes every repository due for a refresh. The running servers then find,
within --refresh-every, where the signer has signed more than the database holds,
and commit that: clients that have seen it refuse anything older. It works while
servers run, or before one starts. Nothing is made anew, and nothing is lost.

What it cannot bring back is said in the server's log: docs/operating.md has the
steps for a signer that was restored too, and for roots that are missing.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			n, err := db.RefreshAll(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signet-server: %d due now; running servers bring them up within %s, and say so in their log\n", n, &o.refreshEvery)
			return nil
		},
	}
}
