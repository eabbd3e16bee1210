package server_test

import (
	"errors"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// The database lacks what the signer has signed, and the signer was raised, or restored
// from its backup, before it was asked what that was. It still has what it accepted, so
// this is brought back, and the repository goes on; by the refresh, or by a publisher
// who conflicts with it.
func TestRaisedSignerThatIsAhead(t *testing.T) {
	for _, publish := range []bool{false, true} {
		h := harness.Start(t)
		p := h.Publisher(t, app)
		roots := p.First(t)[:1]
		if _, err := p.Client.Publish(t.Context(), app, roots[0], p.SignTargets(t)); err != nil {
			t.Fatal(err)
		}
		p.Tag(t, "1.0", harness.Digest("one"))
		p.Root.Signed.Version = 2
		roots = append(roots, p.SignRoot(t))
		lost := p.Next(t)
		request := signerapi.SignRequest{Repository: app, Roots: [][]byte{roots[0].Bytes, roots[1].Bytes}, Roles: []tuf.File{lost}}
		signed, err := h.Signer.Sign(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Signer.RaiseAll(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if publish {
			p.Tag(t, "1.0", harness.Digest("two"))
			if _, err := p.Client.Publish(t.Context(), app, p.SignTargets(t)); !errors.Is(err, tuf.ErrConflict) {
				t.Errorf("another version 2: %v, expected a conflict", err)
			}
		} else {
			h.Clock.Advance(13 * time.Hour)
			h.Server.RefreshDue(t.Context())
		}
		if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
			t.Errorf("1.0 means %q", got)
		}
		state, err := h.Client(h.AdminToken).State(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		if state.Root.Version != 2 || state.Roles[tuf.RoleTargets].Version != 2 || state.Timestamp.Version <= signed.Timestamp.Version || state.Snapshot.Version <= signed.Snapshot.Version {
			t.Errorf("versions %v", state.Versions())
		}
		verify(t, h, app)
		p.Publish(t)
		h.Clock.Advance(13 * time.Hour)
		if h.Server.RefreshDue(t.Context()) != 1 {
			t.Error("it is not refreshed")
		}
	}
}

// The publish that added a signer was signed and never committed. Whoever publishes next
// is told of a conflict, as with any other, once it is there.
func TestUncommittedSigner(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	first := p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, first...); err != nil {
		t.Fatal(err)
	}
	bob := harness.NewKey(t)
	file := tuf.NewTargets(1, h.Clock.Now().Add(20*day))
	if err := tuf.Sign(t.Context(), file, bob); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(file)
	if err != nil {
		t.Fatal(err)
	}
	id := bob.Key().ID()
	p.Targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{id: bob.Key().Metadata()}, Roles: []metadata.DelegatedRole{
		{Name: "bob", KeyIDs: []string{id}, Threshold: 1, Paths: []string{app + ":*", app + ":*@sha256:*"}},
	}}
	roles := []tuf.File{p.Next(t), {Role: "bob", Version: 1, Bytes: data}}
	if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{first[0].Bytes}, Roles: roles}); err != nil {
		t.Fatal(err)
	}
	p.Targets.Signed.Delegations = nil
	if _, err := p.Client.Publish(t.Context(), app, p.SignTargets(t)); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("got %v, expected a conflict", err)
	}
	state, err := h.Client(h.AdminToken).State(t.Context(), app)
	if err != nil || state.Roles["bob"].Version != 1 || state.Roles[tuf.RoleTargets].Version != 2 {
		t.Errorf("%v, %v", state.Versions(), err)
	}
}
