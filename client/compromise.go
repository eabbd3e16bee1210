package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A CompromiseRequest asks what a key that is in the wrong hands can do, and did.
type CompromiseRequest struct {
	Repository string
	KeyID      string
	// Since is when the key may have been stolen: what it signed from then on is in
	// doubt. The zero time: all that it ever signed.
	Since time.Time
	// Progress is told how many files were read. It may be nil.
	Progress func(files int)
}

// A Compromise tells of one key in one repository. Its JSON is stable. Signatures
// were verified here; times are those of the server's clock.
type Compromise struct {
	Repository string     `json:"repository"`
	KeyID      string     `json:"keyid"`
	Since      *time.Time `json:"since,omitempty"` // absent: all that the key ever signed is in doubt
	// Roles are those that trust the key now, and what it can forge with it.
	Roles []CompromisedRole `json:"roles"`
	// Trusted are the times in which roles trusted the key, those that ended too.
	Trusted []TrustedTime `json:"trusted"`
	// Signed is everything that the key ever signed, by the time it first did.
	Signed []SignedTarget `json:"signed"`
	// Metadata are the versions of root and of delegations that it signed: who may
	// sign, rather than what.
	Metadata []SignedVersion `json:"metadata"`
	// Changed is what changed from Since on, whoever signed it.
	Changed []ChangedTarget `json:"changed"`
	// Brought are keys of roles that the key alone let in from Since on.
	Brought []BroughtKey `json:"brought"`
	// Signers are those that were there before, and that are no more, or are as they
	// are, because the key alone said so from Since on.
	Signers []ChangedSigner `json:"signers"`
	// Doubtful are the tags that mean something now for which nobody vouched from
	// Since on but the key, and keys of Brought, and what each meant before.
	Doubtful []DoubtfulTag `json:"doubtful"`
	// Withdrawn are the tags that the key alone withdrew from Since on, and that mean
	// nothing now.
	Withdrawn []WithdrawnTag `json:"withdrawn"`
	// Files and Gaps say how much of the past was there to be read.
	Files int   `json:"files"`
	Gaps  []Gap `json:"gaps"`
}

// A CompromisedRole is a role that trusts the key now.
type CompromisedRole struct {
	Role      string   `json:"role"`
	Delegator string   `json:"delegator"` // who can take the key away: "root", "targets" or a signer
	Threshold int      `json:"threshold"`
	Keys      int      `json:"keys"`            // how many keys the role has
	Alone     bool     `json:"alone"`           // the key meets the threshold by itself
	Paths     []string `json:"paths,omitempty"` // of a signer: what it may sign
	Others    []string `json:"others"`          // the IDs of its keys beside this one
}

// A TrustedTime is a range of versions of whoever lists a role's keys in which the
// role had the key.
type TrustedTime struct {
	Role      string     `json:"role"`
	Delegator string     `json:"delegator"`
	From      int64      `json:"from"` // the delegator's version that brought the key
	Time      time.Time  `json:"time"`
	Until     int64      `json:"until,omitempty"` // the version that took it away; 0: it has the key still
	Ended     *time.Time `json:"ended,omitempty"`
}

// A SignedTarget is a digest that the key signed under a tag.
type SignedTarget struct {
	Tag     string    `json:"tag"`
	Digest  string    `json:"digest"`
	Role    string    `json:"role"`
	Version int64     `json:"version"` // of the role's file in which the key signed it first
	Time    time.Time `json:"time"`
	Token   string    `json:"token"`   // the ID of the token that published it
	Only    bool      `json:"only"`    // it alone brought the digest in: others have at most signed a later file that has it
	Trusted bool      `json:"trusted"` // it is trusted now: what the tag means, or a record of it
	Current bool      `json:"current"` // it is what the tag means now
}

// A SignedVersion is a file of root, or one that changed delegations, that the key
// signed.
type SignedVersion struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Time    time.Time `json:"time"`
	Token   string    `json:"token"`
	Signers []string  `json:"signers"` // all keys that signed it
}

// A ChangedTarget is one change of what a tag meant in a role.
type ChangedTarget struct {
	Tag     string    `json:"tag"`
	Before  string    `json:"before,omitempty"` // the digest; absent: it meant nothing
	After   string    `json:"after,omitempty"`  // absent: the tag was withdrawn
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Time    time.Time `json:"time"`
	Token   string    `json:"token"`
	ByKey   bool      `json:"byKey"` // the key is among those that signed it
}

// A DoubtfulTag is a tag whose meaning hangs on the key.
type DoubtfulTag struct {
	Tag    string `json:"tag"`
	Digest string `json:"digest"` // what it means now
	Role   string `json:"role"`   // who vouches for it now
	// Good is what it meant last before the key signed something else from Since on,
	// or absent where it meant nothing: then there is nothing to go back to.
	Good *tuf.Target `json:"good,omitempty"`
	// Records are further digests that are trusted under the tag and that the key
	// signed from Since on.
	Records []string `json:"records,omitempty"`
}

// Compromised reads a repository's history and tells what a key signed, what hangs
// on it, and what it can forge. It returns tuf.ErrNotFound when the key was never
// one of the repository's.
func (p *Publisher) Compromised(ctx context.Context, r CompromiseRequest) (*Compromise, error) {
	r.Since = r.Since.Truncate(time.Second) // servers keep whole seconds
	c := &compromise{request: r, vouched: map[signedPair]*SignedTarget{}, brought: map[signedPair]map[string]bringing{}, meant: map[string]*tuf.Target{}, open: map[string]*TrustedTime{},
		let: map[listing]*BroughtKey{}, thief: map[string]bool{r.KeyID: true}, granted: map[grantName]*grant{}, latest: map[string]*tuf.Targets{}, gone: map[string]WithdrawnTag{}}
	c.report = &Compromise{Repository: r.Repository, KeyID: r.KeyID, Roles: []CompromisedRole{}, Trusted: []TrustedTime{}, Signed: []SignedTarget{},
		Metadata: []SignedVersion{}, Changed: []ChangedTarget{}, Brought: []BroughtKey{}, Signers: []ChangedSigner{}, Doubtful: []DoubtfulTag{}, Withdrawn: []WithdrawnTag{}}
	if !r.Since.IsZero() {
		since := r.Since.UTC()
		c.report.Since = &since
	}
	chronicle, err := p.History(ctx, r.Repository, c.past)
	if err != nil {
		return nil, err
	}
	c.report.Files, c.report.Gaps = chronicle.Files, chronicle.Gaps
	c.now(chronicle.View)
	if len(c.report.Roles) == 0 && len(c.report.Trusted) == 0 && len(c.report.Signed) == 0 && len(c.report.Metadata) == 0 {
		return nil, errors.Join(tuf.ErrNotFound, c.never())
	}
	return c.report, nil
}

// A bringing is the file that first listed a digest, since it was last not listed.
type bringing struct {
	alone bool // no key counted but the one in question, and such as it let in
	only  bool // no key counted but the one in question
	late  bool // in the time that is in doubt
}

// A signedPair is a digest under a tag.
type signedPair struct{ tag, digest string }

// compromise is one Compromised at work.
type compromise struct {
	request CompromiseRequest
	report  *Compromise
	vouched map[signedPair]*SignedTarget       // what the key signed
	brought map[signedPair]map[string]bringing // who brought what roles list now in, by role
	meant   map[string]*tuf.Target             // what each tag meant last before the thief signed something else for it, by role and tag
	open    map[string]*TrustedTime            // where the key is trusted so far, by role
	let     map[listing]*BroughtKey            // the keys that the one in question let in, and that are there so far
	thief   map[string]bool                    // by ID: the key in question, and those that it let in
	granted map[grantName]*grant               // the signers that the thief made, or changed
	latest  map[string]*tuf.Targets            // the last proven file of each role
	gone    map[string]WithdrawnTag            // tags that the thief alone withdrew, by role and tag
	files   int
}

func (c *compromise) never() error {
	return &ServerError{Server: c.request.Repository, Trouble: TroubleAnswer, Detail: "key " + c.request.KeyID + " was never one of this repository's"}
}

// past takes one file of the history in.
func (c *compromise) past(past *Past) error {
	if c.files++; c.request.Progress != nil {
		c.request.Progress(c.files)
	}
	by := slices.Contains(past.Signers, c.request.KeyID)
	if past.Proven {
		c.bring(past)
		c.grants(past)
	}
	if past.Root != nil {
		for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
			c.trust(past, role, tuf.RoleKeysOf(past.Root, role))
		}
		if by {
			c.metadata(past)
		}
		return nil
	}
	c.delegations(past, by)
	if !past.Proven {
		return nil // nobody ever believed it
	}
	c.targets(past, by)
	return nil
}

func (c *compromise) metadata(past *Past) {
	c.report.Metadata = append(c.report.Metadata, SignedVersion{Role: past.Role, Version: past.Version, Time: past.Time, Token: past.Token, Signers: past.Signers})
}

// delegations notes to which signers the key comes and from which it goes.
func (c *compromise) delegations(past *Past, by bool) {
	listed := map[string]bool{}
	signature := func(md *tuf.Targets) string {
		if md == nil || md.Signed.Delegations == nil {
			return ""
		}
		var b strings.Builder
		for _, role := range md.Signed.Delegations.Roles {
			b.WriteString(role.Name + "\x00" + strings.Join(role.KeyIDs, ",") + "\x00" + strings.Join(role.Paths, ",") + "\x00")
		}
		return b.String()
	}
	if d := past.Targets.Signed.Delegations; d != nil {
		for _, role := range d.Roles {
			keys, _ := tuf.SignerKeysOf(past.Targets, role.Name)
			listed[role.Name] = true
			c.trust(past, role.Name, keys)
		}
	}
	for role, trusted := range c.open {
		if trusted.Delegator == past.Role && !listed[role] {
			c.trust(past, role, tuf.RoleKeys{})
		}
	}
	if by && signature(past.OldTargets) != signature(past.Targets) {
		c.metadata(past)
	}
}

// trust notes that a role has the key from past on, or not any more.
func (c *compromise) trust(past *Past, role string, keys tuf.RoleKeys) {
	has := slices.ContainsFunc(keys.Keys, func(key *tuf.Key) bool { return key.ID() == c.request.KeyID })
	trusted := c.open[role]
	switch {
	case has && trusted == nil:
		c.open[role] = &TrustedTime{Role: role, Delegator: past.Role, From: past.Version, Time: past.Time}
	case !has && trusted != nil && trusted.Delegator == past.Role:
		trusted.Until, trusted.Ended = past.Version, &past.Time
		c.report.Trusted = append(c.report.Trusted, *trusted)
		delete(c.open, role)
	}
}

// targets notes what a file says that was not said before, and by whom.
func (c *compromise) targets(past *Past, by bool) {
	late := !past.Time.Before(c.request.Since)
	for _, change := range tuf.Diff(past.OldTargets, past.Targets) {
		tag, digest, ok := c.of(change.Path)
		if !ok || digest != "" { // a record says nothing that its tag does not
			continue
		}
		before, after := digestIn(change.Old), digestIn(change.New)
		if before == after {
			continue
		}
		key := past.Role + "\x00" + tag
		if late && c.touched(past) {
			if _, noted := c.meant[key]; !noted {
				c.meant[key] = change.Old
			}
		}
		c.withdraws(past, key, tag, after, late)
		if late {
			c.report.Changed = append(c.report.Changed, ChangedTarget{Tag: tag, Before: before, After: after,
				Role: past.Role, Version: past.Version, Time: past.Time, Token: past.Token, ByKey: by})
		}
	}
	c.pairs(past, by, late)
}

// touched tells whether the thief is among those who signed a file.
func (c *compromise) touched(past *Past) bool {
	return slices.ContainsFunc(past.Signers, func(id string) bool { return c.thief[id] })
}

// pairs notes which digests a file has under which tags. A signature is on all that
// the file says, changed or not; who brought a digest in is another matter.
func (c *compromise) pairs(past *Past, by, late bool) {
	before := c.listed(past.OldTargets)
	for pair := range c.listed(past.Targets) {
		if !before[pair] {
			if c.brought[pair] == nil {
				c.brought[pair] = map[string]bringing{}
			}
			c.brought[pair][past.Role] = bringing{alone: c.alone(past), only: slices.Equal(past.Counted, []string{c.request.KeyID}), late: late}
		}
		delete(before, pair)
		if by && c.vouched[pair] == nil {
			c.vouched[pair] = &SignedTarget{Tag: pair.tag, Digest: pair.digest, Role: past.Role, Version: past.Version, Time: past.Time, Token: past.Token,
				Only: c.brought[pair][past.Role].only}
		}
	}
	for gone := range before {
		delete(c.brought[gone], past.Role)
	}
}

// listed are the digests under each tag that a file has.
func (c *compromise) listed(md *tuf.Targets) map[signedPair]bool {
	pairs := map[signedPair]bool{}
	if md == nil {
		return pairs
	}
	for _, entry := range tuf.Entries(md) {
		if entry.Image.Repository == c.request.Repository && entry.Target.Digest != "" {
			pairs[signedPair{entry.Image.Tag, entry.Target.Digest}] = true
		}
	}
	return pairs
}

// of tells which tag a path is of, and the digest of a record's.
func (c *compromise) of(path string) (tag, digest string, ok bool) {
	image, err := tuf.ParsePath(path)
	return image.Tag, image.Digest, err == nil && image.Repository == c.request.Repository
}

func digestIn(target *tuf.Target) string {
	if target == nil {
		return ""
	}
	return target.Digest
}

// now compares what was with what is served and verified now.
func (c *compromise) now(view *View) {
	for _, role := range slices.Sorted(maps.Keys(c.open)) {
		c.report.Trusted = append(c.report.Trusted, *c.open[role])
	}
	slices.SortStableFunc(c.report.Trusted, func(a, b TrustedTime) int { return a.Time.Compare(b.Time) })
	for _, role := range view.Roles {
		others := []string{}
		for _, key := range role.Keys {
			if key.ID != c.request.KeyID {
				others = append(others, key.ID)
			}
		}
		if len(others) < len(role.Keys) {
			c.report.Roles = append(c.report.Roles, CompromisedRole{Role: role.Name, Delegator: role.Delegator, Threshold: role.Threshold,
				Keys: len(role.Keys), Alone: role.Threshold <= 1, Paths: role.Paths, Others: others})
		}
	}
	means := map[signedPair]bool{} // true: what the tag means; false: a record
	for _, tag := range view.Tags {
		for _, digest := range tag.Earlier {
			means[signedPair{tag.Tag, digest}] = false
		}
		if tag.Digest != "" {
			means[signedPair{tag.Tag, tag.Digest}] = true
		}
	}
	for pair, signed := range c.vouched {
		signed.Current, signed.Trusted = means[pair], false
		if _, ok := means[pair]; ok {
			signed.Trusted = true
		}
		c.report.Signed = append(c.report.Signed, *signed)
	}
	slices.SortFunc(c.report.Signed, func(a, b SignedTarget) int {
		if n := a.Time.Compare(b.Time); n != 0 {
			return n
		}
		return strings.Compare(a.Tag+"\x00"+a.Digest, b.Tag+"\x00"+b.Digest)
	})
	c.report.Brought, c.report.Signers, c.report.Withdrawn = c.left(view), c.changed(view), c.stillGone(view)
	for _, tag := range view.Tags {
		c.doubt(tag)
	}
}

// doubted tells whether the thief alone brought a digest in, late, in every role that
// lists it now.
func (c *compromise) doubted(pair signedPair) bool {
	for _, bringing := range c.brought[pair] {
		if !bringing.alone || !bringing.late {
			return false
		}
	}
	return len(c.brought[pair]) > 0
}

// doubt notes a tag that means, or whose records trust, what the key signed late.
func (c *compromise) doubt(tag TagView) {
	late := func(digest string) bool { return c.doubted(signedPair{tag.Tag, digest}) }
	doubtful := DoubtfulTag{Tag: tag.Tag, Digest: tag.Digest, Role: tag.Signer}
	for _, digest := range tag.Earlier {
		if late(digest) {
			doubtful.Records = append(doubtful.Records, digest)
		}
	}
	now := tag.Digest != "" && late(tag.Digest)
	if !now && len(doubtful.Records) == 0 {
		return
	}
	doubtful.Good = &tuf.Target{Digest: tag.Digest, Length: tag.Length, MediaType: tag.MediaType, Annotations: tag.Annotations, Platforms: tag.Platforms}
	if now {
		doubtful.Good = c.meant[tag.Signer+"\x00"+tag.Tag]
	}
	c.report.Doubtful = append(c.report.Doubtful, doubtful)
}
