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
	err := checkImage(image)
	if err == nil {
		err = c.ask(ctx, image.Repository, options, func(ctx context.Context, x *Update) error {
			decision = &Decision{}
			err := decision.decide(ctx, x, image)
			decision.read(x)
			decision.Stale = Duration(staleFor(x.trusted, c.config.Now()).Truncate(time.Second))
			return err
		})
	}
	decision.Image, decision.Repository, decision.Offline = image.String(), image.Repository, options.Offline
	decision.From = options.From
	if decision.Tag == "" {
		decision.Tag = image.Tag
	}
	if decision.Digest == "" {
		decision.Digest = image.Digest
	}
	if decision.Signers == nil {
		decision.Signers = []string{}
	}
	if err != nil {
		decision.Trusted, decision.Current, decision.Reference = false, false, ""
		decision.Signers, decision.Voices, decision.Tags = []string{}, nil, nil
		// Whoever reads the digest and forgets to read trusted must not get a yes,
		// nor what an entry says that was refused after all.
		decision.Digest = image.Digest
		decision.Length, decision.MediaType, decision.Annotations = 0, "", nil
		decision.Rule, decision.Reason = tuf.RuleOf(err), reasonOf(err)
		return decision, err
	}
	decision.Reference = image.Repository + "@" + decision.Digest
	decision.Trusted = true
	return decision, nil
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
	expires := t.Root().Signed.Expires
	earlier := func(at time.Time) {
		if at.Before(expires) {
			expires = at
		}
	}
	if ts := t.Timestamp(); ts != nil {
		d.Versions[tuf.RoleTimestamp] = ts.Signed.Version
		earlier(ts.Signed.Expires)
	}
	if s := t.Snapshot(); s != nil {
		d.Versions[tuf.RoleSnapshot] = s.Signed.Version
		earlier(s.Signed.Expires)
	}
	for _, role := range x.roles {
		signed := t.Role(role).Signed
		d.Versions[role] = signed.Version
		earlier(signed.Expires)
	}
	d.Expires = &expires
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
	d.Length, d.MediaType, d.Annotations = match.Target.Length, match.Target.MediaType, match.Target.Annotations
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
