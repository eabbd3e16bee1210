package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// options are all that can be configured. Each has one name, as a flag, in the
// environment and in the file.
type options struct {
	config string
	output string

	listen, healthListen                       string
	data, keyFile                              string
	tlsCA, tlsCert, tlsKey                     string
	snapshotLife, timestampLife                program.Duration
	maxRootLife, maxTargetsLife, maxSignerLife program.Duration
	maxRepositories, maxTargets                int
	adoptExisting                              bool
	shutdownTimeout                            program.Duration
	logLevel, logFormat                        string
	readyFile                                  string
}

const (
	outputText = "text"
	outputJSON = "json"
)

// register names every option. What stands here is what docs and --help say.
func (o *options) register(f *pflag.FlagSet) {
	f.StringVar(&o.config, "config", "", "YAML `file` with these options as keys")
	f.StringVar(&o.output, "output", outputText, "form of results: text or json")
	f.StringVar(&o.listen, "listen", "localhost:4444", "`address` to serve mutual TLS at; port 0 takes a free one")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:4482", "`address` of /healthz and /readyz over HTTP; off for none")
	f.StringVar(&o.data, "data", "signet-signer-data", "`folder` for the database, and for the files below unless they are elsewhere")
	f.StringVar(&o.keyFile, "key-encryption-key", "", "`file` of the key that private keys are sealed with (default key-encryption-key.pem in the data folder); keep it apart")
	f.StringVar(&o.tlsCA, "tls-ca", "", "`file` with the CA of the servers' certificates (default tls/signer-ca.pem in the data folder)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`file` with the certificate to serve with (default tls/signer-cert.pem in the data folder)")
	f.StringVar(&o.tlsKey, "tls-key", "", "`file` with its private key (default tls/signer-key.pem in the data folder)")
	program.DurationVar(f, &o.snapshotLife, "snapshot-life", signer.DefaultSnapshotLife, "how long a snapshot lives, at most 31d")
	program.DurationVar(f, &o.timestampLife, "timestamp-life", signer.DefaultTimestampLife, "how long a timestamp lives, at most 8d")
	program.DurationVar(f, &o.maxRootLife, "max-root-life", tuf.DefaultMaxLife(tuf.RoleRoot), "furthest expiry of a root that is signed for")
	program.DurationVar(f, &o.maxTargetsLife, "max-targets-life", tuf.DefaultMaxLife(tuf.RoleTargets), "furthest expiry of targets")
	program.DurationVar(f, &o.maxSignerLife, "max-signer-life", tuf.DefaultMaxLife("signer"), "furthest expiry of a signer's (delegated role's) file")
	f.IntVar(&o.maxRepositories, "max-repositories", signer.DefaultMaxRepositories, "most repositories that get keys")
	f.BoolVar(&o.adoptExisting, "adopt-existing", false, "take repositories that another signer has signed for; off again once they are moved")
	f.IntVar(&o.maxTargets, "max-targets", tuf.Limits{}.WithDefaults().Targets, "most targets in one file")
	program.DurationVar(f, &o.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long requests may take to finish when it stops")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the addresses to when it is ready, as JSON; removed at the end")
}

// load fills options that no flag set from the environment, then from the file.
func (o *options) load(flags *pflag.FlagSet, environ []string) error {
	if err := (program.Options{Prefix: "SIGNET_SIGNER_", Register: (&options{}).register}).Load(flags, environ); err != nil {
		return err
	}
	return o.check()
}

// check refuses what makes no sense.
func (o *options) check() error {
	switch {
	case o.output != outputText && o.output != outputJSON:
		return fmt.Errorf("--output %q: expected text or json", o.output)
	case o.data == "":
		return errors.New("--data: expected a folder")
	case time.Duration(o.snapshotLife) > tuf.DefaultMaxLife(tuf.RoleSnapshot):
		return errors.New("--snapshot-life: at most 31d")
	case time.Duration(o.timestampLife) > tuf.DefaultMaxLife(tuf.RoleTimestamp):
		return errors.New("--timestamp-life: at most 8d")
	case o.snapshotLife < o.timestampLife:
		return errors.New("--snapshot-life is shorter than --timestamp-life")
	case o.maxRepositories < 1 || o.maxTargets < 1:
		return errors.New("--max-repositories and --max-targets are at least 1")
	}
	return program.CheckLog(o.logLevel, o.logFormat)
}

// signer returns how the service is to work.
func (o *options) signer(log *slog.Logger) signer.Config {
	return signer.Config{
		Dir: o.data, KeyFile: o.keyFile, Log: log, MaxRepositories: o.maxRepositories, Limits: tuf.Limits{Targets: o.maxTargets},
		AdoptExisting: o.adoptExisting,
		SnapshotLife:  time.Duration(o.snapshotLife), TimestampLife: time.Duration(o.timestampLife),
		MaxLife: map[string]time.Duration{
			tuf.RoleRoot: time.Duration(o.maxRootLife), tuf.RoleTargets: time.Duration(o.maxTargetsLife), "signer": time.Duration(o.maxSignerLife),
		},
	}
}

// tls returns the files of this side of mutual TLS.
func (o *options) tls() api.TLSFiles {
	or := func(path, name string) string {
		if path != "" {
			return path
		}
		return filepath.Join(o.data, tlsFolder, name)
	}
	return api.TLSFiles{CA: or(o.tlsCA, caFile), Certificate: or(o.tlsCert, certFile), Key: or(o.tlsKey, keyFile)}
}

// logger logs to w as the options say.
func (o *options) logger(w io.Writer) *slog.Logger { return program.Logger(w, o.logLevel, o.logFormat) }

// logged has an error that ends cmd in the log, where every line of that is JSON.
func (o *options) logged(cmd *cobra.Command, message string, err error) error {
	return program.Logged(o.logger(cmd.ErrOrStderr()), o.logFormat, cmd.Root().Name(), message, err)
}
