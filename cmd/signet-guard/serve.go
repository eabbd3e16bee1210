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
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/internal/limit"
)

// ready is what --ready-file says.
type ready struct {
	URL    string            `json:"url,omitempty"`    // that doors share
	Doors  map[string]string `json:"doors"`            // address of each
	Health string            `json:"health,omitempty"` // base address of /healthz, /readyz, /metrics
	PID    int               `json:"pid"`
}

// A gate is one run.
type gate struct {
	*guard.Gate
	options *options
	log     *slog.Logger
	watcher *client.Watcher
	policy  *loader
	certs   *program.Certificates
	clients *authorities // nil: clients show no certificates
	audit   *lineFile    // the decision log, where it is a file
	said    bool         // where the doors are

	up       atomic.Bool
	entrance *guard.Entrance
	servers  []*listeningServer
	failed   chan error
}

// serve runs the gate until ctx ends, then goes on for a while, so that clients can
// move to another, and lets what is being asked finish.
func serve(ctx context.Context, o *options, environ []string, stdout, stderr io.Writer) (err error) {
	if err := o.needServe(); err != nil {
		return err
	}
	// A log whose reader is gone is an error of a write, not the end of the gate.
	signal.Ignore(syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1) // one while the gate starts is for later
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	held, err := inherit(environ)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.close()) }()
	g, err := open(o, stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.watcher.Close(), g.closeLog()) }()
	if !isArtifact(o.policy) {
		// A file that does not work is a mistake to be told at once. An artifact may
		// have to wait for its registry.
		if err := g.policy.look(ctx); err != nil {
			return advisePolicy(o.policy, o.trust, err)
		}
	}
	at := ready{PID: os.Getpid(), Doors: map[string]string{}}
	if err := g.listen(held, &at); err != nil {
		return errors.Join(err, g.close())
	}
	if isArtifact(o.policy) {
		g.say(at, stderr, "not ready yet: there is no policy so far, and everything is refused", false)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	looks := make(chan struct{}, 1)
	announced := make(chan error, 1)
	running.Go(func() { g.onHangup(work, hangup, looks) })
	running.Go(func() { (&refreshLog{servers: g.watcher.Servers, log: g.log}).run(work) })
	running.Go(func() {
		g.policy.run(work, time.Duration(o.policyEvery), looks, func() { announced <- g.announce(at, stderr) })
	})
	defer func() {
		stop()
		running.Wait()
		if o.readyFile != "" {
			_ = os.Remove(o.readyFile) // somebody else may have
		}
	}()
	for {
		select {
		case err := <-announced:
			if err != nil {
				return errors.Join(err, g.close())
			}
		case err := <-g.failed:
			return errors.Join(err, g.close())
		case <-ctx.Done():
			return g.drain(ctx)
		}
	}
}

// open makes the gate, without listeners.
func open(o *options, stdout, stderr io.Writer) (*gate, error) {
	g := &gate{options: o, log: o.logger(stderr), failed: make(chan error, 16)}
	if err := os.MkdirAll(o.state, 0o700); err != nil {
		return nil, program.AdviseFolder(fmt.Errorf("--state: %w", err), "--state")
	}
	config := guard.Config{Log: g.log, Timeout: time.Duration(o.decideWithin), Version: program.Version()}
	switch o.decisionLog {
	case "off":
	case "-":
		config.Decisions = stdout
	default:
		var err error
		if g.audit, err = openLines(o.decisionLog); err != nil {
			return nil, fmt.Errorf("--decision-log: %w", err)
		}
		config.Decisions = g.audit
	}
	g.Gate = guard.New(config)
	if o.tlsCert != "" {
		var err error
		if g.certs, err = program.NewCertificates(program.LoadCertificate(o.tlsCert, o.tlsKey), time.Now, g.log); err != nil {
			return nil, err
		}
	}
	if o.clientCA != "" {
		var err error
		if g.clients, err = newAuthorities(o.clientCA, g.log); err != nil {
			return nil, err
		}
	}
	collectLess(o.maxMemory)
	g.watcher = client.NewWatcher(client.New(client.Config{StateDir: o.state, UserAgent: "signet-guard"}), client.WatchConfig{
		Refresh: time.Duration(o.refresh), MaxRepositories: o.maxRepos, MaxBytes: o.maxMemory,
	})
	if shared, err := g.watcher.Shared(); err == nil && shared { // what else is wrong with the folder, /readyz tells
		g.log.Warn(sharedState, "state", o.state)
	}
	var err error
	if g.policy, err = newLoader(o.policy, o.trust, o.state, o.registryCA, g.watcher, g.Gate, g.log); err != nil {
		return nil, errors.Join(err, g.watcher.Close())
	}
	return g, g.Register(newWatchCollector(g.watcher.Stats))
}

// sharedState is said where two have one state folder.
const sharedState = "another gate, or another verifier that lives on, has this state folder, too: each does over what the other has saved. " +
	"At a restart that ends when the one before does; otherwise give each a --state of its own"

// lastFor is how long the last lines of the decision log are written at most.
const lastFor = 2 * time.Second

func (g *gate) closeLog() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastFor)
	defer cancel()
	if err := g.Flush(ctx); err != nil {
		return err // closing would wait, too
	}
	ended := make(chan error, 1)
	go func() { ended <- g.audit.Close() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.New("the decision log is not closed: its disk does not answer")
	}
}

// collectLess lets garbage grow to four times what is in use, within what the gate may
// hold and a half: answers leave much behind and little in use, and would keep the
// collector busy. Who sets GOGC or GOMEMLIMIT has decided otherwise.
func collectLess(maxMemory int64) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(maxMemory + maxMemory/2)
	}
}

// listen opens all listeners and serves at them.
func (g *gate) listen(held *inherited, at *ready) error {
	o := g.options
	certified := o.clientCert
	if o.clientCA != "" && len(certified) == 0 {
		certified = o.doors
	}
	g.entrance = guard.NewEntrance(g.Gate, guard.Limits{
		Address: o.rateAddress, Total: o.rateTotal, Requests: o.maxRequests, Wait: time.Duration(o.requestTimeout), Certified: certified,
	})
	byAddress := map[string][]string{}
	for name, address := range o.addresses() {
		byAddress[address] = append(byAddress[address], name)
	}
	for address, names := range byAddress {
		slices.Sort(names)
		socket := names[0]
		if address == o.listen {
			socket = "listen"
		}
		l, err := held.take(socket, address)
		if err != nil {
			option := "--door-listen"
			if address == o.listen {
				option = "--listen"
			}
			return fmt.Errorf("%s %s: listen for %s: %w", option, address, strings.Join(names, ", "), err)
		}
		url := g.serveAt(l, address, names)
		for _, name := range names {
			at.Doors[name] = url
		}
		if address == o.listen {
			at.URL = url
		}
	}
	if o.healthListen != "off" && o.healthListen != "" {
		l, err := held.take("health", o.healthListen)
		if err != nil {
			return fmt.Errorf("--health-listen: %w", err)
		}
		state := &stateCheck{try: func() (string, error) { return tryState(o.state, g.watcher.Shared) }}
		servers := &serversCheck{stats: g.watcher.Stats, most: time.Duration(o.unrefreshed)}
		g.start(g.server(g.Health(listening(&g.up), inDate(g.certs, time.Now), guard.Check{Part: "state", Check: state.check}, guard.Check{Part: "servers", Check: servers.check})), limit.Listener(l, o.maxConnections))
		at.Health = "http://" + program.ClientHost(o.healthListen, l.Addr())
	}
	g.up.Store(true)
	return held.rest()
}

// serveAt serves some doors at a listener, and returns its address.
func (g *gate) serveAt(l net.Listener, address string, names []string) string {
	var doors []guard.Door
	for _, m := range doorMakers() {
		if slices.Contains(names, m.name) {
			doors = append(doors, m.make(g))
		}
	}
	s := g.server(g.entrance.Handler(doors...))
	limited := limit.Listener(l, g.options.maxConnections)
	if l.Addr().Network() == "unix" {
		g.start(s, limited)
		return "unix:" + l.Addr().String()
	}
	protocols := []string{"h2", "http/1.1"}
	if slices.Contains(names, "containerd") {
		protocols = protocols[1:] // HTTP/2 has no place for a refusal's reason
	}
	g.start(s, tls.NewListener(limited, serverTLS(g.certs, g.clients, protocols...)))
	return "https://" + program.ClientHost(address, l.Addr())
}

func (g *gate) start(s *http.Server, l net.Listener) {
	g.servers = append(g.servers, start(s, l, g.failed))
}

// server bounds how long each part of a request may take.
func (g *gate) server(h http.Handler) *http.Server {
	wait := time.Duration(g.options.requestTimeout)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       wait + 10*time.Second,
		WriteTimeout:      2*wait + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

// announce says that the gate is ready, and where, and writes the ready file.
func (g *gate) announce(at ready, stderr io.Writer) error {
	g.say(at, stderr, "ready", true)
	return program.WriteReady(g.options.readyFile, at)
}

// say tells where the gate listens, once in text, and how it is.
func (g *gate) say(at ready, stderr io.Writer, how string, isReady bool) {
	if g.options.logFormat == "json" {
		g.log.Info(how, "doors", at.Doors, "health", at.Health)
		return
	}
	if !g.said {
		for _, name := range g.options.doors {
			fmt.Fprintf(stderr, "signet-guard: door %s at %s\n", name, at.Doors[name])
		}
		if at.Health != "" {
			fmt.Fprintf(stderr, "  is it well?  %s/readyz, %s/metrics\n", at.Health, at.Health)
		}
	}
	if g.said || !isReady {
		fmt.Fprintf(stderr, "signet-guard: %s\n", how)
	}
	g.said = true
}

// onHangup takes up new certificates, a new policy and a new file for the decision
// log at SIGHUP.
func (g *gate) onHangup(ctx context.Context, hangup <-chan os.Signal, looks chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if g.certs != nil {
				g.certs.Reload()
			}
			if g.clients != nil {
				g.clients.current(true)
			}
			select {
			case looks <- struct{}{}:
			default: // it is about to look
			}
			go func() { // whose disk may hang
				if err := g.audit.Reopen(); err != nil {
					g.log.Error("the decision log cannot be opened anew; the file from before stays", "error", err)
				}
			}()
		}
	}
}
