package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// checkAddress refuses what is not a server's base address, and plain HTTP for
// other than loopback addresses unless that is allowed. It returns the address
// without a last '/'.
func checkAddress(server string, plainHTTP bool) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("%q is not a server's address, such as https://signet.example.com", server)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return "", fmt.Errorf("a server's address has no user, '?' or '#', as %q does", u.Redacted())
	}
	if u.Scheme == "http" && !plainHTTP && !isLoopback(u.Hostname()) {
		return "", fmt.Errorf("%q is plain HTTP, which is used for loopback addresses only unless it is allowed in words", server)
	}
	return strings.TrimRight(server, "/"), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// fetchers keeps one transport for each set of authorities, so that questions
// about many images share connections.
type fetchers struct {
	mu         sync.Mutex
	transports map[string]http.RoundTripper // by CA
}

// transport returns what carries requests to servers vouched for by ca.
func (c *Client) transport(ca string) http.RoundTripper {
	if c.config.Transport != nil {
		return c.config.Transport
	}
	c.fetcher.mu.Lock()
	defer c.fetcher.mu.Unlock()
	if t, ok := c.fetcher.transports[ca]; ok {
		return t
	}
	t := newTransport(ca, c.config.Timeouts, c.config.Now)
	if c.fetcher.transports == nil {
		c.fetcher.transports = map[string]http.RoundTripper{}
	}
	c.fetcher.transports[ca] = t
	return t
}

func newTransport(ca string, timeouts Timeouts, now func() time.Time) http.RoundTripper {
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: now}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: timeouts.Connect}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    timeouts.Connect,
		ResponseHeaderTimeout:  timeouts.Header,
		DisableCompression:     true, // a small body could become an endless one
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        30 * time.Second,
	}
}

// A remote is one server as one client reaches it.
type remote struct {
	base      string // without a last '/'
	transport http.RoundTripper
	timeouts  Timeouts
	userAgent string
	token     string
}

// remote returns the server with a base address.
func (c *Client) remote(address, ca string, plainHTTP bool, token string) (*remote, error) {
	base, err := checkAddress(address, plainHTTP)
	if err != nil {
		return nil, &ServerError{Server: address, Trouble: TroubleAddress, Detail: err.Error()}
	}
	return &remote{base: base, transport: c.transport(ca), timeouts: c.config.Timeouts, userAgent: c.config.UserAgent, token: token}, nil
}

// an answer is one response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// once sends one request and reads at most max bytes of the answer. It follows no
// redirect, asks for no compression and takes none. However slowly the server
// drips, it ends in time.
func (r *remote) once(ctx context.Context, method, path string, header http.Header, body []byte, max int64) (*answer, error) {
	allowed := r.timeouts.Connect + r.timeouts.Header + r.timeouts.Body + time.Duration((max+int64(len(body)))/(32<<10))*time.Second
	ctx, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, reader)
	if err != nil {
		return nil, &ServerError{Server: r.base, Trouble: TroubleAddress, Detail: err.Error()}
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", r.userAgent)
	request.Header.Set("Accept-Encoding", "identity")
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	// The transport alone, rather than an http.Client: it follows no redirects.
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		return nil, Explain(r.base, err)
	}
	defer response.Body.Close()
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, &ServerError{Server: r.base, Trouble: TroubleEncoding, Detail: fmt.Sprintf("it answered with the encoding %.40q, which was not asked for", encoding)}
	}
	if response.StatusCode != http.StatusOK {
		max = api.MaxSmallBody // of an error, only the beginning matters
	}
	data, err := readBody(response, max)
	if err == nil {
		err = ctx.Err() // a server that notices the end of our patience may still end its body
	}
	if err != nil {
		return nil, Explain(r.base, err)
	}
	if response.StatusCode == http.StatusOK && int64(len(data)) > max {
		return nil, &tuf.Refusal{Rule: tuf.RuleLimit, Clause: "TUF §5.3.3, §5.4.1, §5.5.1, §5.6.1",
			Detail: fmt.Sprintf("%s serves more than the %d bytes that are allowed for %s", r.base, max, path)}
	}
	return &answer{status: response.StatusCode, header: response.Header, body: data}, nil
}

// readBody reads at most max+1 bytes.
func readBody(response *http.Response, max int64) ([]byte, error) {
	if n := response.ContentLength; n >= 0 && n <= max {
		data := make([]byte, n)
		_, err := io.ReadFull(response.Body, data)
		return data, err
	}
	return io.ReadAll(io.LimitReader(response.Body, max+1))
}

// fetch returns the FetchFunc for one repository.
func (r *remote) fetch(repository string) FetchFunc {
	return func(ctx context.Context, name string, max int64, etag string) (Fetched, error) {
		header := http.Header{}
		if etag != "" {
			header.Set("If-None-Match", etag)
		}
		a, err := r.do(ctx, http.MethodGet, api.FilePath(repository, name), header, nil, max)
		if err != nil {
			return Fetched{}, err
		}
		switch {
		case a.status == http.StatusOK:
			return Fetched{Bytes: a.body, ETag: a.header.Get("ETag")}, nil
		case a.status == http.StatusNotModified && etag != "":
			return Fetched{ETag: etag, NotModified: true}, nil
		}
		return Fetched{}, r.trouble(a, "file "+name+" of "+repository)
	}
}

// trouble turns an answer other than 200 into an error.
func (r *remote) trouble(a *answer, what string) error {
	e := &ServerError{Server: r.base, Trouble: TroubleStatus, Err: api.ReadProblem(a.status, a.header.Get("Content-Type"), a.body)}
	kind := a.header.Get("Content-Type")
	switch {
	case a.status == http.StatusNotFound, a.status == http.StatusGone,
		a.status == http.StatusForbidden && !strings.HasPrefix(kind, api.TypeProblem): // what object stores say of a missing file
		e.Trouble, e.Detail = TroubleNotFound, "it has no "+what
	case a.status/100 == 3:
		e.Trouble, e.Detail = TroubleRedirect, fmt.Sprintf("it redirects (%d), which is not followed", a.status)
	case a.status == http.StatusUnauthorized && r.token != "":
		e.Detail = "it does not take the token: " + e.Err.Error()
	case a.status == http.StatusUnauthorized:
		e.Detail = "it asks for a token"
	default:
		e.Detail = e.Err.Error()
	}
	return e
}

// isTLS tells whether err is about TLS itself.
func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	// net/http puts some of TLS's errors into words of its own.
	return strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "HTTP response to HTTPS client")
}
