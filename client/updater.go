package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A FetchFunc fetches one metadata file by its name on the server, such as
// "3.root.json". It returns an error that wraps tuf.ErrNotFound when the server
// has no such file, and a *tuf.Refusal with tuf.RuleLimit when it has more than
// max bytes. etag is what was returned for the file before, or "".
type FetchFunc func(ctx context.Context, name string, max int64, etag string) (Fetched, error)

// A Fetched is what a FetchFunc found.
type Fetched struct {
	Bytes       []byte
	ETag        string // to ask with the next time, or ""
	NotModified bool   // Bytes is nil: nothing changed since the etag that was given
}

// A Store remembers a repository's verified files between updates, by role:
// "root" is the newest one.
type Store interface {
	// Load returns the file of role that was saved last, or nil when there is none.
	Load(role string) ([]byte, error)
	// Save durably replaces files, in order. Nil Bytes make a role
	// forgotten, because of the root of that Version, which comes before it.
	Save(ctx context.Context, files []tuf.File) error
}

// Bytes that are read of files whose length nobody has signed, and roots that
// one update follows.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 4 << 20
	maxRoots     = 1024
)

// An Updater runs the update workflow of §5 for one repository. It is what
// [Client] uses below its anchors and servers, and what other TUF programs can
// use on its own. Its Store must hold a trusted root.
type Updater struct {
	// Repository goes into errors only.
	Repository string
	// Fetch fetches a file; nil means that only what Store holds is used.
	Fetch FetchFunc
	// Store remembers.
	Store Store
	// Now is the clock; nil means time.Now. It is read once for each update (§5.1).
	Now func() time.Time
	// Limits bound what is read before it is trusted.
	Limits tuf.Limits
	// ETag is what Fetch returned for the timestamp that Store holds, or "". Each
	// update sets it.
	ETag string

	// checkRoot is asked about every root before it counts.
	checkRoot func(*tuf.Root) error
	// checkNewest is asked about the newest root alone, before anything below it. It
	// says until when it has no objection; zero: for as long as the root holds.
	checkNewest func(*tuf.Root) (until time.Time, err error)
	// checkSigner is asked about the keys that delegator, whose file was verified,
	// lists for a role, before the role's file counts.
	checkSigner func(delegator *tuf.Targets, role string) (until time.Time, err error)
	// voices must all vouch for what an answer trusts.
	voices []Voice
}

// An Update is one run of an Updater: what it verified, and the means to verify
// the roles that a question needs. It is not safe for concurrent use.
type Update struct {
	u       *Updater
	trusted *tuf.Trusted
	pending []tuf.File         // verified, and to be remembered: roots first
	gone    []tuf.File         // to be forgotten once the roots are remembered
	roles   []string           // that were loaded, in order
	checked time.Time          // when a server confirmed that nothing newer is known; zero: not known
	allowed time.Time          // until when nobody has an objection to the keys; zero: for good
	signers map[[2]string]bool // by role and key ID: whether the key has signed the role's file
}

// Refresh runs §5.3 to §5.5: roots, timestamp, snapshot. Roles are verified when
// a question needs them. Call Save on the Update once they were asked. When the
// refresh fails, what was verified before that (new roots, say) is remembered.
func (u *Updater) Refresh(ctx context.Context) (*Update, error) {
	root, err := u.Store.Load(tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, fmt.Errorf("no trusted root of %s to start from: %w", u.Repository, tuf.ErrNotFound)
	}
	t, err := u.trust(root)
	if err != nil {
		return nil, err
	}
	x, err := u.start(t)
	if err != nil {
		return nil, err
	}
	if err := x.refresh(ctx); err != nil {
		return nil, x.failed(ctx, err)
	}
	return x, nil
}

// trust reads the clock and begins to trust at a root that was verified before.
func (u *Updater) trust(root []byte) (*tuf.Trusted, error) {
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	return tuf.NewTrusted(u.Repository, root, now(), u.Limits)
}

// start begins an update at t's root; pending is to be saved with it.
func (u *Updater) start(t *tuf.Trusted, pending ...tuf.File) (*Update, error) {
	if u.checkRoot != nil {
		if err := u.checkRoot(t.Root()); err != nil {
			return nil, err
		}
	}
	return &Update{u: u, trusted: t, pending: pending}, nil
}

func (x *Update) refresh(ctx context.Context) error {
	if err := x.roots(ctx); err != nil {
		return err
	}
	if x.u.checkNewest != nil {
		until, err := x.u.checkNewest(x.trusted.Root())
		if err != nil {
			return err
		}
		x.allow(until)
	}
	if err := x.timestamp(ctx); err != nil {
		return err
	}
	return x.snapshot(ctx)
}

// allow notes until when there is no objection to keys that were used.
func (x *Update) allow(until time.Time) {
	if !until.IsZero() && (x.allowed.IsZero() || until.Before(x.allowed)) {
		x.allowed = until
	}
}

// failed saves what was verified before err.
func (x *Update) failed(ctx context.Context, err error) error {
	return errors.Join(err, x.Save(ctx))
}

// roots follows the chain of roots to its end (§5.3).
func (x *Update) roots(ctx context.Context) error {
	if x.u.Fetch == nil {
		return nil
	}
	for range maxRoots {
		before := x.trusted.Root()
		version := before.Signed.Version + 1
		fetched, err := x.u.Fetch(ctx, tuf.FileName(tuf.RoleRoot, version), maxRoot, "")
		if errors.Is(err, tuf.ErrNotFound) {
			return nil // §5.3.3
		}
		if err != nil {
			return x.named(err, tuf.RoleRoot, version)
		}
		if err := x.trusted.UpdateRoot(fetched.Bytes); err != nil {
			return err
		}
		if x.u.checkRoot != nil {
			if err := x.u.checkRoot(x.trusted.Root()); err != nil {
				return err
			}
		}
		x.pending = append(x.pending, tuf.File{Role: tuf.RoleRoot, Version: version, Bytes: fetched.Bytes}) // §5.3.8
		if rotated(before, x.trusted.Root()) && len(x.gone) == 0 {
			// §5.3.11: what the old keys signed may have been fast-forwarded.
			x.gone = []tuf.File{{Role: tuf.RoleTimestamp, Version: version}, {Role: tuf.RoleSnapshot, Version: version}}
		}
	}
	return &tuf.Refusal{Repository: x.u.Repository, Role: tuf.RoleRoot, Version: x.trusted.Root().Signed.Version, Rule: tuf.RuleLimit,
		Clause: "TUF §5.3.2", Detail: fmt.Sprintf("more than %d new roots in one update; ask again to go on from here", maxRoots)}
}

// rotated tells whether a timestamp or snapshot key was taken away.
func rotated(before, after *tuf.Root) bool {
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot} {
		for _, id := range before.Signed.Roles[role].KeyIDs {
			if !slices.Contains(after.Signed.Roles[role].KeyIDs, id) {
				return true
			}
		}
	}
	return false
}

// stored returns the file of role as this update would leave it, nil for none.
func (x *Update) stored(role string) ([]byte, error) {
	for _, file := range slices.Backward(x.pending) {
		if file.Role == role {
			return file.Bytes, nil
		}
	}
	if slices.ContainsFunc(x.gone, func(f tuf.File) bool { return f.Role == role }) {
		return nil, nil
	}
	return x.u.Store.Load(role)
}

// take returns what is to be saved, in order. Roots come before what they make
// forgotten: were it the other way round, a disk that is full in between would
// leave the old root without the files that tell a step back.
func (x *Update) take() []tuf.File {
	roots := 0
	for roots < len(x.pending) && x.pending[roots].Role == tuf.RoleRoot {
		roots++
	}
	files := slices.Concat(x.pending[:roots], x.gone, x.pending[roots:])
	x.pending, x.gone = nil, nil
	return files
}

// remember puts file among those to be saved, in place of an earlier one of its role.
func (x *Update) remember(file tuf.File) {
	x.pending = slices.DeleteFunc(x.pending, func(f tuf.File) bool { return f.Role == file.Role })
	x.pending = append(x.pending, file)
}

// timestamp runs §5.4. The stored timestamp is taken first, so that a step back
// is noticed, and its expiry is judged anew also when the server has no other.
func (x *Update) timestamp(ctx context.Context) error {
	stored, err := x.stored(tuf.RoleTimestamp)
	if err != nil {
		return err
	}
	var storedErr error
	if stored != nil {
		storedErr = x.trusted.UpdateTimestamp(stored)
		if x.trusted.Timestamp() == nil {
			if tuf.RuleOf(storedErr) == tuf.RuleExpired {
				return storedErr // of root, §5.3.10
			}
			stored = nil // damaged, or signed by keys that do not count any more
		}
	}
	if x.u.Fetch == nil {
		if stored == nil {
			return fmt.Errorf("no timestamp of %s is remembered here: %w", x.u.Repository, tuf.ErrNotFound)
		}
		return storedErr
	}
	etag := x.u.ETag
	if stored == nil {
		etag = ""
	}
	fetched, err := x.u.Fetch(ctx, tuf.FileName(tuf.RoleTimestamp, 0), maxTimestamp, etag)
	if err != nil {
		return x.named(err, tuf.RoleTimestamp, 0)
	}
	if fetched.NotModified && stored == nil {
		return fmt.Errorf("the server says that the timestamp of %s did not change, but none was known", x.u.Repository)
	}
	x.u.ETag = fetched.ETag
	if fetched.NotModified || stored != nil && bytes.Equal(fetched.Bytes, stored) {
		return storedErr // §5.4.4: nothing new, so the old one's expiry decides
	}
	before := x.trusted.Timestamp()
	err = x.trusted.UpdateTimestamp(fetched.Bytes)
	// One that has expired is not kept (§5.4.4 comes before §5.4.5).
	if ts := x.trusted.Timestamp(); err == nil && ts != before {
		x.remember(tuf.File{Role: tuf.RoleTimestamp, Version: ts.Signed.Version, Bytes: fetched.Bytes}) // §5.4.5
	} else {
		x.u.ETag = ""
	}
	return err
}

// snapshot runs §5.5.
func (x *Update) snapshot(ctx context.Context) error {
	meta := x.trusted.SnapshotMeta()
	stored, err := x.stored(tuf.RoleSnapshot)
	if err != nil {
		return err
	}
	switch {
	case stored == nil:
	case meta.Matches(stored):
		if err := x.trusted.UpdateSnapshot(stored, false); err == nil || tuf.RuleOf(err) == tuf.RuleExpired {
			return err
		}
	default:
		// §5.5.5: what was seen before is compared with what comes. When it is
		// damaged, or signed by keys that do not count any more, nothing is.
		if err := x.trusted.UpdateSnapshot(stored, true); err == nil && len(meta.Hashes) == 0 {
			return nil // no hash was signed: version and signature are all there is
		}
	}
	if x.u.Fetch == nil {
		return fmt.Errorf("snapshot version %d of %s is not remembered here: %w", meta.Version, x.u.Repository, tuf.ErrNotFound)
	}
	fetched, err := x.fetch(ctx, tuf.RoleSnapshot, meta, maxSnapshot)
	if err != nil {
		return err
	}
	if err := x.trusted.UpdateSnapshot(fetched, false); err != nil {
		return err
	}
	x.remember(tuf.File{Role: tuf.RoleSnapshot, Version: meta.Version, Bytes: fetched}) // §5.5.7
	return nil
}

// Load verifies the file of role, to which delegator delegates ("root" to
// targets), unless that was done before (§5.6.1-5).
func (x *Update) Load(ctx context.Context, role, delegator string) error {
	if x.trusted.Verified(role, delegator) {
		return nil
	}
	// Ahead of the file: what was refused must not count as verified the next time.
	if parent := x.trusted.Role(delegator); parent != nil && x.u.checkSigner != nil {
		until, err := x.u.checkSigner(parent, role)
		if err != nil {
			return err
		}
		x.allow(until)
	}
	meta, ok := x.trusted.RoleMeta(role)
	if !ok {
		return &tuf.Refusal{Repository: x.u.Repository, Role: role, Rule: tuf.RuleRollback, Clause: "TUF §5.6.1",
			Detail: fmt.Sprintf("%s delegates to it, but the snapshot does not list it", delegator)}
	}
	if known := x.trusted.Bytes(role); known != nil { // under another delegator
		return x.trusted.UpdateRole(known, role, delegator)
	}
	stored, err := x.stored(role)
	if err != nil {
		return err
	}
	if stored != nil && (meta.Matches(stored) || len(meta.Hashes) == 0) {
		err := x.trusted.UpdateRole(stored, role, delegator)
		if err == nil {
			x.roles = append(x.roles, role)
			return nil
		}
		if x.u.Fetch == nil || (meta.Matches(stored) && tuf.IsRefusal(err)) {
			return err // the same bytes would come again
		}
	}
	if x.u.Fetch == nil {
		return fmt.Errorf("%s version %d of %s is not remembered here: %w", role, meta.Version, x.u.Repository, tuf.ErrNotFound)
	}
	fetched, err := x.fetch(ctx, role, meta, x.u.Limits.WithDefaults().Bytes)
	if err != nil {
		return err
	}
	if err := x.trusted.UpdateRole(fetched, role, delegator); err != nil {
		return err
	}
	x.roles = append(x.roles, role)
	x.remember(tuf.File{Role: role, Version: meta.Version, Bytes: fetched}) // §5.6.6
	return nil
}

// fetch fetches the file that meta describes, by its signed length where there
// is one. Bytes of another hash are refused before anything reads them (§5.5.2,
// §5.6.2).
func (x *Update) fetch(ctx context.Context, role string, meta tuf.Meta, limit int64) ([]byte, error) {
	if meta.Length > 0 {
		if most := x.u.Limits.WithDefaults().Bytes; meta.Length > most {
			return nil, &tuf.Refusal{Repository: x.u.Repository, Role: role, Version: meta.Version, Rule: tuf.RuleLimit, Clause: "Signet limits",
				Detail: fmt.Sprintf("its signed length is %d bytes, of which at most %d are read", meta.Length, most)}
		}
		limit = meta.Length
	}
	name := quote(role) + ".json"
	if x.trusted.Root().Signed.ConsistentSnapshot { // §6.2
		name = strconv.FormatInt(meta.Version, 10) + "." + name
	}
	fetched, err := x.u.Fetch(ctx, name, limit, "")
	if err != nil {
		return nil, x.named(err, role, meta.Version)
	}
	if len(meta.Hashes) > 0 && !meta.Matches(fetched.Bytes) {
		return nil, &tuf.Refusal{Repository: x.u.Repository, Role: role, Version: meta.Version, Rule: tuf.RuleHash, Clause: "TUF §5.5.2, §5.6.2",
			Detail: fmt.Sprintf("the server has other bytes under %s than those that were signed for", name)}
	}
	return fetched.Bytes, nil
}

// named adds to a refusal of Fetch what Fetch cannot know.
func (x *Update) named(err error, role string, version int64) error {
	if r, ok := errors.AsType[*tuf.Refusal](err); ok && r.Role == "" {
		named := *r
		named.Repository, named.Role, named.Version = x.u.Repository, role, version
		return &named
	}
	return err
}

// Search finds what a target path means (§5.6.7), verifying the roles on the
// way. It returns a *tuf.Refusal with tuf.RuleAbsent when signed metadata proves
// that nothing is listed.
func (x *Update) Search(ctx context.Context, path string) (*tuf.Match, error) {
	return x.trusted.Search(path, x.loader(ctx))
}

// Walk verifies every role and calls visit with each, see tuf.Trusted.Walk.
func (x *Update) Walk(ctx context.Context, visit func(role, delegator string, targets *tuf.Targets) error) error {
	return x.trusted.Walk(x.loader(ctx), visit)
}

func (x *Update) loader(ctx context.Context) tuf.LoadFunc {
	return func(role, delegator string) error { return x.Load(ctx, role, delegator) }
}

// Trusted returns what was verified.
func (x *Update) Trusted() *tuf.Trusted { return x.trusted }

// Save remembers what was verified, in the updater's Store.
func (x *Update) Save(ctx context.Context) error {
	if len(x.pending) == 0 {
		return nil
	}
	return x.u.Store.Save(ctx, x.take())
}

// quote escapes a role's name where it becomes a part of a file's name or of an
// address, as other TUF tools do: all but letters, digits, '_', '.', '-', '~'.
func quote(role string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(role) {
		c := role[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}
