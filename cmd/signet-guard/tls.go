package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
)

// recheck is how often a handshake looks for other authorities.
const recheck = 10 * time.Second

// authorities are those of clients' certificates, replaced while the gate runs when
// their file changes.
type authorities struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	data    []byte
	pool    *x509.CertPool
	checked time.Time
}

// newAuthorities reads the file, which must work the first time.
func newAuthorities(path string, log *slog.Logger) (*authorities, error) {
	a := &authorities{path: path, log: log}
	return a, a.read()
}

func (a *authorities) read() error {
	a.checked = time.Now()
	data, err := os.ReadFile(a.path)
	if err != nil {
		return fmt.Errorf("--client-ca: %w", err)
	}
	if bytes.Equal(data, a.data) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return program.Advise(fmt.Errorf("--client-ca: %s holds no PEM certificate", a.path), "give the certificate of the authority that clients' certificates are by, in PEM")
	}
	a.data, a.pool = data, pool
	return nil
}

// current returns the authorities that hold now. Those from before stay when the file
// does not work: it may be being replaced.
func (a *authorities) current(force bool) *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if force || time.Since(a.checked) >= recheck {
		if err := a.read(); err != nil {
			a.log.Error("reload the authorities of clients; those from before stay", "error", err)
		}
	}
	return a.pool
}

// serverTLS returns the configuration of a listener. protocols are those of ALPN.
func serverTLS(certs *program.Certificates, clients *authorities, protocols ...string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.Certificate, NextProtos: protocols}
	if clients == nil {
		return config
	}
	// A resumed session would carry a certificate past its authority's removal.
	config.SessionTicketsDisabled = true
	config.ClientAuth = tls.VerifyClientCertIfGiven // the door says whether it demands one
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		fresh := config.Clone()
		fresh.GetConfigForClient = nil
		fresh.ClientCAs = clients.current(false)
		return fresh, nil
	}
	return config
}
