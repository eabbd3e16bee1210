package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/signet-trust/signet/tuf"
)

const kind = "application/vnd.example.v1+yaml"

// bin serves an in-memory registry, and returns a repository in it.
func bin(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	noCredentials(t)
	server := httptest.NewServer(wrap(ggcr.New(ggcr.Logger(quiet()))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/team/policy"
}

func asIs(h http.Handler) http.Handler { return h }

func TestArtifact(t *testing.T) {
	repository := bin(t, asIs)
	digest, err := Config{}.PushArtifact(t.Context(), tuf.Image{Repository: repository, Tag: "1"}, kind, "policy.yaml", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	served, err := Config{}.Resolve(t.Context(), tuf.Image{Repository: repository, Tag: "1"})
	if err != nil || served.Digest != digest || served.MediaType != string(types.OCIManifestSchema1) {
		t.Errorf("signet sign would sign %+v, expected %s: %v", served, digest, err)
	}
	artifact, err := Config{}.Artifact(t.Context(), tuf.Image{Repository: repository, Tag: "moved", Digest: digest}, kind)
	if err != nil || string(artifact.Data) != "version: 1\n" {
		t.Fatalf("%+v, %v", artifact, err)
	}
	again, err := Config{}.PushArtifact(t.Context(), tuf.Image{Repository: repository, Tag: "2"}, kind, "policy.yaml", []byte("version: 1\n"))
	if err != nil || again != digest {
		t.Errorf("the same file is %s, and then %s: %v", digest, again, err)
	}
	if _, err := (Config{}).Artifact(t.Context(), tuf.Image{Repository: repository, Digest: digest}, "application/other"); err == nil {
		t.Error("an artifact of another kind was taken")
	}
	if _, err := (Config{}).Artifact(t.Context(), tuf.Image{Repository: repository, Tag: "1"}, kind); err == nil {
		t.Error("an artifact without digest was taken")
	}
	absent := "sha256:" + strings.Repeat("0", 64)
	if _, err := (Config{}).Artifact(t.Context(), tuf.Image{Repository: repository, Digest: absent}, kind); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("none there: %v", err)
	}
	for _, bad := range []struct {
		image tuf.Image
		data  string
	}{
		{tuf.Image{Repository: repository}, "x"},
		{tuf.Image{Repository: repository, Tag: "1", Digest: digest}, "x"},
		{tuf.Image{Repository: repository, Tag: "1"}, ""},
		{tuf.Image{Repository: repository, Tag: "1"}, strings.Repeat("x", MaxArtifact+1)},
	} {
		if _, err := (Config{}).PushArtifact(t.Context(), bad.image, kind, "x", []byte(bad.data)); err == nil {
			t.Errorf("%s: %d bytes were pushed", bad.image, len(bad.data))
		}
	}
}

// TestArtifactTampered takes nothing from a registry that serves other bytes.
func TestArtifactTampered(t *testing.T) {
	tamper := ""
	repository := bin(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tamper == "" || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, tamper) {
				h.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			w.Header().Set("Docker-Content-Digest", answer.Header().Get("Docker-Content-Digest"))
			_, _ = w.Write([]byte(strings.Replace(answer.Body.String(), "enforce", "audited", 1)))
		})
	})
	digest, err := Config{}.PushArtifact(t.Context(), tuf.Image{Repository: repository, Tag: "1"}, kind, "enforce.yaml", []byte("mode: enforce\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tamper = range []string{"/manifests/", "/blobs/"} {
		if artifact, err := (Config{}).Artifact(t.Context(), tuf.Image{Repository: repository, Digest: digest}, kind); !errors.Is(err, ErrChanged) || artifact != nil {
			t.Errorf("%s: %+v, %v", tamper, artifact, err)
		}
	}
}

// TestArtifactShapes takes no manifest that could be read in two ways.
func TestArtifactShapes(t *testing.T) {
	data := []byte("version: 1\n")
	good := func() v1.Manifest {
		return v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: kind, Config: descriptorOf([]byte("{}"), emptyConfig), Layers: []v1.Descriptor{descriptorOf(data, kind)}}
	}
	for name, change := range map[string]func(*v1.Manifest){
		"as it is":        func(*v1.Manifest) {},
		"another type":    func(m *v1.Manifest) { m.ArtifactType = "text/plain" },
		"an index":        func(m *v1.Manifest) { m.MediaType = types.OCIImageIndex },
		"no layer":        func(m *v1.Manifest) { m.Layers = nil },
		"two layers":      func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) },
		"another layer":   func(m *v1.Manifest) { m.Layers[0].MediaType = types.OCILayer },
		"another content": func(m *v1.Manifest) { m.Layers[0].Digest.Hex = strings.Repeat("0", 64) },
		"another size":    func(m *v1.Manifest) { m.Layers[0].Size++ },
		"a huge size":     func(m *v1.Manifest) { m.Layers[0].Size = 1 << 40 },
		"another hash":    func(m *v1.Manifest) { m.Layers[0].Digest.Algorithm = "sha512" },
	} {
		manifest := good()
		change(&manifest)
		raw, err := json.Marshal(manifest)
		if err != nil {
			t.Fatal(err)
		}
		artifact := &Artifact{Manifest: raw, Data: data}
		if err := artifact.Check(digestOf(raw), kind); (err == nil) != (name == "as it is") {
			t.Errorf("%s: %v", name, err)
		}
		if err := artifact.Check(digestOf(data), kind); err == nil {
			t.Errorf("%s: taken under another digest", name)
		}
	}
	raw := []byte("not JSON")
	if err := (&Artifact{Manifest: raw, Data: data}).Check(digestOf(raw), kind); err == nil {
		t.Error("a manifest that is not JSON was taken")
	}
}
