package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// asGate in the environment makes this test binary the gate.
const asGate = "TEST_BINARY_IS_THE_GATE"

func TestMain(m *testing.M) {
	if os.Getenv(asGate) != "" {
		main()
	}
	os.Exit(m.Run())
}

const exempt = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// aPolicy lets one digest run and asks no server.
const aPolicy = `version: 1
rules:
  - name: none
    images: [registry.example.com/none]
digests:
  - digest: ` + exempt + `
    images: [registry.example.com/app]
    reason: the tests need one
    until: 2100-01-01
`

// A room is a folder with a certificate and a policy.
type room struct {
	dir   string
	roots *x509.CertPool
}

func newRoom(t *testing.T) room {
	t.Helper()
	r := room{dir: t.TempDir(), roots: x509.NewCertPool()}
	r.certify(t)
	r.write(t, "policy.yaml", aPolicy)
	return r
}

func (r room) path(name string) string { return filepath.Join(r.dir, name) }

func (r room) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certify writes another certificate, which room's clients trust from now on.
func (r room) certify(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "node-1"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r.roots.AddCert(leaf)
	r.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	r.write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return leaf
}

// args are those of a gate in this room.
func (r room) args(name string, more ...string) []string {
	return append([]string{"--doors", "decide", "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--tls-cert", r.path("cert.pem"), "--tls-key", r.path("key.pem"),
		"--policy", r.path("policy.yaml"), "--state", r.path("state"), "--ready-file", r.path(name + ".ready"), "--drain", "1500ms", "--policy-every", "1h", "--decision-log", r.path("decisions")}, more...)
}

func (r room) client(h2 bool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: h2}}
}

// allowed asks the gate, and tells whether the answer was yes.
func allowed(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/decide", strings.NewReader(`{"image":"registry.example.com/app@`+exempt+`"}`))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"allowed":true`)) {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come about", what)
		}
	}
}

// A process is a gate that was started.
type process struct {
	cmd    *exec.Cmd
	ended  chan error
	output *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start starts a gate with the sockets of a supervisor, and waits until it is ready.
func (r room) start(t *testing.T, name string, sockets map[string]*os.File, args ...string) *process {
	t.Helper()
	return r.startTo(t, name, nil, sockets, args...)
}

// startTo is start with the gate's standard output at a file of the caller's.
func (r room) startTo(t *testing.T, name string, stdout *os.File, sockets map[string]*os.File, args ...string) *process {
	t.Helper()
	// LISTEN_PID is the gate's own, so the shell sets it, and becomes the gate.
	p := &process{cmd: exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0]}, args...)...), ended: make(chan error, 1), output: &output{}}
	p.cmd.Env = append(os.Environ(), asGate+"=1")
	var names []string
	for name, file := range sockets {
		names = append(names, name)
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, file)
	}
	if len(names) > 0 {
		p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it may have ended
	ready := r.path(name + ".ready")
	eventually(t, "the gate "+name, func() bool {
		select {
		case err := <-p.ended:
			t.Fatalf("the gate %s ended: %v\n%s", name, err, p.output)
		default:
		}
		_, err := os.Stat(ready)
		return err == nil
	})
	return p
}

// wait waits until a gate that was told to end has ended in good order.
func (p *process) wait(t *testing.T) {
	t.Helper()
	eventually(t, "the end of a gate", func() bool {
		select {
		case err := <-p.ended:
			if err != nil {
				t.Fatalf("the gate ended with %v\n%s", err, p.output)
			}
			return true
		default:
			return false
		}
	})
}

// loadPair returns the room's certificate as a client shows it.
func loadPair(r room) ([]tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(r.path("cert.pem"), r.path("key.pem"))
	return []tls.Certificate{pair}, err
}
