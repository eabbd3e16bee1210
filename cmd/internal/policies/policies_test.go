package policies

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// signed is a verifier that trusts one digest under each tag.
type signed map[string]string

func (s signed) Verify(_ context.Context, image tuf.Image, options client.Options) (*client.Decision, error) {
	if options.Anchor != nil {
		return nil, errors.New("who may sign a policy is for the machine's anchors to say")
	}
	digest := s[image.Tag]
	if digest == "" || image.Digest != "" && image.Digest != digest {
		return &client.Decision{}, &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
	}
	return &client.Decision{Repository: image.Repository, Tag: image.Tag, Digest: digest, Trusted: true, Offline: options.Offline}, nil
}

// bin serves a registry, and returns a repository in it and what turns it off.
func bin(t *testing.T) (repository string, end func()) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/team/policy", server.Close
}

const text = "version: 1\nrules: [{name: a, images: [alpine]}]\n"

func push(t *testing.T, repository, tag, text string) string {
	t.Helper()
	digest, err := registry.Config{}.PushArtifact(t.Context(), tuf.Image{Repository: repository, Tag: tag}, Kind, "policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestArtifact(t *testing.T) {
	repository, _ := bin(t)
	digest := push(t, repository, "prod", text)
	push(t, repository, "prod", strings.Replace(text, "name: a", "name: b", 1)) // the registry's tag moves, unsigned
	source := Source{Verifier: signed{"prod": digest}}
	loaded, err := source.Load(t.Context(), Scheme+repository+":prod")
	if err != nil || loaded.Policy.Rules[0].Name != "a" || loaded.Decision.Digest != digest || !strings.HasSuffix(loaded.Policy.Name, "@"+digest) {
		t.Fatalf("%+v, %v", loaded, err)
	}
	if _, err := source.Load(t.Context(), Scheme+repository+":other"); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("unsigned: %v", err)
	}
	for _, where := range []string{repository, "A", repository + "@sha256:1", ""} {
		_, err := source.Load(t.Context(), Scheme+where)
		if _, ok := errors.AsType[*policy.FileError](err); !ok {
			t.Errorf("%q: %v", where, err)
		}
	}
	if _, err := source.Load(t.Context(), Scheme+repository+":prod@sha256:"+strings.Repeat("0", 64)); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("another digest than the one that is trusted: %v", err)
	}
}

// TestSignedJunk takes nothing that is signed and is no policy.
func TestSignedJunk(t *testing.T) {
	repository, _ := bin(t)
	for _, text := range []string{"version: 7\n", "version: 1\nrules: [{name: a, images: [alpine], signers: [{name: qa, keys: [/etc/passwd]}]}]\n"} {
		digest := push(t, repository, "prod", text)
		_, err := Source{Verifier: signed{"prod": digest}}.Load(t.Context(), Scheme+repository+":prod")
		if _, ok := errors.AsType[*policy.FileError](err); !ok || strings.Contains(err.Error(), "root:") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCache(t *testing.T) {
	repository, end := bin(t)
	digest := push(t, repository, "prod", text)
	next := push(t, repository, "next", strings.Replace(text, "name: a", "name: next", 1))
	source := Source{Verifier: signed{"prod": digest, "next": next}, Cache: filepath.Join(t.TempDir(), "policies")}
	load := func(s Source, tag string) (string, error) {
		loaded, err := s.Load(t.Context(), Scheme+repository+":"+tag)
		if err != nil {
			return "", err
		}
		return loaded.Policy.Rules[0].Name, nil
	}
	offline := source
	offline.Offline = true
	if name, err := load(offline, "prod"); err == nil {
		t.Errorf("%s was never fetched", name)
	}
	if name, err := load(source, "prod"); name != "a" {
		t.Fatal(err)
	}
	end()
	for _, s := range []Source{source, offline} {
		if name, err := load(s, "prod"); name != "a" {
			t.Errorf("the registry is down, the policy is known: %v", err)
		}
		if name, err := load(s, "next"); err == nil {
			t.Errorf("%s was never fetched", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(source.Cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, junk := range [][]byte{nil, []byte("{}"), bytes.Replace(data, []byte("ey"), []byte("eX"), 1), data[:len(data)/2]} {
		if err := os.WriteFile(files[0], junk, 0o600); err != nil {
			t.Fatal(err)
		}
		if name, err := load(offline, "prod"); err == nil {
			t.Errorf("%s out of a cache that was changed", name)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := Source{}.Load(t.Context(), path)
	if err != nil || loaded.Decision != nil || loaded.Policy.Name != path {
		t.Errorf("%+v, %v", loaded, err)
	}
	if _, err := (Source{}).Load(t.Context(), path+".absent"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestSlowRegistry gives up when the caller does.
func TestSlowRegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/team/policy"
	_, err := Source{Verifier: signed{"prod": "sha256:" + strings.Repeat("0", 64)}}.Load(ctx, Scheme+repository+":prod")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
