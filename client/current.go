package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// current is a repository's verified state, as a publisher builds on it.
type current struct {
	repository string
	root       *tuf.Root
	rootBytes  []byte
	names      []string // of targets and the signers, in the order of the search
	roles      map[string]currentRole
	versions   map[string]int64
	listed     map[string]int64 // versions by what the snapshot lists: roles that were removed, too
	expired    []string         // roles that have expired
	timestamp  time.Time        // when the timestamp expires
	seen       time.Time        // the latest time at which this machine verified anything of it
	warnings   []string         // what whoever signs has to know of what is there
}

// currentRole is targets or a signer.
type currentRole struct {
	delegator string
	bytes     []byte
	targets   *tuf.Targets
	keys      tuf.RoleKeys
}

// maxExpired is how many roles that have expired a publisher works around.
const maxExpired = 64

// read verifies what the server serves. Unlike a verifier, a publisher must be
// able to renew what has expired: root, targets and signers may have, which is
// then told in the Change, and so is what the anchor's demand for hardware refuses.
// Freshness is not given up: timestamp and snapshot may not have, unless no server
// is asked at all, when they say how old all of it is.
func (p *Publisher) read(ctx context.Context, repository string, anchor *Anchor, then func(context.Context, *Update, *current) error) (*current, error) {
	path, err := stateDir(p.Client.config.StateDir, repository)
	if err != nil {
		return nil, err
	}
	var cur *current
	var lacking []string
	s := session{client: p.Client, repository: repository, anchor: anchor, path: path, lacking: &lacking, token: func(string, string) string { return p.Server.Token }}
	s.question = func(ctx context.Context, x *Update) (err error) {
		if err := fresh(x, p.Client.config.Now()); err != nil && !p.apart() {
			return err
		}
		if cur, err = newCurrent(ctx, x, repository); err == nil && then != nil {
			err = then(ctx, x, cur)
		}
		return err
	}
	var expired []string
	for {
		err := p.ask(ctx, &s)
		e, isExpired := errors.AsType[*tuf.ExpiredError](err)
		switch {
		case err == nil:
			cur.expired, cur.warnings = expired, append(cur.warnings, lacking...)
			if p.apart() || then != nil {
				return cur, nil
			}
			floors, _, err := p.serverFloors(ctx, repository)
			if err != nil {
				return nil, err
			}
			return cur, cur.raise(floors)
		case !isExpired, !p.apart() && (e.Role == tuf.RoleTimestamp || e.Role == tuf.RoleSnapshot), len(expired) == maxExpired:
			return nil, err
		}
		expired = append(expired, e.Role)
		s.at = e.Expired.Add(-time.Second)
	}
}

// ask runs a session where this publisher reads from. What has expired is left to
// read, and not to the anchor's MaxStale: nothing is taken for an answer yet.
func (p *Publisher) ask(ctx context.Context, s *session) error {
	switch {
	case p.From != "":
		r, end, err := s.client.folderRemote(p.From)
		if err != nil {
			return err
		}
		return errors.Join(s.attempts(ctx, r), end())
	case p.Offline:
		return s.offline(ctx)
	}
	return s.online(ctx)
}

// apart tells whether no server is asked.
func (p *Publisher) apart() bool { return p.Offline || p.From != "" }

// fresh refuses a timestamp or snapshot that has expired.
func fresh(x *Update, now time.Time) error {
	timestamp, snapshot := x.trusted.Timestamp().Signed, x.trusted.Snapshot().Signed
	switch {
	case !timestamp.Expires.After(now):
		return &tuf.ExpiredError{Repository: x.u.Repository, Role: tuf.RoleTimestamp, Version: timestamp.Version, Expired: timestamp.Expires, Now: now}
	case !snapshot.Expires.After(now):
		return &tuf.ExpiredError{Repository: x.u.Repository, Role: tuf.RoleSnapshot, Version: snapshot.Version, Expired: snapshot.Expires, Now: now}
	}
	return nil
}

// newCurrent reads every role.
func newCurrent(ctx context.Context, x *Update, repository string) (*current, error) {
	t := x.trusted
	cur := &current{repository: repository, rootBytes: t.Bytes(tuf.RoleRoot), roles: map[string]currentRole{},
		versions: map[string]int64{}, listed: map[string]int64{}}
	var err error
	if cur.root, err = tuf.ReadRoot(cur.rootBytes); err != nil {
		return nil, err
	}
	cur.versions[tuf.RoleRoot] = cur.root.Signed.Version
	cur.versions[tuf.RoleTimestamp] = t.Timestamp().Signed.Version
	cur.versions[tuf.RoleSnapshot] = t.Snapshot().Signed.Version
	cur.timestamp = t.Timestamp().Signed.Expires
	if d, ok := x.u.Store.(*Dir); ok {
		cur.seen = d.marks.Time
	}
	for name, meta := range t.Snapshot().Signed.Meta {
		if role, ok := strings.CutSuffix(name, ".json"); ok {
			cur.listed[role] = meta.Version
		}
	}
	err = x.Walk(ctx, func(role, delegator string, targets *tuf.Targets) error {
		r := currentRole{delegator: delegator, bytes: t.Bytes(role), targets: targets, keys: tuf.RoleKeysOf(cur.root, tuf.RoleTargets)}
		if parent := t.Role(delegator); parent != nil {
			r.keys, _ = tuf.SignerKeysOf(parent, role)
		}
		if targets.Signed.Delegations != nil {
			// Read anew: what was verified lists only the keys that this client can use.
			var err error
			if r.targets, err = tuf.ReadTargets(r.bytes); err != nil {
				return err
			}
		}
		cur.names, cur.roles[role], cur.versions[role] = append(cur.names, role), r, targets.Signed.Version
		return ctx.Err()
	})
	return cur, err
}

// serves tells whether the current file of d's role is what d signed. The server
// may have left off signatures that nobody asked for.
func (c *current) serves(d *draft) bool {
	served := c.roles[d.role].bytes
	if d.role == tuf.RoleRoot {
		served = c.rootBytes
	}
	return bytes.Equal(served, d.file) || bytes.Equal(c.payloadOf(d.role), d.payload)
}

// payloadOf returns the signed part of role's current file.
func (c *current) payloadOf(role string) []byte {
	var payload []byte
	if role == tuf.RoleRoot {
		payload, _ = tuf.Payload(c.root)
	} else if r, ok := c.roles[role]; ok {
		payload, _ = tuf.Payload(r.targets)
	}
	return payload
}

// keysOf returns who may sign role.
func (c *current) keysOf(role string) (tuf.RoleKeys, error) {
	if role == tuf.RoleRoot {
		return tuf.RoleKeysOf(c.root, tuf.RoleRoot), nil
	}
	r, ok := c.roles[role]
	if !ok {
		return tuf.RoleKeys{}, fmt.Errorf("%s has no signer %q: %w", c.repository, role, tuf.ErrNotFound)
	}
	return r.keys, nil
}

// mayList tells whether a target path that role lists would be found: every
// delegation down to it allows the path.
func (c *current) mayList(role, path string) bool {
	for role != tuf.RoleTargets {
		r, ok := c.roles[role]
		if !ok {
			return false
		}
		d := c.roles[r.delegator].targets.Signed.Delegations
		if d.Roles != nil && !slices.ContainsFunc(d.Roles, func(list metadata.DelegatedRole) bool {
			return list.Name == role && tuf.Delegated(list, path)
		}) {
			return false
		}
		if d.Roles == nil && d.SuccinctRoles != nil && d.SuccinctRoles.GetRolesForTarget(path)[0].Name != role {
			return false
		}
		role = r.delegator
	}
	return true
}
