package attack_test

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/signet-trust/signet/tuf"
)

// A hostileRegistry changes one byte of what is asked for under a digest.
type hostileRegistry struct {
	http.Handler
	changed atomic.Value // the digest, a string
}

func (h *hostileRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	digest, _ := h.changed.Load().(string)
	if digest == "" || !strings.HasSuffix(r.URL.Path, digest) || r.Method != http.MethodGet {
		h.Handler.ServeHTTP(w, r)
		return
	}
	honest := httptest.NewRecorder()
	h.Handler.ServeHTTP(honest, r)
	body := honest.Body.Bytes()
	body[len(body)/2] ^= 1
	for key, values := range honest.Header() {
		w.Header()[key] = values // Docker-Content-Digest still says the honest digest
	}
	w.WriteHeader(honest.Code)
	_, _ = io.Copy(w, bytes.NewReader(body))
}

// Tampered content: what signet answers is a digest, and everything below it hangs on
// it by digests in turn. Whoever pulls the reference that verify -q prints notices a
// changed index, child, config or layer; only the reference by tag is the registry's
// word.
func TestTamperedContent(t *testing.T) {
	hostile := &hostileRegistry{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(hostile)
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/team/app"

	index, err := random.Index(512, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(repository + ":1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, index); err != nil {
		t.Fatal(err)
	}
	top, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := index.Size()
	if err != nil {
		t.Fatal(err)
	}

	s := newScene(t)
	p := s.publisher(repository, newKeys(t, 1), newKeys(t, 1))
	p.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		if err := tuf.SetTarget(md, repository, "1.0", tuf.Target{Digest: top.String(), Length: size}); err != nil {
			t.Fatal(err)
		}
	})
	m := s.verifier(t, repository, p.root)
	reference := strings.TrimSpace(m.must("verify", "-q", repository+":1.0"))
	if want := repository + "@" + top.String(); reference != want {
		t.Fatalf("verify -q printed %q, expected %q", reference, want)
	}
	m.trusts(repository+":1.0", top.String(), "--compare")
	if err := pull(t, reference); err != nil {
		t.Fatalf("the honest image: %v", err)
	}
	for part, digest := range parts(t, index) {
		t.Run(part, func(t *testing.T) {
			hostile.changed.Store(digest)
			defer hostile.changed.Store("")
			if err := pull(t, reference); err == nil {
				t.Errorf("the image was pulled, though its %s was changed", part)
			}
		})
	}
	if err := pull(t, reference); err != nil {
		t.Fatalf("the honest image, again: %v", err)
	}
	t.Run("the registry moves the tag", func(t *testing.T) {
		evil, err := random.Index(512, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(tag, evil); err != nil {
			t.Fatal(err)
		}
		m.trusts(repository+":1.0", top.String())
		o, d := m.verify(repository+":1.0", "--compare")
		if o.exit != 3 || d.Trusted || d.Rule != tuf.RuleCompare || d.Reference != "" {
			t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleCompare)
		}
	})
}

// parts are the digests below an index of one image, and its own.
func parts(t *testing.T, index v1.ImageIndex) map[string]string {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	child := manifest.Manifests[0].Digest
	image, err := index.Image(child)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	top, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"index": top.String(), "child": child.String(), "config": config.String(), "layer": layer.String()}
}

// pull reads the whole image under a pinned reference, as a container engine does.
func pull(t *testing.T, reference string) error {
	t.Helper()
	pinned, err := name.NewDigest(reference)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(pinned)
	if err != nil {
		return err
	}
	return validate.Index(index)
}
