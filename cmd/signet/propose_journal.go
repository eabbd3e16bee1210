package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

func newProposeJournal(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "journal [REPO]",
		Short: "List what was signed on this machine",
		Long: `List what was signed on this machine, or turned down by a server, oldest first. It is
what keeps a person from signing two contents for one version unknowingly.`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.action(func(_ context.Context, args []string) error {
			name := ""
			if len(args) > 0 {
				var err error
				if name, err = repository(args[0]); err != nil {
					return err
				}
			}
			entries, err := client.New(a.clientConfig(nil, client.Servers{})).Journal(name)
			if err != nil {
				return err
			}
			if entries == nil {
				entries = []client.JournalEntry{}
			}
			v := struct {
				Journal []client.JournalEntry `json:"journal"`
			}{entries}
			if len(entries) == 0 && a.output == outputText {
				a.note("nothing was signed on this machine")
				return nil
			}
			return a.print(v, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "TIME\tREPOSITORY\tFILE\tWHAT FOR\tSHA-256")
					for _, e := range entries {
						fmt.Fprintf(w, "%s\t%s\t%s version %d\t%s\t%.12s\n", stamp(e.Time), clip(e.Repository, 300), clip(e.Role, 100), e.Version, clip(e.Act, 20), e.SHA256)
					}
				})
			})
		}),
	}
}
