// Signet-signer is the online-key service: it holds the snapshot and timestamp
// keys of every repository, away from the metadata server, and signs only what
// root and targets keys have signed. It speaks mutual TLS with the server.
//
//	main.go      commands, exit status
//	options.go   every option, once
//	serve.go     one run, from start to the last answer; health
//	tls.go       a private CA and certificates for the pair of signer and server
//	data.go      identity, keys, log, backup, restore
//	forget.go    free a repository's name
//	retire.go    end the use of a name; raise versions after a folder was put back
//
// What it has in common with signet-server as a program is in cmd/internal/program.
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
		Version:           program.Version(),
		Args:              program.NoArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.load(cmd.Flags(), environ); err != nil {
				return o.logged(cmd, "the options cannot be used", program.UsageError{Err: err})
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.logged(cmd, "the signer ended", serve(cmd.Context(), o, cmd.ErrOrStderr()))
		},
	}
	o.register(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve (the default)", Args: program.NoArgs, RunE: root.RunE},
		newInit(o), newTLS(o), newIdentity(o), newKeys(o), newLog(o), newForget(o), newRetire(o), newRaise(o), newBackup(o), newRestore(o), newHealth(o),
	)
	return root
}

// print writes a result to stdout: as text, or as one JSON object.
func (o *options) print(w io.Writer, result any, text string) error {
	if o.output != outputJSON {
		_, err := io.WriteString(w, text)
		return err
	}
	return json.NewEncoder(w).Encode(result)
}
