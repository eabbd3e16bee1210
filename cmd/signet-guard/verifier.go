package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/containerd"
)

const verifierCommand = "verifier"

// defaultVerifierConfig is read where SIGNET_VERIFIER_CONFIG names no other.
const defaultVerifierConfig = "/etc/signet/verifier.yaml"

// newVerifier is for --help: what containerd calls does not get to cobra.
func newVerifier() *cobra.Command {
	return &cobra.Command{
		Use:   verifierCommand + " -name NAME -digest DIGEST -stdin-media-type TYPE",
		Short: "Answer containerd as one of its image verifier plugins",
		Long: `Verifier answers one question of containerd 2: may this image be pulled? It is not
called by hand: link the program into the folder of plugins, under any name. The
exit status is 0 if it may, 3 if it is refused, 1 if it could not be found out; the
reason is on standard output.

It is configured by ` + defaultVerifierConfig + `, or the file that
SIGNET_VERIFIER_CONFIG names, or verifier.yaml beside the program itself (not its
link). Either a gate is asked:

  gate: https://gate.example.com:4460   # or unix:/run/signet/guard.sock
  gate-ca: /etc/signet/ca.pem
  cert: /etc/signet/node.pem            # what the node shows, if the gate demands it
  key: /etc/signet/node-key.pem

or it decides alone:

  policy: /etc/signet/policy.yaml       # or oci://NAME:TAG
  trust: /etc/signet/trust.json
  state: /var/lib/signet/verifier

and in both cases:

  timeout: 8s                           # less than containerd's per_verifier_timeout`,
		Args:              program.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // in place of the root's
		RunE: func(*cobra.Command, []string) error {
			return program.UsageError{Err: errors.New("containerd says -name and -digest; see signet-guard verifier --help")}
		},
	}
}

// A verifier is one run as a plugin.
type verifier struct {
	environ []string
	stderr  io.Writer

	config, gate, gateCA, cert, key  string
	policy, registryCA, trust, state string
	timeout                          program.Duration
}

// register names every option.
func (v *verifier) register(f *pflag.FlagSet) {
	f.StringVar(&v.config, "config", "", "")
	f.StringVar(&v.gate, "gate", "", "")
	f.StringVar(&v.gateCA, "gate-ca", "", "")
	f.StringVar(&v.cert, "cert", "", "")
	f.StringVar(&v.key, "key", "", "")
	f.StringVar(&v.policy, "policy", "", "")
	f.StringVar(&v.registryCA, "registry-ca", "", "")
	f.StringVar(&v.trust, "trust", "", "")
	f.StringVar(&v.state, "state", "", "")
	program.DurationVar(f, &v.timeout, "timeout", 8*time.Second, "")
}

// run answers and returns the exit status.
func (v verifier) run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) int {
	configErr := v.load()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(v.timeout))
	defer cancel()
	var own *guard.Gate
	defer func() {
		if own != nil {
			last, cancel := context.WithTimeout(context.Background(), lastFor/2) // containerd waits
			defer cancel()
			_ = own.Flush(last) // the answer stands, in the log or not
		}
	}()
	return containerd.Plugin(ctx, args, stdin, stdout, func() (containerd.Answerer, error) {
		if configErr != nil {
			return nil, configErr
		}
		if v.gate != "" {
			transport, err := v.transport()
			if err != nil {
				return nil, err
			}
			return guard.NewRemote(v.gate, transport)
		}
		var err error
		own, err = v.alone(ctx)
		return own, err
	})
}

// load reads the configuration.
func (v *verifier) load() error {
	flags := pflag.NewFlagSet(verifierCommand, pflag.ContinueOnError)
	v.register(flags)
	if err := flags.Set("config", defaultConfig()); err != nil {
		return err
	}
	flags.Lookup("config").Changed = false // the environment may name another
	from := program.Options{Prefix: "SIGNET_VERIFIER_", Register: (&verifier{}).register}
	if err := from.Load(flags, v.environ); err != nil {
		return err
	}
	switch {
	case (v.gate == "") == (v.policy == ""):
		return fmt.Errorf("%s (or SIGNET_VERIFIER_CONFIG) has to give either gate, or policy with trust and state", defaultVerifierConfig)
	case v.policy != "" && v.state == "":
		return errors.New("state: a folder for what was verified, without which an older state would be believed")
	case (v.cert == "") != (v.key == ""):
		return errors.New("cert and key: give both or none")
	}
	return nil
}

// defaultConfig returns the file that is there, "" for none.
func defaultConfig() string {
	files := []string{defaultVerifierConfig}
	if self, err := os.Executable(); err == nil {
		if self, err = filepath.EvalSymlinks(self); err == nil {
			files = append(files, filepath.Join(filepath.Dir(self), "verifier.yaml"))
		}
	}
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// alone returns a gate for this question.
func (v *verifier) alone(ctx context.Context) (*guard.Gate, error) {
	log := program.Logger(v.stderr, "warn", "text")
	g := guard.New(guard.Config{Decisions: v.stderr, Log: log, Timeout: time.Duration(v.timeout)})
	verifier := client.New(client.Config{StateDir: v.state, UserAgent: "signet-guard"})
	l, err := newLoader(v.policy, v.trust, v.state, v.registryCA, verifier, g, log)
	if err != nil {
		return nil, err
	}
	return g, l.look(ctx)
}

// transport speaks TLS with the gate.
func (v *verifier) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if v.gateCA != "" {
		data, err := os.ReadFile(v.gateCA)
		if err != nil {
			return nil, fmt.Errorf("gate-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("gate-ca: %s holds no PEM certificate", v.gateCA)
		}
	}
	if v.cert != "" {
		pair, err := program.LoadCertificate(v.cert, v.key)(time.Now())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{*pair}
	}
	return &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, Proxy: nil}, nil
}
