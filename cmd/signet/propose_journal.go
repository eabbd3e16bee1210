package main

import (
	"context"
	"errors"
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

// nameProposal tells which open proposal another content was signed in before, where
// this run asked its server already: a machine without a network asks none for a hint.
func (a *app) nameProposal(ctx context.Context, err error) error {
	signed, ok := errors.AsType[*client.SignedError](err)
	if !ok {
		return err
	}
	asked := false
	for _, facts := range a.facts {
		asked = asked || facts.info[signed.Repository] != nil
	}
	if !asked {
		return err
	}
	publisher, publisherErr := a.publisher(ctx, signed.Repository, nil, nil)
	if publisherErr != nil {
		return err
	}
	open, openErr := publisher.SignedIn(ctx, signed)
	if openErr != nil || open == nil {
		return err
	}
	name := heard{Proposal: open}.word()
	return each(err, func(err error) error {
		if !errors.Is(err, client.ErrSigned) {
			return err
		}
		return advise(err, "it was signed in a proposal that is open: signet propose show %s; have that published first, and sign what comes after it, or take it back: signet propose withdraw %s, and, if both may be shown to anybody, sign this one, too: --sign-again", name, name)
	})
}
