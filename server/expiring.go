package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// An expiringStore knows when the files expire that people sign.
type expiringStore interface {
	Expiring(ctx context.Context, before time.Time, after api.ExpiringRole, limit int) ([]api.ExpiringRole, error)
	CountExpiring(ctx context.Context, before time.Time) (map[string]int64, error)
	UnknownExpiries(ctx context.Context, after string, limit int) ([]string, error)
	SetExpiries(ctx context.Context, repository string, generation int64, list []api.ExpiringRole) error
}

// Bounds on what expires.
const (
	expiringSoon  = 30 * 24 * time.Hour // where nobody says what soon is
	expiringBatch = 500                 // rows, or repositories, that are read from the store at once
	expiringMost  = 20_000              // rows that are looked at for one page
	expiringEvery = 10 * time.Minute    // how often the metrics count
	learnEvery    = time.Hour           // how often files of unknown expiry are looked for
)

// getExpiring lists what expires soon in the repositories that the token covers. A
// page may be empty and not the last: what the token does not cover is passed over.
func (s *Server) getExpiring(w http.ResponseWriter, r *http.Request) error {
	token, err := s.token(w, r)
	if err != nil {
		return err
	}
	if !hasScope(token, api.ScopeRead) {
		return fmt.Errorf("%w: token %s may not read", api.ErrForbidden, token.ID)
	}
	query := r.URL.Query()
	limit, err := number(query, "limit", api.MaxExpiringPage, 1, api.MaxExpiringPage)
	if err != nil {
		return err
	}
	before := s.now().Add(expiringSoon)
	if text := query.Get("before"); text != "" {
		if before, err = time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("%w: before is a time, such as 2030-01-31T00:00:00Z", api.ErrBadRequest)
		}
	}
	after, err := readCursor(query.Get("after"))
	if err != nil {
		return err
	}
	// A list that leaves something out would be worse than none.
	if err := s.learned.ensure(r.Context(), s); err != nil {
		return err
	}
	page, err := s.expiringPage(r.Context(), token, before, after, int(limit))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, page)
}

// expiringPage gathers up to limit of what the token covers. Where the next page starts
// names only what was told: what the token does not cover is known by nothing but the
// second that it expires at.
func (s *Server) expiringPage(ctx context.Context, token Token, before time.Time, after api.ExpiringRole, limit int) (*api.ExpiringResponse, error) {
	page := &api.ExpiringResponse{Roles: []api.ExpiringRole{}}
	start := after.Expires.Unix()
	for looked := 0; ; {
		list, err := s.store.Expiring(ctx, before, after, expiringBatch)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			after = e
			if !covers(token, e.Repository) {
				continue
			}
			if len(page.Roles) == limit {
				page.Next = cursor(page.Roles[limit-1])
				return page, nil
			}
			page.Roles = append(page.Roles, e)
		}
		if len(list) < expiringBatch {
			return page, nil
		}
		if looked += len(list); looked < expiringMost {
			continue
		}
		switch told := len(page.Roles); {
		case told > 0:
			page.Next = cursor(page.Roles[told-1])
			return page, nil
		case after.Expires.Unix() > start:
			page.Next = cursor(api.ExpiringRole{Expires: after.Expires})
			return page, nil
		}
	}
}

// cursor names a place in the list, after a role or, without one, at the start of a
// second; readCursor finds it again.
func cursor(e api.ExpiringRole) string {
	if e.Repository == "" {
		return strconv.FormatInt(e.Expires.Unix(), 10)
	}
	return fmt.Sprintf("%d %s %s", e.Expires.Unix(), e.Repository, e.Role)
}

func readCursor(text string) (api.ExpiringRole, error) {
	if text == "" {
		return api.ExpiringRole{}, nil
	}
	parts := strings.SplitN(text, " ", 3)
	at, err := strconv.ParseInt(parts[0], 10, 64)
	if err == nil && len(parts) == 1 && at >= 1 {
		return api.ExpiringRole{Expires: time.Unix(at, 0)}, nil
	}
	if err != nil || len(parts) != 3 || at < 1 || tuf.CheckRepository(parts[1]) != nil || !isRole(parts[2]) {
		return api.ExpiringRole{}, fmt.Errorf("%w: after is what the page before gave as next", api.ErrBadRequest)
	}
	return api.ExpiringRole{Expires: time.Unix(at, 0), Repository: parts[1], Role: parts[2]}, nil
}

func isRole(name string) bool { return tuf.IsTopLevel(name) || tuf.CheckRoleName(name) == nil }

// A sketch is what one has to know of a file to keep track of expiries.
type sketch struct {
	expires     time.Time
	delegations json.RawMessage
}

// readSketch reads a file that was checked, as far as it must: the members stand in
// their order, and the targets, which are all of a large file, after what is sought.
func readSketch(data []byte) (s sketch, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	for _, within := range []string{"signed", "targets"} { // what stands in the first, up to the second
		if _, err := dec.Token(); err != nil {
			return s, err
		}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return s, err
			}
			if name == within {
				break
			}
			var value any = new(json.RawMessage)
			switch {
			case within == "targets" && name == "expires":
				value = &s.expires
			case within == "targets" && name == "delegations":
				value = &s.delegations
			}
			if err := dec.Decode(value); err != nil {
				return s, err
			}
		}
	}
	if s.expires.IsZero() {
		return s, errors.New("no expiry stands ahead of the targets")
	}
	return s, nil
}

// expiries says when changed files expire. Where who delegates to whom has changed,
// or the repository was brought forward from elsewhere, it says so of all. What cannot
// be read is left out, to be found later: a publish does not hang on it.
func (s *Server) expiries(repository string, head *Head, next *tuf.State, changed []tuf.File) []api.ExpiringRole {
	var list []api.ExpiringRole
	for _, file := range changed {
		now, err := readSketch(file.Bytes)
		if err != nil {
			return nil
		}
		if old := head.State.Roles[file.Role]; file.Role != tuf.RoleRoot {
			var then sketch
			if old.Bytes != nil {
				if then, err = readSketch(old.Bytes); err != nil {
					return nil
				}
			}
			if !bytes.Equal(now.delegations, then.delegations) {
				return s.allExpiries(repository, next)
			}
		}
		list = append(list, api.ExpiringRole{Role: file.Role, Version: file.Version, Expires: now.expires})
	}
	return list
}

// allExpiries says it of all files; those that no role delegates to have no time.
func (s *Server) allExpiries(repository string, state *tuf.State) []api.ExpiringRole {
	root, err := tuf.ReadRoot(state.Root.Bytes)
	if err != nil {
		return nil
	}
	tree, err := tuf.CheckTree(repository, root, state.Roles, s.config.Limits)
	if err != nil {
		return nil
	}
	list := []api.ExpiringRole{{Role: tuf.RoleRoot, Version: state.Root.Version, Expires: root.Signed.Expires}}
	for role, file := range state.Roles {
		e := api.ExpiringRole{Role: role, Version: file.Version}
		if tree[role] != nil {
			e.Expires = tree[role].Signed.Expires
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b api.ExpiringRole) int { return compare(a.Role, b.Role) })
	return list
}

// learned remembers whether the expiries of all that is stored were known at some
// time: a database of an earlier release has none, and what a server of that release
// publishes beside this one neither.
type learned struct {
	turn chan struct{}
	mu   sync.Mutex
	at   time.Time // when it last was so
}

// ensure learns what is not known, unless that was done lately. It returns an error
// when it takes longer than the request may; what it learned until then stays.
func (l *learned) ensure(ctx context.Context, s *Server) error {
	fresh := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.at.IsZero() && s.now().Sub(l.at) < learnEvery
	}
	if fresh() {
		return nil
	}
	busy := fmt.Errorf("%w: the server is still reading when files expire that an earlier release stored; try again in a minute", api.ErrBusy)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return busy
	}
	if fresh() {
		return nil
	}
	at := s.now()
	if err := s.learnExpiries(ctx); err != nil {
		if ctx.Err() != nil {
			return busy
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = at
	return nil
}

// learnExpiries finds out when files expire of which the store does not know it, one
// repository at a time.
func (s *Server) learnExpiries(ctx context.Context) error {
	learned := 0
	for after := ""; ; {
		list, err := s.store.UnknownExpiries(ctx, after, expiringBatch)
		if err != nil {
			return err
		}
		for _, repository := range list {
			after = repository
			head, err := s.store.Head(ctx, repository)
			if errors.Is(err, tuf.ErrNotFound) {
				continue // retired in between
			}
			if err != nil {
				return err
			}
			expiries := s.allExpiries(repository, &head.State)
			if expiries == nil {
				s.log.Error("read when files expire", "repository", repository, "error", "what is stored does not verify")
				continue
			}
			err = s.store.SetExpiries(ctx, repository, head.Generation, expiries)
			if err != nil && !errors.Is(err, tuf.ErrConflict) { // who published in between has said it
				return err
			}
			learned++
		}
		if len(list) < expiringBatch {
			break
		}
	}
	if learned > 0 {
		s.log.Info("read when files expire that an earlier release stored", "repositories", learned)
	}
	return nil
}

// countExpiring has the metrics tell how much expires soon, now and then until ctx
// ends.
func (s *Server) countExpiring(ctx context.Context) {
	tick := time.NewTicker(expiringEvery)
	defer tick.Stop()
	for {
		if err := s.lookForExpiring(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("count what expires", "error", err, "cause", cause(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookForExpiring counts once.
func (s *Server) lookForExpiring(ctx context.Context) error {
	if err := s.learned.ensure(ctx, s); err != nil {
		return err
	}
	const day = 24 * time.Hour
	for within, d := range map[string]time.Duration{"expired": 0, "7d": 7 * day, "30d": 30 * day} {
		counts, err := s.store.CountExpiring(ctx, s.now().Add(d))
		if err != nil {
			return err
		}
		for role, n := range counts {
			s.metrics.expiring.WithLabelValues(role, within).Set(float64(n))
		}
	}
	return nil
}
