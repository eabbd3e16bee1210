package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// verify implements Verify.
func (c *Client) verify(ctx context.Context, image tuf.Image, options Options) (*Decision, error) {
	decision := &Decision{}
	var checked time.Time
	err := checkImage(image)
	if err == nil {
		err = c.ask(ctx, image.Repository, options, func(ctx context.Context, x *Update) (err error) {
			decision, err = c.decide(ctx, x, image)
			checked = x.checked
			return err
		})
	}
	err = decision.finish(image, options, err)
	decision.confirmed(checked, c.config.Now())
	return decision, err
}

// decide answers a question by what x verified. Its error is the verdict, or trouble.
func (c *Client) decide(ctx context.Context, x *Update, image tuf.Image) (*Decision, error) {
	decision := &Decision{}
	x.trusted.StartReading()
	err := decision.decide(ctx, x, image)
	decision.read(x)
	decision.signed(x)
	decision.Stale = Duration(staleFor(x.trusted, c.config.Now()).Truncate(time.Second))
	return decision, err
}

// confirmed says how fresh the decision is.
func (d *Decision) confirmed(checked, now time.Time) {
	if checked.IsZero() {
		d.Checked, d.Age = nil, 0
		return
	}
	at := checked.UTC().Truncate(time.Second)
	d.Checked, d.Age = &at, Duration(elapsed(checked, now).Truncate(time.Millisecond))
}

// elapsed is how long ago since was. Where the clock ran ahead and was set right, or
// stood still while the machine slept, the longer of what both clocks say counts.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)), 0)
}

// finish gives the decision what does not depend on metadata, and holds back from a
// refused one what could be taken for a yes. It returns err, or that there is no yes
// after all: one for which nobody vouches is none.
func (d *Decision) finish(image tuf.Image, options Options, err error) error {
	if err == nil && (len(d.Signers) == 0 || d.Digest == "" && image.Digest == "") {
		err = fmt.Errorf("%s: could not find out: nothing was read that vouches for it", image)
	}
	d.Image, d.Repository, d.Offline = image.String(), image.Repository, options.Offline
	d.From = options.From
	if d.Tag == "" {
		d.Tag = image.Tag
	}
	if d.Digest == "" {
		d.Digest = image.Digest
	}
	if d.Signers == nil {
		d.Signers = []string{}
	}
	if err != nil {
		d.Trusted, d.Current, d.Reference = false, false, ""
		d.Signers, d.Voices, d.Tags = []string{}, nil, nil
		// Whoever reads the digest and forgets to read trusted must not get a yes,
		// nor what an entry says that was refused after all.
		d.Digest = image.Digest
		d.Length, d.MediaType, d.Annotations, d.Platforms, d.Signed = 0, "", nil, nil, nil
		d.Rule, d.Reason = tuf.RuleOf(err), reasonOf(err)
		return err
	}
	d.Reference = image.Repository + "@" + d.Digest
	d.Trusted = true
	return nil
}

// reasonOf is an error in one line.
func reasonOf(err error) string {
	return tidy(strings.ReplaceAll(err.Error(), "\n", "; "), maxReason)
}

// checkImage refuses a question that asks nothing.
func checkImage(image tuf.Image) error {
	if err := tuf.CheckRepository(image.Repository); err != nil {
		return err
	}
	if image.Tag == "" && image.Digest == "" {
		return fmt.Errorf("%s has neither a tag nor a digest to ask about", image)
	}
	if image.Tag != "" {
		if err := tuf.CheckTag(image.Tag); err != nil {
			return err
		}
	}
	if image.Digest != "" {
		return tuf.CheckDigest(image.Digest)
	}
	return nil
}

// read notes what the decision stands on.
func (d *Decision) read(x *Update) {
	t := x.trusted
	d.Versions = map[string]int64{tuf.RoleRoot: t.Root().Signed.Version}
	if ts := t.Timestamp(); ts != nil {
		d.Versions[tuf.RoleTimestamp] = ts.Signed.Version
	}
	if s := t.Snapshot(); s != nil {
		d.Versions[tuf.RoleSnapshot] = s.Signed.Version
	}
	for _, role := range t.Read() {
		d.Versions[role] = t.Role(role).Signed.Version
	}
	expires := x.firstToExpire().Expires
	d.Expires = &expires
}

// signed notes when the newest file that vouches says that it was signed.
func (d *Decision) signed(x *Update) {
	for _, role := range d.Signers {
		at := tuf.SignedAt(x.trusted.Role(role))
		if !at.IsZero() && (d.Signed == nil || at.After(*d.Signed)) {
			d.Signed = &at
		}
	}
}

// decide answers one of the three shapes. Its error is the verdict, or trouble.
func (d *Decision) decide(ctx context.Context, x *Update, image tuf.Image) error {
	switch {
	case image.Digest == "":
		match, err := x.Search(ctx, tuf.TagPath(image.Repository, image.Tag))
		if err != nil {
			return err
		}
		if match.Target.Digest == "" {
			return refuseRole(x, match.Role, tuf.RuleShape, "TUF §4.5", "%q is signed without a sha256", match.Path)
		}
		d.Digest, d.Current = match.Target.Digest, true
		d.vouch(match)
		d.Voices, err = x.require(ctx, image.Repository, image.Tag, d.Digest)
		return err
	case image.Tag == "":
		return d.decideDigest(ctx, x, image)
	}
	match, current, err := digestUnderTag(ctx, x, image)
	if err != nil {
		return err
	}
	d.Current = current
	d.vouch(match)
	d.Voices, err = x.require(ctx, image.Repository, image.Tag, image.Digest)
	return err
}

// vouch notes what match says.
func (d *Decision) vouch(match *tuf.Match) {
	if !slices.Contains(d.Signers, match.Role) {
		d.Signers = append(d.Signers, match.Role)
	}
	d.Length, d.MediaType = match.Target.Length, match.Target.MediaType
	d.Annotations = match.Target.Annotations
	if len(match.Target.Platforms) > 0 { // else they were not recorded under this tag
		d.Platforms = match.Target.Platforms
	}
}

// digestUnderTag tells whether image's digest is signed under its tag: as what
// the tag means now, or by a record that was not revoked. Each path counts only
// where the ordinary search for it ends.
func digestUnderTag(ctx context.Context, x *Update, image tuf.Image) (match *tuf.Match, current bool, err error) {
	tag, err := searchFor(ctx, x, tuf.TagPath(image.Repository, image.Tag))
	if err != nil {
		return nil, false, err
	}
	if tag != nil && tag.Target.Digest == image.Digest {
		return tag, true, nil
	}
	record, err := searchFor(ctx, x, tuf.RecordPath(image.Repository, image.Tag, image.Digest))
	switch {
	case err != nil:
		return nil, false, err
	case record != nil && record.Target.Digest == image.Digest:
		return record, false, nil
	case record != nil:
		return nil, false, refuseRole(x, record.Role, tuf.RuleDigest, "Signet profile: target paths", "the record %q is of another digest, %s", record.Path, record.Target.Digest)
	case tag != nil:
		return nil, false, refuseRole(x, tag.Role, tuf.RuleDigest, "TUF §5.7.2", "the tag %s means %s, and %s is not signed under it", image.Tag, tag.Target.Digest, image.Digest)
	}
	return nil, false, refuseRole(x, tuf.RoleTargets, tuf.RuleAbsent, "TUF §5.6.7", "nothing is signed under the tag %s", image.Tag)
}

// searchFor searches a path and returns nil when nothing is listed.
func searchFor(ctx context.Context, x *Update, path string) (*tuf.Match, error) {
	match, err := x.Search(ctx, path)
	if tuf.RuleOf(err) == tuf.RuleAbsent {
		return nil, nil
	}
	return match, err
}

// decideDigest finds the tags that a digest is trusted under. All roles are read
// for candidates; whether one counts is decided by the ordinary search.
func (d *Decision) decideDigest(ctx context.Context, x *Update, image tuf.Image) error {
	candidates, err := tagsOf(ctx, x, image.Repository, func(e tuf.Entry) bool { return e.Target.Digest == image.Digest })
	if err != nil {
		return err
	}
	var lacking error
	for _, tag := range candidates {
		match, current, err := digestUnderTag(ctx, x, tuf.Image{Repository: image.Repository, Tag: tag, Digest: image.Digest})
		if rule := tuf.RuleOf(err); rule == tuf.RuleAbsent || rule == tuf.RuleDigest {
			continue
		}
		if err != nil {
			return err
		}
		voices, err := x.require(ctx, image.Repository, tag, image.Digest)
		if tuf.RuleOf(err) == tuf.RuleVoice {
			lacking = err
			continue
		}
		if err != nil {
			return err
		}
		d.vouch(match)
		d.Voices = append(d.Voices, voices...)
		d.Current = d.Current || current
		d.Tags = append(d.Tags, TagMatch{Tag: tag, Current: current, Signer: match.Role})
	}
	if len(d.Tags) == 0 && lacking != nil {
		return lacking
	}
	if len(d.Tags) == 0 {
		return refuseRole(x, tuf.RoleTargets, tuf.RuleAbsent, "TUF §5.6.7", "%s is not signed under any tag", image.Digest)
	}
	return nil
}

// tagsOf reads every role and lists the tags of the repository that have an entry
// which fits, sorted.
func tagsOf(ctx context.Context, x *Update, repository string, fits func(tuf.Entry) bool) ([]string, error) {
	found := map[string]bool{}
	err := x.Walk(ctx, func(_, _ string, targets *tuf.Targets) error {
		for _, entry := range tuf.Entries(targets) {
			if entry.Image.Repository == repository && fits(entry) {
				found[entry.Image.Tag] = true
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	tags := make([]string, 0, len(found))
	for tag := range found {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags, nil
}

func refuseRole(x *Update, role string, rule tuf.Rule, clause, format string, args ...any) error {
	refusal := &tuf.Refusal{Repository: x.u.Repository, Role: role, Rule: rule, Clause: clause, Detail: fmt.Sprintf(format, args...)}
	if targets := x.trusted.Role(role); targets != nil {
		refusal.Version = targets.Signed.Version
	}
	return refusal
}

// Err returns the verdict of an untrusted decision as an error, for those who
// kept the decision only: a *tuf.Refusal with its rule, or nil when it is trusted.
func (d *Decision) Err() error {
	switch {
	case d.Trusted:
		return nil
	case d.Rule != "":
		return &tuf.Refusal{Repository: d.Repository, Rule: d.Rule, Detail: d.Reason}
	}
	return errors.New(d.Reason)
}
