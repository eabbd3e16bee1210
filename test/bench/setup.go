package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A bench is one run: a real server, a registry, a publisher with keys in memory.
type bench struct {
	ctx      context.Context
	bin, dir string
	rounds   int
	requests int

	server   *exec.Cmd
	url      string // of the server
	metrics  string // address of its metrics
	ca       []byte
	registry *counted
	image    string // app:1.0 in the registry
	index    v1.ImageIndex
	digest   string

	images []string // what deployed published

	account   client.Server
	publisher tuf.Signer
}

// counted is a registry that counts requests.
type counted struct {
	*httptest.Server
	requests chan struct{}
}

func (b *bench) start() error {
	if err := b.startServer(); err != nil {
		return err
	}
	b.registry = &counted{requests: make(chan struct{}, 1<<16)}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	b.registry.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.registry.requests <- struct{}{}
		inner.ServeHTTP(w, r)
	}))
	_, port, err := net.SplitHostPort(b.registry.Listener.Addr().String())
	if err != nil {
		return err
	}
	b.image = "localhost:" + port + "/team/app:1.0"
	if err := b.push(); err != nil {
		return err
	}
	return b.login()
}

// drain returns how many requests the registry saw since it was asked last.
func (c *counted) drain() int {
	for n := 0; ; n++ {
		select {
		case <-c.requests:
		default:
			return n
		}
	}
}

func (b *bench) startServer() error {
	ready := filepath.Join(b.dir, "ready")
	health, err := freePort()
	if err != nil {
		return err
	}
	listen, err := freePort()
	if err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(b.dir, "server.log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	// The server does not limit the rate of loopback.
	b.server = exec.Command(filepath.Join(b.bin, "signet-server"), "--listen", "localhost:"+listen, "--health-listen", "127.0.0.1:"+health,
		"--ready-file", ready)
	b.server.Dir, b.server.Stdout, b.server.Stderr = b.dir, logs, logs
	if err := b.server.Start(); err != nil {
		return err
	}
	if _, err := waitFor(ready, logs.Name()); err != nil {
		return fmt.Errorf("signet-server: %w", err)
	}
	b.url, b.metrics = "https://localhost:"+listen, "http://127.0.0.1:"+health+"/metrics"
	b.ca, err = os.ReadFile(filepath.Join(b.dir, "signet-data", "ca.pem"))
	return err
}

// waitFor waits for the file that a server writes when it is ready, and returns what
// it says.
func waitFor(ready, log string) ([]byte, error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if said, err := os.ReadFile(ready); err == nil {
			return said, nil
		}
	}
	printed, _ := os.ReadFile(log)
	return nil, fmt.Errorf("not ready in 30 s:\n%s", printed)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

func (b *bench) close() {
	if b.registry != nil {
		b.registry.Close()
	}
	if b.server != nil && b.server.Process != nil {
		if b.server.Process.Signal(syscall.SIGTERM) == nil {
			b.server.Wait()
		}
	}
}

// push pushes an index for three platforms.
func (b *bench) push() error {
	index, err := random.Index(1024, 1, 3)
	if err != nil {
		return err
	}
	hash, err := index.Digest()
	if err != nil {
		return err
	}
	b.index, b.digest = index, hash.String()
	return b.pushTo(b.image)
}

// pushTo pushes the same index under another name.
func (b *bench) pushTo(image string) error {
	ref, err := name.NewTag(image, name.Insecure)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, b.index)
}

// login asks the server for its signer's identity, as `signet login` does.
func (b *bench) login() error {
	token, err := os.ReadFile(filepath.Join(b.dir, "signet-data", "admin-token"))
	if err != nil {
		return err
	}
	b.account = client.Server{URL: b.url, CA: string(b.ca), Token: strings.TrimSpace(string(token))}
	if b.publisher, err = newKey(); err != nil {
		return err
	}
	info, err := (&client.Publisher{Client: client.New(client.Config{StateDir: filepath.Join(b.dir, "publisher")}), Server: b.account}).Info(b.ctx)
	if err != nil {
		return err
	}
	if info.Identity == nil {
		return errors.New("the server's signer has no identity")
	}
	b.account.Identity = info.Identity
	return nil
}

// newKey makes a publisher's key in memory.
func newKey() (tuf.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return tuf.NewSigner(private)
}

// publisherOf creates a repository and returns who can publish to it.
func (b *bench) publisherOf(repository string) (*client.Publisher, error) {
	keys := tuf.RoleKeys{Keys: []*tuf.Key{b.publisher.Key()}, Threshold: 1}
	state := filepath.Join(b.dir, "publisher")
	p := &client.Publisher{Client: client.New(client.Config{StateDir: state}), Server: b.account}
	done, err := p.Init(b.ctx, client.InitRequest{Repository: repository, Root: keys, Targets: keys, Signers: []tuf.Signer{b.publisher}})
	if err != nil {
		return nil, err
	}
	p.Client = client.New(client.Config{StateDir: state, Anchors: client.Anchors{*done.Anchor}})
	return p, nil
}

// served returns how many requests the server's main listener has answered.
func (b *bench) served() (int, error) {
	response, err := http.Get(b.metrics)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "signet_http_requests_total{") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				return 0, err
			}
			total += value
		}
	}
	return int(total), nil
}
