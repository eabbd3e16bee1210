package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/internal/limit"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/signer"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// ready is what --ready-file says.
type ready struct {
	URL    string `json:"url"`
	Health string `json:"health,omitempty"` // base address of /healthz, /readyz, /metrics
	CA     string `json:"ca,omitempty"`     // file for clients to trust; absent with a certificate of somebody else's
	Token  string `json:"token,omitempty"`  // file with the admin token
	PID    int    `json:"pid"`
}

// serve runs the server until ctx ends, then lets what is being asked finish.
func serve(ctx context.Context, o *options, stderr io.Writer) (err error) {
	log := o.logger(stderr)
	if err := o.needData(); err != nil {
		return err
	}
	db, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		// What was acknowledged is on disk; this is about connections only.
		if err := db.Close(); err != nil {
			log.Warn("close the database", "error", err)
		}
	}()
	keys, err := openSigner(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	at := ready{PID: os.Getpid()}
	if at.Token, err = o.adminToken(ctx, db, time.Now()); err != nil {
		return err
	}
	certs, err := openTLS(o, &at, log)
	if err != nil {
		return err
	}

	s := server.New(o.server(serverStore{db}, keys, log))
	main := server.HTTPServer(s.Handler(), log)
	main.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.Certificate, NextProtos: []string{"h2", "http/1.1"}}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer listener.Close()
	at.URL = "https://" + program.ClientHost(o.listen, listener.Addr())
	health := server.HTTPServer(s.Health(), log)
	var healthListener net.Listener
	if o.healthListen != "off" && o.healthListen != "" {
		if healthListener, err = net.Listen("tcp", o.healthListen); err != nil {
			return fmt.Errorf("--health-listen: %w", err)
		}
		defer healthListener.Close()
		at.Health = "http://" + program.ClientHost(o.healthListen, healthListener.Addr())
	}

	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.Run(work) })
	running.Go(func() { reloadOnHangup(work, certs) })
	failed := make(chan error, 2)
	go func() {
		failed <- main.ServeTLS(limit.Listener(listener, o.maxConnections), "", "")
	}()
	if healthListener != nil {
		go func() { failed <- health.Serve(healthListener) }()
	}
	defer func() {
		stop(nil)
		running.Wait()
	}()
	if err := o.announce(ctx, at, keys, log, stderr); err != nil {
		return err
	}
	if o.readyFile != "" {
		defer func() { _ = os.Remove(o.readyFile) }() // somebody else may have
	}

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	return drain(ctx, o, s, main, health, log)
}

// drain takes no new requests and waits, so long, for those that are being worked
// on: a publish that was begun is finished and answered.
func drain(ctx context.Context, o *options, s *server.Server, main, health *http.Server, log *slog.Logger) error {
	log.Info("stopping; what is being asked is finished first", "at_most", time.Duration(o.shutdownTimeout))
	s.Stopping()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(o.shutdownTimeout))
	defer cancel()
	err := main.Shutdown(wait)
	if err != nil {
		err = errors.Join(fmt.Errorf("some requests did not finish in %s: %w", time.Duration(o.shutdownTimeout), err), main.Close())
	}
	return errors.Join(err, health.Close())
}

// server returns how the server is to work.
func (o *options) server(db server.Store, keys server.Signer, log *slog.Logger) server.Config {
	return server.Config{
		Store: db, Signer: keys, Version: program.Version(), Log: log,
		ReadTokens: o.reads == "token", Rules: serverRules(o.rules), MaxLife: o.maxLives(),
		Lives: map[string]time.Duration{
			tuf.RoleRoot: time.Duration(o.rootLife), tuf.RoleTargets: time.Duration(o.targetsLife), "signer": time.Duration(o.signerLife),
		},
		Limits: tuf.Limits{Targets: o.maxTargets}, MaxBody: o.maxBody,
		Rates:    server.Rates{Reads: o.rateReads, Writes: o.rateWrites, Token: o.rateToken},
		MaxReads: o.maxRequests, MaxWrites: o.maxPublishes, BodyWait: time.Duration(o.bodyTimeout),
		RefreshEvery: time.Duration(o.refreshEvery), RefreshWorkers: o.refreshWorkers, PruneAfter: time.Duration(o.pruneAfter),
	}
}

func (o *options) maxLives() map[string]time.Duration {
	return map[string]time.Duration{
		tuf.RoleRoot: time.Duration(o.maxRootLife), tuf.RoleTargets: time.Duration(o.maxTargetsLife), "signer": time.Duration(o.maxSignerLife),
	}
}

// A closingSigner is a signer that is closed at the end.
type closingSigner interface {
	server.Signer
	io.Closer
}

// openSigner returns the signer elsewhere, or the one in this process.
func openSigner(ctx context.Context, o *options, log *slog.Logger) (closingSigner, error) {
	if o.signer != "" {
		client, err := signerapi.NewClient(signerapi.ClientConfig{
			URL: o.signer, TLS: signerapi.TLSFiles{CA: o.signerCA, Certificate: o.signerCert, Key: o.signerKey},
		})
		return client, program.Advise(err, "look at --signer, and at the files of --signer-ca, --signer-cert and --signer-key, which signet-signer tls makes")
	}
	lives := o.maxLives()
	for _, rule := range o.rules { // the server holds each name to its own
		for role, life := range rule.MaxLife {
			lives[role] = max(lives[role], life)
		}
	}
	return signer.Open(ctx, signer.Config{
		Dir: filepath.Join(o.data, signerFolder), Log: log, MaxLife: lives, Limits: tuf.Limits{Targets: o.maxTargets},
		AdoptExisting: o.adoptExisting,
		SnapshotLife:  time.Duration(o.snapshotLife), TimestampLife: time.Duration(o.timestampLife),
	})
}

// openTLS returns the certificate to serve with.
func openTLS(o *options, at *ready, log *slog.Logger) (*program.Certificates, error) {
	load := program.LoadCertificate(o.tlsCert, o.tlsKey)
	if o.tlsCert == "" {
		load = ownCA{folder: o.data, names: o.tlsNames}.load
		at.CA = filepath.Join(o.data, caFile)
	}
	return program.NewCertificates(load, time.Now, log)
}

// reloadOnHangup looks for a new certificate at SIGHUP.
func reloadOnHangup(ctx context.Context, certs *program.Certificates) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			certs.Reload()
		}
	}
}

// announce says in a few lines where the server is and what to do next, and
// writes the ready file.
func (o *options) announce(ctx context.Context, at ready, keys server.Signer, log *slog.Logger, stderr io.Writer) error {
	if o.logFormat == "json" {
		attrs := []any{"url", at.URL, "health", at.Health, "ca", at.CA, "token_file", at.Token}
		if identity, err := keys.Identity(ctx); err == nil {
			attrs = append(attrs, "identity", identity.Key.ID())
		}
		log.Info("ready", attrs...)
		return program.WriteReady(o.readyFile, at)
	}
	fmt.Fprintf(stderr, "signet-server: serving %s\n", at.URL)
	// Publishers compare it with what signet login shows. A signer elsewhere that is
	// down tells its identity itself.
	if identity, err := keys.Identity(ctx); err == nil {
		fmt.Fprintf(stderr, "  identity:     %s (of the signer; signet login shows it)\n", identity.Key.ID())
	}
	if at.CA != "" && at.Token != "" {
		fmt.Fprintf(stderr, "  log in with:  signet login %s --ca %s --token-file %s\n", at.URL, at.CA, at.Token)
	} else {
		fmt.Fprintf(stderr, "  make a token: signet-server token create --name NAME --scope publish --repository PATTERN\n")
	}
	if at.Health != "" {
		fmt.Fprintf(stderr, "  is it well?   %s/readyz, %s/metrics\n", at.Health, at.Health)
	}
	return program.WriteReady(o.readyFile, at)
}
