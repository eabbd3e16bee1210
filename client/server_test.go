package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// publisher returns a publisher on a real server and signer.
func publisher(t *testing.T, h *harness.Harness) *client.Publisher {
	t.Helper()
	identity, err := h.Signer.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &client.Publisher{
		Client: client.New(client.Config{StateDir: t.TempDir(), Now: h.Clock.Now}),
		Server: client.Server{URL: h.URL, CA: string(h.CA), Token: h.AdminToken, Identity: identity.Key},
	}
}

// TestRealServer takes a repository through its life on the real server.
func TestRealServer(t *testing.T) {
	h := harness.Start(t)
	p := publisher(t, h)
	const name = "registry.example.com/team/app"
	alice, bob, carol := harness.NewKey(t), harness.NewKey(t), harness.NewKey(t)
	info, err := p.Info(t.Context())
	if err != nil || !info.Identity.Equal(p.Server.Identity) {
		t.Fatalf("%+v, %v", info, err)
	}
	if token, err := p.Token(t.Context()); err != nil || token.ID == "" {
		t.Fatalf("%+v, %v", token, err)
	}
	init := client.InitRequest{
		Repository: name, Root: tuf.RoleKeys{Keys: []*tuf.Key{alice.Key()}}, Targets: tuf.RoleKeys{Keys: []*tuf.Key{bob.Key()}},
		Signers: []tuf.Signer{alice, bob}}
	out, err := p.Init(t.Context(), init)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Init(t.Context(), init); err != nil {
		t.Errorf("the very same again, as after a lost answer: %v", err)
	}
	init.Root, init.Signers = tuf.RoleKeys{Keys: []*tuf.Key{carol.Key()}}, []tuf.Signer{carol, bob}
	if _, err := publisher(t, h).Init(t.Context(), init); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("created twice: %v", err)
	}
	p.Anchor = out.Anchor
	sign := func(tag, word string) error {
		_, err := p.Sign(t.Context(), client.SignRequest{Repository: name, Signers: []tuf.Signer{bob},
			Tags: []client.TagTarget{{Tag: tag, Target: tuf.Target{Digest: harness.Digest("%s", word), Length: 9}}}})
		return err
	}
	verifier := client.New(client.Config{StateDir: t.TempDir(), Now: h.Clock.Now, Anchors: client.Anchors{*out.Anchor}})
	trusts := func(tag, word string) {
		t.Helper()
		d, err := verifier.Verify(t.Context(), tuf.Image{Repository: name, Tag: tag}, client.Options{})
		if err != nil || d.Digest != harness.Digest("%s", word) {
			t.Errorf("%s: %+v, %v", tag, d, err)
		}
	}
	if err := sign("1.0", "one"); err != nil {
		t.Fatal(err)
	}
	trusts("1.0", "one")
	trusts("1.0", "one")
	if _, err := p.RotateRoot(t.Context(), client.RotateRequest{Repository: name, In: carol, Out: alice.Key().ID(), Signers: []tuf.Signer{alice}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renew(t.Context(), client.RenewRequest{Repository: name, Signers: []tuf.Signer{bob, carol}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Revoke(t.Context(), client.RevokeRequest{Repository: name, Tag: "1.0", Signers: []tuf.Signer{bob}}); err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(t.Context(), tuf.Image{Repository: name, Tag: "1.0"}, client.Options{}); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("a revoked tag: %v", err)
	}
	// The signer is down: reads go on, publishing says what is wrong.
	h.SignerFaults.Down(errors.New("down"))
	if err := sign("2.0", "two"); err == nil || tuf.IsRefusal(err) || (!errors.Is(err, api.ErrSignerUnavailable) && !errors.Is(err, client.ErrUncertain)) {
		t.Errorf("without a signer: %v", err)
	}
	if _, err := verifier.Verify(t.Context(), tuf.Image{Repository: name, Tag: "1.0"}, client.Options{}); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("without a signer: %v", err)
	}
	h.SignerFaults.Down(nil)
	if err := sign("2.0", "two"); err != nil {
		t.Error(err)
	}
	trusts("2.0", "two")
	// Six months later, with nobody looking.
	h.Clock.Advance(181 * 24 * time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 1 {
		t.Fatalf("%d repositories were refreshed", n)
	}
	if _, err := p.Renew(t.Context(), client.RenewRequest{Repository: name, Signers: []tuf.Signer{bob}}); err != nil {
		t.Error(err)
	}
	trusts("2.0", "two")
}

// TestManyPublishers has publishers sign different tags of one repository at
// once. Each is asked again when another was first, and no tag is lost.
func TestManyPublishers(t *testing.T) {
	h := harness.Start(t)
	p := publisher(t, h)
	const name = "registry.example.com/team/app"
	alice := harness.NewKey(t)
	keys := tuf.RoleKeys{Keys: []*tuf.Key{alice.Key()}}
	out, err := p.Init(t.Context(), client.InitRequest{Repository: name, Root: keys, Targets: keys, Signers: []tuf.Signer{alice}})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			p := publisher(t, h)
			p.Anchor = out.Anchor
			asked := 0
			p.Confirm = func(_ context.Context, change *client.Change) error {
				asked++
				if change.Rebased != (asked > 1) || len(change.Files) != 1 || len(change.Files[0].Targets) != 2 {
					return fmt.Errorf("question %d is %+v", asked, change)
				}
				return nil
			}
			for {
				_, err := p.Sign(t.Context(), client.SignRequest{Repository: name, Signers: []tuf.Signer{alice},
					Tags: []client.TagTarget{{Tag: fmt.Sprint("t", i), Target: tuf.Target{Digest: harness.Digest("%d", i), Length: 9}}}})
				if !errors.Is(err, tuf.ErrConflict) {
					if err != nil {
						t.Error(err)
					}
					return
				}
				asked = 0
			}
		})
	}
	group.Wait()
	view, err := p.Client.View(t.Context(), name, client.Options{Anchor: out.Anchor})
	if err != nil || len(view.Tags) != 4 {
		t.Errorf("%+v, %v", view, err)
	}
}
