// Package attack plays those who stand between a client and an honest metadata
// server, and the hostile server itself: they replay, freeze, mix, flip,
// truncate, flood and stall.
//
//	proxy, err := attack.New("https://localhost:4443", ca)
//	server := httptest.NewServer(proxy)
//	yesterday, err := proxy.Record(ctx, "registry.example/team/app")
//	proxy.Set(attack.Replay(yesterday))            // a server restored from a backup
//	proxy.Set(attack.Flip("targets", -40))         // one bit, on the way
//	proxy.Set()                                    // honest again
//
// An attack changes answers, one file at a time; whoever writes one needs no
// keys. It is test code: no shipped binary links it.
package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxBody is more than any honest file has.
const maxBody = 64 << 20

// An Answer is what a client is about to get.
type Answer struct {
	Method, Path string // of the request
	Repository   string // whose file was asked for; "" when it was something else
	File         string // its name, "3.root.json"
	Status       int
	Header       http.Header
	Body         []byte
	// Write, when set, writes the body in place of Body.
	Write func(w http.ResponseWriter, r *http.Request)
}

// Role is the role whose file was asked for.
func (a *Answer) Role() string {
	name := strings.TrimSuffix(a.File, ".json")
	if _, role, ok := strings.Cut(name, "."); ok {
		return role
	}
	return name
}

// An Attack changes an answer.
type Attack func(*Answer)

// A Proxy stands before a metadata server. The attacks of this package change reads
// of metadata only; one of a test's own may change any answer.
type Proxy struct {
	upstream string
	client   *http.Client

	mu       sync.Mutex
	attacks  []Attack
	requests []string
}

// New returns a proxy for the server at base address upstream, whose
// certificates are signed by ca (PEM; nil: the system's).
func New(upstream string, ca []byte) (*Proxy, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca holds no PEM certificate")
		}
	}
	return &Proxy{
		upstream: strings.TrimRight(upstream, "/"),
		client: &http.Client{
			Transport: &http.Transport{TLSClientConfig: config, DisableCompression: true},
			Timeout:   time.Minute,
		},
	}, nil
}

// Set makes these the attacks, in order, in place of those before. None makes
// the proxy honest.
func (p *Proxy) Set(attacks ...Attack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attacks = attacks
}

// Requests returns what was asked since the last call: "GET /tuf/...".
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

// ServeHTTP passes a request on, and attacks the answer.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	attacks := p.attacks
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	p.mu.Unlock()
	answer, err := p.ask(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, attack := range attacks {
		attack(answer)
	}
	if answer.Write != nil {
		answer.Write(w, r)
		return
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Cache-Control", "Location"} {
		if v := answer.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body) // a client that hung up has had enough
}

// ask gets the honest answer. Conditions are not passed on, so that there is
// always a body to attack.
func (p *Proxy) ask(r *http.Request) (*Answer, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, p.upstream+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "Content-Type", "Accept", "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			request.Header.Set(name, v)
		}
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer := &Answer{Method: r.Method, Path: r.URL.Path, Status: response.StatusCode, Header: response.Header}
	if answer.Body, err = io.ReadAll(io.LimitReader(response.Body, maxBody)); err != nil {
		return nil, err
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/tuf/"); ok && r.Method == http.MethodGet {
		if slash := strings.LastIndexByte(path, '/'); slash > 0 {
			answer.Repository, answer.File = path[:slash], path[slash+1:]
		}
	}
	return answer, nil
}

// get fetches one file from the honest server; nil when it has none.
func (p *Proxy) get(ctx context.Context, repository, file string) ([]byte, error) {
	url := p.upstream + "/tuf/" + repository + "/" + file
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(response.Body, maxBody))
	case http.StatusNotFound:
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %s", url, response.Status)
}
