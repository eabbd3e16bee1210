package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

func newForget(o *options) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget REPOSITORY",
		Short: "Free a name that somebody else's root has taken",
		Long: `Forget drops the root and the files that the signer has accepted for REPOSITORY, and
what it signed last. The next publish of that name is a first one: its root follows
from nothing, and all its versions are 1. Version marks, keys and the log stay, so no
number is signed twice.

Stop the servers and the signer first: a server that has the repository stored would
have it signed again. A repository that is in use is not for this command; it could
go on with serve --adopt-existing only.`,
		Args: program.OneArg("the repository's full name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := tuf.CheckRepository(args[0]); err != nil {
				return program.UsageError{Err: err}
			}
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				if !yes {
					if err := confirm(cmd, args[0], "The signer will forget which root and files it accepted for "+args[0]+".\nStop its service and the servers first."); err != nil {
						return err
					}
				}
				forgotten, err := s.Forget(ctx, args[0])
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), forgotten, fmt.Sprintf(
					"%s: forgot root version %d; snapshots go on above version %d, timestamps above %d\n",
					forgotten.Repository, forgotten.Root, forgotten.Snapshot, forgotten.Timestamp))
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm says what will be done and has the person write the repository's name once
// more.
func confirm(cmd *cobra.Command, repository, what string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s To go on, type the repository's name: ", what)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != repository {
		return errors.New("that is not the name; nothing was forgotten or retired (--yes does not ask)")
	}
	return nil
}
