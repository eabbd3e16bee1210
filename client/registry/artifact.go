package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/signet-trust/signet/tuf"
)

// MaxArtifact is how many bytes the file of an artifact has at most.
const MaxArtifact = 1 << 20

// ErrChanged says that a registry serves other bytes than a digest stands for.
var ErrChanged = errors.New("the registry serves other bytes than those that were signed")

// emptyConfig is what stands in for the configuration of what is no image (OCI image
// specification, "Guidance for an Empty Descriptor").
const emptyConfig = "application/vnd.oci.empty.v1+json"

// An Artifact is one file that is kept in a registry as an image is: a manifest of a
// kind of its own, and one layer, the file. It is signed as any image.
type Artifact struct {
	Manifest []byte
	Data     []byte
}

// Artifact fetches the artifact under the digest of image, which the caller has to
// know from elsewhere: from what was signed. Nothing is returned but what it stands
// for, and that is of the kind.
func (c Config) Artifact(ctx context.Context, image tuf.Image, kind string) (*Artifact, error) {
	if err := tuf.CheckRepository(image.Repository); err != nil {
		return nil, err
	}
	if err := tuf.CheckDigest(image.Digest); err != nil {
		return nil, err
	}
	image.Tag = ""
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	ref, err := c.reference(image)
	if err != nil {
		return nil, err
	}
	carrier, err := c.carrier()
	if err != nil {
		return nil, err
	}
	options := c.options(ctx, carrier)
	explain := func(err error) error {
		if changed(err) {
			return fmt.Errorf("%s: %w: %w", image, ErrChanged, err)
		}
		return carrier.explain(ref, image, err)
	}
	descriptor, err := remote.Get(ref, options...)
	if err != nil {
		return nil, explain(err)
	}
	artifact := &Artifact{Manifest: descriptor.Manifest}
	layer, err := artifact.layer(image.Digest, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	if artifact.Data, err = blob(ref.Context().Digest(layer.Digest.String()), options); err != nil {
		return nil, explain(err)
	}
	if err := artifact.Check(image.Digest, kind); err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	return artifact, nil
}

func (c Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return time.Minute
	}
	return c.Timeout
}

// blob reads one blob, of at most MaxArtifact bytes.
func blob(ref name.Digest, options []remote.Option) ([]byte, error) {
	layer, err := remote.Layer(ref, options...)
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed() // as it is: it is not compressed at all
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, MaxArtifact+1))
	return data, errors.Join(err, body.Close())
}

// changed tells whether the library found other bytes than a digest stands for. It has
// no type for that; whether it finds them or we do, nothing is returned.
func changed(err error) bool {
	return strings.Contains(err.Error(), "error verifying sha256") || strings.Contains(err.Error(), "does not match requested digest")
}

// Check tells whether the artifact is the one that digest stands for, whole, and of
// a kind.
func (a *Artifact) Check(digest, kind string) error {
	layer, err := a.layer(digest, kind)
	if err != nil {
		return err
	}
	if got := digestOf(a.Data); got != layer.Digest.String() || int64(len(a.Data)) != layer.Size {
		return fmt.Errorf("%w: %d bytes with the digest %s, expected %d with %s", ErrChanged, len(a.Data), got, layer.Size, layer.Digest)
	}
	return nil
}

// layer returns what the manifest says of the file, if the manifest is the one that
// digest stands for.
func (a *Artifact) layer(digest, kind string) (*v1.Descriptor, error) {
	if got := digestOf(a.Manifest); got != digest {
		return nil, fmt.Errorf("%w: a manifest with the digest %s, expected %s", ErrChanged, got, digest)
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(a.Manifest, &manifest); err != nil {
		return nil, fmt.Errorf("its manifest is no OCI manifest: %w", err)
	}
	switch {
	case manifest.MediaType != types.OCIManifestSchema1 || manifest.ArtifactType != kind:
		return nil, fmt.Errorf("it is no %s, but %q of the type %q", kind, clip(string(manifest.MediaType)), clip(manifest.ArtifactType))
	case len(manifest.Layers) != 1 || string(manifest.Layers[0].MediaType) != kind:
		return nil, fmt.Errorf("%d layers, expected one of the type %s", len(manifest.Layers), kind)
	}
	layer := &manifest.Layers[0]
	if err := tuf.CheckDigest(layer.Digest.String()); err != nil {
		return nil, errors.New("its layer has no sha256 digest")
	}
	if layer.Size < 1 || layer.Size > MaxArtifact {
		return nil, fmt.Errorf("a file of %d bytes, expected 1 to %d", layer.Size, MaxArtifact)
	}
	return layer, nil
}

// PushArtifact puts data into a registry as an artifact of a kind, under image's tag,
// and returns its digest. title is the file's name, for other tools.
func (c Config) PushArtifact(ctx context.Context, image tuf.Image, kind, title string, data []byte) (digest string, err error) {
	if len(data) == 0 || len(data) > MaxArtifact {
		return "", fmt.Errorf("a file of %d bytes, expected 1 to %d", len(data), MaxArtifact)
	}
	if image.Tag == "" || image.Digest != "" {
		return "", fmt.Errorf("%s: an artifact is pushed under a tag", image)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	ref, err := c.reference(image)
	if err != nil {
		return "", err
	}
	carrier, err := c.carrier()
	if err != nil {
		return "", err
	}
	none := []byte("{}")
	file, config := static.NewLayer(data, types.MediaType(kind)), static.NewLayer(none, emptyConfig)
	for _, layer := range []v1.Layer{config, file} {
		if err := remote.WriteLayer(ref.Context(), layer, c.options(ctx, carrier)...); err != nil {
			return "", carrier.explain(ref, image, err)
		}
	}
	named := descriptorOf(data, types.MediaType(kind))
	named.Annotations = map[string]string{"org.opencontainers.image.title": title}
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: kind,
		Config: descriptorOf(none, emptyConfig), Layers: []v1.Descriptor{named},
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	if err := remote.Put(ref, rawManifest(raw), c.options(ctx, carrier)...); err != nil {
		return "", carrier.explain(ref, image, err)
	}
	return digestOf(raw), nil
}

// rawManifest is an OCI manifest as remote.Put takes it.
type rawManifest []byte

// RawManifest returns the bytes.
func (m rawManifest) RawManifest() ([]byte, error) { return m, nil }

// MediaType is that of an OCI manifest.
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func descriptorOf(data []byte, kind types.MediaType) v1.Descriptor {
	hash, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil { // a reader of bytes has none
		return v1.Descriptor{}
	}
	return v1.Descriptor{MediaType: kind, Digest: hash, Size: size}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// clip shortens what a registry said.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
