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
	h.Clock.Advance(2 * time.Second) // so that the same command makes other files
	if out, err := p.Init(t.Context(), init); err != nil || out.Change != nil || out.Anchor == nil {
		t.Errorf("the very same again, as after a lost answer: %+v, %v", out, err)
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
	if _, err := p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: name, Role: tuf.RoleRoot, Add: []*tuf.Key{carol.Key()},
		Remove: []string{alice.Key().ID()}, Signers: []tuf.Signer{alice, carol}}); err != nil {
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

// TestRealServerKeys takes every role's keys through changes, two of three each,
// on the real server and signer. Verifiers that know the first root follow at any
// time, those that slept through all of it too.
func TestRealServerKeys(t *testing.T) {
	h := harness.Start(t)
	p := publisher(t, h)
	const name = "registry.example.com/team/app"
	var all []tuf.Signer
	for range 7 {
		all = append(all, harness.NewKey(t))
	}
	keys := func(signers ...tuf.Signer) (list []*tuf.Key) {
		for _, s := range signers {
			list = append(list, s.Key())
		}
		return list
	}
	two := func(signers ...tuf.Signer) tuf.RoleKeys { return tuf.RoleKeys{Keys: keys(signers...), Threshold: 2} }
	out, err := p.Init(t.Context(), client.InitRequest{Repository: name, Root: two(all[:3]...), Targets: two(all[:3]...), Signers: all[:2]})
	if err != nil {
		t.Fatal(err)
	}
	p.Anchor = out.Anchor
	awake, asleep := t.TempDir(), t.TempDir()
	expect := func(state, tag, word string) {
		t.Helper()
		verifier := client.New(client.Config{StateDir: state, Now: h.Clock.Now, Anchors: client.Anchors{*out.Anchor}})
		d, err := verifier.Verify(t.Context(), tuf.Image{Repository: name, Tag: tag}, client.Options{})
		if word == "" && tuf.RuleOf(err) != tuf.RuleAbsent || word != "" && (err != nil || d.Digest != harness.Digest("%s", word)) {
			t.Errorf("%s: %+v, %v", tag, d, err)
		}
	}
	sign := func(role, tag string, signers ...tuf.Signer) {
		t.Helper()
		if _, err := p.Sign(t.Context(), client.SignRequest{Repository: name, Role: role, Signers: signers,
			Tags: []client.TagTarget{{Tag: tag, Target: tuf.Target{Digest: harness.Digest("%s", tag), Length: 9}}}}); err != nil {
			t.Fatal(err)
		}
	}
	sign("targets", "1.0", all[0], all[1])
	expect(asleep, "1.0", "1.0")
	ci := client.AddSignerRequest{Repository: name, Name: "ci", Keys: two(all[3:6]...), Tags: []string{"ci-*"}, Signers: all}
	if _, err := p.AddSigner(t.Context(), ci); err != nil {
		t.Fatal(err)
	}
	sign("ci", "ci-1", all[3], all[4])
	// Each key of each role goes round: one comes, another goes.
	role := map[string][]tuf.Signer{"root": all[:3], "targets": all[:3], "ci": all[3:6]}
	for round := range 3 {
		for _, r := range []string{"ci", "targets", "root"} {
			in, gone := harness.NewKey(t), role[r][round]
			all = append(all, in)
			if _, err := p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: name, Role: r, Add: keys(in), Remove: []string{gone.Key().ID()}, Signers: all}); err != nil {
				t.Fatalf("%s, round %d: %v", r, round, err)
			}
			expect(awake, "1.0", "1.0")
			expect(t.TempDir(), "ci-1", "ci-1")
		}
	}
	expect(asleep, "1.0", "1.0")
	expect(asleep, "ci-1", "ci-1")
	// Whose keys went cannot sign any more.
	if _, err := p.Sign(t.Context(), client.SignRequest{Repository: name, Role: "ci", Signers: all[3:5], Tags: []client.TagTarget{
		{Tag: "ci-2", Target: tuf.Target{Digest: harness.Digest("x"), Length: 9}}}}); !errors.Is(err, client.ErrKeys) {
		t.Errorf("keys that went: %v", err)
	}
	if _, err := p.RemoveSigner(t.Context(), client.RemoveSignerRequest{Repository: name, Name: "ci", Signers: all}); err != nil {
		t.Fatal(err)
	}
	expect(asleep, "ci-1", "")
	ci.Signers = all
	if out, err := p.AddSigner(t.Context(), ci); err != nil || out.Versions["ci"] < 4 {
		t.Errorf("the name again: %+v, %v", out, err)
	}
	expect(asleep, "ci-1", "")
	sign("ci", "ci-1", all[4], all[5])
	expect(asleep, "ci-1", "ci-1")
	expect(awake, "ci-1", "ci-1")
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
