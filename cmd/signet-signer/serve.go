package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/signer/api"
)

// ready is what --ready-file says.
type ready struct {
	URL      string `json:"url"`
	Health   string `json:"health,omitempty"` // base address of /healthz and /readyz
	Identity string `json:"identity"`         // key ID
	PID      int    `json:"pid"`
}

// serve runs the signer until ctx ends, then lets what is being asked finish.
func serve(ctx context.Context, o *options, stderr io.Writer) (err error) {
	log := o.logger(stderr)
	service, err := signer.Open(ctx, o.signer(log))
	if err != nil {
		return program.AdviseFolder(err, "--data")
	}
	defer func() { err = errors.Join(err, service.Close()) }()
	identity, err := service.Identity(ctx)
	if err != nil {
		return err
	}
	at := ready{PID: os.Getpid(), Identity: identity.Key.ID()}

	main, err := api.NewServer(o.listen, api.NewHandler(service, service.Ready, log), o.tls(), log)
	if errors.Is(err, fs.ErrNotExist) {
		return program.Advise(err, "make the files for both sides with: signet-signer tls --host NAME")
	}
	if err != nil {
		return program.Advise(err, "look at the files of --tls-ca, --tls-cert and --tls-key; signet-signer tls makes all three for both sides")
	}
	warnOfExpiry(o.tls().Certificate, time.Now(), log)
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer listener.Close()
	at.URL = "https://" + program.ClientHost(o.listen, listener.Addr())

	failed := make(chan error, 2)
	health := newHealthServer(service.Ready, log)
	if o.healthListen != "off" && o.healthListen != "" {
		healthListener, err := net.Listen("tcp", o.healthListen)
		if err != nil {
			return fmt.Errorf("--health-listen: %w", err)
		}
		defer healthListener.Close()
		at.Health = "http://" + program.ClientHost(o.healthListen, healthListener.Addr())
		go func() { failed <- health.Serve(healthListener) }()
	}
	go func() { failed <- main.ServeTLS(listener, "", "") }()
	if err := o.announce(at, log, stderr); err != nil {
		return errors.Join(err, main.Close(), health.Close())
	}
	if o.readyFile != "" {
		defer func() { _ = os.Remove(o.readyFile) }() // somebody else may have
	}

	select {
	case err := <-failed:
		return errors.Join(err, main.Close(), health.Close())
	case <-ctx.Done():
	}
	log.Info("stopping; what is being asked is finished first", "at_most", time.Duration(o.shutdownTimeout))
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(o.shutdownTimeout))
	defer cancel()
	if err := main.Shutdown(wait); err != nil {
		return errors.Join(fmt.Errorf("some requests did not finish in %s: %w", time.Duration(o.shutdownTimeout), err), main.Close(), health.Close())
	}
	return health.Close()
}

// newHealthServer answers /healthz (the process lives) and /readyz (it can sign)
// over plain HTTP, to whoever watches it.
func newHealthServer(isReady func(context.Context) error, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := isReady(ctx); err != nil {
			log.Error("not ready", "error", err)
			http.Error(w, "not ready; the log says why", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// newHealth asks a running signer whether it is ready.
func newHealth(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the signer at --health-listen whether it can sign",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := program.AskHealth(cmd.Context(), o.healthListen, "/readyz", "the signer"); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), map[string]bool{"ready": true}, "ready\n")
		},
	}
}

// announce says where the signer is, and writes the ready file.
func (o *options) announce(at ready, log *slog.Logger, stderr io.Writer) error {
	if o.logFormat == "json" {
		log.Info("ready", "url", at.URL, "identity", at.Identity, "health", at.Health)
		return program.WriteReady(o.readyFile, at)
	}
	fmt.Fprintf(stderr, "signet-signer: serving %s\n  identity:  %s\n", at.URL, at.Identity)
	if at.Health != "" {
		fmt.Fprintf(stderr, "  is it well? %s/readyz\n", at.Health)
	}
	return program.WriteReady(o.readyFile, at)
}
