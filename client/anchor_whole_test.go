package client

import (
	"context"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// TestAnchorsThatPinNothing asks under anchors that were made in Go, and never read from
// a file that would have refused them: one that names no server, and one without keys.
// Nobody having said no is no yes.
func TestAnchorsThatPinNothing(t *testing.T) {
	for name, change := range map[string]func(*Anchor){
		"no server":           func(a *Anchor) { a.Servers = nil },
		"no key":              func(a *Anchor) { a.RootKeys = nil },
		"a threshold below 0": func(a *Anchor) { a.Threshold = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			change(&b.anchor)
			w := b.watcher(WatchConfig{})
			given := New(b.config)
			for _, image := range []tuf.Image{{Tag: "1.0"}, {Digest: digestOf("evil")}, {Tag: "1.0", Digest: digestOf("evil")}} {
				image.Repository = b.repo.name
				for _, options := range []Options{{}, {Offline: true}, {Anchor: &b.anchor}} {
					for _, c := range []interface {
						Verify(context.Context, tuf.Image, Options) (*Decision, error)
					}{b.client(), w, given} {
						if d, err := c.Verify(t.Context(), image, options); err == nil || d.Trusted || d.Reference != "" {
							t.Errorf("%v: %+v, %v", image, d, err)
						}
					}
				}
			}
		})
	}
}
