package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

// TLSFiles are the PEM files of one side of mutual TLS.
type TLSFiles struct {
	CA          string // certificates of the private CA that signed the other side's
	Certificate string // this side's certificate
	Key         string // its private key, readable by its owner only
}

// NewServer returns a server for handler that speaks TLS 1.3 only and turns away
// whoever shows no client certificate of the CA. Start it with
// ListenAndServeTLS("", ""), or ServeTLS. Files are read anew for each
// connection, so that certificates can be replaced while it runs.
func NewServer(addr string, handler http.Handler, files TLSFiles, log *slog.Logger) (*http.Server, error) {
	config, err := files.server()
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Addr:              addr,
		Handler:           handler,
		TLSConfig:         config,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      90 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	return server, nil
}

// pair is what the files hold.
type pair struct {
	pool *x509.CertPool
	cert tls.Certificate
}

func (f TLSFiles) load() (*pair, error) {
	if f.CA == "" || f.Certificate == "" || f.Key == "" {
		return nil, errors.New("mutual TLS needs three files: the CA, a certificate and its key")
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	p := &pair{pool: x509.NewCertPool()}
	if !p.pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("CA %s: no certificate in it", f.CA)
	}
	info, err := os.Stat(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("private key %s has mode %04o; it must not be open to others: chmod 600", f.Key, info.Mode().Perm())
	}
	if p.cert, err = tls.LoadX509KeyPair(f.Certificate, f.Key); err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", f.Certificate, err)
	}
	return p, nil
}

// A reloader returns the newest pair that could be read. Files that are being
// replaced do not end a service: the pair from before holds until both fit.
type reloader struct {
	files TLSFiles
	mu    sync.Mutex
	good  *pair
}

func newReloader(files TLSFiles) (*reloader, error) {
	good, err := files.load()
	if err != nil {
		return nil, err
	}
	return &reloader{files: files, good: good}, nil
}

func (r *reloader) pair() *pair {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fresh, err := r.files.load(); err == nil {
		r.good = fresh
	}
	return r.good
}

func (f TLSFiles) server() (*tls.Config, error) {
	files, err := newReloader(f)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			p := files.pair()
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   []string{"http/1.1"},
				Certificates: []tls.Certificate{p.cert},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    p.pool,
				// A resumed session would outlive a CA that was replaced.
				SessionTicketsDisabled: true,
			}, nil
		},
	}, nil
}

// dialer returns what the client's transport makes connections with.
func (f TLSFiles) dialer(host string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	files, err := newReloader(f)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		p := files.pair()
		d := tls.Dialer{
			NetDialer: &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second},
			Config: &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   []string{"http/1.1"},
				ServerName:   host,
				RootCAs:      p.pool,
				Certificates: []tls.Certificate{p.cert},
			},
		}
		return d.DialContext(ctx, network, addr)
	}, nil
}
