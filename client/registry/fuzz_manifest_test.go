package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/signet-trust/signet/tuf"
)

// anonymous has no credentials for anybody.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// FuzzManifest checks that what a registry serves is told by the digest of its very
// bytes, whatever it says they are, and that it is fit to be signed and shown.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}`), "application/vnd.oci.image.index.v1+json", "")
	f.Add([]byte(`{"mediaType":"\u001b[2J/x"}`), "text/plain; x=y", "sha256:00")
	f.Add([]byte(`[]`), "", "md5:1")
	f.Fuzz(func(t *testing.T, manifest []byte, kind, digest string) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Docker-Content-Digest", digest)
			_, _ = w.Write(manifest)
		}))
		defer server.Close()
		repository, err := tuf.ParseRepository(server.URL[len("http://"):] + "/team/app")
		if err != nil {
			t.Fatal(err)
		}
		config := Config{Keychain: anonymous{}, Timeout: 10 * time.Second}
		target, err := config.Resolve(context.Background(), tuf.Image{Repository: repository, Tag: "1.0"})
		if err != nil {
			if tuf.IsRefusal(err) {
				t.Fatalf("what a registry serves is no verdict: %v", err)
			}
			return
		}
		sum := sha256.Sum256(manifest)
		if target.Digest != "sha256:"+hex.EncodeToString(sum[:]) || target.Length != int64(len(manifest)) {
			t.Fatalf("%d bytes are told as %+v", len(manifest), target)
		}
		for _, c := range target.MediaType {
			if c <= ' ' || c > '~' {
				t.Fatalf("the media type %q would reach a terminal", target.MediaType)
			}
		}
	})
}
