package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/signet-trust/signet/tuf"
)

const (
	// clockTolerance is how far the clock may run behind the latest time that was
	// seen: clocks are set a little back all the time.
	clockTolerance = 5 * time.Minute
	// clockGrain is how much later it must be before the time is marked again.
	clockGrain = time.Minute
	// freeTries is how often an update is begun anew because another process saved
	// first, before it is done with the lock held.
	freeTries = 3
)

// A question is what an update is run for. It may verify further roles.
type question func(ctx context.Context, x *Update) error

// ask runs an update for a repository and, on what it verified, the question.
func (c *Client) ask(ctx context.Context, repository string, options Options, q question) error {
	anchor, err := c.anchor(repository, options)
	if err != nil {
		return err
	}
	path, err := stateDir(c.config.StateDir, repository)
	if err != nil {
		return err
	}
	s := session{client: c, repository: repository, anchor: anchor, path: path, question: q, token: c.token}
	switch {
	case options.Held:
		return ErrNotHeld // a Client has no memory
	case options.From != "" && options.Offline:
		return errors.New("what is asked of a folder is not asked offline: it is one or the other")
	case options.From != "":
		return s.fromFolder(ctx, options.From)
	case options.Offline:
		return s.stale(func() error { return s.offline(ctx) })
	}
	return s.online(ctx)
}

// anchor is the trust anchor that a question goes by.
func (c *Client) anchor(repository string, options Options) (*Anchor, error) {
	if options.Anchor == nil {
		return c.config.Anchors.For(repository)
	}
	if !tuf.MatchName(options.Anchor.Pattern, repository) {
		return nil, &tuf.Refusal{Repository: repository, Rule: tuf.RuleAnchor, Clause: "TUF §5.2", Detail: fmt.Sprintf("the anchor is for %q", options.Anchor.Pattern)}
	}
	return options.Anchor, nil
}

// A session is one question about one repository.
type session struct {
	client     *Client
	repository string
	anchor     *Anchor
	path       string
	question   question
	token      func(address, ca string) string
	at         time.Time // judge expiries by this time rather than by the clock; zero: by the clock
	late       bool      // timestamp and snapshot may have expired: at is earlier than it is
	lacking    *[]string // note here what the demand for hardware refuses, and go on; nil: refuse
	seen       clockMark // what this process has seen since the time was marked
	folder     bool      // r is no server but a folder, which confirms nothing
	lately     bool      // a server has confirmed lately what is remembered: do not ask for anything newer
}

// open opens the state and checks that the clock did not step back.
func (s *session) open() (*Dir, error) {
	d, err := OpenDir(s.path)
	if err != nil {
		return nil, err
	}
	now, seen := s.client.config.Now(), s.seen.latest(d.marks.Time)
	if behind := seen.Sub(now); behind > clockTolerance {
		return nil, &tuf.Refusal{Repository: s.repository, Rule: tuf.RuleClock, Clause: "TUF §5.1",
			Detail: fmt.Sprintf("the clock says %s, but this machine has seen %s: expired metadata could pass for fresh",
				now.UTC().Format(time.RFC3339), seen.UTC().Format(time.RFC3339))}
	}
	return d, nil
}

// A clockMark is the latest time that a long-lived process has seen. It is not
// marked on disk each time.
type clockMark struct {
	at     time.Time // by the wall clock alone: beside a monotonic reading, nobody sees it set back
	marked time.Time // what was marked on disk when at was seen
}

// latest is the latest time that was seen, marked being what is marked on disk now.
// When that went back somebody has reset it, on purpose.
func (m clockMark) latest(marked time.Time) time.Time {
	if m.at.After(marked) && !marked.Before(m.marked) {
		return m.at
	}
	return marked
}

// clock is the time that updates are judged by.
func (s *session) clock() time.Time {
	if !s.at.IsZero() {
		return s.at
	}
	return s.client.config.Now()
}

// errNoServer says that nobody can be asked, which is no yes.
var errNoServer = errors.New("the trust anchor names no server")

// online asks one server after the other.
func (s *session) online(ctx context.Context) error {
	if len(s.anchor.Servers) == 0 {
		return errNoServer
	}
	var errs []error
	for _, address := range s.anchor.Servers {
		err := s.server(ctx, address)
		if err == nil || final(err) || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// final tells whether another server could not answer otherwise: what decided is
// signed and fresh, or has nothing to do with servers.
func final(err error) bool {
	switch tuf.RuleOf(err) {
	case tuf.RuleAbsent, tuf.RuleDigest, tuf.RuleVoice, tuf.RuleClock, tuf.RuleName:
		return true
	}
	_, failed := errors.AsType[*stateError](err)
	return failed
}

// A stateError says that the state folder is of no use.
type stateError struct{ err error }

func (e *stateError) Error() string { return e.err.Error() }
func (e *stateError) Unwrap() error { return e.err }

// server asks one server.
func (s *session) server(ctx context.Context, address string) error {
	r, err := s.client.remote(address, s.anchor.CA, s.anchor.PlainHTTP, s.token(address, s.anchor.CA))
	if err != nil {
		return err
	}
	return s.attempts(ctx, r)
}

// attempts asks r, again when another process saved first.
func (s *session) attempts(ctx context.Context, r *remote) error {
	for range freeTries {
		if err := s.try(ctx, r, false); !errors.Is(err, errMoved) {
			return err
		}
	}
	unlock, err := lockDir(ctx, s.path)
	if err != nil {
		return &stateError{remembering(s.path, err)}
	}
	defer unlock()
	return s.try(ctx, r, true)
}

func (s *session) try(ctx context.Context, r *remote, locked bool) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	if s.lacking != nil {
		*s.lacking = nil
	}
	d.locked = locked
	u := s.updater(d)
	u.Fetch = r.fetch(s.repository)
	if s.lately {
		u.Fetch = lately(u.Fetch)
	}
	u.ETag = d.etag(r.base)
	before, began := d.marks, s.client.config.Now() // earlier than any answer: so nothing counts as fresher than it is
	first, late, cancel := s.client.first(ctx, r)
	defer cancel()
	x, err := s.anchor.begin(first, u, d)
	if err != nil {
		return late(err)
	}
	err = x.refresh(ctx)
	if err == nil {
		s.confirm(x, d, began)
		err = s.answer(ctx, x)
	}
	if err != nil && d.moved() {
		return errMoved // what was read may have been half of the old and half of the new
	}
	return joined(err, s.save(ctx, x, r, before))
}

// confirm notes what x knows of when a server last confirmed it.
func (s *session) confirm(x *Update, d *Dir, began time.Time) {
	state := x.fingerprint()
	switch {
	case !s.folder && !s.lately:
		x.checked = began
		d.markChecked(began, state, clockGrain)
	case d.marks.CheckedFor == state:
		x.checked = d.marks.Checked
	}
}

// fingerprint tells apart what updates verified: root and timestamp name all else.
func (x *Update) fingerprint() string {
	return digestHex([]byte(digestHex(x.trusted.Bytes(tuf.RoleRoot)) + digestHex(x.trusted.Bytes(tuf.RoleTimestamp))))[:32]
}

// joined is err, and with it what went wrong in saving; that another process
// saved first takes precedence over everything, since all is then tried again.
func joined(err, saved error) error {
	if errors.Is(saved, errMoved) {
		return saved
	}
	if saved == nil {
		return err
	}
	return errors.Join(err, &stateError{saved})
}

// updater returns an updater on d.
func (s *session) updater(d *Dir) *Updater {
	u := &Updater{
		Repository: s.repository,
		Store:      d,
		Now:        s.clock,
		Limits:     s.client.config.Limits,
		checkRoot:  func(root *tuf.Root) error { return s.anchor.checkRoot(s.repository, root) },
	}
	s.demand(u)
	u.voices = s.anchor.Require
	return u
}

// answer runs the question on a verified update. Expiries are judged once more
// at its end: fetching may have taken long.
func (s *session) answer(ctx context.Context, x *Update) error {
	minRoot, minTargets := s.anchor.MinRoot, s.anchor.MinTargets
	if d, ok := x.u.Store.(*Dir); ok {
		minRoot, minTargets = max(minRoot, d.marks.MinRoot), max(minTargets, d.marks.MinTargets)
	}
	if err := s.minimum(tuf.RoleRoot, x.trusted.Root().Signed.Version, minRoot); err != nil {
		return err
	}
	if minTargets > 0 {
		if err := x.Load(ctx, tuf.RoleTargets, tuf.RoleRoot); err != nil {
			return err
		}
		if err := s.minimum(tuf.RoleTargets, x.trusted.Role(tuf.RoleTargets).Signed.Version, minTargets); err != nil {
			return err
		}
	}
	if err := s.question(ctx, x); err != nil {
		return err
	}
	if s.late {
		if err := s.inDate(x); err != nil {
			return err
		}
	}
	if now := s.client.config.Now(); !x.allowed.IsZero() && now.After(x.allowed) { // while it was fetched
		if err := s.judge(outlived(s.repository, x.allowed, now)); err != nil {
			return err
		}
	}
	return x.trusted.CheckExpiry(s.clock())
}

func (s *session) minimum(role string, version, least int64) error {
	if version >= least {
		return nil
	}
	return &tuf.Refusal{Repository: s.repository, Role: role, Version: version, Rule: tuf.RuleRollback, Clause: "trust anchor",
		Detail: fmt.Sprintf("the trust anchor accepts version %d at the lowest", least)}
}

// save remembers what was verified and the time, if there is anything new.
func (s *session) save(ctx context.Context, x *Update, r *remote, before marks) error {
	d, ok := x.u.Store.(*Dir)
	if !ok {
		return x.Save(ctx)
	}
	if now := s.client.config.Now(); now.Sub(d.marks.Time) > clockGrain {
		d.marks.Time = now.UTC().Truncate(time.Second)
	}
	if ts := x.trusted.Bytes(tuf.RoleTimestamp); ts != nil && x.u.ETag != "" {
		d.marks.ETag, d.marks.Server, d.marks.ETagFor = x.u.ETag, r.base, digestHex(ts)
	}
	if len(x.pending) == 0 && d.marks == before {
		return nil
	}
	// A caller that gave up does not undo what was seen.
	return remembering(s.path, d.Save(context.WithoutCancel(ctx), x.take()))
}

// offline answers from the state alone. Nothing is written but the time, where
// that is possible.
func (s *session) offline(ctx context.Context) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	before := d.marks
	x, err := s.anchor.begin(ctx, s.updater(d), d)
	if err != nil {
		return err
	}
	if err := x.refresh(ctx); err != nil {
		return err
	}
	if d.marks.CheckedFor == x.fingerprint() {
		x.checked = d.marks.Checked
	}
	if err := s.answer(ctx, x); err != nil {
		return err
	}
	if now := s.client.config.Now(); now.Sub(before.Time) > clockGrain {
		if again, err := OpenDir(s.path); err == nil && now.After(again.marks.Time) {
			again.marks.Time = now.UTC().Truncate(time.Second)
			unmoved := again.marks.Generation == d.marks.Generation
			// A state folder that cannot be written to still answers offline.
			if err := again.Save(ctx, nil); err == nil && unmoved {
				d.marks = again.marks
			}
		}
	}
	return nil
}

func (c *Client) token(address, ca string) string {
	if c.config.Token == nil {
		return ""
	}
	return c.config.Token(address, ca)
}

func (c *Client) resetClock(ctx context.Context, repository string) error {
	path, err := stateDir(c.config.StateDir, repository)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockDir(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	d.locked, d.marks.Time = true, time.Time{}
	if d.marks.Checked.After(c.config.Now()) { // by that clock
		d.marks.Checked, d.marks.CheckedFor = time.Time{}, ""
	}
	return d.Save(ctx, nil)
}

func (c *Client) forget(ctx context.Context, repository string, kept *Replacement) error {
	path, err := stateDir(c.config.StateDir, repository)
	if err != nil {
		return err
	}
	return (&Dir{path: path}).forget(ctx, kept)
}
