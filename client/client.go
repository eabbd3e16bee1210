package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Config says where a client keeps its state and how it reaches servers. Only
// StateDir is needed.
type Config struct {
	// StateDir holds what was verified, one folder for each repository.
	StateDir string
	// Anchors are the trust anchors, from LoadAnchors.
	Anchors Anchors
	// Now is the clock; nil means time.Now. It is read at every use.
	Now func() time.Time
	// UserAgent is sent with every request; empty means "signet".
	UserAgent string
	// Token returns the bearer token for a server's base address that the PEM in ca
	// vouches for ("": the system's authorities), or "", for servers whose reads
	// are not open. It may be nil. See Servers.Token.
	Token func(server, ca string) string
	// Timeouts bound what a slow server costs; zero fields mean the defaults.
	Timeouts Timeouts
	// Limits bound what is read before it is trusted; zero fields mean the defaults.
	Limits tuf.Limits
	// Transport carries requests in place of a transport made from each anchor's
	// CA. It is for tests and for those who bring their own.
	Transport http.RoundTripper
}

// Timeouts bound the waits for one server.
type Timeouts struct {
	Connect time.Duration // to connect, TLS included; default 10 s
	Header  time.Duration // from the request to the answer's first byte; default 15 s
	Body    time.Duration // for a body, beside one second for each 32 KiB it may have; default 10 s
	First   time.Duration // for all roots of a server, while none is trusted yet; default 2 min
	Busy    time.Duration // for a server that says it is asked too often, in all for each request; default none
}

func (t Timeouts) orDefault() Timeouts {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Connect, 10*time.Second)
	set(&t.Header, 15*time.Second)
	set(&t.Body, 10*time.Second)
	set(&t.First, 2*time.Minute)
	return t
}

// A Client verifies images. It is safe for concurrent use, and several processes
// may share its state folder.
type Client struct {
	config  Config
	fetcher fetchers
}

// New returns a client.
func New(config Config) *Client {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.UserAgent == "" {
		config.UserAgent = "signet"
	}
	config.Timeouts = config.Timeouts.orDefault()
	config.Limits = config.Limits.WithDefaults()
	return &Client{config: config}
}

// Options change one question.
type Options struct {
	// Offline answers from local state alone, while that has not expired.
	Offline bool
	// From answers out of a folder that Export wrote, in place of a server.
	From string
	// Anchor is used in place of the one that Config.Anchors holds for the name.
	Anchor *Anchor
	// Held answers only what a Watcher holds in memory, and so at once; the rest is
	// ErrNotHeld. Nobody is waited for, and no file is read.
	Held bool
}

// ErrNotHeld says that a question with Options.Held needs more than memory.
var ErrNotHeld = errors.New("not in memory")

// Verify tells what an image's name means, in one of three shapes:
//
//	tag          which digest is signed under it?
//	digest       under which tags of the repository is it signed, now or from before?
//	tag, digest  is this digest signed under this tag, and is it the current one?
//
// The decision is never nil. A *tuf.Refusal or *tuf.ExpiredError means that the
// image is not trusted, any other error that it could not be found out; the
// decision then is not trusted and tells the same in its Rule and Reason.
func (c *Client) Verify(ctx context.Context, image tuf.Image, options Options) (*Decision, error) {
	return c.verify(ctx, image, options)
}

// View returns all that is signed for a repository: roles, keys and tags.
func (c *Client) View(ctx context.Context, repository string, options Options) (*View, error) {
	return c.view(ctx, repository, options)
}

// FirstUse asks a server, which is not trusted yet, for a repository's newest
// root file, and returns an anchor that pins it from now on. It is trust on first
// use: whoever answers now is believed, which the caller has to have asked for
// in words. like gives Servers, CA, PlainHTTP
// and what it demands; its pins are not read.
func (c *Client) FirstUse(ctx context.Context, repository string, like Anchor) (*Anchor, error) {
	return c.firstUse(ctx, repository, like)
}

// ResetClock forgets the latest time that was seen for repository. That gives up
// one protection: from now on, metadata that expired before that time is
// accepted again if the clock says so. It mends a clock that once ran ahead.
func (c *Client) ResetClock(ctx context.Context, repository string) error {
	return c.resetClock(ctx, repository)
}

// Forget removes all that is remembered of repository, which gives up the
// protection against older metadata until it is verified anew, and what the journal
// says was signed for it. It is for a repository that was created anew under other
// root keys.
func (c *Client) Forget(ctx context.Context, repository string) error {
	return errors.Join(c.forget(ctx, repository, nil), c.forgetSigned(ctx, repository))
}

// Restart is Forget for a repository whose root keys are replaced: the versions of root
// and targets that were known, and all below them, are not accepted any more, under
// whatever keys. They can be forgotten in their turn.
func (c *Client) Restart(ctx context.Context, known *Replacement) error {
	return errors.Join(c.forget(ctx, known.Repository, known), c.forgetSigned(ctx, known.Repository))
}
