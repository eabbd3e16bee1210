package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan writes the man pages, for whoever packages signet. They are made from
// the commands themselves, so that they cannot say something else.
func newMan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
	}
	cmd.RunE = a.action(func(_ context.Context, args []string) error {
		return writePages(args[0], cmd.Root())
	})
	return cmd
}

// writePages writes the page of cmd and of everything below it.
func writePages(dir string, cmd *cobra.Command) error {
	if cmd.Hidden {
		return nil
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	var page strings.Builder
	manPage(&page, cmd)
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(page.String()), 0o644); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if err := writePages(dir, sub); err != nil {
			return err
		}
	}
	return nil
}

// roff keeps text from being taken for roff's requests and escapes.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func manPage(w io.Writer, cmd *cobra.Command) {
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	fmt.Fprintf(w, ".TH %s 1 \"\" \"Signet\" \"Signet Manual\"\n", strings.ToUpper(roff(name)))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(name), roff(strings.ToLower(cmd.Short[:1])+cmd.Short[1:]))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(w, ".SH DESCRIPTION\n%s\n", strings.ReplaceAll(roff(long), "\n\n", "\n.PP\n"))
	manFlags(w, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(w, "GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprintf(w, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(cmd.Example))
	}
	fmt.Fprint(w, ".SH EXIT STATUS\n0 yes, 1 could not find out, 2 usage, 3 a verdict of untrusted.\n")
	var also []string
	if cmd.HasParent() {
		also = append(also, strings.ReplaceAll(cmd.Parent().CommandPath(), " ", "-"))
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			also = append(also, strings.ReplaceAll(sub.CommandPath(), " ", "-"))
		}
	}
	if len(also) > 0 {
		fmt.Fprintf(w, ".SH SEE ALSO\n.BR %s (1)\n", roff(strings.Join(also, " (1),\n.BR ")))
	}
}

func manFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	first := true
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		if first {
			fmt.Fprintf(w, ".SH %s\n", title)
			first = false
		}
		word, usage := pflag.UnquoteUsage(flag)
		short := ""
		if flag.Shorthand != "" {
			short = "-" + flag.Shorthand + ", "
		}
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(short+"--"+flag.Name+" "+word)), roff(usage))
	})
}
