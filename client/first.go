package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/signet-trust/signet/tuf"
)

// fingerprint tells anchors apart by what they pin.
func (a *Anchor) fingerprint() string {
	keys := slices.Sorted(slices.Values(a.RootKeys))
	data, err := json.Marshal([]any{keys, a.threshold(), a.RootSHA256})
	if err != nil {
		return "" // cannot be: strings and a number
	}
	return digestHex(data)[:32]
}

// accepts tells whether a root file is one to start from: the pinned file, or
// one that lists pinned keys and is signed by enough of them, and meets its own
// threshold. Key IDs are computed from the keys, since a label can say anything.
func (a *Anchor) accepts(data []byte) bool {
	if a.RootSHA256 != "" {
		return digestHex(data) == a.RootSHA256
	}
	root, err := tuf.ReadRoot(data)
	if err != nil {
		return false
	}
	payload, err := tuf.Payload(root)
	if err != nil {
		return false
	}
	var signed []*tuf.Key
	for _, key := range tuf.RoleKeysOf(root, tuf.RoleRoot).Keys {
		if !slices.Contains(a.RootKeys, key.ID()) || slices.ContainsFunc(signed, key.Equal) {
			continue
		}
		for _, s := range root.Signatures {
			if key.Verify(payload, s.Signature) == nil {
				signed = append(signed, key)
				break
			}
		}
	}
	return len(signed) >= a.threshold() && tuf.VerifyRoot(root, root) == nil
}

// checkRoot demands the repository's own name in every root. Without it, a
// server could answer for one repository with another's metadata when both trust
// the same root keys.
func (a *Anchor) checkRoot(repository string, root *tuf.Root) error {
	name := tuf.RepositoryOf(root)
	if name == repository || (name == "" && a.exact() && a.RootSHA256 != "") {
		return nil
	}
	detail := fmt.Sprintf("it is for the repository %q", name)
	if name == "" {
		detail = "it names no repository; only an anchor for this very name that pins the root file takes such a root"
	}
	return &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: root.Signed.Version, Rule: tuf.RuleRepository,
		Clause: "Signet profile: " + tuf.MemberRepository, Detail: detail}
}

// begin starts an update at the newest root that was verified or, without state,
// at the earliest that the anchor accepts (§5.2).
func (a *Anchor) begin(ctx context.Context, u *Updater, d *Dir) (*Update, error) {
	if err := a.checkPins(); err != nil { // one that was made in Go: without keys, it would trust anybody
		return nil, fmt.Errorf("the trust anchor for %s: %w", a.Pattern, err)
	}
	t, err := d.newestRoot(u)
	if err != nil {
		return nil, err
	}
	if t == nil {
		first, version, err := a.firstRoot(ctx, u, max(a.MinRoot, d.marks.MinRoot))
		if err != nil {
			return nil, err
		}
		if t, err = u.trust(first); err != nil {
			return nil, err
		}
		d.marks.Anchor = a.fingerprint()
		return u.start(t, tuf.File{Role: tuf.RoleRoot, Version: version, Bytes: first})
	}
	if fingerprint := a.fingerprint(); d.marks.Anchor != fingerprint {
		if err := a.connect(ctx, u, d, t.Bytes(tuf.RoleRoot)); err != nil {
			return nil, err
		}
		d.marks.Anchor = fingerprint
	}
	return u.start(t)
}

// firstRoot fetches roots from the first on, until one is accepted.
func (a *Anchor) firstRoot(ctx context.Context, u *Updater, lowest int64) (data []byte, version int64, err error) {
	if u.Fetch == nil {
		return nil, 0, fmt.Errorf("nothing is remembered here of %s; it has to be verified online once: %w", u.Repository, tuf.ErrNotFound)
	}
	// A name that was retired starts again with a root that does not follow from those
	// before, and that the anchors made from then on name as their lowest. Whoever's keys
	// the anchor pins has signed it; those before may list the same keys.
	if lowest > 1 {
		fetched, err := u.Fetch(ctx, tuf.FileName(tuf.RoleRoot, lowest), maxRoot, "")
		switch {
		case err == nil && isRoot(u.Repository, fetched.Bytes, lowest) == nil && a.accepts(fetched.Bytes):
			return fetched.Bytes, lowest, nil
		case err != nil && !errors.Is(err, tuf.ErrNotFound):
			return nil, 0, err
		}
	}
	for version = 1; version <= maxRoots; version++ {
		fetched, err := u.Fetch(ctx, tuf.FileName(tuf.RoleRoot, version), maxRoot, "")
		if errors.Is(err, tuf.ErrNotFound) && version > 1 {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if err := isRoot(u.Repository, fetched.Bytes, version); err != nil {
			return nil, 0, err // a server that makes files up could do so without an end
		}
		if a.accepts(fetched.Bytes) {
			return fetched.Bytes, version, nil
		}
	}
	detail := fmt.Sprintf("none of the %d roots that the server has is signed by the %d pinned keys to the threshold %d", version-1, len(a.RootKeys), a.threshold())
	if a.RootSHA256 != "" {
		detail = fmt.Sprintf("none of the %d roots that the server has is the pinned one, %s", version-1, a.RootSHA256)
	}
	return nil, 0, &tuf.Refusal{Repository: u.Repository, Role: tuf.RoleRoot, Rule: tuf.RuleAnchor, Clause: "TUF §5.2", Detail: detail}
}

// isRoot refuses a file that does not even say that it is the root of a version.
// Other tools' early roots need not be of a shape that we take.
func isRoot(repository string, data []byte, version int64) error {
	var file struct {
		Signed struct {
			Type    string `json:"_type"`
			Version int64  `json:"version"`
		} `json:"signed"`
	}
	refusal := &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: version, Rule: tuf.RuleShape, Clause: "TUF §4.3"}
	switch err := json.Unmarshal(data, &file); {
	case err != nil:
		refusal.Detail = "the file is not JSON"
	case file.Signed.Type != tuf.RoleRoot:
		refusal.Detail = fmt.Sprintf("the type is %q where \"root\" was expected", tidy(file.Signed.Type, maxName))
	case file.Signed.Version != version:
		refusal.Rule, refusal.Clause, refusal.Detail = tuf.RuleVersion, "TUF §5.3.3", fmt.Sprintf("the file states version %d", file.Signed.Version)
	default:
		return nil
	}
	return refusal
}

// connect checks, after an anchor was changed, that the newest verified root is
// of one chain with a root that the new anchor accepts.
func (a *Anchor) connect(ctx context.Context, u *Updater, d *Dir, root []byte) error {
	for _, version := range d.roots() {
		data, err := os.ReadFile(d.rootPath(version))
		if err == nil && a.accepts(data) {
			return nil // .roots holds one chain only
		}
	}
	if a.accepts(root) {
		return nil
	}
	if u.Fetch == nil {
		return fmt.Errorf("the trust anchor for %s was changed; it has to be verified online once", u.Repository)
	}
	first, version, err := a.firstRoot(ctx, u, max(a.MinRoot, d.marks.MinRoot))
	if err != nil {
		return err
	}
	known, err := tuf.ReadRoot(root)
	if err != nil {
		return err
	}
	newest := max(version, known.Signed.Version)
	x, err := follow(ctx, u, first, newest)
	if err == nil {
		var y []byte
		if y, err = follow(ctx, u, root, newest); err == nil && bytes.Equal(x, y) {
			return nil
		}
	}
	if err != nil && !tuf.IsRefusal(err) && !errors.Is(err, tuf.ErrNotFound) {
		return err
	}
	return &tuf.Refusal{Repository: u.Repository, Role: tuf.RoleRoot, Version: newest, Rule: tuf.RuleAnchor, Clause: "TUF §5.2",
		Detail: "what was verified before on this machine does not follow from the trust anchor that is set now"}
}

// follow verifies the chain from root up to a version and returns that root.
func follow(ctx context.Context, u *Updater, root []byte, to int64) ([]byte, error) {
	t, err := u.trust(root)
	if err != nil {
		return nil, err
	}
	for version := t.Root().Signed.Version + 1; version <= to; version++ {
		fetched, err := u.Fetch(ctx, tuf.FileName(tuf.RoleRoot, version), maxRoot, "")
		if err != nil {
			return nil, err
		}
		if err := t.UpdateRoot(fetched.Bytes); err != nil {
			return nil, err
		}
	}
	return t.Bytes(tuf.RoleRoot), nil
}

// firstUse implements FirstUse.
func (c *Client) firstUse(ctx context.Context, repository string, like Anchor) (*Anchor, error) {
	if err := tuf.CheckRepository(repository); err != nil {
		return nil, err
	}
	like = Anchor{Pattern: repository, Servers: like.Servers, CA: like.CA, PlainHTTP: like.PlainHTTP, Hardware: like.Hardware, Require: like.Require}
	var errs []error
	for _, address := range like.Servers {
		root, version, err := c.newestRoot(ctx, repository, address, &like)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		like.RootSHA256, like.MinRoot = digestHex(root), version
		return &like, nil
	}
	if len(errs) == 0 {
		errs = append(errs, ErrNoServer)
	}
	return nil, errors.Join(errs...)
}

// newestRoot walks the roots that a server shows, beginning with the first.
func (c *Client) newestRoot(ctx context.Context, repository, address string, like *Anchor) ([]byte, int64, error) {
	r, err := c.remote(address, like.CA, like.PlainHTTP, c.token(address, like.CA))
	if err != nil {
		return nil, 0, err
	}
	ctx, late, cancel := c.first(ctx, r)
	defer cancel()
	root, version, err := c.walkRoots(ctx, repository, r, like)
	return root, version, late(err)
}

// first bounds the time in which a server that nothing is known of yet may have
// its roots walked. late turns an error that comes of it into one that says so.
func (c *Client) first(ctx context.Context, r *remote) (bounded context.Context, late func(error) error, cancel func()) {
	bounded, cancel = context.WithTimeout(ctx, c.config.Timeouts.First)
	return bounded, func(err error) error {
		if err != nil && bounded.Err() != nil && ctx.Err() == nil && !tuf.IsRefusal(err) {
			return &ServerError{Server: r.base, Trouble: TroubleTimeout, Err: err,
				Detail: fmt.Sprintf("its roots, of which none is trusted here yet, could not be read within %s", c.config.Timeouts.First)}
		}
		return err
	}, cancel
}

func (c *Client) walkRoots(ctx context.Context, repository string, r *remote, like *Anchor) ([]byte, int64, error) {
	u := &Updater{Repository: repository, Fetch: r.fetch(repository), Now: c.config.Now, Limits: c.config.Limits}
	first, err := u.Fetch(ctx, tuf.FileName(tuf.RoleRoot, 1), maxRoot, "")
	if err != nil {
		return nil, 0, err
	}
	t, err := u.trust(first.Bytes)
	if err != nil {
		return nil, 0, err
	}
	x, err := u.start(t)
	if err != nil {
		return nil, 0, err
	}
	if err := x.roots(ctx); err != nil {
		return nil, 0, err
	}
	if name := tuf.RepositoryOf(x.trusted.Root()); name != "" && name != repository {
		return nil, 0, like.checkRoot(repository, x.trusted.Root())
	}
	if _, err := like.checkHardware(c, repository, x.trusted.Root()); err != nil {
		return nil, 0, err
	}
	return x.trusted.Bytes(tuf.RoleRoot), x.trusted.Root().Signed.Version, nil
}
