package server_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// again returns the first files of a name that was retired, at some versions.
func again(t *testing.T, p *harness.Publisher, root, targets int64) []tuf.File {
	t.Helper()
	p.First(t)
	p.Root.Signed.Version, p.Targets.Signed.Version = root, targets
	return []tuf.File{p.SignRoot(t), p.SignTargets(t)}
}

// A name that was retired starts again above its floor, never below, and only once
// the signer has retired it, too.
func TestRetiredNameStartsAbove(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	before := stored(t, h.Store, app)
	if err := h.Store.Retire(t.Context(), app, h.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client.File(t.Context(), app, "timestamp.json"); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("its timestamp: %v, expected not found", err)
	}
	if _, err := p.Client.File(t.Context(), app, "1.root.json"); err != nil {
		t.Errorf("its history: %v", err)
	}
	var about api.RepositoryResponse
	if err := p.Client.Call(t.Context(), http.MethodGet, api.RepositoryPath(app), nil, &about); err != nil {
		t.Fatal(err)
	}
	if about.Retired == nil || about.Floors[tuf.RoleTargets] != 2 || len(about.Files) > 0 {
		t.Errorf("told of it: %+v", about)
	}
	if h.Clock.Advance(48 * 60 * 60 * 1e9); h.Server.RefreshDue(t.Context()) != 0 {
		t.Error("it was refreshed")
	}
	if _, err := h.Client(h.AdminToken).Publish(t.Context(), app, p.Next(t)); err == nil {
		t.Error("its old keys went on publishing")
	}

	// What the signer still knows of it does not bring it back.
	first, err := h.Store.File(t.Context(), app, tuf.RoleRoot, 1)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := h.Server.Recover(t.Context(), app, []tuf.File{first}); moved || err == nil || !strings.Contains(err.Error(), "signet-signer retire") {
		t.Errorf("recovered: %t, %v", moved, err)
	}

	bob := h.Publisher(t, app)
	publisher := h.Token(t, []string{api.ScopePublish}, app)
	if _, err := h.Client(publisher).Publish(t.Context(), app, again(t, bob, 2, 3)...); !errors.Is(err, api.ErrForbidden) {
		t.Errorf("without the scope create: %v", err)
	}
	_, err = bob.Client.Publish(t.Context(), app, again(t, bob, 2, 3)...)
	if !errors.Is(err, api.ErrSignerUnavailable) || !strings.Contains(err.Error(), "signet-signer retire") {
		t.Errorf("while the signer knows the old one: %v", err)
	}
	if _, err := h.Signer.Retire(t.Context(), app, nil); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]int64{"from one": {1, 1}, "root at its floor": {1, 3}, "targets at theirs": {2, 2}, "root too high": {3, 3}, "targets too high": {2, 4}} {
		if _, err := bob.Client.Publish(t.Context(), app, again(t, bob, v[0], v[1])...); !errors.Is(err, tuf.ErrConflict) {
			t.Errorf("%s: %v, expected a conflict", name, err)
		}
	}
	done, err := bob.Client.Publish(t.Context(), app, again(t, bob, 2, 3)...)
	if err != nil {
		t.Fatal(err)
	}
	if done.Versions[tuf.RoleSnapshot] < 3 || done.Versions[tuf.RoleTimestamp] < 3 || done.Versions[tuf.RoleRoot] != 2 {
		t.Errorf("it starts at %v", done.Versions)
	}
	bob.Publish(t)
	if after := stored(t, h.Store, app); strings.Join(after[:len(before)], "\n") != strings.Join(before, "\n") || len(after) != len(before)+3 {
		t.Errorf("history: %q", after)
	}
	h.Clock.Advance(13 * 60 * 60 * 1e9)
	if h.Server.RefreshDue(t.Context()) != 1 {
		t.Error("it is not refreshed")
	}
}

// The first publish of a name that was retired was signed and never committed. As with
// a new name, it is not lost to its publisher, who starts again, nor to an operator who
// has the first root.
func TestRetiredNameIsNotLost(t *testing.T) {
	for _, recover := range []bool{false, true} {
		h := harness.Start(t)
		h.Publisher(t, app).Init(t)
		if err := h.Store.Retire(t.Context(), app, h.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Signer.Retire(t.Context(), app, nil); err != nil {
			t.Fatal(err)
		}
		p := h.Publisher(t, app)
		lost := again(t, p, 2, 2)
		if _, err := h.Signer.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{lost[0].Bytes}, Roles: lost[1:]}); err != nil {
			t.Fatal(err)
		}
		if eve := h.Publisher(t, app); !recover {
			if _, err := eve.Client.Publish(t.Context(), app, again(t, eve, 2, 2)...); !errors.Is(err, api.ErrSignerUnavailable) {
				t.Errorf("by other keys: %v", err)
			}
		}
		h.Clock.Advance(60 * 60 * 1e9)
		if recover {
			if moved, err := h.Server.Recover(t.Context(), app, lost[:1]); err != nil || !moved {
				t.Fatalf("recovered: %t, %v", moved, err)
			}
		} else if _, err := p.Client.Publish(t.Context(), app, again(t, p, 2, 2)...); !errors.Is(err, tuf.ErrConflict) {
			t.Fatalf("got %v, expected tuf.ErrConflict", err)
		}
		verify(t, h, app)
		p.Publish(t)
	}
}
