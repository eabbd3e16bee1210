package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server/api"
)

// options are all that can be configured. Each has one name, as a flag, in the
// environment and in the file.
type options struct {
	config string

	listen, healthListen string
	data                 string
	database             string
	databaseFile         string
	keepSchema           bool

	signer, signerCert, signerKey, signerCA string
	tlsCert, tlsKey                         string
	tlsNames                                []string

	reads                                      string
	rootLife, targetsLife, signerLife          program.Duration // what clients are told to use
	maxRootLife, maxTargetsLife, maxSignerLife program.Duration
	snapshotLife, timestampLife                program.Duration // of the signer in this process
	adoptExisting                              bool             // of the same
	maxBody                                    int64
	maxTargets                                 int
	maxConnections, maxRequests, maxPublishes  int
	bodyTimeout                                program.Duration
	rateReads, rateWrites, rateToken           float64
	refreshEvery, pruneAfter                   program.Duration
	refreshWorkers                             int
	shutdownTimeout                            program.Duration
	logLevel, logFormat                        string
	readyFile                                  string
	rules                                      []rule // the file's key repositories
}

// register names every option. What stands here is what docs and --help say.
func (o *options) register(f *pflag.FlagSet) {
	day := 24 * time.Hour
	f.StringVar(&o.config, "config", "", "YAML `file` with these options as keys, and repositories")
	f.StringVar(&o.listen, "listen", "localhost:4443", "`address` to serve HTTPS at; port 0 takes a free one")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:4480", "`address` of /healthz, /readyz and /metrics over HTTP; off for none")
	f.StringVar(&o.data, "data", "signet-data", "`folder` for what is made here: database, signer's keys, CA, certificate, admin token")
	f.StringVar(&o.database, "database", "", "`URL` of the database: sqlite:PATH or postgres://... (default signet.db in the data folder)")
	f.StringVar(&o.databaseFile, "database-file", "", "`file` that holds the database's URL, for one with a password")
	f.BoolVar(&o.keepSchema, "keep-schema", false, "refuse a database whose schema is not current rather than migrate it")
	f.StringVar(&o.signer, "signer", "", "`URL` of a signer elsewhere, https://HOST:PORT (default: a signer in this process)")
	f.StringVar(&o.signerCert, "signer-cert", "", "`file` with the certificate to show to the signer")
	f.StringVar(&o.signerKey, "signer-key", "", "`file` with its private key")
	f.StringVar(&o.signerCA, "signer-ca", "", "`file` with the CA of the signer's certificate")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`file` with the certificate to serve with, and its chain (default: one by an own CA)")
	f.StringVar(&o.tlsKey, "tls-key", "", "`file` with its private key")
	f.StringSliceVar(&o.tlsNames, "tls-name", nil, "further `name` or address for the own certificate; may be repeated")
	f.StringVar(&o.reads, "reads", "open", "who may read metadata: open (anybody) or token (with the scope read)")
	program.DurationVar(f, &o.rootLife, "root-life", 365*day, "how long a new root should live, told to publishers")
	program.DurationVar(f, &o.targetsLife, "targets-life", 180*day, "how long new targets should live")
	program.DurationVar(f, &o.signerLife, "signer-life", 180*day, "how long a new file of a signer (delegated role) should live")
	program.DurationVar(f, &o.maxRootLife, "max-root-life", 1098*day, "furthest expiry of a root that is taken")
	program.DurationVar(f, &o.maxTargetsLife, "max-targets-life", 400*day, "furthest expiry of targets")
	program.DurationVar(f, &o.maxSignerLife, "max-signer-life", 400*day, "furthest expiry of a signer's file")
	program.DurationVar(f, &o.snapshotLife, "snapshot-life", 7*day, "how long a snapshot lives, with the signer in this process")
	program.DurationVar(f, &o.timestampLife, "timestamp-life", day, "how long a timestamp lives, with the signer in this process")
	f.BoolVar(&o.adoptExisting, "adopt-existing", false, "the signer in this process takes repositories that another one has signed for; off again once they are moved")
	f.Int64Var(&o.maxBody, "max-body", api.MaxBody, "most `bytes` of a publish")
	f.IntVar(&o.maxTargets, "max-targets", 100_000, "most targets in one file")
	f.IntVar(&o.maxConnections, "max-connections", 4096, "most connections at once")
	f.IntVar(&o.maxRequests, "max-requests", 512, "most requests at work at once")
	f.IntVar(&o.maxPublishes, "max-publishes", 16, "most publishes at work at once")
	program.DurationVar(f, &o.bodyTimeout, "body-timeout", time.Minute, "how long a publish may take to arrive")
	f.Float64Var(&o.rateReads, "rate-reads", 500, "reads a second from one address; -1 for no limit; loopback has none")
	f.Float64Var(&o.rateWrites, "rate-writes", 20, "other requests a second from one address")
	f.Float64Var(&o.rateToken, "rate-token", 50, "requests a second with one token")
	program.DurationVar(f, &o.refreshEvery, "refresh-every", 10*time.Second, "how often to look for timestamps that are due")
	f.IntVar(&o.refreshWorkers, "refresh-workers", 4, "refreshes at work at once")
	program.DurationVar(f, &o.pruneAfter, "prune-after", 7*day, "how long replaced snapshots and timestamps are kept")
	program.DurationVar(f, &o.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long requests may take to finish when it stops")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the addresses to when it is ready, as JSON; removed at the end")
}

// load fills options that no flag set from the environment, then from the file.
func (o *options) load(flags *pflag.FlagSet, environ []string) error {
	from := program.Options{
		Prefix: "SIGNET_SERVER_", Register: (&options{}).register, Lists: []string{"tls-name"},
		Keys: map[string]func(program.ConfigFile, *yaml.Node) error{
			"repositories": func(file program.ConfigFile, node *yaml.Node) error { return configFile{file}.repositories(o, node) },
		},
	}
	if err := from.Load(flags, environ); err != nil {
		return err
	}
	return o.check()
}

// logger logs to w as the options say.
func (o *options) logger(w io.Writer) *slog.Logger { return program.Logger(w, o.logLevel, o.logFormat) }

// logged has an error that ends cmd in the log, where every line of that is JSON.
func (o *options) logged(cmd *cobra.Command, message string, err error) error {
	return program.Logged(o.logger(cmd.ErrOrStderr()), o.logFormat, cmd.Root().Name(), message, err)
}

// check refuses combinations that make no sense.
func (o *options) check() error {
	pair := func(a, b, what string) error {
		if (a == "") != (b == "") {
			return fmt.Errorf("%s: give both or none", what)
		}
		return nil
	}
	signerTLS := o.signerCert != "" || o.signerKey != "" || o.signerCA != ""
	switch {
	case o.database != "" && o.databaseFile != "":
		return errors.New("--database and --database-file: give one of them")
	case o.signer == "" && signerTLS:
		return errors.New("--signer-cert, --signer-key and --signer-ca go with --signer")
	case o.signer != "" && (o.signerCert == "" || o.signerKey == "" || o.signerCA == ""):
		return errors.New("--signer needs --signer-cert, --signer-key and --signer-ca: the signer speaks mutual TLS only")
	case o.signer != "" && o.adoptExisting:
		return errors.New("--adopt-existing is for the signer in this process; with --signer, start signet-signer with it")
	case o.tlsCert != "" && len(o.tlsNames) > 0:
		return errors.New("--tls-name is for the own certificate, and does nothing with --tls-cert")
	case o.reads != "open" && o.reads != "token":
		return fmt.Errorf("--reads %q: expected open or token", o.reads)
	case o.maxBody < 1 || o.maxBody > api.MaxBody:
		return fmt.Errorf("--max-body %d: expected 1 to %d", o.maxBody, int64(api.MaxBody))
	case min(o.maxTargets, o.maxConnections, o.maxRequests, o.maxPublishes, o.refreshWorkers) < 1:
		return errors.New("--max-targets, --max-connections, --max-requests, --max-publishes and --refresh-workers are at least 1")
	case o.snapshotLife < o.timestampLife:
		return errors.New("--snapshot-life is shorter than --timestamp-life")
	}
	if err := program.CheckLog(o.logLevel, o.logFormat); err != nil {
		return err
	}
	return pair(o.tlsCert, o.tlsKey, "--tls-cert and --tls-key")
}

// databaseURL returns where the database is. It may hold a password.
func (o *options) databaseURL() (string, error) {
	if o.databaseFile != "" {
		data, err := program.ReadPrivate(o.databaseFile)
		if err != nil {
			return "", fmt.Errorf("--database-file: %w", err)
		}
		return strings.TrimSpace(string(data)), nil
	}
	if o.database != "" {
		return o.database, nil
	}
	return "sqlite:" + filepath.Join(o.data, "signet.db"), nil
}

// ownDatabase tells whether the database is the one in the data folder.
func (o *options) ownDatabase() bool { return o.database == "" && o.databaseFile == "" }

// print writes what holds as a configuration file. A password in the database's
// URL is left out.
func (o *options) print(w io.Writer, flags *pflag.FlagSet) error {
	var lines strings.Builder
	names := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&options{}).register(names)
	names.VisitAll(func(f *pflag.Flag) {
		value := flags.Lookup(f.Name).Value.String()
		switch f.Name {
		case "config":
			return
		case "database":
			value = redacted(o.database)
		case "tls-name":
			quoted := make([]string, len(o.tlsNames))
			for i, name := range o.tlsNames {
				quoted[i] = strconv.Quote(name)
			}
			fmt.Fprintf(&lines, "tls-name: [%s]\n", strings.Join(quoted, ", "))
			return
		}
		if f.Value.Type() == "string" || f.Value.Type() == "duration" {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&lines, "%s: %s\n", f.Name, value)
	})
	printRules(&lines, o.rules)
	_, err := io.WriteString(w, lines.String())
	return err
}

func printRules(w io.Writer, rules []rule) {
	if len(rules) == 0 {
		fmt.Fprintln(w, "repositories: []")
		return
	}
	fmt.Fprintln(w, "repositories:")
	for _, r := range rules {
		fmt.Fprintf(w, "  - pattern: %q\n", r.Pattern)
		if len(r.RootKeys) > 0 {
			fmt.Fprintf(w, "    root-keys: [%s]\n", strings.Join(r.RootKeys, ", "))
		}
		for _, role := range slices.Sorted(maps.Keys(r.MaxLife)) {
			life := program.Duration(r.MaxLife[role])
			fmt.Fprintf(w, "    max-%s-life: %s\n", role, life.String())
		}
		if d := r.Hardware; d != nil {
			fmt.Fprintf(w, "    hardware: {touch: %t, pin: %t, signers: %t", d.Touch, d.PIN, d.Signers)
			if d.MinFirmware != (attestation.Version{}) {
				fmt.Fprintf(w, ", min-firmware: %q", d.MinFirmware)
			}
			if r.hardwareRoots != "" {
				fmt.Fprintf(w, ", roots: %q", r.hardwareRoots)
			}
			fmt.Fprintln(w, "}")
		}
	}
}

// redacted returns a database's URL without its password.
func redacted(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return "(not shown: not a URL)"
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return database
	}
	query := u.Query()
	if query.Has("password") {
		query.Set("password", "xxxxx")
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}

// exists tells whether path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
