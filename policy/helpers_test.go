package policy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func publicPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// trustAll are anchors of a machine, for every name.
func trustAll() client.Anchors {
	return client.Anchors{{Pattern: "**", RootKeys: []string{keyA}, Servers: []string{"https://signet.example.com"}, MaxStale: client.Duration(time.Hour)}}
}

// distrust refuses everything, as a client does.
type distrust struct{}

func (distrust) Verify(_ context.Context, image tuf.Image, _ client.Options) (*client.Decision, error) {
	err := &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
	return &client.Decision{Image: image.String(), Repository: image.Repository, Rule: err.Rule, Reason: err.Detail}, err
}

// verifier is a function as a Verifier.
type verifier func(image tuf.Image, options client.Options) (*client.Decision, error)

func (v verifier) Verify(_ context.Context, image tuf.Image, options client.Options) (*client.Decision, error) {
	return v(image, options)
}

// trusted is what a client says of an image that it trusts.
func trusted(image tuf.Image) *client.Decision {
	digest := image.Digest
	if digest == "" {
		digest = digestOf("a")
	}
	checked, signed := noon.Add(-time.Minute), noon.Add(-24*time.Hour)
	expires := noon.Add(time.Hour)
	return &client.Decision{
		Image: image.String(), Repository: image.Repository, Tag: image.Tag, Digest: digest, Reference: image.Repository + "@" + digest,
		Trusted: true, Current: true, Signers: []string{"targets"}, Length: 7, MediaType: "application/vnd.oci.image.index.v1+json",
		Checked: &checked, Age: client.Duration(time.Minute), Signed: &signed, Platforms: []string{"linux/amd64", "linux/arm64"}, Expires: &expires,
	}
}
