package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// authority is a private CA in a folder of its own.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.Subject = pkix.Name{CommonName: name}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.BasicConstraintsValid = true
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) files(name string) TLSFiles {
	return TLSFiles{CA: filepath.Join(a.dir, "ca.pem"), Certificate: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key")}
}

// pair issues a certificate for the signer and one for its caller.
func (a *authority) pair() {
	a.issue("signer", &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.issue("server", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// fake answers what it is told to.
type fake struct {
	key  *tuf.Key
	last *Last
	err  error
}

func (f *fake) Identity(context.Context) (*Identity, error) {
	return &Identity{Key: f.key, SnapshotLife: 7 * 24 * time.Hour, TimestampLife: 24 * time.Hour}, f.err
}
func (f *fake) OnlineKeys(_ context.Context, repository string) ([]OnlineKey, error) {
	return []OnlineKey{{Repository: repository, Role: tuf.RoleSnapshot, Key: f.key, Signature: []byte{1}}}, f.err
}

func (f *fake) FreshOnlineKeys(_ context.Context, repository string, roles []string) ([]OnlineKey, error) {
	return []OnlineKey{{Repository: repository, Role: tuf.RoleSnapshot, Key: f.key, Signature: []byte{1}}}, f.err
}
func (f *fake) Sign(_ context.Context, r SignRequest) (*Signed, error) { return &f.last.Signed, f.err }
func (f *fake) Refresh(context.Context, RefreshRequest) (*Signed, error) {
	return &f.last.Signed, f.err
}
func (f *fake) Last(context.Context, string) (*Last, error) { return f.last, f.err }

func newFake(t *testing.T) *fake {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return &fake{key: key, last: &Last{
		Root:  []byte("root"),
		Roles: []tuf.File{{Role: "targets", Version: 2, Bytes: []byte("targets")}},
		Signed: Signed{Snapshot: tuf.File{Role: "snapshot", Version: 3, Bytes: []byte("snapshot")},
			Timestamp: tuf.File{Role: "timestamp", Version: 4, Bytes: []byte("timestamp")}},
	}}
}

// listen serves f with the signer's files and returns its address.
func listen(t *testing.T, f *fake, files TLSFiles) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server, err := NewServer("", NewHandler(f, func(context.Context) error { return f.err }, log), files, log)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://localhost:" + port
}

func newTestClient(t *testing.T, url string, files TLSFiles) *Client {
	t.Helper()
	client, err := NewClient(ClientConfig{URL: url, TLS: files, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestClientHearsWhatTheSignerSays(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	f := newFake(t)
	client := newTestClient(t, listen(t, f, ca.files("signer")), ca.files("server"))
	identity, err := client.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !identity.Key.Equal(f.key) || identity.SnapshotLife != 7*24*time.Hour || identity.TimestampLife != 24*time.Hour {
		t.Errorf("identity %+v", identity)
	}
	keys, err := client.OnlineKeys(t.Context(), app)
	if err != nil || len(keys) != 1 || keys[0].Repository != app || keys[0].Key.ID() != f.key.ID() {
		t.Errorf("online keys %+v, %v", keys, err)
	}
	request := SignRequest{Repository: app, Roots: [][]byte{{1}}, Roles: f.last.Roles}
	signed, err := client.Sign(t.Context(), request)
	if err != nil || cmp.Diff(&f.last.Signed, signed) != "" {
		t.Errorf("signed %+v, %v", signed, err)
	}
	refresh := RefreshRequest{Repository: app, SnapshotVersion: 3, SnapshotSHA256: f.last.Snapshot.SHA256()}
	if signed, err = client.Refresh(t.Context(), refresh); err != nil || cmp.Diff(&f.last.Signed, signed) != "" {
		t.Errorf("refreshed %+v, %v", signed, err)
	}
	last, err := client.Last(t.Context(), app)
	if err != nil || cmp.Diff(f.last, last) != "" {
		t.Errorf("last %+v, %v", last, err)
	}
	if err := client.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	f.err = tuf.ErrConflict
	if _, err := client.Sign(t.Context(), request); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("got %v, expected %v", err, tuf.ErrConflict)
	}
	f.err = errors.New("no disk")
	if err := client.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, expected %v", err, ErrUnavailable)
	}
}

func TestOnlyThePairMayTalk(t *testing.T) {
	ca, eve := newAuthority(t), newAuthority(t)
	ca.pair()
	eve.pair()
	ca.issue("expired", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(-time.Minute)})
	ca.issue("elsewhere", &x509.Certificate{DNSNames: []string{"elsewhere"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	good := ca.files("signer")
	eves := eve.files("server")
	eves.CA = good.CA
	tests := []struct {
		name           string
		signer, caller TLSFiles
		want           error
	}{
		{"the pair", good, ca.files("server"), nil},
		{"a caller of another CA", good, eves, ErrUnavailable},
		{"a caller whose certificate expired", good, ca.files("expired"), ErrUnavailable},
		{"the signer's own certificate as a caller's", good, good, ErrUnavailable},
		{"a signer of another CA", eve.files("signer"), ca.files("server"), ErrUnavailable},
		{"a caller's certificate as the signer's", ca.files("server"), ca.files("server"), ErrUnavailable},
		{"a signer with another name", ca.files("elsewhere"), ca.files("server"), ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := newTestClient(t, listen(t, newFake(t), test.signer), test.caller)
			if _, err := client.Identity(t.Context()); !errors.Is(err, test.want) {
				t.Fatalf("got %v, expected %v", err, test.want)
			}
		})
	}
}

func TestNoCertificateNoOldTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	url := listen(t, newFake(t), ca.files("signer"))
	pair, err := ca.files("server").load()
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": {RootCAs: pair.pool},
		"TLS 1.2":        {RootCAs: pair.pool, Certificates: []tls.Certificate{pair.cert}, MaxVersion: tls.VersionTLS12},
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		resp, err := client.Get(url + "/v1/identity")
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered %s", name, resp.Status)
		}
		client.CloseIdleConnections()
	}
}

// Certificates are replaced on disk while both sides run.
func TestCertificatesAreReplacedWhileRunning(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	client := newTestClient(t, listen(t, newFake(t), ca.files("signer")), ca.files("server"))
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	ca.cert, ca.key = nil, nil
	ca.cert, ca.key = ca.issue("ca", &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	ca.pair()
	if err := client.Close(); err != nil { // so that the next call connects anew
		t.Fatal(err)
	}
	if err := client.Ready(t.Context()); err != nil {
		t.Fatalf("after both certificates and the CA were replaced: %v", err)
	}
}

func TestFilesThatCannotServe(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	open := ca.files("server")
	open.Key = filepath.Join(t.TempDir(), "open.key")
	data, err := os.ReadFile(ca.files("server").Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open.Key, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	mixed := ca.files("server")
	mixed.Key = ca.files("signer").Key
	noCA := ca.files("server")
	noCA.CA = noCA.Key
	for name, files := range map[string]TLSFiles{
		"none": {}, "a key that others may read": open, "another key": mixed, "a CA without certificates": noCA, "a file that is not there": {CA: "no", Certificate: "no", Key: "no"},
	} {
		if _, err := NewClient(ClientConfig{URL: "https://localhost:1", TLS: files}); err == nil {
			t.Errorf("%s: accepted by the client", name)
		}
		if _, err := NewServer("", nil, files, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted by the server", name)
		}
	}
	for _, url := range []string{"", "localhost:4444", "http://localhost:4444", "https://user:pass@localhost", "https://localhost/path", "https://localhost?a=b"} {
		_, err := NewClient(ClientConfig{URL: url, TLS: ca.files("server")})
		if err == nil || strings.Contains(err.Error(), "pass@") {
			t.Errorf("address %q: %v", url, err)
		}
	}
}

func TestSignerThatIsNotThere(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	client := newTestClient(t, "https://"+addr, ca.files("server"))
	if _, err := client.Last(t.Context(), app); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, expected %v", err, ErrUnavailable)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Last(ctx, app); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, expected %v: who gave up is told so", err, context.Canceled)
	}
}

// endless is a body that does not end.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestBodiesAreBounded(t *testing.T) {
	ca := newAuthority(t)
	ca.pair()
	url := listen(t, newFake(t), ca.files("signer"))
	client := newTestClient(t, url, ca.files("server"))
	tests := []struct {
		name   string
		body   io.Reader
		length int64
		media  string
		want   int
	}{
		{"a body that does not end", &endless{}, -1, "application/json", http.StatusRequestEntityTooLarge},
		{"a length beyond the limit", &endless{}, MaxBody + 1, "application/json", http.StatusRequestEntityTooLarge},
		{"no JSON", strings.NewReader("hello"), 5, "application/json", http.StatusBadRequest},
		{"an unknown member", strings.NewReader(`{"repository":"a","x":1}`), 24, "application/json", http.StatusBadRequest},
		{"another type", strings.NewReader("{}"), 2, "text/plain", http.StatusBadRequest},
		{"a name that is none", strings.NewReader(`{"repository":"../x"}`), 21, "application/json", http.StatusUnprocessableEntity},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/last", test.body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = test.length
			req.Header.Set("Content-Type", test.media)
			resp, err := client.http.Do(req)
			if e, ok := test.body.(*endless); ok && e.read.Load() > 2*MaxBody {
				t.Fatalf("%d bytes were taken", e.read.Load())
			}
			if err != nil {
				// The signer answers and hangs up; what arrives first is a race.
				if _, ok := test.body.(*endless); !ok {
					t.Fatal(err)
				}
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.want || resp.Header.Get("Content-Type") != ProblemType {
				t.Fatalf("answered %s of type %s, expected %d", resp.Status, resp.Header.Get("Content-Type"), test.want)
			}
		})
	}
	resp, err := client.http.Get(url + "/v1/sign")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("GET of a POST answered %s", resp.Status)
	}
}
