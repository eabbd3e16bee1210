// Package harness runs the metadata server and the signer in the test's process:
// a real store, a real signer, real HTTP over TLS on loopback. What a test cannot
// wait for or cause is settable: the clock, and faults of signer and store.
//
//	h := harness.Start(t)
//	p := h.Publisher(t, "registry.example/team/app")
//	p.Init(t)
//	p.Tag("1.0", digest)
//	p.Publish(t)
package harness

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/signer"
)

// A Config says what is not as usual. Server's Store, Signer, Now and Log, and
// Signer's Dir and Now, are filled in.
type Config struct {
	Database string // URL; default an SQLite file of its own
	Server   server.Config
	Signer   signer.Config
	Log      *slog.Logger // default: nothing
	Wrap     func(http.Handler) http.Handler
}

// A Harness is a server with its signer and store.
type Harness struct {
	URL        string       // https://127.0.0.1:PORT
	HealthURL  string       // http://127.0.0.1:PORT, of /healthz, /readyz and /metrics
	CA         []byte       // PEM of the certificate to trust
	CAFile     string       // the same, in a file
	HTTP       *http.Client // trusts CA
	AdminToken string
	Clock      *Clock

	Store  *store.DB       // what the server stores into
	Signer *signer.Service // what signs
	Server *server.Server
	HTTPD  *httptest.Server

	SignerFaults *Faults // faults of the signer, as the server sees it
	StoreFaults  *Faults // faults of the store, as the server sees it
}

// Start starts server and signer, and stops them when the test ends. The refresh
// in the background is not started: call Server.RefreshDue, or run Server.Run.
func Start(t testing.TB, change ...func(*Config)) *Harness {
	t.Helper()
	dir := t.TempDir()
	c := Config{Database: "sqlite:" + filepath.Join(dir, "signet.db"), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	h := &Harness{Clock: &Clock{}, SignerFaults: &Faults{}, StoreFaults: &Faults{}}
	ctx := context.Background()
	var err error
	if h.Store, err = store.Open(ctx, c.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, h.Store.Close()) })
	if c.Signer.Dir == "" {
		c.Signer.Dir = filepath.Join(dir, "signer")
	}
	c.Signer.Now = h.Clock.Now
	if h.Signer, err = signer.Open(ctx, c.Signer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, h.Signer.Close()) })

	c.Server.Store = NewStore(h.Store, h.StoreFaults)
	c.Server.Signer = faultySigner{h.Signer, h.SignerFaults}
	c.Server.Now, c.Server.Log = h.Clock.Now, c.Log
	if c.Server.Version == "" {
		c.Server.Version = "test"
	}
	h.Server = server.New(c.Server)
	h.serve(t, c)
	h.AdminToken = h.Token(t, []string{api.ScopeAdmin}, "**")
	return h
}

func (h *Harness) serve(t testing.TB, c Config) {
	handler := h.Server.Handler()
	if c.Wrap != nil {
		handler = c.Wrap(handler)
	}
	h.HTTPD = httptest.NewUnstartedServer(handler)
	h.HTTPD.Config = server.HTTPServer(handler, c.Log)
	h.HTTPD.EnableHTTP2 = true
	h.HTTPD.StartTLS()
	t.Cleanup(h.HTTPD.Close)
	health := httptest.NewServer(h.Server.Health())
	t.Cleanup(health.Close)
	h.URL, h.HealthURL = h.HTTPD.URL, health.URL

	h.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.HTTPD.Certificate().Raw})
	h.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(h.CAFile, h.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	h.HTTP = NewHTTPClient(h.CA)
	t.Cleanup(h.HTTP.CloseIdleConnections)
}

// NewHTTPClient returns a client that trusts the certificates in ca and follows
// no redirect.
func NewHTTPClient(ca []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig.RootCAs = pool
	transport.DisableCompression = true
	return &http.Client{
		Transport:     transport,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Token makes a token with scopes on repositories (patterns).
func (h *Harness) Token(t testing.TB, scopes []string, repositories ...string) string {
	t.Helper()
	return h.ExpiringToken(t, time.Time{}, scopes, repositories...)
}

// ExpiringToken makes a token that expires.
func (h *Harness) ExpiringToken(t testing.TB, expires time.Time, scopes []string, repositories ...string) string {
	t.Helper()
	secret, token, hash, err := server.NewToken("test", scopes, repositories, h.Clock.Now(), expires)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Store.CreateToken(context.Background(), store.Token(token), hash); err != nil {
		t.Fatal(err)
	}
	return secret
}

// Client returns a client of the server that shows token ("": none).
func (h *Harness) Client(token string) *Client {
	return &Client{URL: h.URL, Token: token, HTTP: h.HTTP}
}

// Publisher returns a publisher for repository with fresh keys and the admin token.
func (h *Harness) Publisher(t testing.TB, repository string) *Publisher {
	t.Helper()
	p := NewPublisher(t, h.Client(h.AdminToken), repository)
	p.Now = h.Clock.Now
	return p
}

// closed reports what went wrong, but for a database that a test has taken away.
func closed(t testing.TB, err error) {
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("close: %v", err)
	}
}

// A Clock is the time of the machine, moved by what a test says.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
