package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// check holds the proposal to all that a server demands of a publish, but for the
// signatures that are yet to come, and new online keys to the signer's identity.
func (r *Review) check(ctx context.Context, cur *current) error {
	var state *tuf.State
	if cur != nil {
		state = cur.state()
	}
	if err := tuf.CheckProposed(r.Proposal.Repository, state, r.Proposal.Metadata(), tuf.PublishRules{Now: r.publisher.Client.config.Now(), Limits: r.publisher.Client.config.Limits, MaxLife: anyLife(), Floors: r.floors}); err != nil {
		return err
	}
	for _, d := range r.drafts {
		if cur != nil {
			d.oldTargets = cur.roles[d.role].targets
		}
		if d.root != nil && cur != nil {
			d.oldRoot = cur.root
		}
		if unseen := d.unseen(); unseen != "" {
			return r.refuse(d.role, d.version(), tuf.RuleShape, "%s says more than can be shown to whoever signs it", unseen)
		}
	}
	return r.checkOnline(ctx)
}

// anyLife leaves it to the server how long files may live: it says so, and whoever
// signs is shown it.
func anyLife() map[string]time.Duration {
	const most = 100 * 366 * 24 * time.Hour
	return map[string]time.Duration{tuf.RoleRoot: most, tuf.RoleTargets: most, anySigner: most}
}

// state is what was verified, as package tuf takes it.
func (c *current) state() *tuf.State {
	s := &tuf.State{Root: tuf.File{Role: tuf.RoleRoot, Version: c.versions[tuf.RoleRoot], Bytes: c.rootBytes}, Roles: map[string]tuf.File{}}
	for role, version := range c.listed { // those that were removed go on from their last version
		s.Roles[role] = tuf.File{Role: role, Version: version}
	}
	for role, r := range c.roles {
		s.Roles[role] = tuf.File{Role: role, Version: max(c.versions[role], c.listed[role]), Bytes: r.bytes}
	}
	return s
}

// checkOnline demands that online keys which a new root adds are the signer's, as
// they are when a root is built: a server, or whoever proposes, could slip in others.
func (r *Review) checkOnline(ctx context.Context) error {
	d := r.draft(tuf.RoleRoot)
	if d == nil {
		return nil
	}
	added := map[string]*tuf.Key{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		for _, key := range tuf.RoleKeysOf(d.root, role).Keys {
			if d.oldRoot == nil || !slices.ContainsFunc(tuf.RoleKeysOf(d.oldRoot, role).Keys, key.Equal) {
				added[role] = key
			}
		}
	}
	if len(added) == 0 {
		return nil
	}
	p := r.publisher
	if p.apart() {
		d.warnings = append(d.warnings, "it adds keys of the server's signer, for snapshot or timestamp, and without the server nothing here vouches for them: compare their IDs with what others see who approve it online")
		return nil
	}
	online, err := p.onlineKeys(ctx, r.Proposal.Repository)
	if err != nil {
		return err
	}
	for role, key := range added {
		if !key.Equal(online[role]) {
			return r.refuse(tuf.RoleRoot, d.version(), tuf.RuleOnlineKey, "it adds the %s key %.12s, which the server's signer does not vouch for", role, key.ID())
		}
	}
	return nil
}

// count finds out who may sign each file and who has, and drops what counts for
// nothing.
func (r *Review) count(cur *current) error {
	for i, d := range r.drafts {
		var needs []Need
		need := func(by string, keys tuf.RoleKeys) {
			needs = append(needs, Need{By: by, Keys: keys.Keys, Threshold: keys.Threshold})
		}
		if d.root != nil && d.oldRoot == nil {
			need(tuf.RoleRoot, tuf.RoleKeysOf(d.root, tuf.RoleRoot))
		} else if d.root != nil {
			before, after := tuf.RoleKeysOf(d.oldRoot, tuf.RoleRoot), tuf.RoleKeysOf(d.root, tuf.RoleRoot)
			if sameKeys(before, after) {
				need(tuf.RoleRoot, after)
			} else {
				need("the old root", before)
				need("the new root", after)
			}
		} else {
			need(d.role, r.holders(cur, d.role))
		}
		kept := []metadata.Signature{}
		for _, s := range d.signatures() {
			counts := false
			for n := range needs {
				for _, key := range needs[n].Keys {
					if key.ID() == s.KeyID && key.Verify(d.payload, s.Signature) == nil {
						counts = true
						needs[n].Signed = append(needs[n].Signed, key)
					}
				}
			}
			if counts {
				kept = append(kept, s)
			}
		}
		d.setSignatures(kept)
		if err := r.put(i); err != nil {
			return err
		}
		r.Files = append(r.Files, ReviewedFile{Role: d.role, Version: d.version(), Needs: needs})
	}
	return nil
}

// holders are those who may sign role once the proposal is published.
func (r *Review) holders(cur *current, role string) tuf.RoleKeys {
	if role == tuf.RoleTargets {
		if d := r.draft(tuf.RoleRoot); d != nil {
			return tuf.RoleKeysOf(d.root, role)
		}
		return tuf.RoleKeysOf(cur.root, role)
	}
	for _, d := range r.drafts {
		if d.targets != nil {
			if keys, ok := tuf.SignerKeysOf(d.targets, role); ok {
				return keys
			}
		}
	}
	if cur != nil {
		return cur.roles[role].keys
	}
	return tuf.RoleKeys{}
}

// compareIntent builds what the intent asks for on the same base, and tells whether
// the very bytes come of it that were proposed, but for their expiry and for when they
// were signed.
func (r *Review) compareIntent(ctx context.Context, cur *current) {
	intent, err := ReadIntent(r.Proposal.Repository, r.Proposal.Intent)
	if err != nil {
		if len(r.Proposal.Intent) > 0 && !bytes.Equal(r.Proposal.Intent, json.RawMessage("null")) {
			r.Change.Warnings = append(r.Change.Warnings, "what it claims to be cannot be read: "+err.Error())
		}
		return
	}
	r.IntentSays = intent.Kind()
	built, err := r.rebuild(ctx, cur, intent)
	if err == nil && len(built) == len(r.drafts) {
		r.Intent = IntentAgrees
		for _, d := range built {
			same := r.draft(d.role)
			if same == nil {
				r.Intent = IntentDiffers
				continue
			}
			d.setExpires(same.expires())
			d.setSigned(same.signed())
			if payload, err := d.encodePayload(); err != nil || !bytes.Equal(payload, same.payload) {
				r.Intent = IntentDiffers
			}
		}
	} else {
		r.Intent = IntentDiffers
	}
	if r.Intent == IntentDiffers {
		r.Change.Warnings = append(r.Change.Warnings, fmt.Sprintf("it claims to be for %q, and that is not what its bytes say: ask who proposed it; what is shown here is what the bytes say", r.IntentSays))
	}
}

// rebuild makes drafts of an intent on a base, without a word to any server.
func (r *Review) rebuild(ctx context.Context, cur *current, intent *Intent) ([]*draft, error) {
	p := r.publisher
	// The keys of a root that is proposed were looked at by checkOnline.
	q := &Publisher{Client: p.Client, Server: p.Server, Anchor: r.step.anchor, Partial: true, Offline: true, vouched: map[string]*tuf.Key{}}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		root := r.draft(tuf.RoleRoot)
		if root == nil {
			break
		}
		if keys := tuf.RoleKeysOf(root.root, role).Keys; len(keys) == 1 {
			q.vouched[role] = keys[0]
		}
	}
	if (cur == nil) != (intent.Init != nil) {
		return nil, errors.New("not what can be done there")
	}
	if cur == nil {
		i := *intent.Init
		i.Root, i.Targets = atLeastOne(i.Root), atLeastOne(i.Targets)
		below := map[string]int64{} // the versions of a name that was retired go on above them
		for _, d := range r.drafts {
			below[d.role] = d.version() - 1
		}
		return q.buildInit(ctx, i, r.step.anchor, below)
	}
	q.lately.Store(&lateRead{cur, p.Client.config.Now()})
	d, err := q.prepareIntent(ctx, intent, nil)
	if err != nil {
		return nil, err
	}
	return d.drafts, nil
}

// unseen names a part of a file that comes with it and that nobody would be shown;
// "" when there is none.
func (d *draft) unseen() string {
	if d.targets == nil {
		return ""
	}
	for path, file := range d.targets.Signed.Targets {
		if d.oldTargets != nil && sameEntry(file, d.oldTargets.Signed.Targets[path]) {
			continue
		}
		if len(file.UnrecognizedFields) > 0 || !plainCustom(file.Custom) {
			return fmt.Sprintf("the target %q", tidy(path, maxName))
		}
	}
	if to := d.targets.Signed.Delegations; to != nil {
		for _, role := range to.Roles {
			if len(role.UnrecognizedFields) > 0 {
				return fmt.Sprintf("the delegation to %q", tidy(role.Name, maxName))
			}
		}
		if len(to.UnrecognizedFields) > 0 {
			return "its list of signers"
		}
	}
	return ""
}

func sameEntry(a, b *metadata.TargetFiles) bool {
	if b == nil {
		return false
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// plainCustom tells whether all of a target's custom is shown.
func plainCustom(custom *json.RawMessage) bool {
	if custom == nil {
		return true
	}
	var shown struct {
		MediaType   string            `json:"mediaType"`
		Annotations map[string]string `json:"annotations"`
		Platforms   []string          `json:"platforms"`
	}
	dec := json.NewDecoder(bytes.NewReader(*custom))
	dec.DisallowUnknownFields()
	return dec.Decode(&shown) == nil
}
