package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

func newRetire(o *options) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "retire REPOSITORY [ROLE=VERSION...]",
		Short: "End the use of a name, which may start again above all its versions",
		Long: `Retire is the signer's half of signet-server retire, which prints the line to run here.
The root that was accepted for REPOSITORY is forgotten, so that the next one need not be
signed by it; every role's next version, root's too, is above those that were signed for
(and above each VERSION that is given); fresh online keys are made for the next root.
Marks, old keys and the log stay. It may run while the signer does.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return program.UsageError{Err: fmt.Errorf("expected the repository's full name, then ROLE=VERSION")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			least, err := parseVersions(args)
			if err != nil {
				return err
			}
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				if !yes {
					if err := confirm(cmd, args[0], "The signer will end the use of "+args[0]+" as it was."); err != nil {
						return err
					}
				}
				retired, err := s.Retire(ctx, args[0], least)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), retired, fmt.Sprintf("%s: retired; the name starts again above %s\n", retired.Repository, versionsText(retired.Floors)))
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newRaise(o *options) *cobra.Command {
	var gap int64
	cmd := &cobra.Command{
		Use:   "raise [REPOSITORY ROLE=VERSION...]",
		Short: "After the folder was put back as it was: sign no version twice",
		Long: `Raise moves what the signer holds above what clients have seen, after its data folder,
or the whole machine, was put back as it was at an earlier time. (A backup that
signet-signer restore has put back was raised by it.)

For one repository, VERSION is what clients have seen of each ROLE: snapshot, timestamp,
targets or a signer's name; signet-server recover --seen prints the line to run here.
Without arguments, all snapshots and timestamps go up by --version-gap, which has to be
more than was signed for any one repository since. Nothing ever goes down, and skipped
numbers cost nothing. It may run while the signer does.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return program.UsageError{Err: fmt.Errorf("expected ROLE=VERSION after the repository, or no argument at all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.Flags().Changed("version-gap") {
				return program.UsageError{Err: fmt.Errorf("--version-gap is for all repositories; for one, give ROLE=VERSION")}
			}
			seen, err := parseVersions(args)
			if err != nil {
				return err
			}
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				if len(args) == 0 {
					n, err := s.RaiseAll(ctx, gap)
					if err != nil {
						return err
					}
					return o.print(cmd.OutOrStdout(), map[string]int64{"repositories": int64(n), "gap": gap}, fmt.Sprintf("%d repositories: snapshots and timestamps go on above a gap of %d\n", n, gap))
				}
				if err := s.Raise(ctx, args[0], seen); err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), map[string]any{"repository": args[0], "above": seen}, fmt.Sprintf("%s: goes on above %s\n", args[0], versionsText(seen)))
			})
		},
	}
	cmd.Flags().Int64Var(&gap, "version-gap", signer.DefaultVersionGap, "how far to move the marks of all repositories up")
	return cmd
}

// parseVersions reads ROLE=VERSION after a repository's name.
func parseVersions(args []string) (map[string]int64, error) {
	if len(args) == 0 {
		return nil, nil
	}
	if err := tuf.CheckRepository(args[0]); err != nil {
		return nil, program.UsageError{Err: err}
	}
	versions := map[string]int64{}
	for _, arg := range args[1:] {
		role, text, ok := strings.Cut(arg, "=")
		version, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || version < 1 {
			return nil, program.UsageError{Err: fmt.Errorf("%q: expected ROLE=VERSION, as in targets=12", arg)}
		}
		versions[role] = version
	}
	return versions, nil
}

func versionsText(versions map[string]int64) string {
	var list []string
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		list = append(list, fmt.Sprintf("%s %d", role, versions[role]))
	}
	return strings.Join(list, ", ")
}
