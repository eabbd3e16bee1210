package signer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// An acceptance is what came out of a request that the signer accepts.
type acceptance struct {
	root    *tuf.Root  // the newest, as its file says
	changed []tuf.File // files that are new to the signer
	roles   []tuf.File // all that the snapshot lists, by name
}

// accept checks a request against what the signer remembers, as a client would
// (TUF §5.3, §5.6), and as the signer's own promises demand (DESIGN §5).
func (c Config) accept(r *api.SignRequest, known *record, now time.Time) (*acceptance, error) {
	root, err := c.acceptRoots(r, known, now)
	if err != nil {
		return nil, err
	}
	a := &acceptance{root: root.md}
	if root.isNew {
		a.changed = append(a.changed, root.file)
	}
	roles := make(map[string]tuf.File, len(r.Roles))
	for _, file := range r.Roles {
		roles[file.Role] = file
	}
	tree, err := tuf.CheckTree(r.Repository, root.md, roles, c.Limits)
	if err != nil {
		return nil, err
	}
	for name := range known.roles {
		// §5.5.5: what a snapshot once listed, every later one lists.
		if _, ok := roles[name]; !ok && (name == tuf.RoleTargets || !tuf.IsTopLevel(name)) {
			return nil, &tuf.Refusal{Repository: r.Repository, Role: name, Version: known.roles[name].version, Rule: tuf.RuleRollback,
				Clause: "TUF §5.5.5", Detail: "the role was signed for before, and is missing now"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		file := roles[name]
		a.roles = append(a.roles, file)
		isNew, err := notBack(r.Repository, file, known.roles[name])
		if err != nil {
			return nil, err
		}
		if !isNew {
			continue
		}
		if err := c.checkStep(r.Repository, file, known); err != nil {
			return nil, err
		}
		targets := tree[name]
		if targets == nil && c.mayHaveHistory(known) {
			// A signer of the repository may have been removed before. Listing its
			// file is all that happens.
			a.changed = append(a.changed, file)
			continue
		}
		if targets == nil {
			return nil, &tuf.Refusal{Repository: r.Repository, Role: name, Version: file.Version, Rule: tuf.RuleDelegation, Clause: "TUF §4.5, Signet profile: the signer",
				Detail: "no role delegates to it, and it is not the file that the signer knew when one did"}
		}
		if err := c.checkLife(r.Repository, file, targets.Signed.Expires, known, now); err != nil {
			return nil, err
		}
		a.changed = append(a.changed, file)
	}
	return a, nil
}

// newestRoot is the last root of a request, verified.
type newestRoot struct {
	file  tuf.File
	md    *tuf.Root
	isNew bool
}

// acceptRoots walks from the root that was accepted last to the newest in the
// request (§5.3). For a repository that is new to the signer, the first one in
// the request starts the chain: root keys are pinned by clients, not here. It is
// version 1, unless the operator has repositories moved to this signer.
func (c Config) acceptRoots(r *api.SignRequest, known *record, now time.Time) (*newestRoot, error) {
	mark := known.roles[tuf.RoleRoot]
	var chain *tuf.Trusted
	var err error
	if known.root != nil {
		if chain, err = tuf.NewTrusted(r.Repository, known.root, now, c.Limits); err != nil {
			return nil, fmt.Errorf("root that was accepted before: %w", err)
		}
	}
	newest := &newestRoot{}
	for _, data := range r.Roots {
		md, err := tuf.ReadRoot(data)
		if err != nil {
			return nil, c.named(r.Repository, err)
		}
		file := tuf.File{Role: tuf.RoleRoot, Version: md.Signed.Version, Bytes: data}
		if file.Version <= newest.file.Version {
			return nil, fmt.Errorf("%w: root version %d stands after version %d", api.ErrBadRequest, file.Version, newest.file.Version)
		}
		newest.file, newest.md = file, md
		if file.Version < mark.version {
			continue // older ones may be there; they prove nothing and decide nothing
		}
		if newest.isNew, err = notBack(r.Repository, file, mark); err != nil {
			return nil, err
		}
		switch {
		case chain == nil:
			if chain, err = tuf.NewTrusted(r.Repository, data, now, c.Limits); err != nil {
				return nil, err
			}
		case newest.isNew:
			if err := chain.UpdateRoot(data); err != nil {
				return nil, err
			}
		}
		if name := tuf.RepositoryOf(md); name != r.Repository {
			return nil, &tuf.Refusal{Repository: r.Repository, Role: tuf.RoleRoot, Version: file.Version, Rule: tuf.RuleRepository,
				Clause: "Signet profile: " + tuf.MemberRepository, Detail: fmt.Sprintf("root names the repository %.120q", name)}
		}
	}
	if newest.file.Version < mark.version {
		return nil, stepBack(r.Repository, newest.file, mark)
	}
	if newest.isNew {
		if mark.version == 0 { // else the chain has seen every step
			if err := c.checkStep(r.Repository, newest.file, known); err != nil {
				return nil, err
			}
		}
		return newest, c.checkLife(r.Repository, newest.file, newest.md.Signed.Expires, known, now)
	}
	return newest, nil
}

// notBack compares a file with what the signer knew of its role. It returns
// tuf.ErrConflict for a lower version, and for another content under the same:
// whoever sent it lost a race.
func notBack(repository string, file tuf.File, mark known) (isNew bool, err error) {
	switch {
	case file.Version < mark.version:
		return false, stepBack(repository, file, mark)
	case file.Version > mark.version:
		return true, nil
	case file.SHA256() != mark.sha256:
		return false, fmt.Errorf("%s: the signer knows another %s version %d: %w", repository, file.Role, file.Version, tuf.ErrConflict)
	}
	return false, nil
}

func stepBack(repository string, file tuf.File, mark known) error {
	return fmt.Errorf("%s: %s version %d is below version %d, which the signer has signed for: %w",
		repository, file.Role, file.Version, mark.version, tuf.ErrConflict)
}

// mayHaveHistory tells whether the repository may have files that the signer has
// not seen: the signer was restored, or is to take existing repositories over.
func (c Config) mayHaveHistory(known *record) bool {
	if known.root == nil {
		return c.AdoptExisting
	}
	return known.snapshot == nil
}

// checkStep refuses a new file whose version is not one above the last. Root keys
// are not pinned here, so whoever asks first may show a root of its own that lists
// this signer's keys for the repository. What is signed for it verifies under the
// genuine root as well, and clients would remember the versions that it lists:
// they must not be larger than a publisher can reach.
func (c Config) checkStep(repository string, file tuf.File, known *record) error {
	mark := known.roles[file.Role].version
	if known.root == nil || known.snapshot != nil {
		mark = max(mark, known.floors[file.Role])
	} // else the signer was raised, and what is stored may be below what was lost
	step := file.Version - mark
	if step == 1 || c.mayHaveHistory(known) && step > 1 && step <= maxAdopted {
		return nil
	}
	detail := fmt.Sprintf("expected version %d, one above the last that was signed for", mark+1)
	switch {
	case known.floors[file.Role] > 0:
		detail = fmt.Sprintf("clients may have seen version %d, so version %d is expected", mark, mark+1)
	case c.mayHaveHistory(known):
		detail = fmt.Sprintf("it is more than %d above version %d, the last that the signer knows", int64(maxAdopted), mark)
	case known.root == nil:
		detail = "the signer has signed nothing for this repository yet, so it expects version 1; " +
			"to move an existing repository to this signer, its operator starts it with --adopt-existing"
	}
	return &tuf.Refusal{Repository: repository, Role: file.Role, Version: file.Version, Rule: tuf.RuleVersion,
		Clause: "Signet profile: the signer", Detail: detail}
}

// checkLife refuses a new file that has expired, or would live too long. A signer
// that takes a repository over, or was restored, finds files that are new to it
// alone: some may have expired, which is for their publishers to mend.
func (c Config) checkLife(repository string, file tuf.File, expires time.Time, known *record, now time.Time) error {
	if !expires.After(now) && known.snapshot != nil {
		return &tuf.ExpiredError{Repository: repository, Role: file.Role, Version: file.Version, Expired: expires, Now: now}
	}
	if furthest := now.Add(c.maxLife(file.Role)); expires.After(furthest) {
		return &tuf.Refusal{Repository: repository, Role: file.Role, Version: file.Version, Rule: tuf.RuleExpiry, Clause: "Signet limits",
			Detail: fmt.Sprintf("it expires at %s; at most %s is allowed", expires.UTC().Format(time.RFC3339), furthest.UTC().Format(time.RFC3339))}
	}
	return nil
}

// named adds the repository to a refusal from below.
func (c Config) named(repository string, err error) error {
	if r, ok := err.(*tuf.Refusal); ok && r.Repository == "" {
		named := *r
		named.Repository, named.Role = repository, tuf.RoleRoot
		return &named
	}
	return err
}

// pickKey returns which of the signer's keys signs role: the newest one that
// root lists. A root that lists any other key is refused: it would let another
// than this signer vouch for what is current.
func pickKey(repository, role string, root *tuf.Root, ours []*storedKey) (*storedKey, error) {
	refuse := func(format string, args ...any) error {
		return &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: root.Signed.Version, Rule: tuf.RuleOnlineKey, Clause: "Signet profile: the signer",
			Detail: fmt.Sprintf(format, args...)}
	}
	listed := root.Signed.Roles[role]
	if listed == nil || len(listed.KeyIDs) == 0 {
		return nil, refuse("root lists no key for %s", role)
	}
	if listed.Threshold != 1 {
		return nil, refuse("%s has the threshold %d; one signer meets 1 only", role, listed.Threshold)
	}
	own := func(id string) bool {
		return slices.ContainsFunc(ours, func(k *storedKey) bool { return k.public.ID() == id })
	}
	for _, id := range listed.KeyIDs {
		if !own(id) {
			return nil, refuse("key %.64s of %s is not one of this signer's for this repository", id, role)
		}
	}
	for _, k := range ours {
		if slices.Contains(listed.KeyIDs, k.public.ID()) {
			return k, nil
		}
	}
	return nil, refuse("root lists no key for %s", role)
}
