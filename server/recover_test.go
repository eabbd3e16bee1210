package server_test

import (
	"errors"
	"testing"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// What another server had signed makes no repository here.
func TestRecoverCreatesNothing(t *testing.T) {
	h := harness.Start(t)
	p, other := h.Publisher(t, app), h.Publisher(t, app)
	files, theirs := p.First(t), other.First(t)
	if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{theirs[0].Bytes}, Roles: theirs[1:]}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client.Publish(t.Context(), app, files...); !errors.Is(err, api.ErrSignerUnavailable) {
		t.Fatalf("got %v, expected api.ErrSignerUnavailable", err)
	}
	if _, err := h.Store.Head(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
		t.Fatalf("the repository exists: %v", err)
	}
}

// The first publish was signed and never committed, and its publisher starts
// again: the name is not lost to them.
func TestRecoverOwnFirst(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	lost := p.First(t)
	if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{lost[0].Bytes}, Roles: lost[1:]}); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(time.Hour)
	if _, err := p.Client.Publish(t.Context(), app, p.First(t)...); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("got %v, expected tuf.ErrConflict", err)
	}
	verify(t, h, app)
}

// A root that the rules for the name refuse does not come in by the back door, and
// neither does a file that lives too long.
func TestRecoverKeepsTheRules(t *testing.T) {
	root := harness.NewKey(t)
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.Rules = []server.Rule{{Pattern: "registry.example/**", RootKeys: []string{root.Key().ID()},
			MaxLife: map[string]time.Duration{tuf.RoleTargets: 200 * 24 * time.Hour}}}
	})
	sign := func(t *testing.T, p *harness.Publisher, root, targets tuf.File) {
		t.Helper()
		request := signerapi.SignRequest{Repository: p.Repository, Roots: [][]byte{root.Bytes}, Roles: []tuf.File{targets}}
		if _, err := h.Signer.Sign(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if n := h.Server.RefreshDue(t.Context()); n != 0 {
			t.Fatalf("refreshed %d", n)
		}
		head, err := h.Store.Head(t.Context(), p.Repository)
		if err != nil || head.Generation != 1 {
			t.Fatalf("generation %d: %v", head.Generation, err)
		}
	}
	t.Run("root keys", func(t *testing.T) {
		p := h.Publisher(t, "registry.example/team/one")
		p.RootKey = root
		p.Init(t)
		eve := harness.NewKey(t)
		if err := tuf.SetRoleKeys(p.Root, tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{eve.Key()}}); err != nil {
			t.Fatal(err)
		}
		p.Root.Signed.Version = 2
		second := p.SignRoot(t, eve)
		h.Clock.Advance(13 * time.Hour)
		state, err := h.Store.Head(t.Context(), p.Repository)
		if err != nil {
			t.Fatal(err)
		}
		targets := state.State.Roles[tuf.RoleTargets]
		sign(t, p, second, targets)
	})
	t.Run("lives", func(t *testing.T) {
		p := h.Publisher(t, "registry.example/team/two")
		p.RootKey = root
		p.Init(t)
		head, err := h.Store.Head(t.Context(), p.Repository)
		if err != nil {
			t.Fatal(err)
		}
		first := head.State.Root
		p.Targets.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).AddDate(0, 0, 300)
		next := p.Next(t)
		h.Clock.Advance(13 * time.Hour)
		sign(t, p, first, next)
	})
}

// Nor does a root whose keys are not in hardware, where the rules demand that.
func TestRecoverKeepsTheDemand(t *testing.T) {
	m := newMaker(t)
	h := demanding(t, &attestation.Demand{Roots: string(m.RootPEM())})
	p := h.Publisher(t, app)
	p.First(t)
	targets := p.SignTargets(t)
	if _, err := p.Client.Publish(t.Context(), app, attest(t, p, m), targets); err != nil {
		t.Fatal(err)
	}
	tuf.SetAttestations(p.Root, nil)
	p.Root.Signed.Version = 2
	if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{p.SignRoot(t).Bytes}, Roles: []tuf.File{targets}}); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(13 * time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 0 {
		t.Fatalf("refreshed %d", n)
	}
	if head, err := h.Store.Head(t.Context(), app); err != nil || head.Generation != 1 {
		t.Fatalf("generation %d: %v", head.Generation, err)
	}
}

// What was committed late may have expired meanwhile.
func TestRecoverExpired(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	head, err := h.Store.Head(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	p.Tag(t, "1.0", harness.Digest("one"))
	file := p.Next(t)
	if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{head.State.Root.Bytes}, Roles: []tuf.File{file}}); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(200 * 24 * time.Hour)
	h.Server.RefreshDue(t.Context())
	if head, err = h.Store.Head(t.Context(), app); err != nil || head.State.Roles[tuf.RoleTargets].Version != 2 {
		t.Fatalf("%+v, %v", head.State.Versions(), err)
	}
}
