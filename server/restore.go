package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// Seen is what readers hold of one repository that a database restored from a backup
// may have lost: files as they were served, in any order and number. Each is checked.
type Seen struct {
	Roots      []tuf.File
	Roles      []tuf.File // targets and signers'
	Snapshots  []tuf.File
	Timestamps []tuf.File
}

// A Recovery says what Restore could do for one repository.
type Recovery struct {
	Repository string   `json:"repository"`
	Moved      bool     `json:"moved"`             // it was brought up to what the signer signed last
	PutBack    []string `json:"putBack,omitempty"` // files that readers had, and that are current again
	// Raise is what the signer has to be raised above first, on its own machine, by
	// role; then Restore is to be run again. Nothing else was done, but that the next
	// file of what is lost has to be above what was seen.
	Raise map[string]int64 `json:"raise,omitempty"`
	Again []Again          `json:"publishAgain,omitempty"`
}

// An Again is a role that readers have seen in a later version than anybody still has.
// They refuse the repository until a publisher has signed a version above, which is
// now the next one that is taken, or until root has rotated the online keys.
type Again struct {
	Role   string `json:"role"`
	Stored int64  `json:"stored"` // 0: no such role is left
	Seen   int64  `json:"seen"`
}

// restoreGap is how far above what one reader has seen the signer goes on: others may
// have seen more.
const restoreGap = 1_000_000

// restoreMost is the furthest that versions are raised. Nobody publishes so often: what
// is above was signed by who had stolen the online keys.
const restoreMost = 1 << 40

// restoreJump is the furthest that a publisher is asked to jump: signet signs no more.
const restoreJump = 1_000_000

// Restore brings a repository forward after the database, or the database and the
// signer, were put back as they were before. First it does what Recover does. Then it
// puts back what readers have seen in a later version, as far as seen has the files:
// they need no publisher, for a publisher has signed them. What is still missing it
// lists, and has the next file of these roles be above what was seen.
//
// raise has the signer go on above versions, by role; nil stands for a signer that
// only its own operator can raise.
func (s *Server) Restore(ctx context.Context, repository string, seen Seen, raise func(context.Context, map[string]int64) error) (*Recovery, error) {
	done := &Recovery{Repository: repository}
	var err error
	if done.Moved, err = s.Recover(ctx, repository, seen.Roots); err != nil && !errors.Is(err, tuf.ErrNotFound) {
		return nil, err
	}
	free, err := s.turns.take(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer free()
	head, err := s.head(ctx, repository)
	if err != nil {
		return nil, err
	}
	if head.Generation == 0 {
		return nil, fmt.Errorf("%s: it was created after the backup, and the signer does not know it either; its publishers have to create it again: %w", repository, tuf.ErrNotFound)
	}
	r := &restoring{server: s, repository: repository, head: head}
	if err := r.find(ctx, seen); err != nil {
		return nil, err
	}
	above, err := r.above(ctx)
	if err != nil {
		return nil, err
	}
	if above != nil && raise == nil {
		// The next run finds what was lost known here, and goes on.
		if len(r.lost) > 0 {
			err = s.store.RaiseFloors(ctx, repository, r.lost)
		}
		done.Raise = above
		return done, err
	}
	if above != nil {
		if err := raise(ctx, above); err != nil {
			return nil, err
		}
	}
	if done.PutBack, err = r.putBack(ctx); err != nil {
		return nil, err
	}
	for _, role := range slices.Sorted(maps.Keys(r.lost)) {
		done.Again = append(done.Again, Again{Role: role, Stored: r.next.Roles[role].Version, Seen: r.lost[role]})
	}
	if len(r.lost) > 0 {
		err = s.store.RaiseFloors(ctx, repository, r.lost)
	}
	return done, err
}

// restoring is one Restore at work.
type restoring struct {
	server     *Server
	repository string
	head       *Head
	roots      []tuf.File // all that are stored
	chain      []tuf.File // roots that follow, which readers had
	changed    []tuf.File // targets and signers' files that readers had in a later version
	next       tuf.State  // the head with these
	tree       map[string]*tuf.Targets
	root       *tuf.Root        // the newest
	marks      map[string]int64 // of snapshot and timestamp, that readers have seen
	lost       map[string]int64 // versions that readers have seen, and nobody has
}

// find checks what readers have seen, and what of it is newer than what is stored.
func (r *restoring) find(ctx context.Context, seen Seen) error {
	var err error
	if r.roots, err = r.server.store.Roots(ctx, r.repository, 1); err != nil {
		return err
	}
	if r.root, err = tuf.ReadRoot(r.head.State.Root.Bytes); err != nil {
		return err
	}
	if err := r.follow(seen.Roots); err != nil {
		return err
	}
	proof, err := r.look(seen)
	if err != nil {
		return err
	}
	r.marks = map[string]int64{
		tuf.RoleSnapshot:  max(r.head.State.Snapshot.Version, proof.snapshot),
		tuf.RoleTimestamp: max(r.head.State.Timestamp.Version, proof.timestamp),
	}
	r.next = tuf.State{Root: r.head.State.Root, Roles: maps.Clone(r.head.State.Roles)}
	if len(r.chain) > 0 {
		r.next.Root = r.chain[len(r.chain)-1]
	}
	if err := r.take(seen.Roles, proof); err != nil {
		return err
	}
	// Each has to be signed by those whom the others name, root's targets keys first.
	if r.tree, err = tuf.CheckTree(r.repository, r.root, r.next.Roles, r.server.config.Limits); err != nil {
		return fmt.Errorf("what readers hold of %s does not fit together with what is stored: %w", r.repository, err)
	}
	for _, role := range slices.Sorted(maps.Keys(r.next.Roles)) {
		file, stored := r.next.Roles[role], r.head.State.Roles[role]
		switch {
		case file.Version == stored.Version:
		case r.tree[role] == nil: // nobody vouches for it any more
			delete(r.next.Roles, role)
			if stored.Bytes != nil {
				r.next.Roles[role] = stored
			}
		default:
			r.changed = append(r.changed, file)
		}
	}
	r.lost = map[string]int64{}
	for role, version := range proof.roles {
		if version > r.next.Roles[role].Version {
			r.lost[role] = version
		}
	}
	return nil
}

// follow takes the roots that come after the stored one.
func (r *restoring) follow(given []tuf.File) error {
	for version := r.root.Signed.Version + 1; ; version++ {
		i := slices.IndexFunc(given, func(f tuf.File) bool { return f.Version == version })
		if i < 0 {
			if slices.ContainsFunc(given, func(f tuf.File) bool { return f.Version > version }) {
				return fmt.Errorf("%s: root version %d is missing; a reader keeps all in its state folder, as .roots/%d.json: %w", r.repository, version, version, tuf.ErrNotFound)
			}
			return nil
		}
		root, err := tuf.ReadRoot(given[i].Bytes)
		if err != nil {
			return err
		}
		if name := tuf.RepositoryOf(root); name != r.repository || root.Signed.Version != version {
			return &tuf.Refusal{Repository: r.repository, Role: tuf.RoleRoot, Version: version, Rule: tuf.RuleRepository, Clause: "Signet profile: " + tuf.MemberRepository,
				Detail: fmt.Sprintf("the file is root version %d of %.120q", root.Signed.Version, name)}
		}
		for _, by := range []*tuf.Root{r.root, root} {
			if err := tuf.VerifyRoot(by, root); err != nil {
				return fmt.Errorf("root version %d of %s: %w", version, r.repository, err)
			}
		}
		r.root, r.chain = root, append(r.chain, given[i])
	}
}

// above says what the signer has to go on above, or nil when it does already.
func (r *restoring) above(ctx context.Context) (map[string]int64, error) {
	last, err := r.server.signer.Last(ctx, r.repository)
	if err != nil && !errors.Is(err, tuf.ErrNotFound) {
		return nil, signerError(err)
	}
	restored := last == nil || forgotten(last) // its marks are above a gap, and it takes what it has not seen
	told := true                               // of all that is lost, when Restore ran before
	for role, version := range r.lost {
		told = told && r.head.Floors[role] >= version
	}
	if restored && told {
		return nil, nil
	}
	if !restored && told && len(r.chain) == 0 && len(r.changed) == 0 && last.Timestamp.Version >= r.marks[tuf.RoleTimestamp] && last.Snapshot.Version >= r.marks[tuf.RoleSnapshot] {
		return nil, nil
	}
	above := maps.Clone(r.lost)
	for role, version := range r.marks {
		above[role] = version + restoreGap
		if version > restoreMost-restoreGap {
			return nil, r.tooFar(role, version)
		}
	}
	for role, version := range r.lost {
		if version-r.next.Roles[role].Version > restoreJump {
			return nil, r.tooFar(role, version)
		}
	}
	return above, nil
}

// putBack has the signer sign for what readers had, and commits it.
func (r *restoring) putBack(ctx context.Context) ([]string, error) {
	if len(r.chain) == 0 && len(r.changed) == 0 {
		return nil, nil
	}
	s := r.server
	on, late := *r.head, slices.Clone(r.changed)
	if n := len(r.chain); n > 0 {
		late = append(late, r.chain[n-1])
		if n > 1 {
			on.State.Root = r.chain[n-2]
		}
	}
	if err := s.checkLate(r.repository, &on, late, r.tree); err != nil {
		return nil, fmt.Errorf("what readers hold of %s: %w", r.repository, err)
	}
	request := signerapi.SignRequest{Repository: r.repository}
	roots := slices.Concat(r.roots, r.chain)
	for _, root := range roots[max(0, len(roots)-signerapi.MaxRoots):] {
		request.Roots = append(request.Roots, root.Bytes)
	}
	for _, role := range slices.Sorted(maps.Keys(r.next.Roles)) {
		request.Roles = append(request.Roles, r.next.Roles[role])
	}
	signed, err := s.signer.Sign(ctx, request)
	if err != nil {
		return nil, signerError(err)
	}
	r.next.Snapshot, r.next.Timestamp = signed.Snapshot, signed.Timestamp
	at, err := inDate(s.now(), r.root, signed)
	if err != nil {
		return nil, err
	}
	if err := checkSigned(r.repository, &r.next, at); err != nil {
		return nil, err
	}
	files := slices.Concat(r.chain, r.changed)
	if _, err := s.commit(ctx, r.repository, r.head, &r.next, files, signed, ""); err != nil {
		return nil, err
	}
	s.metrics.recoveries.Inc()
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	s.log.Warn("put back what readers had", "repository", r.repository, "files", names)
	return names, nil
}
