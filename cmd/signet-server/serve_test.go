package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// running is a server in this process, as main would run it.
type running struct {
	ready  ready
	stderr *syncBuffer
	stop   func() int // as SIGTERM would, and wait; returns the exit status
	done   <-chan int
}

func startServer(t *testing.T, data string, args ...string) *running {
	t.Helper()
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan int, 1)
	r := &running{stderr: &syncBuffer{}, done: exited}
	args = append([]string{"--data", data, "--listen", "localhost:0", "--health-listen", "127.0.0.1:0", "--ready-file", readyFile}, args...)
	go func() { exited <- run(ctx, args, nil, io.Discard, r.stderr) }()
	var once sync.Once
	status := 0
	r.stop = func() int {
		once.Do(func() {
			cancel()
			status = <-exited
		})
		return status
	}
	t.Cleanup(func() { r.stop() })
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if text, err := os.ReadFile(readyFile); err == nil {
			if err := json.Unmarshal(text, &r.ready); err != nil {
				t.Fatalf("ready file: %v", err)
			}
			return r
		}
		select {
		case status := <-exited:
			exited <- status
			t.Fatalf("exit %d: %s", status, r.stderr)
		case <-deadline:
			t.Fatalf("not ready: %s", r.stderr)
		case <-poll.C:
		}
	}
}

func (r *running) client(t *testing.T) *harness.Client {
	t.Helper()
	ca, err := os.ReadFile(r.ready.CA)
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(r.ready.Token)
	if err != nil {
		t.Fatal(err)
	}
	c := &harness.Client{URL: r.ready.URL, HTTP: harness.NewHTTPClient(ca), Token: strings.TrimSpace(string(token))}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The embedded default: everything is made at the first start, for the owner only,
// and is the same at the second.
func TestEmbeddedDefault(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := startServer(t, data)
	p := harness.NewPublisher(t, first.client(t), "registry.example/team/app")
	p.Init(t)
	if text := first.stderr.String(); !strings.Contains(text, "signet login "+first.ready.URL+" --ca "+filepath.Join(data, "ca.pem")+" --token-file ") {
		t.Errorf("it does not say what to do next:\n%s", text)
	}
	for _, name := range []string{"127.0.0.1", "[::1]", "localhost"} {
		c := first.client(t)
		_, port, err := net.SplitHostPort(strings.TrimPrefix(c.URL, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		conn := c.HTTP.Transport.(*http.Transport)
		conn.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(first.ready.URL, "https://"))
		}
		c.URL = "https://" + name + ":" + port
		if err := c.Call(t.Context(), http.MethodGet, api.TokenPath, nil, &api.TokenInfo{}); err != nil {
			t.Errorf("the certificate is not good for %s: %v", name, err)
		}
	}
	if status := first.stop(); status != 0 {
		t.Fatalf("exit %d: %s", status, first.stderr)
	}
	private := []string{"admin-token", "ca-key.pem", "key.pem", "signet.db"}
	if runtime.GOOS != "windows" {
		for _, name := range private {
			if info, err := os.Stat(filepath.Join(data, name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", name, info.Mode(), err)
			}
		}
		if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("data folder: %v %v", info.Mode(), err)
		}
	}
	kept := map[string][]byte{}
	for _, name := range []string{"admin-token", "ca.pem", "cert.pem"} {
		kept[name], _ = os.ReadFile(filepath.Join(data, name))
	}
	second := startServer(t, data)
	for name, before := range kept {
		if after, _ := os.ReadFile(filepath.Join(data, name)); !bytes.Equal(before, after) {
			t.Errorf("%s was made again", name)
		}
	}
	p.Client = second.client(t)
	p.Publish(t)
}

// A token file that was removed on purpose stays away.
func TestAdminTokenIsMadeOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := startServer(t, data)
	first.stop()
	if err := os.Remove(first.ready.Token); err != nil {
		t.Fatal(err)
	}
	if second := startServer(t, data); second.ready.Token != "" || exists(first.ready.Token) {
		t.Error("the admin token was made again")
	}
}

// SIGTERM lets a publish that was begun finish, and takes no new ones.
func TestShutdownFinishesAPublish(t *testing.T) {
	r := startServer(t, filepath.Join(t.TempDir(), "data"))
	p := harness.NewPublisher(t, r.client(t), "registry.example/team/app")
	p.Init(t)
	file := p.Next(t)
	body, err := json.Marshal(api.NewPublishRequest([]tuf.File{file}))
	if err != nil {
		t.Fatal(err)
	}
	// The body arrives in two halves, and the server is told to stop in between.
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.ready.URL+api.PublishPath(p.Repository), reader)
	if err != nil {
		t.Fatal(err)
	}
	// The client waits with the body until the handler asks for it, so that the
	// server has begun when the first half is written.
	p.Client.HTTP.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	req.Header.Set("Expect", "100-continue")
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", api.TypeJSON)
	req.Header.Set("Authorization", "Bearer "+p.Client.Token)
	answered := make(chan error, 1)
	go func() {
		resp, err := p.Client.HTTP.Do(req)
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				err = fmt.Errorf("answered %s", resp.Status)
			}
		}
		answered <- err
	}()
	if _, err := writer.Write(body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- r.stop() }()
	waitUntilRefused(t, strings.TrimPrefix(r.ready.URL, "https://"))
	_, err = writer.Write(body[len(body)/2:])
	writer.Close()
	if err = errors.Join(err, <-answered); err != nil {
		t.Fatalf("the publish that was begun: %v", err)
	}
	if status := <-stopped; status != 0 {
		t.Fatalf("exit %d: %s", status, r.stderr)
	}
}

func waitUntilRefused(t *testing.T, address string) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for range 2000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		conn.Close()
		<-poll.C
	}
	t.Fatal("new connections are still taken")
}

// A request that never finishes does not keep the server from stopping.
func TestShutdownIsBounded(t *testing.T) {
	r := startServer(t, filepath.Join(t.TempDir(), "data"), "--shutdown-timeout", "200ms")
	ca, err := os.ReadFile(r.ready.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.ready.URL, "https://"), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/publish/registry.example/app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	r.stop()
	if exists(filepath.Join(filepath.Dir(r.ready.CA), "ready.json")) {
		t.Error("the ready file is still there")
	}
}

func TestStartFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := func() string { return filepath.Join(t.TempDir(), "data") }
	for name, c := range map[string]struct {
		args []string
		says string
		hint string
	}{
		"the port is taken":     {[]string{"--data", data(), "--listen", taken.Addr().String(), "--health-listen", "off"}, "--listen", "another program has that address"},
		"no such certificate":   {[]string{"--data", data(), "--tls-cert", "/nowhere", "--tls-key", "/nowhere"}, "--tls-key", "look at the name of the file"},
		"no such database":      {[]string{"--data", data(), "--database", "mysql://x/y"}, "expected sqlite:PATH or", "--database-file"},
		"data is a file":        {[]string{"--data", write(t, "data", "", 0o600)}, "--data: data folder", "give --data a folder"},
		"a name that is none":   {[]string{"--data", data(), "--tls-name", "not a name"}, "--tls-name", ""},
		"no folder for ready":   {[]string{"--data", data(), "--listen", "localhost:0", "--health-listen", "off", "--ready-file", "/nowhere/ready"}, "--ready-file", "look at the name of the file"},
		"no signer certificate": {[]string{"--data", data(), "--signer", "https://localhost:1", "--signer-ca", "/nowhere", "--signer-cert", "/nowhere", "--signer-key", "/nowhere"}, "/nowhere", "--signer-ca"},
	} {
		status, _, stderr := call(t, nil, c.args...)
		if status != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, expected 1 and %q in %q", name, status, c.says, stderr)
		}
		if _, hint, _ := strings.Cut(stderr, "\nhint: "); (hint == "") != (c.hint == "") || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: expected the hint %q in %q", name, c.hint, stderr)
		}
	}
}

// With --log-format json every line is JSON: where the server is, and what keeps it from
// starting, options that make no sense too.
func TestEveryLineIsJSON(t *testing.T) {
	r := startServer(t, filepath.Join(t.TempDir(), "data"), "--log-format", "json")
	if status := r.stop(); status != 0 {
		t.Errorf("exit %d", status)
	}
	text := r.stderr.String()
	for _, args := range [][]string{
		{"--reads", "nobody"},
		{"--config", "/nowhere/config.yaml"},
		{"--data", write(t, "data", "", 0o600)},
	} {
		status, _, stderr := call(t, nil, append(args, "--log-format", "json")...)
		if status == 0 || !strings.Contains(stderr, `"level":"ERROR"`) || !strings.Contains(stderr, `"hint":"`) {
			t.Errorf("%s: exit %d: %s", args, status, stderr)
		}
		text += stderr
	}
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	for _, has := range []string{`"url":"` + r.ready.URL + `"`, `"identity":"`, `"token_file":"` + r.ready.Token + `"`, `"at_most":"30s"`} {
		if !strings.Contains(text, has) {
			t.Errorf("no line has %s:\n%s", has, text)
		}
	}
}

// The own certificate is renewed while the server runs; the CA stays.
func TestCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	ca := ownCA{folder: t.TempDir()}
	certs, err := program.NewCertificates(ca.load, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() *x509.Certificate {
		t.Helper()
		c, err := certs.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	first := shown()
	authority, err := os.ReadFile(filepath.Join(ca.folder, caFile))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(certLife / 2)
	if !shown().Equal(first) {
		t.Error("renewed at half of its life")
	}
	now = now.Add(certLife / 4)
	second := shown()
	if second.Equal(first) || !second.NotAfter.After(first.NotAfter) {
		t.Error("not renewed in the last third of its life")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	if _, err := second.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost", CurrentTime: now}); err != nil {
		t.Errorf("clients that trust the CA do not trust the new certificate: %v", err)
	}
	// A further name is a new certificate.
	more, err := ownCA{folder: ca.folder, names: []string{"signet.example", "10.0.0.1"}}.load(now)
	if err != nil || more.Leaf.VerifyHostname("signet.example") != nil || more.Leaf.VerifyHostname("10.0.0.1") != nil {
		t.Errorf("further names: %v", err)
	}
}

// Files that are replaced are taken up, and half of a replacement is not.
func TestCertificateFilesAreReloaded(t *testing.T) {
	folder := t.TempDir()
	ca := ownCA{folder: folder}
	now := time.Now()
	if _, err := ca.load(now); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(folder, certFile), filepath.Join(folder, certKeyFile)
	certs, err := program.NewCertificates(program.LoadCertificate(cert, key), func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := certs.Certificate(nil)
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	certs.Reload()
	if again, _ := certs.Certificate(nil); again != first {
		t.Error("a certificate without its key was taken")
	}
	if err := errors.Join(os.Remove(cert), os.Remove(key)); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.load(now); err != nil {
		t.Fatal(err)
	}
	certs.Reload()
	if again, _ := certs.Certificate(nil); again == first {
		t.Error("the new certificate was not taken")
	}
}

// A signer in this process that does not know a repository takes it as it is only
// while the operator says so.
func TestAdoptExisting(t *testing.T) {
	const app = "registry.example/team/app"
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	p := harness.NewPublisher(t, s.client(t), app)
	p.Init(t)
	p.Publish(t)
	s.stop()
	keys, err := signer.Open(t.Context(), signer.Config{Dir: filepath.Join(data, signerFolder)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Forget(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, data)
	if _, err := s.client(t).Publish(t.Context(), app, p.Next(t)); !errors.Is(err, tuf.RuleVersion) {
		t.Fatalf("got %v, expected rule %s", err, tuf.RuleVersion)
	}
	s.stop()
	s = startServer(t, data, "--adopt-existing")
	if _, err := s.client(t).Publish(t.Context(), app, p.SignTargets(t)); err != nil {
		t.Fatal(err)
	}
}
