package policy

import (
	"context"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A Verifier answers what an image's name means. *client.Client does, and so does
// *client.Watcher, which answers from memory.
type Verifier interface {
	Verify(ctx context.Context, image tuf.Image, options client.Options) (*client.Decision, error)
}

// A Question is one image that somebody wants to run.
type Question struct {
	// Image is the reference as it was written: "registry.example.com/team/app:1.0".
	Image string
	// Platform is where it is to run, such as "linux/amd64"; "" when not known.
	Platform string
}
