package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

const day = 24 * time.Hour

// Digests that stand for an image that was signed by whom it should be, and for
// one that a thief signed.
const (
	goodTag      = "signet-drill"
	goodDigest   = "sha256:600d600d600d600d600d600d600d600d600d600d600d600d600d600d600d600d"
	forgedDigest = "sha256:bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0"
)

// A rehearsal is the copy on which all scenes start, and who is who in it.
type rehearsal struct {
	view  *client.View
	world *world
	dir   string                // where clients of the drill remember things
	stand map[string]tuf.Signer // the key that stands for a real one, by the real one's ID
	real  map[string]string     // the ID of the real key, by that of the one that stands for it
	hand  map[string]bool       // IDs of the real keys at hand
	fresh []tuf.Signer          // keys that come in place of lost or stolen ones
	left  []string              // roles that are not rehearsed
	n     int                   // how many clients were made
}

// newRehearsal builds the copy: the same roles, thresholds and delegations, with
// keys of the drill in place of the real ones, so that nothing that is signed here
// could ever be of use to anybody.
func newRehearsal(ctx context.Context, request Request, dir string) (*rehearsal, error) {
	r := &rehearsal{view: request.View, dir: dir, stand: map[string]tuf.Signer{}, real: map[string]string{}, hand: map[string]bool{}}
	for _, id := range request.Hand {
		r.hand[id] = true
	}
	var err error
	if r.world, err = newWorld(request.View.Repository, request.Now); err != nil {
		return nil, err
	}
	for _, role := range request.View.Roles {
		for _, key := range role.Keys {
			if r.stand[key.ID] != nil {
				continue
			}
			stand, err := newKey()
			if err != nil {
				return nil, err
			}
			r.stand[key.ID], r.real[stand.Key().ID()] = stand, key.ID
		}
	}
	files, err := r.files(ctx)
	if err != nil {
		return nil, err
	}
	return r, r.world.publish(ctx, files)
}

// files makes the first files of the copy.
func (r *rehearsal) files(ctx context.Context) ([]tuf.File, error) {
	view, w := r.view, r.world
	root, targets := view.Role(tuf.RoleRoot), view.Role(tuf.RoleTargets)
	if root == nil || targets == nil {
		return nil, errors.New("what is to be copied has no root or no targets")
	}
	first, err := tuf.NewRoot(tuf.RootSpec{
		Repository: view.Repository, Version: 1, Expires: w.now().Add(365 * day),
		Root: r.keysOf(root), Targets: r.keysOf(targets),
		Snapshot:  tuf.RoleKeys{Keys: []*tuf.Key{w.online[tuf.RoleSnapshot].Key()}},
		Timestamp: tuf.RoleKeys{Keys: []*tuf.Key{w.online[tuf.RoleTimestamp].Key()}},
	})
	if err != nil {
		return nil, err
	}
	if err := tuf.Sign(ctx, first, r.signers(ids(root))...); err != nil {
		return nil, err
	}
	data, err := tuf.Encode(first)
	if err != nil {
		return nil, err
	}
	files := []tuf.File{{Role: tuf.RoleRoot, Version: 1, Bytes: data}}
	made := map[string]*tuf.Targets{}
	for i := range view.Roles {
		role := &view.Roles[i]
		switch parent := made[role.Delegator]; {
		case role.Name == tuf.RoleTargets:
		case tuf.IsTopLevel(role.Name):
			continue
		case parent == nil || len(role.Paths) == 0: // a hash bin, whose keys change with those of all bins
			r.left = append(r.left, role.Name)
			continue
		default:
			delegate(parent, role, r.keysOf(role))
		}
		made[role.Name] = tuf.NewTargets(1, w.now().Add(180*day))
	}
	if err := r.tags(made); err != nil {
		return nil, err
	}
	for i := range view.Roles {
		role := &view.Roles[i]
		md := made[role.Name]
		if md == nil {
			continue
		}
		file, err := finish(ctx, role.Name, md, r.signers(ids(role)))
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// tags puts some of the tags into the copy, and one of the drill's own that is good.
func (r *rehearsal) tags(made map[string]*tuf.Targets) error {
	const most = 3 // of each role: what matters is who may sign, not how much was
	n := map[string]int{}
	for _, tag := range r.view.Tags {
		md := made[tag.Signer]
		if md == nil || tag.Digest == "" || tag.Tag == goodTag || n[tag.Signer] == most {
			continue
		}
		n[tag.Signer]++
		target := tuf.Target{Digest: tag.Digest, Length: max(tag.Length, 1), MediaType: tag.MediaType}
		if err := tuf.SetTarget(md, r.view.Repository, tag.Tag, target); err != nil {
			return err
		}
	}
	return tuf.SetTarget(made[tuf.RoleTargets], r.view.Repository, goodTag, tuf.Target{Digest: goodDigest, Length: 1})
}

// delegate lists role in parent.
func delegate(parent *tuf.Targets, role *client.RoleView, keys tuf.RoleKeys) {
	if parent.Signed.Delegations == nil {
		parent.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	d := parent.Signed.Delegations
	listed := metadata.DelegatedRole{Name: role.Name, KeyIDs: []string{}, Threshold: keys.Threshold, Terminating: role.Terminating, Paths: role.Paths}
	for _, key := range keys.Keys {
		listed.KeyIDs = append(listed.KeyIDs, key.ID())
		d.Keys[key.ID()] = key.Metadata()
	}
	d.Roles = append(d.Roles, listed)
}

// finish signs a file.
func finish(ctx context.Context, role string, md *tuf.Targets, signers []tuf.Signer) (tuf.File, error) {
	if err := tuf.Sign(ctx, md, signers...); err != nil {
		return tuf.File{}, err
	}
	data, err := tuf.Encode(md)
	return tuf.File{Role: role, Version: md.Signed.Version, Bytes: data}, err
}

// ids lists the real keys of a role.
func ids(role *client.RoleView) []string {
	var list []string
	for _, key := range role.Keys {
		list = append(list, key.ID)
	}
	return list
}

// keysOf returns what stands for the keys of a role.
func (r *rehearsal) keysOf(role *client.RoleView) tuf.RoleKeys {
	keys := tuf.RoleKeys{Threshold: role.Threshold}
	for _, id := range ids(role) {
		keys.Keys = append(keys.Keys, r.stand[id].Key())
	}
	return keys
}

// signers returns what stands for real keys.
func (r *rehearsal) signers(ids []string) []tuf.Signer {
	var list []tuf.Signer
	for _, id := range ids {
		list = append(list, r.stand[id])
	}
	return list
}

// all returns what stands for every key but those that are gone and, with onlyHand,
// but those that are elsewhere.
func (r *rehearsal) all(gone []string, onlyHand bool) []tuf.Signer {
	var list []tuf.Signer
	for _, role := range r.view.Roles {
		for _, id := range ids(&role) {
			if stand := r.stand[id]; !slices.Contains(gone, id) && (!onlyHand || r.hand[id]) && !slices.Contains(list, stand) {
				list = append(list, stand)
			}
		}
	}
	return append(list, r.fresh...)
}

// anchor pins the copy's root keys, as whoever knows the repository does.
func (r *rehearsal) anchor() *client.Anchor {
	keys := r.keysOf(r.view.Role(tuf.RoleRoot))
	anchor := &client.Anchor{Pattern: r.view.Repository, Threshold: keys.Threshold, Servers: []string{address}}
	for _, key := range keys.Keys {
		anchor.RootKeys = append(anchor.RootKeys, key.ID())
	}
	return anchor
}

// client returns a client that remembers nothing yet.
func (r *rehearsal) client(w *world) (*client.Client, error) {
	r.n++
	dir := filepath.Join(r.dir, fmt.Sprint(r.n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return client.New(client.Config{StateDir: dir, Now: w.now, Transport: w, Anchors: client.Anchors{*r.anchor()}}), nil
}

// publisher returns somebody who publishes to w.
func (r *rehearsal) publisher(w *world) (*client.Publisher, error) {
	c, err := r.client(w)
	if err != nil {
		return nil, err
	}
	return &client.Publisher{Client: c, Anchor: r.anchor(), Server: client.Server{URL: address, Token: "drill", Identity: w.identity.Key()}}, nil
}

// forge returns the next file of a role, in which tag means a digest of the
// thief's, signed by the keys that were stolen.
func (r *rehearsal) forge(ctx context.Context, w *world, role, tag string, stolen []string) (tuf.File, error) {
	md, err := tuf.ReadTargets(w.state.Roles[role].Bytes)
	if err != nil {
		return tuf.File{}, err
	}
	md.Signatures = nil
	md.Signed.Version++
	if err := tuf.SetTarget(md, r.view.Repository, tag, tuf.Target{Digest: forgedDigest, Length: 1}); err != nil {
		return tuf.File{}, err
	}
	return finish(ctx, role, md, r.signers(stolen))
}

// tagsOf returns tags that a role may sign, as examples of what a thief would.
func (r *rehearsal) tagsOf(role *client.RoleView) []string {
	if role.Name == tuf.RoleTargets {
		return []string{goodTag + "-forged"}
	}
	var tags []string
	for _, path := range role.Paths {
		pattern, ok := strings.CutPrefix(path, r.view.Repository+":")
		if !ok || strings.Contains(pattern, "@") {
			continue
		}
		tag := strings.NewReplacer("*", "forged", "?", "x").Replace(pattern)
		if tuf.CheckTag(tag) == nil {
			tags = append(tags, tag)
		}
	}
	return tags
}
