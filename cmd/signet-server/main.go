// Signet-server is the metadata server: it serves signed files, takes publishes
// and keeps timestamps fresh. With no arguments it is all that one needs to start:
// SQLite, a signer in the same process, a CA and certificate of its own, all in
// ./signet-data, on loopback.
//
//	main.go      commands, exit status
//	options.go   every option, once
//	file.go      what is more than an option in the configuration file: rules by name
//	serve.go     one run, from start to the last answer
//	data.go      the data folder and what is made in it
//	tls.go       own CA, own certificate, files that are replaced while it runs
//	token.go     token create, list, revoke
//	recover.go   after the database, or the signer, was restored
//	seen.go      what readers hold, for recover
//	retire.go    end the use of a repository's name
//
// What it has in common with signet-signer as a program is in cmd/internal/program.
//
// Exit status: 0 done, 1 trouble, 2 usage.
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
)

func main() { program.Main(run) }

// run is main with its surroundings as arguments. It returns the exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	return program.Run(ctx, newRoot(environ), args, stdout, stderr)
}

func newRoot(environ []string) *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "signet-server",
		Short: "Serve signed metadata of container images",
		Long: `Signet-server serves signed metadata, takes publishes and keeps timestamps fresh.

With no arguments it keeps all it needs in ./signet-data and listens on loopback.
Every option is a flag, an environment variable (--tls-cert is SIGNET_SERVER_TLS_CERT)
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
			return o.logged(cmd, "the server ended", serve(cmd.Context(), o, cmd.ErrOrStderr()))
		},
	}
	o.register(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve (the default)", Args: program.NoArgs, RunE: root.RunE},
		newMigrate(o), newConfig(o), newToken(o), newHealth(o), newRecover(o), newRetire(o),
	)
	return root
}

func newMigrate(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.keepSchema = false
			db, err := openStore(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "signet-server: the database's schema is up to date")
			return db.Close()
		},
	}
}

func newConfig(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the configuration that holds, without secrets, as a configuration file",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.print(cmd.OutOrStdout(), cmd.Flags())
		},
	}
}
