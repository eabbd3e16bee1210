package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// pushImage pushes an index for two platforms, whose only file holds a text.
func pushImage(ts *testscript.TestScript, s *scene, args []string) error {
	ref, err := name.ParseReference(args[1], name.Insecure)
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}} {
		image, err := imageOf(platform, args[2])
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	options, err := s.pushOptions()
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(ref, index, options...); err != nil {
		return err
	}
	digest, err := index.Digest()
	ts.Setenv(args[0], digest.String())
	return err
}

// pushOptions are those for the registry that asks for credentials, where it runs.
func (s *scene) pushOptions() ([]remote.Option, error) {
	if s.registryCA == "" {
		return nil, nil
	}
	data, err := os.ReadFile(s.registryCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return []remote.Option{
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}),
		remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword}),
	}, nil
}

// pushImages pushes images tagged 1 to N.
func pushImages(ts *testscript.TestScript, s *scene, args []string) error {
	n, err := strconv.Atoi(args[1])
	for i := 1; i <= n && err == nil; i++ {
		err = pushImage(ts, s, []string{"IMAGE", fmt.Sprintf("%s:%d", args[0], i), fmt.Sprintf("number %d", i)})
	}
	return err
}

func imageOf(platform v1.Platform, text string) (v1.Image, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	content := []byte(text + " for " + platform.String() + "\n")
	if err := w.WriteHeader(&tar.Header{Name: "message", Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: platform.OS, Architecture: platform.Architecture}); err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "127.0.0.1:%s"}
`

// debianRegistry starts a registry that others wrote.
func debianRegistry(ts *testscript.TestScript, s *scene, _ []string) error {
	address, err := s.address("registry")
	if err != nil {
		return err
	}
	dir := ts.MkAbs("registry")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "data"), port(address)), 0o600); err != nil {
		return err
	}
	p, err := s.start(ts, "registry", dir, nil, "docker-registry", "serve", config)
	if err != nil {
		return err
	}
	ts.Setenv("REGISTRY", address)
	return p.await(func() (bool, error) {
		response, err := http.Get("http://" + address + "/v2/")
		if err != nil {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}
