package server_test

import (
	"bytes"
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

// behind returns a server whose database has root 1 of the repository, and whose
// signer has root 4 and newer targets, with the roots 1 to 4.
func behind(t *testing.T) (*harness.Harness, *harness.Publisher, []tuf.File) {
	t.Helper()
	h := harness.Start(t)
	p := h.Publisher(t, app)
	files := p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, files...); err != nil {
		t.Fatal(err)
	}
	roots := files[:1]
	p.Tag(t, "1.0", harness.Digest("one"))
	targets := p.Next(t)
	for version := int64(2); version <= 4; version++ {
		old, next := p.RootKey, harness.NewKey(t)
		if err := tuf.SetRoleKeys(p.Root, tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{next.Key()}}); err != nil {
			t.Fatal(err)
		}
		p.Root.Signed.Version = version
		p.RootKey = next
		roots = append(roots, p.SignRoot(t, old))
		request := signerapi.SignRequest{Repository: app, Roots: [][]byte{roots[version-1].Bytes}, Roles: []tuf.File{targets}}
		if _, err := h.Signer.Sign(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	return h, p, roots
}

// Roots that neither database nor signer has are taken from who kept them.
func TestRecoverMissingRoots(t *testing.T) {
	h, p, roots := behind(t)
	h.Clock.Advance(13 * time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 0 {
		t.Fatalf("refreshed %d without the roots", n)
	}
	forged := roots[2]
	forged.Bytes = bytes.Replace(roots[1].Bytes, []byte(`"version":2`), []byte(`"version":3`), 1)
	for name, given := range map[string][]tuf.File{
		"none":                     nil,
		"one of two":               {roots[1]},
		"the other of two":         {roots[2]},
		"one that nobody signed":   {roots[1], forged},
		"one under another number": {roots[1], {Role: tuf.RoleRoot, Version: 3, Bytes: roots[1].Bytes}},
	} {
		if moved, err := h.Server.Recover(t.Context(), app, given); err == nil || moved {
			t.Errorf("%s: moved %v, %v", name, moved, err)
		}
	}
	if head, err := h.Store.Head(t.Context(), app); err != nil || head.Generation != 1 {
		t.Fatalf("generation %d: %v", head.Generation, err)
	}
	if moved, err := h.Server.Recover(t.Context(), app, []tuf.File{roots[2], roots[0], roots[1]}); err != nil || !moved {
		t.Fatalf("moved %v, %v", moved, err)
	}
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %q", got)
	}
	for i, root := range roots { // a client with any of them walks on
		data, err := p.Client.File(t.Context(), app, tuf.FileName(tuf.RoleRoot, int64(i+1)))
		if err != nil || !bytes.Equal(data, root.Bytes) {
			t.Errorf("root %d: %v", i+1, err)
		}
	}
	if moved, err := h.Server.Recover(t.Context(), app, roots); err != nil || moved {
		t.Errorf("once more: moved %v, %v", moved, err)
	}
	p.Publish(t)
}

// A repository that was created after the backup is made again, for those who have
// its first root.
func TestRecoverALostRepository(t *testing.T) {
	h, _, roots := behind(t)
	lost := harness.Start(t)
	// Another server's database, with this one's signer.
	s := server.New(server.Config{Store: harness.NewStore(lost.Store, lost.StoreFaults), Signer: h.Signer, Now: h.Clock.Now})
	eve := harness.Start(t).Publisher(t, app).First(t)[0]
	for name, given := range map[string][]tuf.File{
		"no first root":    roots[1:],
		"not all roots":    {roots[0], roots[2]},
		"eve's first root": {eve, roots[1], roots[2]},
	} {
		if moved, _ := s.Recover(t.Context(), app, given); moved {
			t.Errorf("%s: moved", name)
		}
		if _, err := lost.Store.Head(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
			t.Fatalf("%s: the repository exists: %v", name, err)
		}
	}
	if moved, err := s.Recover(t.Context(), app, roots); err != nil || !moved {
		t.Fatalf("moved %v, %v", moved, err)
	}
	if got := tags(t, lost, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %q", got)
	}
}
