package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// noCredentials keeps the tests from the docker configuration of whoever runs them.
func noCredentials(t *testing.T) { t.Setenv("DOCKER_CONFIG", t.TempDir()) }

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// start serves a registry with one index at team/app:1.0, plain or over TLS.
func start(t *testing.T, overTLS bool, wrap func(http.Handler) http.Handler) (*httptest.Server, string, string) {
	t.Helper()
	noCredentials(t)
	handler := ggcr.New(ggcr.Logger(quiet()))
	plain := httptest.NewServer(handler)
	defer plain.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(plain.URL, "http://") + "/team/app:1.0")
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(100, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = quiet()
	if overTLS {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	_, host, _ := strings.Cut(server.URL, "://")
	return server, host + "/team/app", digest.String()
}

func TestResolve(t *testing.T) {
	for _, overTLS := range []bool{false, true} {
		server, repository, digest := start(t, overTLS, nil)
		config := Config{}
		if overTLS {
			if _, err := config.Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1.0"}); !isTrouble(err, client.TroubleCA) {
				t.Errorf("a private CA that is not known: %v", err)
			}
			config.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		}
		for _, image := range []tuf.Image{{Tag: "1.0"}, {Digest: digest}, {Tag: "1.0", Digest: digest}} {
			image.Repository = repository
			target, err := config.Resolve(t.Context(), image)
			if err != nil {
				t.Fatal(err)
			}
			if target.Digest != digest || target.Length < 100 || target.MediaType != "application/vnd.oci.image.index.v1+json" && target.MediaType != "application/vnd.docker.distribution.manifest.list.v2+json" {
				t.Errorf("%+v, expected %s", target, digest)
			}
		}
		for _, image := range []tuf.Image{{Repository: repository, Tag: "2.0"}, {Repository: repository + "/none", Tag: "1.0"}} {
			if _, err := config.Resolve(t.Context(), image); !errors.Is(err, tuf.ErrNotFound) {
				t.Errorf("%s: %v", image, err)
			}
		}
	}
	if _, err := (Config{}).Resolve(t.Context(), tuf.Image{Repository: "localhost:1/x"}); err == nil {
		t.Error("neither tag nor digest")
	}
	if _, err := (Config{}).Resolve(t.Context(), tuf.Image{Repository: "../x", Tag: "1"}); tuf.RuleOf(err) != tuf.RuleName {
		t.Error("no name")
	}
}

func isTrouble(err error, trouble client.Trouble) bool {
	e, ok := errors.AsType[*client.ServerError](err)
	return ok && e.Trouble == trouble
}

// TestMediaType takes the manifest's own word before the header's, and neither
// when it says more than a media type.
func TestMediaType(t *testing.T) {
	const kind = "application/vnd.oci.image.manifest.v1+json"
	for name, c := range map[string]struct{ body, header, want string }{
		"both":                      {`{"mediaType":"` + kind + `"}`, "application/json", kind},
		"the header alone":          {`{}`, kind, kind},
		"the header with a charset": {`{}`, kind + "; charset=utf-8", kind},
		"lines":                     {`{"mediaType":"a/b\n  + :latest  sha256:00"}`, kind, ""},
		"what turns text":           {`{"mediaType":"a/\u202eb"}`, kind, ""},
		"no slash":                  {`{"mediaType":"image"}`, kind, ""},
		"without an end":            {`{"mediaType":"a/` + strings.Repeat("b", 300) + `"}`, kind, ""},
	} {
		_, repository, _ := start(t, false, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.header)
				w.Write([]byte(c.body))
			})
		})
		target, err := Config{}.Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1.0"})
		if target.MediaType != c.want || (err == nil) != (c.want != "") || tuf.IsRefusal(err) {
			t.Errorf("%s: %+v, %v", name, target, err)
		}
	}
}

// TestDigestIsComputed believes the bytes, whatever the header says.
func TestDigestIsComputed(t *testing.T) {
	body := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`
	_, repository, _ := start(t, false, func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				w.Write([]byte(body))
				return
			}
			inner.ServeHTTP(w, r)
		})
	})
	target, err := (Config{}).Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1.0"})
	sum := sha256.Sum256([]byte(body))
	if want := "sha256:" + hex.EncodeToString(sum[:]); err == nil && target.Digest != want {
		t.Errorf("%+v, expected %s", target, want)
	}
	if err == nil && (target.MediaType != "application/vnd.oci.image.manifest.v1+json" || target.Length != int64(len(body))) {
		t.Errorf("%+v", target)
	}
	if _, err := (Config{}).Resolve(t.Context(), tuf.Image{Repository: repository, Digest: "sha256:" + strings.Repeat("0", 64)}); err == nil {
		t.Error("bytes of another digest were believed")
	}
}

func TestManifestWithoutEnd(t *testing.T) {
	_, repository, _ := start(t, false, func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				inner.ServeHTTP(w, r)
				return
			}
			for block := make([]byte, 64<<10); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		})
	})
	if _, err := (Config{}).Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1.0"}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

// TestPlainHTTP lets no request out unencrypted that may not: not to a private
// address, and not where a registry redirects to.
func TestPlainHTTP(t *testing.T) {
	noCredentials(t)
	var asked []string
	config := Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		if r.URL.Scheme == "https" {
			return nil, errors.New("no TLS here")
		}
		return &http.Response{StatusCode: 404, Body: io.NopCloser(strings.NewReader("")), Request: r, Header: http.Header{}}, nil
	})}
	for _, repository := range []string{"10.0.0.1:5000/x", "registry.local/x", "registry.example.com/x"} {
		asked = nil
		_, err := config.Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1"})
		if err == nil || strings.Contains(strings.Join(asked, " "), "http://") {
			t.Errorf("%s: asked %v, %v", repository, asked, err)
		}
	}
	config.PlainHTTP, asked = true, nil
	if _, err := config.Resolve(t.Context(), tuf.Image{Repository: "registry.example.com/x", Tag: "1"}); err == nil || !strings.Contains(strings.Join(asked, " "), "http://registry.example.com") {
		t.Errorf("asked %v, %v", asked, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestDockerHub asks docker.io where it really is.
func TestDockerHub(t *testing.T) {
	noCredentials(t)
	host := ""
	config := Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return nil, errors.New("not today")
	})}
	if _, err := config.Resolve(t.Context(), tuf.Image{Repository: "docker.io/library/alpine", Tag: "3"}); err == nil || host != "index.docker.io" {
		t.Errorf("asked %s: %v", host, err)
	}
}

// TestCredentials takes them from docker's configuration.
func TestCredentials(t *testing.T) {
	_, repository, digest := start(t, false, func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "alice" || password != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			inner.ServeHTTP(w, r)
		})
	})
	image := tuf.Image{Repository: repository, Tag: "1.0"}
	if _, err := (Config{}).Resolve(t.Context(), image); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("without: %v", err)
	}
	host, _, _ := strings.Cut(repository, "/")
	file, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": "alice", "password": "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if target, err := (Config{}).Resolve(t.Context(), image); err != nil || target.Digest != digest {
		t.Errorf("with: %+v, %v", target, err)
	}
}

func TestSilentRegistry(t *testing.T) {
	_, repository, _ := start(t, false, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	})
	if _, err := (Config{Timeout: 50 * time.Millisecond}).Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1.0"}); !isTrouble(err, client.TroubleTimeout) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Config{}).Resolve(ctx, tuf.Image{Repository: repository, Tag: "1.0"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
