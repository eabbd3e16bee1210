package client

import (
	"errors"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestPublishedBefore has later versions published over a proposal. That it was
// published is then the server's word, which is taken only where nothing that this
// machine has verified speaks against it.
func TestPublishedBefore(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	alice, bob := o.person(), o.person()
	first := o.propose(alice, signIntent("2.0", "two"), o.alice)
	other := o.propose(bob, signIntent("3.0", "three"), o.bob) // of the same version
	publish := func(p *api.Proposal) {
		t.Helper()
		r, err := o.approve(o.person(), p.ID, o.carol)
		o.repo.must(err)
		_, err = r.Publish(t.Context())
		o.repo.must(err)
	}
	publish(first)
	says := func(state string) { k.lie = func(p *api.Proposal) { p.State = state } }
	found := func(claim string, p *api.Proposal, state string, superseded bool) {
		t.Helper()
		r, err := o.approve(o.person(), p.ID)
		o.repo.must(err)
		if r.State != state || r.Superseded != superseded || r.Change != nil {
			t.Errorf("%s: %s, superseded %t, change %v", claim, r.State, r.Superseded, r.Change)
		}
		if err := r.Choose([]tuf.Signer{o.bob}); err == nil {
			t.Errorf("%s: it takes signatures", claim)
		}
		if _, err := r.Publish(t.Context()); err == nil {
			t.Errorf("%s: it is published anew", claim)
		}
	}
	found("while it is what is there, nobody has to say so", first, StatePublished, false)
	says(StatePublished)
	found("a lie about a version that is there with other content", other, StateStale, false)
	k.lie = nil

	publish(o.propose(o.person(), signIntent("4.0", "four"), o.alice))
	found("of what was, this machine cannot tell", first, StateStale, false)
	says(StatePublished)
	found("the server can", first, StatePublished, true)
}

// TestSignedIn looks for the proposal that is in the way of another content.
func TestSignedIn(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	alice, bob := o.person(), o.person()
	o.propose(bob, signIntent("3.0", "three"), o.bob) // of the same version, and not hers
	hers := o.propose(alice, signIntent("2.0", "two"), o.alice)
	intent := signIntent("4.0", "four")
	_, err := alice.prepareIntent(t.Context(), &intent, []tuf.Signer{o.alice})
	signed, ok := errors.AsType[*SignedError](err)
	if !ok {
		t.Fatalf("a second content for one version: %v", err)
	}
	if found, err := alice.SignedIn(t.Context(), signed); err != nil || found == nil || found.ID != hers.ID {
		t.Errorf("found %+v, %v", found, err)
	}
	k.list[hers.ID].State = StateWithdrawn
	if found, err := alice.SignedIn(t.Context(), signed); err != nil || found != nil {
		t.Errorf("one that was taken back: %+v, %v", found, err)
	}
}
