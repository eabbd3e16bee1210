package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A RotateOnlineRequest asks for fresh online keys.
type RotateOnlineRequest struct {
	Repository string
	Roles      []string // "snapshot", "timestamp" or both
	// Signers hold enough of the root keys, best first. No more of them are asked than
	// root needs.
	Signers []tuf.Signer
}

// RotateOnline has the server's signer make fresh online keys, and publishes a root
// that lists them in place of the old ones; with it go, in one step, snapshot and
// timestamp signed by the fresh ones. Verifiers who follow the root forget what the
// old keys signed (§5.3.11): that is what undoes a fast-forward by stolen ones. The
// keys are checked against the signer's pinned identity, as in every root.
func (p *Publisher) RotateOnline(ctx context.Context, request RotateOnlineRequest) (*Published, error) {
	d, err := p.PrepareRotateOnline(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareRotateOnline prepares what RotateOnline does. With DryRun the signer makes no
// keys, and Change shows a root with those that are there.
func (p *Publisher) PrepareRotateOnline(ctx context.Context, r RotateOnlineRequest) (*Prepared, error) {
	for i, role := range r.Roles {
		if role != tuf.RoleSnapshot && role != tuf.RoleTimestamp || slices.Contains(r.Roles[:i], role) {
			return nil, fmt.Errorf("online keys are those of snapshot and timestamp, each named once, not %q: %w", r.Roles, ErrRoleKeys)
		}
	}
	if len(r.Roles) == 0 {
		return nil, fmt.Errorf("no role is named that is to have a fresh key: %w", ErrRoleKeys)
	}
	anchor, err := p.anchorFor(r.Repository)
	if err != nil {
		return nil, err
	}
	sent := map[string]bool{} // IDs of keys that the root lists that was built last
	build := func(ctx context.Context, cur *current) ([]*draft, error) {
		keys := tuf.RoleKeysOf(cur.root, tuf.RoleRoot)
		d := &draft{signers: pick(keys, r.Signers)}
		if err := p.enough(d, tuf.RoleRoot, r.Repository, keys); err != nil {
			return nil, err // before the signer makes any keys
		}
		missing, signers := d.missing, d.signers
		if len(sent) > 0 && p.lists(cur.root, r.Roles, sent) {
			return nil, nil // the publish took place, and its answer got lost
		}
		if !p.DryRun && !p.apart() {
			if err := p.freshKeys(ctx, r); err != nil {
				return nil, err
			}
		}
		d, err := p.next(ctx, cur, tuf.RoleRoot)
		if err != nil {
			return nil, err
		}
		for _, role := range r.Roles {
			for _, key := range tuf.RoleKeysOf(d.root, role).Keys {
				sent[key.ID()] = true
			}
		}
		d.signers, d.missing = signers, missing
		return []*draft{d}, nil
	}
	d, err := p.prepare(ctx, step{repository: r.Repository, anchor: anchor, build: build})
	if err != nil {
		return nil, err
	}
	// The next root lists the newest keys, whatever else it is made for.
	return d.meant(Intent{Renew: &RenewRequest{Repository: r.Repository, Roles: []string{tuf.RoleRoot}}}), nil
}

// lists tells whether root lists only keys of ids for roles.
func (p *Publisher) lists(root *tuf.Root, roles []string, ids map[string]bool) bool {
	return !slices.ContainsFunc(roles, func(role string) bool {
		return slices.ContainsFunc(tuf.RoleKeysOf(root, role).Keys, func(key *tuf.Key) bool { return !ids[key.ID()] })
	})
}

// freshKeys has the signer make keys. What they are is read, and checked, when they
// are put into root.
func (p *Publisher) freshKeys(ctx context.Context, r RotateOnlineRequest) error {
	body, err := json.Marshal(api.OnlineKeysRequest{Rotate: r.Roles})
	if err != nil {
		return err
	}
	var response api.OnlineKeysResponse
	return p.call(ctx, http.MethodPost, api.OnlineKeysPath(r.Repository), body, &response)
}
