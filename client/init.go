package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/signet-trust/signet/tuf"
)

// ErrExists says that what was to be created is there already, and is another
// than what was asked for.
var ErrExists = errors.New("it exists already")

// prepareInit implements PrepareInit. The server is asked first whether it has
// the repository, so that nobody touches a key in vain.
func (p *Publisher) prepareInit(ctx context.Context, r InitRequest) (*Prepared, error) {
	if err := tuf.CheckRepository(r.Repository); err != nil {
		return nil, err
	}
	r.Root, r.Targets = atLeastOne(r.Root), atLeastOne(r.Targets)
	if err := errors.Join(possible(tuf.RoleRoot, r.Root), possible(tuf.RoleTargets, r.Targets)); err != nil {
		return nil, err
	}
	anchor, created, err := p.initAnchor(r.Repository, r.Root)
	if err != nil {
		return nil, err
	}
	// A name that was retired starts above its floors.
	floors, retired, err := p.serverFloors(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	if created != nil && floors[tuf.RoleRoot] > 0 {
		created.MinRoot = floors[tuf.RoleRoot] + 1
	}
	s := step{repository: r.Repository, anchor: anchor, created: created, first: true,
		build: func(ctx context.Context, _ *current) ([]*draft, error) { return p.buildInit(ctx, r, anchor, floors) }}
	if retired {
		if err := p.checkRestart(r.Repository, floors); err != nil {
			return nil, err
		}
		return p.prepare(ctx, s)
	}
	exists, err := p.exists(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	if exists {
		return p.resumeInit(ctx, r, s, floors)
	}
	return p.prepare(ctx, s)
}

// exists asks the server whether it serves a first root of repository, and has not
// retired it since.
func (p *Publisher) exists(ctx context.Context, repository string) (bool, error) {
	if _, retired, err := p.serverFloors(ctx, repository); err != nil || retired {
		return false, err
	}
	r, err := p.Client.remote(p.Server.URL, p.Server.CA, p.Server.PlainHTTP, p.Server.Token)
	if err != nil {
		return false, err
	}
	_, err = r.fetch(repository)(ctx, tuf.FileName(tuf.RoleRoot, 1), maxRoot, "")
	switch {
	case errors.Is(err, tuf.ErrNotFound):
		return false, nil
	case tuf.IsRefusal(err): // too long for a root, but there
		return true, nil
	}
	return err == nil, err
}

// resumeInit takes a repository that is just what r asks for as created by an
// earlier try, whose answer got lost, and refuses every other.
func (p *Publisher) resumeInit(ctx context.Context, r InitRequest, s step, floors map[string]int64) (*Prepared, error) {
	exists := func(detail string) error {
		return fmt.Errorf("%s: %w at %s%s: %w", r.Repository, ErrExists, p.Server.URL, detail, tuf.ErrConflict)
	}
	cur, err := p.read(ctx, r.Repository, s.anchor, nil)
	if tuf.IsRefusal(err) {
		return nil, exists(fmt.Sprintf(", and is not what is to be created (%v)", err))
	}
	if err != nil {
		return nil, err
	}
	same := len(cur.names) == 1 && cur.versions[tuf.RoleRoot] == floors[tuf.RoleRoot]+1 && cur.versions[tuf.RoleTargets] == floors[tuf.RoleTargets]+1 &&
		sameKeys(r.Root, tuf.RoleKeysOf(cur.root, tuf.RoleRoot)) && sameKeys(r.Targets, cur.roles[tuf.RoleTargets].keys)
	if !same {
		return nil, exists(", with other keys or with more in it than what is to be created")
	}
	return &Prepared{Repository: r.Repository, publisher: p, step: s, versions: cur.versions}, nil
}

func (p *Publisher) buildInit(ctx context.Context, r InitRequest, anchor *Anchor, floors map[string]int64) ([]*draft, error) {
	root := &draft{role: tuf.RoleRoot, signers: p.use(r.Root, r.Signers)}
	targets := &draft{role: tuf.RoleTargets, signers: p.use(r.Targets, r.Signers), targets: p.newTargets(tuf.RoleTargets, floors[tuf.RoleTargets]+1)}
	if err := errors.Join(
		p.enough(root, tuf.RoleRoot, r.Repository, r.Root),
		p.enough(targets, tuf.RoleTargets, r.Repository, r.Targets),
		p.allUsed("root or targets", slices.Concat(root.signers, targets.signers), r.Signers)); err != nil {
		return nil, err
	}
	online, err := p.onlineKeys(ctx, r.Repository)
	if err != nil {
		return nil, err
	}
	root.root, err = tuf.NewRoot(tuf.RootSpec{
		Repository: r.Repository, Version: floors[tuf.RoleRoot] + 1, Expires: p.expires(tuf.RoleRoot),
		Root: r.Root, Targets: r.Targets,
		Snapshot:     tuf.RoleKeys{Keys: []*tuf.Key{online[tuf.RoleSnapshot]}, Threshold: 1},
		Timestamp:    tuf.RoleKeys{Keys: []*tuf.Key{online[tuf.RoleTimestamp]}, Threshold: 1},
		Attestations: r.Attestations,
	})
	if err != nil {
		return nil, err
	}
	if len(root.missing) == 0 && !anchor.pins(root.signers) {
		return nil, otherPins(r.Repository, anchor)
	}
	root.warnings = loneRootKey(r.Root)
	return []*draft{root, targets}, nil
}

// pins tells whether enough of signers hold pinned keys for the anchor to accept
// a root that they sign.
func (a *Anchor) pins(signers []tuf.Signer) bool {
	if a.RootSHA256 != "" {
		return false // a file that is yet to be signed cannot be the pinned one
	}
	n := 0
	for _, signer := range signers {
		if slices.Contains(a.RootKeys, signer.Key().ID()) {
			n++
		}
	}
	return n >= a.threshold()
}

func otherPins(repository string, anchor *Anchor) error {
	return &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: 1, Rule: tuf.RuleAnchor, Clause: "TUF §5.2",
		Detail: fmt.Sprintf("the trust anchor for %q pins other root keys, so that this machine would refuse the new repository", anchor.Pattern)}
}

func atLeastOne(keys tuf.RoleKeys) tuf.RoleKeys {
	keys.Threshold = max(keys.Threshold, 1)
	return keys
}

// initAnchor returns the anchor to read a new repository back by: the one that is
// set for its name, or else a new one of its root keys, which is returned as
// created, too.
func (p *Publisher) initAnchor(repository string, root tuf.RoleKeys) (anchor, created *Anchor, err error) {
	anchor, err = p.anchorFor(repository)
	if err == nil || p.fits(repository) {
		return anchor, nil, err
	}
	created = p.here(Anchor{Pattern: repository, Threshold: root.Threshold})
	for _, key := range root.Keys {
		created.RootKeys = append(created.RootKeys, key.ID())
	}
	return created, created, nil
}

// fits tells whether any anchor is set for a repository.
func (p *Publisher) fits(repository string) bool {
	return slices.ContainsFunc(p.Client.config.Anchors, func(a Anchor) bool { return tuf.MatchName(a.Pattern, repository) })
}
