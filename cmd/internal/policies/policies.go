// Package policies gets a policy from where an option names it: a file, or a signed
// artifact in a registry, oci://registry.example.com/team/policy:production.
//
// An artifact is taken if it is trusted as any image is, by the trust anchors of the
// machine: nothing that a policy says changes who may sign the next one. So it can be
// revoked, and what this machine has seen of it never steps back. The bytes come from
// the registry, under the digest that was signed; the registry's own tag is not asked.
package policies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// Kind is the type of a policy's artifact, and of the one file in it.
const Kind = "application/vnd.signet.policy.v1+yaml"

// Scheme begins the name of a policy in a registry.
const Scheme = "oci://"

// A Source is what policies are got with.
type Source struct {
	// Verifier trusts by the anchors of the machine, and by no others.
	Verifier policy.Verifier
	Registry registry.Config
	// Offline and From are those of client.Options: with either, the file comes from
	// Cache.
	Offline bool
	From    string
	// Cache is a folder for what was fetched, so that a registry that is down takes
	// nobody's policy away; "" is none. It is not trusted.
	Cache string
}

// A Loaded policy.
type Loaded struct {
	Policy *policy.Policy
	// Decision says who signed the artifact, and how fresh that is; nil for a file.
	Decision *client.Decision
}

// Load gets the policy that where names. A *tuf.Refusal or *tuf.ExpiredError means
// that an artifact is not trusted, a *policy.FileError that it is no policy.
func (s Source) Load(ctx context.Context, where string) (*Loaded, error) {
	reference, isArtifact := strings.CutPrefix(where, Scheme)
	if !isArtifact {
		p, err := policy.Load(where)
		if err != nil {
			return nil, err
		}
		return &Loaded{Policy: p}, nil
	}
	image, err := tuf.ParseImage(reference)
	if err != nil {
		return nil, &policy.FileError{File: where, Detail: plain(err)}
	}
	if image.Tag == "" && image.Digest == "" {
		return nil, &policy.FileError{File: where, Detail: "neither a tag nor a digest; a policy is named with one"}
	}
	decision, err := s.Verifier.Verify(ctx, image, client.Options{Offline: s.Offline, From: s.From})
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", where, err)
	}
	if !decision.Trusted || decision.Repository != image.Repository {
		return nil, fmt.Errorf("policy %s: the verifier gave no answer", where)
	}
	image.Digest = decision.Digest
	artifact, err := s.artifact(ctx, image)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", where, err)
	}
	p, err := policy.Read(artifact.Data, Scheme+image.String())
	if err != nil {
		return nil, err
	}
	return &Loaded{Policy: p, Decision: decision}, nil
}

// artifact gets what a digest stands for: from the cache, where that has it, or from
// the registry.
func (s Source) artifact(ctx context.Context, image tuf.Image) (*registry.Artifact, error) {
	sum := sha256.Sum256([]byte(image.Repository))
	cached := filepath.Join(s.Cache, hex.EncodeToString(sum[:])+".json") // one for each repository
	if artifact := readCached(cached); s.Cache != "" && artifact != nil && artifact.Check(image.Digest, Kind) == nil {
		return artifact, nil
	}
	if s.Offline || s.From != "" {
		return nil, fmt.Errorf("%s was not fetched before, and no registry is asked", image)
	}
	artifact, err := s.Registry.Artifact(ctx, image, Kind)
	if err != nil || s.Cache == "" {
		return artifact, err
	}
	if err := writeCached(cached, artifact); err != nil {
		return nil, err
	}
	return artifact, nil
}

// readCached returns what path holds, or nil: what it holds is checked, and fetched
// anew when it is not what is wanted.
func readCached(path string) *registry.Artifact {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var artifact registry.Artifact
	if err := json.Unmarshal(data, &artifact); err != nil {
		return nil
	}
	return &artifact
}

func writeCached(path string, artifact *registry.Artifact) error {
	data, err := json.Marshal(artifact)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return program.WriteFile(path, data, 0o600)
}

// plain is what is wrong with a name, which is no verdict.
func plain(err error) string {
	if refusal, ok := err.(*tuf.Refusal); ok {
		return refusal.Detail
	}
	return err.Error()
}
