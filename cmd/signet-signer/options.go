package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

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
	snapshotLife, timestampLife                duration
	maxRootLife, maxTargetsLife, maxSignerLife duration
	maxRepositories, maxTargets                int
	adoptExisting                              bool
	shutdownTimeout                            duration
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
	life := func(d *duration, name string, value time.Duration, usage string) {
		*d = duration(value)
		f.Var(d, name, usage)
	}
	life(&o.snapshotLife, "snapshot-life", signer.DefaultSnapshotLife, "how long a snapshot lives, at most 31d")
	life(&o.timestampLife, "timestamp-life", signer.DefaultTimestampLife, "how long a timestamp lives, at most 8d")
	life(&o.maxRootLife, "max-root-life", tuf.DefaultMaxLife(tuf.RoleRoot), "furthest expiry of a root that is signed for")
	life(&o.maxTargetsLife, "max-targets-life", tuf.DefaultMaxLife(tuf.RoleTargets), "furthest expiry of targets")
	life(&o.maxSignerLife, "max-signer-life", tuf.DefaultMaxLife("signer"), "furthest expiry of a signer's (delegated role's) file")
	f.IntVar(&o.maxRepositories, "max-repositories", signer.DefaultMaxRepositories, "most repositories that get keys")
	f.BoolVar(&o.adoptExisting, "adopt-existing", false, "take repositories that another signer has signed for; off again once they are moved")
	f.IntVar(&o.maxTargets, "max-targets", tuf.Limits{}.WithDefaults().Targets, "most targets in one file")
	life(&o.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long requests may take to finish when it stops")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the addresses to when it is ready, as JSON; removed at the end")
}

// A duration is a time.Duration that may be written in days: 90d.
type duration time.Duration

// String returns d as Set takes it.
func (d *duration) String() string {
	const day = 24 * time.Hour
	if v := time.Duration(*d); v%day == 0 && v != 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return time.Duration(*d).String()
}

// Set reads 90d, 12h, 30s.
func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		n, err = strconv.ParseInt(days, 10, 16)
		v = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration above zero such as 90d, 12h or 30s", s)
	}
	*d = duration(v)
	return nil
}

// Type is the word for --help.
func (d *duration) Type() string { return "duration" }

// known are the options by name, as flags holds them.
func known(flags *pflag.FlagSet) map[string]*pflag.Flag {
	names := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&options{}).register(names)
	list := map[string]*pflag.Flag{}
	names.VisitAll(func(f *pflag.Flag) { list[f.Name] = flags.Lookup(f.Name) })
	return list
}

// load fills options that no flag set from the environment, then from the file.
func (o *options) load(flags *pflag.FlagSet, environ []string) error {
	const prefix = "SIGNET_SIGNER_"
	known := known(flags)
	fromFlag := map[string]bool{}
	for name := range known {
		fromFlag[name] = flags.Changed(name)
	}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(variable, prefix)
		if !ok {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if known[name] == nil {
			return fmt.Errorf("environment: unknown variable %s", variable)
		}
		if fromFlag[name] {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("environment: %s: %w", variable, err)
		}
	}
	if o.config != "" {
		if err := readFile(o.config, flags, known); err != nil {
			return fmt.Errorf("configuration %s%w", o.config, err)
		}
	}
	return o.check()
}

// readFile fills options that neither a flag nor the environment set. A key that
// nobody knows is refused, with its line: it is a mistake that would otherwise be
// found when it hurts. The error begins where the file's name ends.
func readFile(path string, flags *pflag.FlagSet, known map[string]*pflag.Flag) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf(": %w", err)
	}
	if len(document.Content) == 0 {
		return nil // an empty file
	}
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return fmt.Errorf(":%d: expected keys and values", mapping.Line)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		switch {
		case known[key.Value] == nil || key.Value == "config":
			return fmt.Errorf(":%d: unknown key %q", key.Line, key.Value)
		case seen[key.Value]:
			return fmt.Errorf(":%d: the key %q stands twice", key.Line, key.Value)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			return fmt.Errorf(":%d: %s: expected one value", value.Line, key.Value)
		}
		seen[key.Value] = true
		if flags.Changed(key.Value) {
			continue // by a flag or the environment
		}
		if err := flags.Set(key.Value, value.Value); err != nil {
			return fmt.Errorf(":%d: %s: %w", value.Line, key.Value, err)
		}
	}
	return nil
}

// check refuses what makes no sense.
func (o *options) check() error {
	var level slog.Level
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
	case o.logFormat != "text" && o.logFormat != "json":
		return fmt.Errorf("--log-format %q: expected text or json", o.logFormat)
	case level.UnmarshalText([]byte(o.logLevel)) != nil:
		return fmt.Errorf("--log-level %q: expected debug, info, warn or error", o.logLevel)
	}
	return nil
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
func (o *options) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		level = slog.LevelInfo // check has refused it already
	}
	handler := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, handler))
	}
	return slog.New(slog.NewTextHandler(w, handler))
}
