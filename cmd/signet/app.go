package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// An app is one run of signet: what it talks to, and what its flags say. What a
// command does not need is not made: verify's start-up is counted in milliseconds.
type app struct {
	stdin  *os.File
	stdout io.Writer
	stderr io.Writer
	now    func() time.Time

	output    string
	configDir string // trust.json, servers.json
	stateDir  string // what was verified: newest roots, timestamps
	dataDir   string // keys/
	server    string
	timeout   time.Duration
	verbose   bool
	yes       bool
	signAgain bool
	propose   *proposing // what is done is proposed; nil: it is done
	twin      string     // the command that proposes what this one does; "": none does

	secrets secretOptions

	started bool            // the command line meant something
	told    map[string]bool // errors and hints that were reported: each is once
	sitting sitting
	facts   map[string]*serverFacts // by address, of the servers that were asked
	sharing bool                    // all publishers of this run use one client
	shared  *client.Client
}

func newApp(stdin, stdout, stderr *os.File) *app {
	return &app{
		stdin: stdin, stdout: cleanWriter{stdout}, stderr: cleanWriter{stderr},
		now:     time.Now,
		secrets: secretOptions{passphrases: secretSource{fd: -1}, wait: -1},
	}
}

// run is the whole program: it returns the exit status.
func run(ctx context.Context, a *app, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		a.peekOutput(args)
		err = &usageError{err}
		if _, advised := errors.AsType[*advised](err); !advised {
			err = advise(err, "it is typed: %s; %s --help tells more", cmd.UseLine(), cmd.CommandPath())
		}
	}
	err = a.nameProposal(ctx, err)
	a.report(err)
	return exitCode(err)
}

// peekOutput takes --output json from a command line that was given up before it was
// read to its end: a script reads errors wherever among its words the wrong one is.
func (a *app) peekOutput(args []string) {
	for i, arg := range args {
		switch {
		case arg == "--":
			return
		case arg == "--output="+outputJSON, arg == "--output" && i+1 < len(args) && args[i+1] == outputJSON:
			a.output = outputJSON
		}
	}
}

// newRoot makes the tree of commands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "signet",
		Short: "Sign container images, and tell which digest a name means",
		Long: `Signet answers one question for every container image: which digest does this
name mean, who says so, and is that still true?

Exit status: 0 yes, 3 a verdict of untrusted, 1 could not find out, 2 usage.
Results go to standard output, everything else to standard error.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.settle() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.Version = thisVersion().line()
	root.SetVersionTemplate("signet {{.Version}}\n")
	root.SetHelpCommand(newHelp(a))
	flags := root.PersistentFlags()
	flags.StringVar(&a.output, "output", outputText, "form of results: text, or json (one object a line; errors too, on standard error)")
	flags.StringVar(&a.configDir, "config-dir", "", "folder of trust.json and servers.json (default $XDG_CONFIG_HOME/signet)")
	flags.StringVar(&a.stateDir, "state-dir", "", "folder of what was verified (default $XDG_STATE_HOME/signet)")
	flags.StringVar(&a.dataDir, "data-dir", "", "folder of keys (default $XDG_DATA_HOME/signet)")
	flags.StringVar(&a.server, "server", "", "address of the trust server, in place of the configured one")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up on a server that is silent for this long (default 10s to connect, 15s for an answer)")
	flags.BoolVar(&a.verbose, "verbose", false, "say more on standard error")

	parent(root, a)
	root.AddCommand(
		newInit(a), newSign(a), newVerify(a), newList(a), newInspect(a), newRevoke(a), newRenew(a), newRotate(a), newSigner(a), newPropose(a), newApprove(a),
		newKey(a), newYubiKey(a), newTrust(a), newPolicy(a), newLogin(a), newLogout(a), newDoctor(a), newDrill(a), newCompromised(a), newExport(a), newImport(a), newPromote(a),
		newVersion(a), newCompletion(a), newMan(a),
	)
	return root
}

// parent makes cmd one that only holds others: alone it is a mistake.
func parent(cmd *cobra.Command, a *app) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return advise(usagef("%s has no command %q", cmd.CommandPath(), args[0]), "signet --help lists the commands")
		}
		return advise(usagef("%s needs a command", cmd.CommandPath()), "%s --help lists them", cmd.CommandPath())
	}
	return cmd
}

// action is what a command does once its words were understood: every error from
// here on is about the world, unless it says that it is one of usage.
func (a *app) action(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		if path := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "); slices.Contains(proposable, path) {
			a.twin = "signet propose " + clip(strings.Join(append([]string{path}, args...), " "), 500)
		}
		return do(cmd.Context(), args)
	}
}

// settle checks the flags that all commands share, and fills in the folders.
func (a *app) settle() error {
	if a.output != outputText && a.output != outputJSON {
		given := a.output
		a.output = outputText
		return fmt.Errorf("--output %s: expected text or json", given)
	}
	if a.timeout < 0 {
		return fmt.Errorf("--timeout %s: expected a time above zero", a.timeout)
	}
	for _, dir := range []struct {
		path      *string
		otherwise string
	}{{&a.configDir, xdg.ConfigHome}, {&a.stateDir, xdg.StateHome}, {&a.dataDir, xdg.DataHome}} {
		if *dir.path == "" {
			*dir.path = filepath.Join(dir.otherwise, "signet")
		}
	}
	return nil
}

// image reads an IMAGE argument.
func image(arg string) (tuf.Image, error) {
	image, err := tuf.ParseImage(arg)
	if err != nil {
		return tuf.Image{}, &usageError{plain(err)}
	}
	return image, nil
}

// repository reads a REPO argument.
func repository(arg string) (string, error) {
	name, err := tuf.ParseRepository(arg)
	if err != nil {
		return "", &usageError{plain(err)}
	}
	return name, nil
}

// plain takes the verdict out of a refusal: what a person typed wrong is no
// verdict on an image.
func plain(err error) error {
	if r, ok := errors.AsType[*tuf.Refusal](err); ok {
		return errors.New(r.Detail)
	}
	return err
}
