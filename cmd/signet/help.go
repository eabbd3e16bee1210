package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

// newHelp is what people type who do not know of --help yet.
func newHelp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Tell what a command does, and what it takes",
	}
	cmd.RunE = a.action(func(_ context.Context, args []string) error {
		about, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return advise(usagef("signet has no command %q", strings.Join(args, " ")), "signet help lists the commands")
		}
		about.InitDefaultHelpFlag()
		return about.Help()
	})
	return cmd
}
