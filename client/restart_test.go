package client_test

import (
	"math"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// TestRestart forgets a repository whose root keys are replaced: whoever has the old
// files cannot show them any more, under whatever anchor.
func TestRestart(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice) // targets version 3
	anchor := *s.p.Anchor
	anchor.Pattern = "registry.example.com/team/*"
	c := client.New(client.Config{StateDir: t.TempDir(), Now: s.h.Clock.Now, Anchors: client.Anchors{anchor}})
	ask := func() error {
		_, err := c.Verify(t.Context(), storyImage, client.Options{})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	known, err := c.Known(storyName)
	if err != nil || known.Root != 1 || known.Targets != 3 {
		t.Fatalf("%+v, %v", known, err)
	}
	if err := c.Restart(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is not forgotten by being asked
		if err := ask(); tuf.RuleOf(err) != tuf.RuleRollback || !strings.Contains(err.Error(), "version 2 at the lowest") {
			t.Fatalf("the old root: %v", err)
		}
	}
	s.do(s.p.Renew(t.Context(), client.RenewRequest{Repository: storyName, Roles: []string{"root"}, Signers: []tuf.Signer{s.root}}))
	if err := ask(); tuf.RuleOf(err) != tuf.RuleRollback || !strings.Contains(err.Error(), "version 4 at the lowest") {
		t.Fatalf("the old targets: %v", err)
	}
	s.sign("1.0", 2, "targets", s.alice)
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	// The largest version is no way round it.
	if err := c.Restart(t.Context(), &client.Replacement{Repository: storyName, Root: math.MaxInt64, Targets: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	if err := ask(); tuf.RuleOf(err) != tuf.RuleRollback {
		t.Errorf("after the largest version: %v", err)
	}
	if err := c.Forget(t.Context(), storyName); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Errorf("once it is forgotten in words: %v", err)
	}
}
