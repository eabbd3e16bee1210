package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// ErrSigned says that another content was signed here for the same version of a
// role. A signature cannot be taken back: whoever kept the first one can complete
// it, and show some people the one content and others the other.
var ErrSigned = errors.New("another content was signed here for this version already")

// A SignedError says what was signed before. It is an ErrSigned.
type SignedError struct {
	Repository string
	Role       string
	Version    int64
	Before     JournalEntry // what was signed
	SHA256     string       // of what was to be signed now
}

// Error names both contents.
func (e *SignedError) Error() string {
	return fmt.Sprintf("%s: %s version %d was signed here on %s (%s) with other content, SHA-256 %.12s, where it is %.12s now: whoever kept that signature can still complete it: %v",
		e.Repository, e.Role, e.Version, e.Before.Time.UTC().Format(dateFormat), e.Before.Act, e.Before.SHA256, e.SHA256, ErrSigned)
}

// Unwrap returns ErrSigned.
func (e *SignedError) Unwrap() error { return ErrSigned }

// What a journal's lines say of a content.
const (
	ActPublish = "publish" // it was signed to be published at once
	ActPropose = "propose" // it was signed for a proposal
	ActApprove = "approve" // it was signed as somebody's proposal
	ActRefused = "refused" // a server said that it did not take it
	ActForget  = "forget"  // what was signed before for the repository counts no more
)

// A JournalEntry is one line of the journal: a content that was signed here, or
// what became of it.
type JournalEntry struct {
	Time       time.Time `json:"time"`
	Act        string    `json:"act"`
	Repository string    `json:"repository"`
	Role       string    `json:"role,omitempty"`
	Version    int64     `json:"version,omitempty"`
	SHA256     string    `json:"sha256,omitempty"` // of the signed bytes, hex
	Expires    time.Time `json:"expires,omitzero"` // as the content says
	Signed     time.Time `json:"signed,omitzero"`  // as the content says, of targets and signers
}

// A journal is the file in which a user's signatures are noted before they leave
// this machine: one line of JSON each, only ever added to. It is what keeps a
// person from signing two contents for one version unknowingly.
type journal struct{ path string }

// Journal returns what was signed here for repository, oldest first; "" means for
// all. See [Publisher.SignAgain].
func (c *Client) Journal(repository string) ([]JournalEntry, error) {
	return c.journal().read(repository)
}

func (c *Client) journal() journal { return journal{filepath.Join(c.config.StateDir, "journal")} }

// read returns the entries of repository, "" for all, since it was forgotten last.
// A last line without an end is one whose writing was cut off, before any signature
// left; every other line that cannot be read is an error, since it may be just the
// one that matters.
func (j journal) read(repository string) ([]JournalEntry, error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []JournalEntry
	name := []byte(repository) // a cheap look, before a line is decoded
	for n := 1; ; n++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if data = rest; !whole {
			return entries, nil
		}
		if len(line) == 0 || !bytes.Contains(line, name) && json.Valid(line) {
			continue
		}
		var entry JournalEntry
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("%s: line %d is damaged, and may tell of a signature that must not be made twice: %w", j.path, n, err)
		}
		switch {
		case repository != "" && entry.Repository != repository:
		case entry.Act == ActForget:
			entries = slices.DeleteFunc(entries, func(e JournalEntry) bool { return e.Repository == entry.Repository })
		default:
			entries = append(entries, entry)
		}
	}
}

// other returns the newest content other than sha256 that was signed for a version,
// or nil. taken says that no server is known to have turned it down. same says
// that sha256 itself was signed here.
func other(entries []JournalEntry, role string, version int64, sha256 string) (before *JournalEntry, taken, same bool) {
	refused := map[string]bool{}
	for _, e := range slices.Backward(entries) {
		switch {
		case e.Role != role || e.Version != version:
		case e.Act == ActRefused:
			refused[e.SHA256] = true
		case e.SHA256 == sha256:
			same = true
		case before == nil || !taken:
			// A proposal's signature went to others than the server that refused.
			was := !refused[e.SHA256] || e.Act != ActPublish
			if before == nil || was {
				before, taken = &e, was
			}
		}
	}
	return before, taken, same
}

// add appends entries, durably. Unless again, it refuses with a *SignedError those
// for a version of which another content was signed. It reads the journal once
// more, with the lock held: another process may have signed meanwhile.
func (j journal) add(ctx context.Context, again bool, entries ...JournalEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := makeParent(j.path); err != nil {
		return err
	}
	unlock, err := lockFile(ctx, j.path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	known, err := j.read(entries[0].Repository)
	if err != nil {
		return err
	}
	var lines []byte
	for _, entry := range entries {
		before, taken, same := other(known, entry.Role, entry.Version, entry.SHA256)
		if signs := entry.Act != ActRefused && entry.Act != ActForget; signs && before != nil && taken && !same && !again {
			return &SignedError{Repository: entry.Repository, Role: entry.Role, Version: entry.Version, Before: *before, SHA256: entry.SHA256}
		}
		line, err := json.Marshal(entry)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	return j.append(lines)
}

// append writes lines behind what is there, and what a crash cut off is cut off.
func (j journal) append(lines []byte) (err error) {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	for one := make([]byte, 1); end > 0; end-- {
		if _, err := f.ReadAt(one, end-1); err != nil {
			return err
		}
		if one[0] == '\n' {
			break
		}
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	if _, err := f.WriteAt(lines, end); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.path))
}

// retryGrace is how far the expiry of a try may be from that of the one before for
// both to be the same command, given twice: a tenth of what the first was to live, so
// that who comes back after a weekend is not told of another content.
func retryGrace(e JournalEntry) time.Duration { return max(48*time.Hour, e.Expires.Sub(e.Time)/10) }

// settle compares a draft that will be signed with what was signed here before. A
// content that differs by a slightly other expiry, and by when it was signed, alone is
// that of the same command after a failure: the draft takes the earlier times, and so
// the very bytes that were signed already. Another content is a *SignedError, or a warning where a
// server has turned the first one down, or where both are wanted (again).
func (j journal) settle(d *draft, repository string, again bool) error {
	entries, err := j.read(repository)
	if err != nil || !slices.ContainsFunc(entries, func(e JournalEntry) bool { return e.Role == d.role && e.Version == d.version() }) {
		return err
	}
	payload, err := d.encodePayload()
	if err != nil {
		return err
	}
	before, taken, same := other(entries, d.role, d.version(), digestHex(payload))
	if before == nil || same {
		return nil
	}
	expires, signed := d.expires(), d.signed()
	for _, e := range entries {
		if e.Role != d.role || e.Version != d.version() || e.Expires.IsZero() || e.Expires.Sub(expires).Abs() > retryGrace(e) {
			continue
		}
		d.setExpires(e.Expires)
		d.setSigned(e.Signed)
		if payload, err := d.encodePayload(); err == nil && digestHex(payload) == e.SHA256 {
			return nil
		}
	}
	d.setExpires(expires)
	d.setSigned(signed)
	return d.judge(before, taken, repository, digestHex(payload), again)
}

// check compares bytes that are as they are, those of a proposal, with what was
// signed here before.
func (j journal) check(d *draft, repository string, again bool) error {
	entries, err := j.read(repository)
	if err != nil {
		return err
	}
	before, taken, same := other(entries, d.role, d.version(), digestHex(d.payload))
	if before == nil || same {
		return nil
	}
	return d.judge(before, taken, repository, digestHex(d.payload), again)
}

// judge refuses a second content, or warns of it.
func (d *draft) judge(before *JournalEntry, taken bool, repository, sha256 string, again bool) error {
	e := &SignedError{Repository: repository, Role: d.role, Version: d.version(), Before: *before, SHA256: sha256}
	switch {
	case taken && !again:
		return e
	case taken:
		d.warnings = append(d.warnings, "it is signed again, since that was asked for: "+e.Error())
	default:
		d.warnings = append(d.warnings, "a server that would not take it has seen another content: "+e.Error())
	}
	return nil
}

// entry is the journal's line for a draft.
func (d *draft) entry(repository, act string, now time.Time) JournalEntry {
	return JournalEntry{Time: now.UTC().Truncate(time.Second), Act: act, Repository: repository, Role: d.role, Version: d.version(),
		SHA256: digestHex(d.payload), Expires: d.expires().UTC(), Signed: d.signed()}
}

func (d *draft) expires() time.Time {
	if d.root != nil {
		return d.root.Signed.Expires
	}
	return d.targets.Signed.Expires
}

func (d *draft) setExpires(at time.Time) {
	if d.root != nil {
		d.root.Signed.Expires = at
		return
	}
	d.targets.Signed.Expires = at
}

// signed is when the draft says that it is signed; zero for a root.
func (d *draft) signed() time.Time {
	if d.targets == nil {
		return time.Time{}
	}
	return tuf.SignedAt(d.targets)
}

func (d *draft) setSigned(at time.Time) {
	if d.targets != nil {
		tuf.SetSigned(d.targets, at)
	}
}

// turnedDown notes that a server did not take what was signed for it.
func (d *Prepared) turnedDown(ctx context.Context, err error) error {
	if errors.Is(err, ErrUncertain) || ctx.Err() != nil {
		return nil // it may be there
	}
	var entries []JournalEntry
	for _, draft := range d.drafts {
		entries = append(entries, draft.entry(d.Repository, ActRefused, d.publisher.Client.config.Now()))
	}
	return d.publisher.Client.journal().add(ctx, true, entries...)
}

// note writes into the journal what was signed, before it leaves this machine.
func (p *Publisher) note(ctx context.Context, repository, act string, drafts []*draft) error {
	var entries []JournalEntry
	for _, draft := range drafts {
		if len(draft.signers) > 0 {
			entries = append(entries, draft.entry(repository, act, p.Client.config.Now()))
		}
	}
	if err := p.Client.journal().add(ctx, p.SignAgain, entries...); err != nil {
		if errors.Is(err, ErrSigned) {
			return err
		}
		return fmt.Errorf("what was signed could not be noted in %s, so it is not handed out: %w", p.Client.journal().path, err)
	}
	return nil
}

// forgetSigned makes the journal of a repository that starts anew count no more.
func (c *Client) forgetSigned(ctx context.Context, repository string) error {
	if err := tuf.CheckRepository(repository); err != nil {
		return err
	}
	entries, err := c.journal().read(repository)
	if err != nil || len(entries) == 0 {
		return err
	}
	return c.journal().add(ctx, true, JournalEntry{Time: c.config.Now().UTC().Truncate(time.Second), Act: ActForget, Repository: repository})
}
