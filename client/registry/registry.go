// Package registry asks a registry what it serves under a tag, and keeps single files
// there as artifacts, which are signed as images are. What it answers
// is not trusted: a publisher looks at it before signing, and a verifier can
// compare it with what was signed.
//
// It stands apart from package client, so that a verifier that asks no registry
// links none of it. Credentials are those of docker's configuration and its
// helpers. Plain HTTP is used for loopback registries only, or when the caller
// allows it in words.
package registry

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A Config says how registries are reached. The zero value is usable.
type Config struct {
	// CA is the PEM of authorities beside the system's, for private registries.
	CA []byte
	// PlainHTTP allows http:// for other than loopback registries.
	PlainHTTP bool
	// Timeout bounds one question; default 60 s.
	Timeout time.Duration
	// UserAgent is sent with every request; empty means "signet".
	UserAgent string
	// Keychain finds credentials; nil means docker's configuration.
	Keychain authn.Keychain
	// Transport carries requests in place of one made from CA, for tests.
	Transport http.RoundTripper
}

// MaxManifest is how many bytes of a manifest or index are read at most.
const MaxManifest = 4 << 20

// ErrUnauthorized says that the registry does not let us read the image.
var ErrUnauthorized = errors.New("the registry asks for credentials, or for others (docker login)")

// errPlainHTTP says that a request would have gone out unencrypted.
var errPlainHTTP = errors.New("plain HTTP is used for loopback registries only unless it is allowed in words")

// Resolve asks the image's registry for the manifest or index under its digest,
// or else its tag, and returns what a publisher signs: the digest, computed from
// the bytes that came, their length and media type. It returns an error that
// wraps tuf.ErrNotFound when the registry has none.
func (c Config) Resolve(ctx context.Context, image tuf.Image) (tuf.Target, error) {
	target, _, err := c.resolve(ctx, image, false)
	return target, err
}

// ResolveToSign does so, and notes which platforms the image is for: what an index
// lists, or what a manifest's configuration says, which is then read too. Where that
// cannot be found out, none are noted, and unread says why.
func (c Config) ResolveToSign(ctx context.Context, image tuf.Image) (target tuf.Target, unread, err error) {
	return c.resolve(ctx, image, true)
}

func (c Config) resolve(ctx context.Context, image tuf.Image, platforms bool) (target tuf.Target, unread, err error) {
	refuse := func(err error) (tuf.Target, error, error) { return tuf.Target{}, nil, err }
	if err := tuf.CheckRepository(image.Repository); err != nil {
		return refuse(err)
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ref, err := c.reference(image)
	if err != nil {
		return refuse(err)
	}
	carrier, err := c.carrier()
	if err != nil {
		return refuse(err)
	}
	descriptor, err := remote.Get(ref, c.options(ctx, carrier)...)
	if err != nil {
		return refuse(carrier.explain(ref, image, err))
	}
	sum := sha256.Sum256(descriptor.Manifest)
	target = tuf.Target{
		Digest:    "sha256:" + hex.EncodeToString(sum[:]),
		Length:    int64(len(descriptor.Manifest)),
		MediaType: mediaType(descriptor),
	}
	if image.Digest != "" && target.Digest != image.Digest {
		return refuse(fmt.Errorf("%s serves %s under the digest %s", ref.Context().RegistryStr(), target.Digest, image.Digest))
	}
	if err := signable(image.Repository, target); err != nil {
		return refuse(fmt.Errorf("what %s serves as %s cannot be signed: %w", ref.Context().RegistryStr(), image, err))
	}
	if platforms {
		if target.Platforms, err = platformsOf(ref.Context(), descriptor.Manifest, target.MediaType, c.options(ctx, carrier)); err != nil {
			unread = carrier.explain(ref, image, err)
		}
	}
	return target, unread, nil
}

// signable refuses a target that no targets file could list: people are shown it
// long before it would get into one. It is no verdict on the image.
func signable(repository string, target tuf.Target) error {
	err := tuf.SetTarget(tuf.NewTargets(1, time.Time{}), repository, "tag", target)
	if refusal, ok := errors.AsType[*tuf.Refusal](err); ok {
		return errors.New(refusal.Detail)
	}
	return err
}

// reference says the image as go-containerregistry does: docker.io is
// index.docker.io there.
func (c Config) reference(image tuf.Image) (name.Reference, error) {
	var options []name.Option
	if c.PlainHTTP {
		options = append(options, name.Insecure)
	}
	repository, err := name.NewRepository(image.Repository, options...)
	if err != nil {
		return nil, err
	}
	switch {
	case image.Digest != "":
		return repository.Digest(image.Digest), nil
	case image.Tag != "":
		return repository.Tag(image.Tag), nil
	}
	return nil, fmt.Errorf("%s has neither a tag nor a digest to ask for", image)
}

func (c Config) options(ctx context.Context, carrier http.RoundTripper) []remote.Option {
	keychain, agent := c.Keychain, c.UserAgent
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	if agent == "" {
		agent = "signet"
	}
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(carrier),
		remote.WithAuthFromKeychain(keychain),
		remote.WithUserAgent(agent),
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 2}),
	}
}

// carrier returns what carries requests, guarded.
func (c Config) carrier() (*guard, error) {
	carrier := c.Transport
	if carrier == nil {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if len(c.CA) > 0 {
			pool, err := x509.SystemCertPool()
			if err != nil {
				pool = x509.NewCertPool()
			}
			if !pool.AppendCertsFromPEM(c.CA) {
				return nil, errors.New("the registry's CA holds no PEM certificate")
			}
			config.RootCAs = pool
		}
		carrier = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:       config,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			DisableCompression:    true,
			IdleConnTimeout:       30 * time.Second, // each question has a carrier of its own
		}
	}
	return &guard{carrier: carrier, plainHTTP: c.PlainHTTP}, nil
}

// guard lets no request out over plain HTTP that may not, wherever the registry
// (or its redirect, or its token service) points, and reads bounded bodies only.
type guard struct {
	carrier   http.RoundTripper
	plainHTTP bool

	mu  sync.Mutex
	tls error // why TLS failed, before plain HTTP was tried
}

func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Hostname()
	ip := net.ParseIP(host)
	if request.URL.Scheme != "https" && !g.plainHTTP && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s://%s: %w", request.URL.Scheme, request.URL.Host, errPlainHTTP)
	}
	response, err := g.carrier.RoundTrip(request)
	if err != nil {
		if request.URL.Scheme == "https" {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.tls = err
		}
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, MaxManifest)
	return response, nil
}

// mediaType is what the manifest says of itself, or else what the header says.
func mediaType(descriptor *remote.Descriptor) string {
	var manifest struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(descriptor.Manifest, &manifest); err == nil && manifest.MediaType != "" {
		return manifest.MediaType
	}
	if kind, _, err := mime.ParseMediaType(string(descriptor.MediaType)); err == nil {
		return kind
	}
	return string(descriptor.MediaType)
}

// explain turns an error into one that says what is wrong with which registry.
func (g *guard) explain(ref name.Reference, image tuf.Image, err error) error {
	registry := ref.Context().RegistryStr()
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch answer.StatusCode {
		case http.StatusBadRequest:
			if g.tls != nil { // what a TLS server says to plain HTTP
				return client.Explain("registry "+registry, g.tls)
			}
		case http.StatusNotFound:
			return fmt.Errorf("the registry has no %s: %w", image, tuf.ErrNotFound)
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%s: %w", image, ErrUnauthorized)
		}
		return fmt.Errorf("registry %s answered %d for %s", registry, answer.StatusCode, image)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("registry %s serves more than %d bytes as the manifest of %s", registry, MaxManifest, image)
	}
	if errors.Is(err, errPlatforms) {
		return err
	}
	if errors.Is(err, errPlainHTTP) {
		return fmt.Errorf("registry %s: %w", registry, errPlainHTTP)
	}
	return client.Explain("registry "+registry, err)
}
