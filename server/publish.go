package server

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// A Signer is the online-key service, in this process or another. It checks what
// it is shown as a client would, and assigns versions itself.
type Signer interface {
	Identity(ctx context.Context) (*signerapi.Identity, error)
	OnlineKeys(ctx context.Context, repository string) ([]signerapi.OnlineKey, error)
	FreshOnlineKeys(ctx context.Context, repository string, roles []string) ([]signerapi.OnlineKey, error)
	Sign(ctx context.Context, r signerapi.SignRequest) (*signerapi.Signed, error)
	Refresh(ctx context.Context, r signerapi.RefreshRequest) (*signerapi.Signed, error)
	Last(ctx context.Context, repository string) (*signerapi.Last, error)
	Ready(ctx context.Context) error
}

// Bounds on the work of one publish.
const (
	publishWork     = 45 * time.Second // all of it, once the body is there
	publishCommit   = 20 * time.Second // the transaction, which a client that leaves does not end
	publishAttempts = 25               // rounds lost to other servers' publishes and refreshes
	publishQueue    = 10 * time.Second // to wait for room, and again for a slot
	publishPlaces   = 16               // publishes under way for each that is at work
	publishBodies   = 4                // of the largest that may be under way, by their bytes
)

// postPublish takes new root, targets and signers' files.
func (s *Server) postPublish(w http.ResponseWriter, r *http.Request) error {
	repository := mux.Vars(r)["repository"]
	token, err := s.require(w, r, repository, api.ScopePublish, api.ScopeCreate)
	if err != nil {
		return err
	}
	var body api.PublishRequest
	free, err := s.takeBody(w, r, token, &body)
	if err != nil {
		return err
	}
	defer free()
	if len(body.Files) > api.MaxFiles {
		return tooMany(repository, fmt.Sprintf("%d files in one publish, of which at most %d are taken", len(body.Files), api.MaxFiles))
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishWork)
	defer cancel()
	done, err := s.publish(ctx, token, repository, body.Metadata())
	s.metrics.publish(err)
	if err != nil {
		return err
	}
	s.log.Info("published", "repository", repository, "generation", done.Generation, "versions", done.Versions, "token", token.ID)
	return s.writeJSON(w, http.StatusOK, done)
}

// takeBody reads a body of up to the most bytes and waits for a place to work on it,
// which done gives back.
func (s *Server) takeBody(w http.ResponseWriter, r *http.Request, token Token, body any) (done func(), err error) {
	size := r.ContentLength
	if size < 0 {
		size = s.config.MaxBody // it does not say
	}
	if size > s.config.MaxBody {
		return nil, fmt.Errorf("%w: at most %d bytes", api.ErrTooLarge, s.config.MaxBody)
	}
	leave, err := s.under.enter(r.Context(), token.ID, size)
	if err != nil {
		return nil, err
	}
	// The body comes first: who is slow to send it takes nobody's turn to work.
	if err := readBody(r, body); err != nil {
		leave()
		return nil, err
	}
	// What follows is not the client's time any more, but ours.
	if err := http.NewResponseController(w).SetReadDeadline(start(publishQueue + publishWork + publishCommit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		leave()
		return nil, err
	}
	free, err := s.slot(r.Context())
	if err != nil {
		leave()
		return nil, err
	}
	return func() { free(); leave() }, nil
}

// slot waits for a place to work.
func (s *Server) slot(ctx context.Context) (free func(), err error) {
	queue := time.NewTimer(publishQueue)
	defer queue.Stop()
	select {
	case s.writes <- struct{}{}:
		return func() { <-s.writes }, nil
	case <-queue.C:
		return nil, fmt.Errorf("%w: %d publishes at once", api.ErrBusy, cap(s.writes))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// publish checks files against the head, has the signer sign, and moves the head
// in one transaction. Signing happens outside of it, so the head may have moved:
//
//   - by a refresh, or by another role's publish: the files still follow, and are
//     checked and signed again on the new head;
//   - by this very publish, whose answer got lost: it is acknowledged;
//   - by another publish of the same role: tuf.ErrConflict, with what is there now.
//
// So what CheckPublish says of the new head is the answer to all of them. When the
// signer is ahead of the head (a server died between signing and commit), its last
// state is committed first.
func (s *Server) publish(ctx context.Context, token Token, repository string, files []tuf.File) (*api.PublishResponse, error) {
	free, err := s.turns.take(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer free()
	a := &attempt{token: token, files: files}
	done, err := s.try(ctx, repository, a)
	if err != nil && a.sent && !known(err) {
		return s.settle(ctx, repository, a, err)
	}
	return done, err
}

// try is publish, but for what came of signatures whose answer got lost.
func (s *Server) try(ctx context.Context, repository string, a *attempt) (*api.PublishResponse, error) {
	stuck := int64(-1) // the generation at which the signer conflicts without being ahead
	var old error      // the signer is behind; it may catch up within the attempts
	for range publishAttempts {
		head, err := s.head(ctx, repository)
		if err != nil {
			return nil, err
		}
		if err := mayCreate(a.token, repository, head); err != nil {
			return nil, err
		}
		next, changed, err := s.check(ctx, repository, head, a.files)
		switch {
		case errors.Is(err, tuf.ErrConflict):
			return nil, &api.ConflictError{Repository: repository, Versions: head.versions(), Err: err}
		case err != nil:
			return nil, err
		case len(changed) == 0: // it is there already, and durable
			return acknowledge(repository, head.Generation, &head.State), nil
		}
		if err := mayPublish(a.token, head); err != nil {
			return nil, err
		}
		a.next = next
		signed, err := s.signFor(ctx, repository, head, a)
		if errors.Is(err, tuf.ErrConflict) || errors.Is(err, tuf.RuleRollback) { // a role that is not stored yet
			moved, err := s.recover(ctx, repository, a)
			if err != nil {
				return nil, err
			}
			if !moved && stuck == head.Generation {
				return nil, &signerDown{why: "it has signed other content for these versions than is stored", cause: err}
			}
			stuck = head.Generation
			continue
		}
		if err != nil {
			return nil, err
		}
		generation, err := s.commit(ctx, repository, head, next, changed, signed, a.token.ID)
		if errors.Is(err, tuf.ErrConflict) {
			s.metrics.races.Inc()
			old = behind(head, signed)
			continue
		}
		if err != nil {
			return nil, err
		}
		return acknowledge(repository, generation, next), nil
	}
	if old != nil {
		return nil, old
	}
	return nil, fmt.Errorf("%w: %s is being published to by too many at once; try again", api.ErrBusy, repository)
}

// head returns the current state, of generation 0 and nothing for a repository
// that does not exist. One that was retired does not: its floors are there.
func (s *Server) head(ctx context.Context, repository string) (*Head, error) {
	head, err := s.store.Head(ctx, repository)
	if !errors.Is(err, tuf.ErrNotFound) {
		return head, err
	}
	floors, err := s.store.Floors(ctx, repository)
	if err != nil {
		return nil, err
	}
	if floors.Generation > 0 && floors.Retired.IsZero() {
		return s.store.Head(ctx, repository) // it was created in between
	}
	return &Head{Floors: floors.Versions, Retired: floors.Generation}, nil
}

// mayCreate and mayPublish demand the scope create for a repository that does not
// exist, and publish for one that does.
func mayCreate(token Token, repository string, head *Head) error {
	if head.Generation == 0 && !hasScope(token, api.ScopeCreate) {
		return fmt.Errorf("%w: %s does not exist here, and token %s may not create it (scope create)", api.ErrForbidden, repository, token.ID)
	}
	return nil
}

func mayPublish(token Token, head *Head) error {
	if head.Generation > 0 && !hasScope(token, api.ScopePublish) {
		return fmt.Errorf("%w: token %s may not publish (scope publish)", api.ErrForbidden, token.ID)
	}
	return nil
}

// check holds files to all rules. A new root is checked against the signer's keys.
func (s *Server) check(ctx context.Context, repository string, head *Head, files []tuf.File) (*tuf.State, []tuf.File, error) {
	rules, cur, err := s.rules(ctx, repository, head, files)
	if err != nil {
		return nil, nil, err
	}
	next, changed, err := tuf.CheckPublish(repository, cur, files, rules)
	if err == nil {
		err = demand(s.rule(repository).Hardware, repository, head, changed, rules.Now)
	}
	return next, changed, err
}

// rules returns what files are held to, and the state that they are to follow, nil for
// none.
func (s *Server) rules(ctx context.Context, repository string, head *Head, files []tuf.File) (tuf.PublishRules, *tuf.State, error) {
	rule := s.rule(repository)
	rules := tuf.PublishRules{Now: s.now(), Limits: s.config.Limits, MaxLife: s.maxLife(rule), RootKeys: rule.RootKeys, Floors: head.Floors}
	if slices.ContainsFunc(files, func(f tuf.File) bool { return f.Role == tuf.RoleRoot }) {
		keys, err := s.signer.OnlineKeys(ctx, repository)
		if err != nil {
			return rules, nil, signerError(err)
		}
		rules.Online = map[string][]*tuf.Key{}
		for _, k := range keys {
			rules.Online[k.Role] = append(rules.Online[k.Role], k.Key)
		}
	}
	if head.Generation > 0 {
		return rules, &head.State, nil
	}
	return rules, nil, nil
}

// sign has the signer sign for next, and checks what came back.
func (s *Server) sign(ctx context.Context, repository string, head *Head, next *tuf.State) (*signerapi.Signed, error) {
	request := signerapi.SignRequest{Repository: repository}
	if head.Generation > 0 {
		// All of them: only the signer knows which it has seen.
		roots, err := s.store.Roots(ctx, repository, max(1, next.Root.Version-signerapi.MaxRoots+1))
		if err != nil {
			return nil, err
		}
		// History alone does not use up what the signer takes: a signer that has missed
		// so many roots as are left out here has been away for years.
		size := 0
		for _, root := range slices.Backward(roots) {
			if size += len(root.Bytes); size > signerapi.MaxFiles/4 && len(request.Roots) > 0 {
				break
			}
			if root.Version < next.Root.Version {
				request.Roots = append(request.Roots, root.Bytes)
			}
		}
		slices.Reverse(request.Roots)
	}
	request.Roots = append(request.Roots, next.Root.Bytes)
	for _, file := range next.Roles {
		request.Roles = append(request.Roles, file)
	}
	slices.SortFunc(request.Roles, func(a, b tuf.File) int { return compare(a.Role, b.Role) })
	signed, err := s.signer.Sign(ctx, request)
	if err != nil {
		return nil, signerError(err)
	}
	next.Snapshot, next.Timestamp = signed.Snapshot, signed.Timestamp
	return signed, checkSigned(repository, next, s.now())
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// commit moves the head to next. A client that leaves now does not stop it: what
// was signed had better be there.
func (s *Server) commit(ctx context.Context, repository string, head *Head, next *tuf.State, changed []tuf.File, signed *signerapi.Signed, by string) (int64, error) {
	due, err := dueTimes(next.Root, signed, s.now())
	if err != nil {
		return 0, err
	}
	files := slices.Clone(changed)
	if next.Snapshot.Version != head.State.Snapshot.Version {
		files = append(files, next.Snapshot)
	}
	files = append(files, next.Timestamp)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishCommit)
	defer cancel()
	generation, err := s.store.Publish(ctx, Publication{
		Repository: repository, Base: max(head.Generation, head.Retired), Files: files, By: by, At: s.now(),
		RefreshAt: due.refresh, TimestampExpires: due.timestamp, RootExpires: due.root,
		Expires: s.expiries(repository, head, next, changed),
	})
	if err == nil && len(changed) > 0 {
		s.judge(repository, next) // a refresh changes no keys
	}
	return generation, err
}

func acknowledge(repository string, generation int64, state *tuf.State) *api.PublishResponse {
	return &api.PublishResponse{Repository: repository, Generation: generation, Versions: state.Versions()}
}

// checkSigned verifies what the signer made before it is stored: that timestamp
// and snapshot are signed by root's keys, are in date, and list just these files.
// A signer that went wrong must not take down what was served well so far.
func checkSigned(repository string, state *tuf.State, now time.Time) error {
	t, err := tuf.NewTrusted(repository, state.Root.Bytes, now, tuf.Limits{})
	if err != nil {
		return err
	}
	if err := t.UpdateTimestamp(state.Timestamp.Bytes); err != nil {
		return err
	}
	if err := t.UpdateSnapshot(state.Snapshot.Bytes, false); err != nil {
		return err
	}
	for role, file := range state.Roles {
		meta, ok := t.RoleMeta(role)
		if !ok || meta.Version != file.Version || !meta.Matches(file.Bytes) {
			return &tuf.Refusal{Repository: repository, Role: tuf.RoleSnapshot, Version: state.Snapshot.Version, Rule: tuf.RuleHash,
				Clause: "TUF §4.4", Detail: fmt.Sprintf("the signer's snapshot does not list %s as it was published", file.Name())}
		}
	}
	return nil
}

// signerError makes of a signer's error one that the table knows. What it refused
// or conflicts with passes; everything else is its absence.
func signerError(err error) error {
	if tuf.IsRefusal(err) || errors.Is(err, tuf.ErrConflict) {
		return err
	}
	why := "it does not answer"
	if errors.Is(err, context.DeadlineExceeded) {
		why = "it does not answer in time"
	}
	return &signerDown{why: why, cause: err}
}

// signerDown is api.ErrSignerUnavailable. Its text is for anyone; the cause, with
// addresses in it, is for the log.
type signerDown struct {
	why   string
	cause error
}

// Error says what it means for the caller.
func (e *signerDown) Error() string {
	return "the signer, which signs snapshot and timestamp, cannot be used: " + e.why +
		"; nothing was published, and reading goes on; try again later, and tell the server's operator if it lasts"
}

// Is finds the error of the table.
func (e *signerDown) Is(target error) bool { return target == api.ErrSignerUnavailable }

// Unwrap returns what happened.
func (e *signerDown) Unwrap() error { return e.cause }

// turns lets one publish of a repository work at a time in this process. Races
// are decided in the store; this only spares signatures that would lose one.
type turns struct {
	seed  maphash.Seed
	slots [256]chan struct{}
}

func newTurns() turns {
	t := turns{seed: maphash.MakeSeed()}
	for i := range t.slots {
		t.slots[i] = make(chan struct{}, 1)
	}
	return t
}

// take waits for the repository's turn.
func (t *turns) take(ctx context.Context, repository string) (free func(), err error) {
	slot := t.slots[maphash.String(t.seed, repository)%uint64(len(t.slots))]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
