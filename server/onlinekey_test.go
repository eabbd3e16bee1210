package server_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// rotated asks for fresh keys with a token and returns the next root's, by role.
func rotated(h *harness.Harness, token string, roles ...string) (map[string]*tuf.Key, error) {
	var answer api.OnlineKeysResponse
	err := h.Client(token).Call(context.Background(), http.MethodPost, api.OnlineKeysPath(app), api.OnlineKeysRequest{Rotate: roles}, &answer)
	keys := map[string]*tuf.Key{}
	for _, key := range answer.Keys {
		keys[key.Role] = key.Key
	}
	return keys, err
}

// Online keys rotate in one publish: with the root that lists the fresh ones go
// snapshot and timestamp signed by them, or nothing does.
func TestRotateOnlineKeys(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	old := map[string]string{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		old[role] = tuf.RoleKeysOf(p.Root, role).Keys[0].ID()
	}
	keys, err := rotated(h, h.Token(t, []string{api.ScopePublish}, app), tuf.RoleSnapshot, tuf.RoleTimestamp)
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(t) // the old ones go on
	verify(t, h, app)

	// A root that still lists the old ones is no next root any more.
	p.Root.Signed.Version++
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); !errors.Is(err, tuf.RuleOnlineKey) {
		t.Errorf("a root with the old keys: %v", err)
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			again, err := rotated(h, h.AdminToken, tuf.RoleTimestamp)
			if err != nil || !again[tuf.RoleSnapshot].Equal(keys[tuf.RoleSnapshot]) || !again[tuf.RoleTimestamp].Equal(keys[tuf.RoleTimestamp]) {
				t.Errorf("asked again: %v, %v", again, err)
			}
		})
	}
	wg.Wait()
	for role, key := range keys {
		if err := tuf.SetRoleKeys(p.Root, role, tuf.RoleKeys{Keys: []*tuf.Key{key}, Threshold: 1}); err != nil {
			t.Fatal(err)
		}
	}
	// The signer fails in the middle: nothing of it is there, and the next try is whole.
	h.SignerFaults.Before(func(_ context.Context, call string) error {
		if call == "Sign" {
			return errors.New("down")
		}
		return nil
	})
	root := p.SignRoot(t)
	if _, err := p.Client.Publish(t.Context(), app, root); err == nil {
		t.Fatal("published without a signer")
	}
	h.SignerFaults.Before(nil)
	if trusted := verify(t, h, app); trusted.Root().Signed.Version != 1 {
		t.Fatal("half a rotation is served")
	}
	if _, err := p.Client.Publish(t.Context(), app, root); err != nil {
		t.Fatal(err)
	}
	trusted := verify(t, h, app)
	for role, signatures := range map[string]string{
		tuf.RoleSnapshot: trusted.Snapshot().Signatures[0].KeyID, tuf.RoleTimestamp: trusted.Timestamp().Signatures[0].KeyID,
	} {
		if signatures != keys[role].ID() || signatures == old[role] {
			t.Errorf("%s is signed by %s, expected %s", role, signatures, keys[role].ID())
		}
	}
	h.Server.RefreshDue(t.Context())
	verify(t, h, app)
}

func TestRotateOnlineKeysRefuses(t *testing.T) {
	h := harness.Start(t)
	if _, err := rotated(h, h.AdminToken, tuf.RoleSnapshot); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("of a repository that is not there: %v", err)
	}
	p := h.Publisher(t, app)
	p.Init(t)
	for claim, c := range map[string]struct {
		token string
		roles []string
		want  error
	}{
		"without a token":        {"", []string{tuf.RoleSnapshot}, api.ErrUnauthorized},
		"by a reader":            {h.Token(t, []string{api.ScopeRead}, app), []string{tuf.RoleSnapshot}, api.ErrForbidden},
		"by who may create only": {h.Token(t, []string{api.ScopeCreate}, app), []string{tuf.RoleSnapshot}, api.ErrForbidden},
		"by others' publishers":  {h.Token(t, []string{api.ScopePublish}, "other.example/**"), []string{tuf.RoleSnapshot}, api.ErrForbidden},
		"of root":                {h.AdminToken, []string{tuf.RoleRoot}, tuf.RuleOnlineKey},
		"of one twice":           {h.AdminToken, []string{tuf.RoleSnapshot, tuf.RoleSnapshot}, tuf.RuleOnlineKey},
	} {
		if _, err := rotated(h, c.token, c.roles...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, expected %v", claim, err, c.want)
		}
	}
	p.Root.Signed.Version++
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); err != nil {
		t.Errorf("what was refused left keys behind: %v", err)
	}
}
