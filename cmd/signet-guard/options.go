package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signet-trust/signet/cmd/internal/program"
)

// options are all that can be configured. Each has one name, as a flag, in the
// environment and in the file.
type options struct {
	config string

	doors                []string
	listen, healthListen string
	doorListen           []string // DOOR=ADDRESS
	tlsCert, tlsKey      string
	clientCA             string
	clientCert           []string // doors that demand one

	policy      string
	policyEvery program.Duration
	registryCA  string
	trust       string
	state       string
	refresh     program.Duration
	maxRepos    int
	maxMemory   int64
	unrefreshed program.Duration

	decisionLog                  string
	rateAddress, rateTotal       float64
	maxConnections, maxRequests  int
	requestTimeout, decideWithin program.Duration
	drain, shutdownTimeout       program.Duration
	logLevel, logFormat          string
	readyFile                    string
}

// register names every option. What stands here is what docs and --help say.
func (o *options) register(f *pflag.FlagSet) {
	f.StringVar(&o.config, "config", "", "YAML `file` with these options as keys")
	f.StringSliceVar(&o.doors, "doors", nil, "`doors` to open: "+strings.Join(doorNames(), ", "))
	f.StringVar(&o.listen, "listen", "localhost:4460", "`address` that all doors share, over HTTPS; port 0 takes a free one")
	f.StringSliceVar(&o.doorListen, "door-listen", nil, "`DOOR=ADDRESS` for a door of its own address, or unix:PATH for a socket; may be repeated")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:4461", "`address` of /healthz, /readyz and /metrics over HTTP; off for none")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`file` with the certificate to serve with, and its chain")
	f.StringVar(&o.tlsKey, "tls-key", "", "`file` with its private key")
	f.StringVar(&o.clientCA, "client-ca", "", "`file` with the CA of clients' certificates")
	f.StringSliceVar(&o.clientCert, "client-cert", nil, "`doors` that demand a client's certificate (default, with --client-ca: all)")
	f.StringVar(&o.policy, "policy", "", "`file` with the policy, or oci://NAME:TAG of a signed artifact")
	program.DurationVar(f, &o.policyEvery, "policy-every", time.Minute, "how often to look for a newer policy and trust.json")
	f.StringVar(&o.registryCA, "registry-ca", "", "`file` with CAs beside the system's, for the registry of an oci:// policy")
	f.StringVar(&o.trust, "trust", "", "`file` with the trust anchors (trust.json), for rules that bring none and for an oci:// policy")
	f.StringVar(&o.state, "state", "signet-guard-state", "`folder` of what was verified")
	program.DurationVar(f, &o.refresh, "refresh", time.Minute, "the oldest that an answer may be while trust servers answer")
	f.IntVar(&o.maxRepos, "max-repositories", 10_000, "most repositories watched at once; the one asked about least recently goes first")
	f.Int64Var(&o.maxMemory, "max-memory", 256<<20, "most `bytes` of metadata held in memory, roughly")
	program.DurationVar(f, &o.unrefreshed, "unrefreshed", 10*time.Minute, "how long no trust server may answer before /readyz says degraded")
	f.StringVar(&o.decisionLog, "decision-log", "-", "`file` for one line of JSON a decision; - for standard output, off for none")
	f.Float64Var(&o.rateAddress, "rate-address", 2_000, "requests a second from one address; -1 for no limit; loopback has none")
	f.Float64Var(&o.rateTotal, "rate-total", 20_000, "requests a second in all")
	f.IntVar(&o.maxConnections, "max-connections", 4_096, "most connections at once to each listener")
	f.IntVar(&o.maxRequests, "max-requests", 1_024, "most requests at work at once; further ones wait")
	program.DurationVar(f, &o.requestTimeout, "request-timeout", 10*time.Second, "how long one request may take")
	program.DurationVar(f, &o.decideWithin, "decide-timeout", 8*time.Second, "how long one decision may take")
	program.DurationVar(f, &o.drain, "drain", 3*time.Second, "how long it goes on answering when it stops, while clients move to another")
	program.DurationVar(f, &o.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long requests may take to finish after that")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the addresses to when it is ready, as JSON; removed at the end")
}

// lists are the options that may be a list in the file.
func lists() []string { return []string{"doors", "door-listen", "client-cert"} }

// load fills options that no flag set from the environment, then from the file.
func (o *options) load(flags *pflag.FlagSet, environ []string) error {
	from := program.Options{Prefix: "SIGNET_GUARD_", Register: (&options{}).register, Lists: lists()}
	if err := from.Load(flags, environ); err != nil {
		return err
	}
	return o.check()
}

// check refuses what makes no sense.
func (o *options) check() error {
	for _, list := range [][]string{o.doors, o.clientCert} {
		for _, name := range list {
			if !slices.Contains(doorNames(), name) {
				return fmt.Errorf("%q is no door; there are %s", name, strings.Join(doorNames(), ", "))
			}
		}
	}
	for _, entry := range o.doorListen {
		name, address, _ := strings.Cut(entry, "=")
		switch {
		case address == "" || !slices.Contains(doorNames(), name):
			return fmt.Errorf("--door-listen %q: expected DOOR=ADDRESS, with a door of %s", entry, strings.Join(doorNames(), ", "))
		case !slices.Contains(o.doors, name) && len(o.doors) > 0:
			return fmt.Errorf("--door-listen %q: --doors does not open %s", entry, name)
		}
	}
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key: give both or none")
	case len(o.clientCert) > 0 && o.clientCA == "":
		return errors.New("--client-cert needs --client-ca: the CA of clients' certificates")
	case min(o.maxConnections, o.maxRequests, o.maxRepos) < 1 || o.maxMemory < 1<<20:
		return errors.New("--max-connections, --max-requests and --max-repositories are at least 1, --max-memory is at least 1048576")
	case o.rateAddress == 0 || o.rateTotal == 0:
		return errors.New("--rate-address and --rate-total of 0 would let nobody ask; -1 is no limit")
	case o.refresh < program.Duration(time.Second):
		return errors.New("--refresh is at least 1s: trust servers are not to be asked more often")
	}
	return program.CheckLog(o.logLevel, o.logFormat)
}

// needServe refuses what a gate cannot serve with.
func (o *options) needServe() error {
	switch {
	case len(o.doors) == 0:
		return program.UsageError{Err: fmt.Errorf("no door is open: --doors opens some of %s", strings.Join(doorNames(), ", "))}
	case o.policy == "":
		return program.UsageError{Err: errors.New("--policy says what may run: a file, or oci://NAME:TAG")}
	case o.tlsCert == "" && o.needsTLS():
		return program.UsageError{Err: errors.New("--tls-cert and --tls-key: the gate serves HTTPS only, but for sockets of this machine; docs/guard.md makes a certificate for a first try")}
	}
	return nil
}

// needsTLS tells whether any door is open to the network.
func (o *options) needsTLS() bool {
	for _, address := range o.addresses() {
		if !strings.HasPrefix(address, "unix:") {
			return true
		}
	}
	return false
}

// addresses returns the address of each open door.
func (o *options) addresses() map[string]string {
	of := map[string]string{}
	for _, door := range o.doors {
		of[door] = o.listen
	}
	for _, entry := range o.doorListen {
		name, address, _ := strings.Cut(entry, "=")
		of[name] = address
	}
	return of
}

// logger logs to w as the options say.
func (o *options) logger(w io.Writer) *slog.Logger { return program.Logger(w, o.logLevel, o.logFormat) }

// logged has an error that ends cmd in the log, where every line of that is JSON.
func (o *options) logged(cmd *cobra.Command, message string, err error) error {
	return program.Logged(o.logger(cmd.ErrOrStderr()), o.logFormat, cmd.Root().Name(), message, err)
}

// print writes what holds as a configuration file. There are no secrets in it.
func (o *options) print(w io.Writer, flags *pflag.FlagSet) error {
	var b strings.Builder
	names := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&options{}).register(names)
	names.VisitAll(func(f *pflag.Flag) {
		if f.Name == "config" {
			return
		}
		value := flags.Lookup(f.Name).Value
		text := value.String()
		if list, ok := value.(pflag.SliceValue); ok {
			quoted := make([]string, 0, len(list.GetSlice()))
			for _, item := range list.GetSlice() {
				quoted = append(quoted, strconv.Quote(item))
			}
			text = "[" + strings.Join(quoted, ", ") + "]"
		} else if value.Type() == "string" || value.Type() == "duration" {
			text = strconv.Quote(text)
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Name, text)
	})
	_, err := io.WriteString(w, b.String())
	return err
}
