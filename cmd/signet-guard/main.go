// Signet-guard is the gate in front of what deploys: whoever is about to run an image
// asks it, and gets the policy's decision, in the language of whoever asks.
//
//	main.go      commands, exit status
//	options.go   every option of the gate, once
//	doors.go     doors by name
//	serve.go     one run, from start to the last answer
//	listen.go    listeners: its own, and those that a supervisor holds for it
//	lines.go     the decision log in a file
//	policy.go    the policy: from a file or a signed artifact, replaced while it runs
//	health.go    what /readyz looks at, and the watcher's metrics
//	refreshes.go a line when trust servers stop answering, and when they do again
//	state.go     whether the state folder can be written, for /readyz
//	hosts.go     config containerd: a hosts.toml
//	verifier.go  as an image verifier plugin of containerd
//
// Packages guard and guard/containerd are what it is made of; what it has in common
// with the other services as a program is in cmd/internal/program.
//
// Exit status: 0 done, 1 trouble, 2 usage; as a plugin also 3, refused.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard/containerd"
)

func main() { program.Main(run) }

// run is main with its surroundings as arguments. It returns the exit status.
// Containerd calls plugins with arguments of its own, by whatever name they have.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == verifierCommand && containerd.IsPlugin(args[1:]) {
		args = args[1:]
	}
	if containerd.IsPlugin(args) {
		return verifier{environ: environ, stderr: stderr}.run(ctx, args, os.Stdin, stdout)
	}
	return program.Run(ctx, newRoot(environ), args, stdout, stderr)
}

func newRoot(environ []string) *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "signet-guard",
		Short: "Decide which images may run, for whoever is about to run them",
		Long: `Signet-guard holds images against a policy, for whoever is about to run them:
containerd, Kubernetes, and everybody who asks POST /v1/decide. Which doors are
open is a matter of --doors.

Every option is a flag, an environment variable (--tls-cert is SIGNET_GUARD_TLS_CERT)
and a key of the file that --config names. A flag goes before the environment, which
goes before the file, which goes before the default.`,
		Version: program.Version(),
		Args:    program.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.load(cmd.Flags(), environ); err != nil {
				return o.logged(cmd, "the options cannot be used", program.UsageError{Err: err})
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.logged(cmd, "the gate ended", serve(cmd.Context(), o, environ, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	o.register(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve (the default)", Args: program.NoArgs, RunE: root.RunE},
		newConfig(o), newHealth(o), newVerifier(),
	)
	return root
}

func newConfig(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration that holds, as a configuration file",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.print(cmd.OutOrStdout(), cmd.Flags())
		},
	}
	cmd.AddCommand(newHosts())
	return cmd
}

// newHealth asks a running gate whether it answers.
func newHealth(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the gate at --health-listen whether it is alive",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := program.AskHealth(cmd.Context(), o.healthListen, "/healthz", "the gate"); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
}
