package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/signet-trust/signet/tuf"
)

// errPlatforms says that the platforms of an image are not noted.
var errPlatforms = errors.New("its platforms cannot be read")

// platform is a platform as an index lists it, and as a configuration states it.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// String is os/arch or os/arch/variant; "" for what is none: build tools list their
// attestations under unknown/unknown.
func (p platform) String() string {
	if p.OS == "" || p.Architecture == "" || p.OS == "unknown" || p.Architecture == "unknown" {
		return ""
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// platformsOf returns the platforms of what is about to be signed, sorted. An
// artifact that is no image has none.
func platformsOf(repository name.Repository, manifest []byte, mediaType string, options []remote.Option) ([]string, error) {
	var read struct {
		Manifests []struct {
			Platform *platform `json:"platform"`
		} `json:"manifests"`
		Config struct {
			MediaType string `json:"mediaType"`
			Digest    string `json:"digest"`
			Size      int64  `json:"size"`
		} `json:"config"`
	}
	if err := json.Unmarshal(manifest, &read); err != nil {
		return nil, fmt.Errorf("%w: the manifest is not JSON: %v", errPlatforms, err)
	}
	var list []platform
	switch types.MediaType(mediaType) {
	case types.OCIImageIndex, types.DockerManifestList:
		for _, child := range read.Manifests {
			if child.Platform != nil {
				list = append(list, *child.Platform)
			}
		}
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		kind := types.MediaType(read.Config.MediaType)
		if kind != types.OCIConfigJSON && kind != types.DockerConfigJSON {
			return nil, nil
		}
		config, err := readConfig(repository, read.Config.Digest, read.Config.Size, options)
		if err != nil {
			return nil, err
		}
		list = []platform{config}
	}
	var platforms []string
	for _, p := range list {
		text := p.String()
		if text == "" {
			continue
		}
		if err := tuf.CheckPlatform(text); err != nil {
			return nil, fmt.Errorf("%w: %v", errPlatforms, err)
		}
		platforms = append(platforms, text)
	}
	slices.Sort(platforms)
	if platforms = slices.Compact(platforms); len(platforms) > tuf.MaxPlatforms {
		return nil, fmt.Errorf("%w: it lists %d, of which at most %d are signed", errPlatforms, len(platforms), tuf.MaxPlatforms)
	}
	return platforms, nil
}

// readConfig reads a manifest's configuration and holds it to the digest that the
// manifest names it by.
func readConfig(repository name.Repository, digest string, size int64, options []remote.Option) (p platform, err error) {
	if err := tuf.CheckDigest(digest); err != nil {
		return p, fmt.Errorf("%w: the configuration's digest: %v", errPlatforms, err)
	}
	if size < 1 || size > MaxManifest {
		return p, fmt.Errorf("%w: its configuration has %d bytes, of which at most %d are read", errPlatforms, size, MaxManifest)
	}
	layer, err := remote.Layer(repository.Digest(digest), options...)
	if err != nil {
		return p, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return p, err
	}
	data, err := io.ReadAll(io.LimitReader(body, size+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return p, err
	}
	if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return p, fmt.Errorf("%w: its configuration has other bytes than the manifest names", errPlatforms)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%w: its configuration is not JSON: %v", errPlatforms, err)
	}
	return p, nil
}
