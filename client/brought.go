package client

import (
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A BroughtKey is a key that a role has now and that the key in question alone let
// in, from Since on: a thief may have left it behind.
type BroughtKey struct {
	Role      string    `json:"role"`
	Delegator string    `json:"delegator"` // whose file lists it: "root", "targets" or a signer
	KeyID     string    `json:"keyid"`
	Version   int64     `json:"version"` // of the delegator's file that let it in
	Time      time.Time `json:"time"`
	Token     string    `json:"token"`
	All       bool      `json:"all"` // the role has no key but such ones
	New       bool      `json:"new"` // the role itself is a signer of which nobody else ever said that there is one
}

// A listing is a key of a role.
type listing struct{ role, key string }

// alone tells whether nobody but the thief made a file count: each of the keys that it
// hangs on is the one in question, or one that it alone let in.
func (c *compromise) alone(past *Past) bool {
	return len(past.Counted) > 0 && !slices.ContainsFunc(past.Counted, func(id string) bool { return !c.thief[id] })
}

// bring notes which keys a proven file lets into roles, and which it takes away. The
// very first files say who there is at all; they let nobody in.
func (c *compromise) bring(past *Past) {
	before, after := map[listing]bool{}, map[listing]bool{}
	if past.Root != nil {
		if past.OldRoot == nil {
			return
		}
		for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
			note(before, role, tuf.RoleKeysOf(past.OldRoot, role))
			note(after, role, tuf.RoleKeysOf(past.Root, role))
		}
	} else {
		noteSigners(before, past.OldTargets)
		noteSigners(after, past.Targets)
	}
	for l := range before {
		if !after[l] && c.let[l] != nil && c.let[l].Delegator == past.Role {
			delete(c.let, l)
		}
	}
	if !c.alone(past) || past.Time.Before(c.request.Since) {
		return
	}
	for l := range after {
		if before[l] || l.key == c.request.KeyID {
			continue
		}
		c.let[l] = &BroughtKey{Role: l.role, Delegator: past.Role, KeyID: l.key, Version: past.Version, Time: past.Time, Token: past.Token}
		if !c.request.Since.IsZero() { // else the key may well be the one that let everybody in
			c.thief[l.key] = true
		}
	}
}

func note(list map[listing]bool, role string, keys tuf.RoleKeys) {
	for _, key := range keys.Keys {
		list[listing{role, key.ID()}] = true
	}
}

func noteSigners(list map[listing]bool, md *tuf.Targets) {
	if md == nil || md.Signed.Delegations == nil {
		return
	}
	for _, role := range md.Signed.Delegations.Roles {
		keys, _ := tuf.SignerKeysOf(md, role.Name)
		note(list, role.Name, keys)
	}
}

// left lists which of the keys that were let in are there now.
func (c *compromise) left(view *View) []BroughtKey {
	list := []BroughtKey{}
	for _, role := range view.Roles {
		let := func(key KeyView) bool { return c.let[listing{role.Name, key.ID}] != nil }
		for _, key := range role.Keys {
			if let(key) {
				brought := *c.let[listing{role.Name, key.ID}]
				brought.New = c.isNew(role.Delegator, role.Name)
				brought.All = !slices.ContainsFunc(role.Keys, func(key KeyView) bool { return !let(key) })
				list = append(list, brought)
			}
		}
	}
	slices.SortFunc(list, func(a, b BroughtKey) int {
		return strings.Compare(order(a.Role)+"\x00"+a.KeyID, order(b.Role)+"\x00"+b.KeyID)
	})
	return list
}

// Left tells whether a signer is what the thief left behind: nobody else ever let it
// in, and it has no other key. Without Since nobody can tell.
func (c *Compromise) Left(role string) bool {
	return c.Since != nil && slices.ContainsFunc(c.Brought, func(b BroughtKey) bool { return b.Role == role && b.All && b.New })
}
