package registry

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/signet-trust/signet/tuf"
)

// imageOf is an image whose configuration states a platform.
func imageOf(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// indexOf is an index that lists images for platforms.
func indexOf(t *testing.T, platforms ...*v1.Platform) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imageOf(t, v1.Platform{}), Descriptor: v1.Descriptor{Platform: p}})
	}
	return index
}

func TestPlatformsToSign(t *testing.T) {
	amd, arm := &v1.Platform{OS: "linux", Architecture: "amd64"}, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	damage := false
	server, repository, _ := start(t, false, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if damage && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w.Write([]byte(`{"os":"linux","architecture":"riscv64"}`))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push := func(tag string, what remote.Taggable) {
		t.Helper()
		ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/team/app:" + tag)
		if err == nil {
			switch what := what.(type) {
			case v1.Image:
				err = remote.Write(ref, what)
			case v1.ImageIndex:
				err = remote.WriteIndex(ref, what)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	artifact := mutate.ConfigMediaType(imageOf(t, v1.Platform{}), "application/vnd.cncf.helm.config.v1+json")
	push("index", indexOf(t, arm, amd, &v1.Platform{OS: "unknown", Architecture: "unknown"}, amd, nil))
	push("strange", indexOf(t, amd, &v1.Platform{OS: "Linux\x1b", Architecture: "amd64"}))
	push("image", imageOf(t, *arm))
	push("none", imageOf(t, v1.Platform{}))
	push("chart", artifact)
	for _, test := range []struct {
		tag    string
		want   []string
		unread bool
		damage bool
	}{
		{"index", []string{"linux/amd64", "linux/arm64/v8"}, false, true}, // asks for no configuration
		{"strange", nil, true, false},
		{"image", []string{"linux/arm64/v8"}, false, false},
		{"image", nil, true, true}, // other bytes than its manifest names
		{"none", nil, false, false},
		{"chart", nil, false, true},
	} {
		damage = test.damage
		image := tuf.Image{Repository: repository, Tag: test.tag}
		target, unread, err := Config{}.ResolveToSign(t.Context(), image)
		if err != nil || !slices.Equal(target.Platforms, test.want) || (unread != nil) != test.unread {
			t.Errorf("%s, damaged %v: %v, unread %v, %v; expected %v", test.tag, test.damage, target.Platforms, unread, err, test.want)
		}
		plain, err := Config{}.Resolve(t.Context(), image)
		if err != nil || plain.Digest != target.Digest || plain.Platforms != nil {
			t.Errorf("%s: %+v, %v", test.tag, plain, err)
		}
	}
}
