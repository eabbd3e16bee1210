// Signet-server is the metadata server: it serves signed files, takes publishes
// and keeps timestamps fresh. With no arguments it is all that one needs to start:
// SQLite, a signer in the same process, a CA and certificate of its own, all in
// ./signet-data, on loopback.
//
//	main.go      commands, exit status
//	options.go   every option, once: flag, environment, file
//	file.go      the configuration file
//	serve.go     one run, from start to the last answer
//	data.go      the data folder and what is made in it
//	tls.go       own CA, own certificate, files that are replaced while it runs
//	token.go     token create, list, revoke
//
// Exit status: 0 done, 1 trouble, 2 usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	guardMemory()
	// The first signal stops it in good order; the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments. It returns the exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	root := newRoot(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "signet-server: %v\n", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// A usageError is a mistake in what was asked for: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

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
		Version:       version(),
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.load(cmd.Flags(), environ); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), o, cmd.ErrOrStderr()) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	o.register(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve (the default)", Args: noArgs, RunE: root.RunE},
		newMigrate(o), newConfig(o), newToken(o), newHealth(o), newRecover(o),
	)
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q; see signet-server --help", args[0])}
	}
	return nil
}

func newMigrate(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date",
		Args:  noArgs,
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
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.print(cmd.OutOrStdout(), cmd.Flags())
		},
	}
}

// version is that of the module, as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
