// Signet-signer is the online-key service: it holds the snapshot and timestamp
// keys of every repository, away from the metadata server, and signs only what
// root and targets keys have signed. It speaks mutual TLS with the server.
//
//	main.go      commands, exit status
//	options.go   every option, once: flag, environment, file
//	serve.go     one run, from start to the last answer; health
//	tls.go       a private CA and certificates for the pair of signer and server
//	data.go      identity, keys, log, backup, restore
//	forget.go    free a repository's name
//	memory_*.go  no core dumps
//
// Private keys are sealed on disk and in memory only while they sign. On Linux
// the process turns core dumps off and is closed to debuggers of the same user
// (RLIMIT_CORE 0, PR_SET_DUMPABLE 0); elsewhere that is the operator's to see to.
//
// Exit status: 0 done, 1 trouble, 2 usage.
package main

import (
	"context"
	"encoding/json"
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
	fmt.Fprintf(stderr, "signet-signer: %v\n", err)
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
		Use:   "signet-signer",
		Short: "Hold online keys, and sign snapshots and timestamps with them",
		Long: `Signet-signer holds the snapshot and timestamp keys of every repository and signs
for the metadata server, over mutual TLS. It checks what it signs as a client would.

To begin: signet-signer tls --host NAME, give the server's three files to the
server (signer-ca.pem, signer-client-cert.pem, signer-client-key.pem), then
signet-signer. Everything else is made at the first start.

Every option is a flag, an environment variable (--tls-cert is SIGNET_SIGNER_TLS_CERT)
and a key of the file that --config names. A flag goes before the environment, which
goes before the file, which goes before the default.`,
		Version:           version(),
		Args:              noArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
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
		newInit(o), newTLS(o), newIdentity(o), newKeys(o), newLog(o), newForget(o), newBackup(o), newRestore(o), newHealth(o),
	)
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q; see signet-signer --help", args[0])}
	}
	return nil
}

// oneArg takes one argument, which what names.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("expected one argument, %s", what)}
		}
		return nil
	}
}

// print writes a result to stdout: as text, or as one JSON object.
func (o *options) print(w io.Writer, result any, text string) error {
	if o.output != outputJSON {
		_, err := io.WriteString(w, text)
		return err
	}
	return json.NewEncoder(w).Encode(result)
}

// version is that of the module, as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
