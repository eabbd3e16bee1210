package client

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// What Review.Intent says of the intent that came with a proposal.
const (
	IntentAgrees  = "agrees"  // the bytes are just what it asks for
	IntentDiffers = "differs" // the bytes say something else: somebody lies, or made a mistake
	IntentUnknown = "unknown" // none came along, or it cannot be compared any more
)

// A Review is a proposal as this machine reads it: decoded from its very bytes, and
// compared with what this machine has verified.
type Review struct {
	Proposal *api.Proposal
	// State is what this machine found, whatever the server says: StateOpen and so on.
	State string
	// Superseded says that a later version is there now, so that nothing here proves
	// that it was this proposal which was published: State is then, as StateWithdrawn
	// always, the word of who sent it.
	Superseded bool
	// Change is what the bytes would change against what is trusted now; nil when the
	// proposal is stale or published.
	Change *Change
	// Files say who has signed, and who has yet to.
	Files []ReviewedFile
	// Intent is what came of comparing the intent with the bytes: IntentAgrees and so
	// on. IntentSays is what it claims to be: "sign", "revoke".
	Intent, IntentSays string
	// Compared says what the proposal was compared with.
	Compared Compared

	publisher *Publisher
	step      step
	drafts    []*draft
	floors    map[string]int64 // of a name that was retired and starts again
}

// Compared is the state that a proposal was compared with.
type Compared struct {
	New      bool             `json:"new"`                // there is no repository yet: nothing to compare with
	Versions map[string]int64 `json:"versions,omitempty"` // of every role
	Offline  bool             `json:"offline"`            // no server was asked
	From     string           `json:"from,omitempty"`     // the folder that was, in place of what this machine remembers
	Fresh    time.Time        `json:"fresh,omitzero"`     // until when the timestamp vouches for it; in the past: there may be newer
	Seen     time.Time        `json:"seen,omitzero"`      // when this machine last verified any of it, to the minute or so
}

// A ReviewedFile is one file of a proposal and its signatures.
type ReviewedFile struct {
	Role    string
	Version int64
	Needs   []Need
}

// A Need is one threshold that the signatures on a file have to meet.
type Need struct {
	By        string     // whose: "targets", "the old root", "the new root", a signer's name
	Keys      []*tuf.Key // those that may sign
	Threshold int
	Signed    []*tuf.Key // those of them that have, validly
}

// Review decodes a proposal and compares it with the repository's verified state,
// as this publisher reads it. It trusts nothing that the proposal says of itself: not
// its state, note, token or intent, nor that a signature on it is one. A proposal
// that no server could publish, or that says what cannot be shown, is a *tuf.Refusal.
func (p *Publisher) Review(ctx context.Context, proposal *api.Proposal) (*Review, error) {
	copied := *proposal
	copied.Files = slices.Clone(proposal.Files)
	r := &Review{Proposal: &copied, publisher: p, Intent: IntentUnknown}
	if err := checkProposal(r.Proposal, proposal.Repository, proposal.ID); err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	cur, err := r.base(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.settleState(cur); err != nil || r.State != StateOpen {
		return r, err
	}
	if err := r.check(ctx, cur); err != nil {
		return nil, err
	}
	if err := r.count(cur); err != nil {
		return nil, err
	}
	if err := r.decode(cur); err != nil {
		return nil, err
	}
	r.compareIntent(ctx, cur)
	switch {
	case proposal.State == StateWithdrawn:
		r.State = StateWithdrawn
	case r.Lacks() == 0:
		r.State = StateComplete
	}
	return r, nil
}

func (r *Review) refuse(role string, version int64, rule tuf.Rule, format string, args ...any) error {
	return &tuf.Refusal{Repository: r.Proposal.Repository, Role: role, Version: version, Rule: rule, Clause: ClauseProposals, Detail: fmt.Sprintf(format, args...)}
}

// read reads the files strictly: each must be the one form of what was read, so that
// what is shown is all that would be signed.
func (r *Review) read() error {
	for _, file := range r.Proposal.Files {
		d := &draft{role: file.Role}
		var again []byte
		var err error
		if file.Role == tuf.RoleRoot {
			if d.root, err = tuf.ReadRoot(file.Content); err == nil {
				again, err = tuf.Encode(d.root)
			}
		} else if d.targets, err = tuf.ReadTargets(file.Content); err == nil {
			again, err = tuf.Encode(d.targets)
		}
		if err != nil {
			return r.refuse(file.Role, file.Version, tuf.RuleShape, "%s", tidy(err.Error(), maxReason))
		}
		if !bytes.Equal(again, file.Content) {
			return r.refuse(file.Role, file.Version, tuf.RuleCanonical, "the file is not in canonical form")
		}
		if d.version() != file.Version {
			return r.refuse(file.Role, file.Version, tuf.RuleVersion, "the file states version %d", d.version())
		}
		if d.payload, err = d.encodePayload(); err != nil {
			return err
		}
		r.drafts = append(r.drafts, d)
	}
	return nil
}

func (r *Review) draft(role string) *draft {
	for _, d := range r.drafts {
		if d.role == role {
			return d
		}
	}
	return nil
}

// base reads the state that the proposal is compared with; nil for a repository that
// is not there yet.
func (r *Review) base(ctx context.Context) (cur *current, err error) {
	p, name := r.publisher, r.Proposal.Repository
	r.step = step{repository: name}
	r.Compared.Offline, r.Compared.From = p.apart(), p.From
	if r.step.first, err = r.isFirst(ctx); err != nil {
		return nil, err
	}
	if r.step.first {
		root := r.draft(tuf.RoleRoot)
		r.step.anchor, r.step.created, err = p.initAnchor(name, tuf.RoleKeysOf(root.root, tuf.RoleRoot))
		if err != nil {
			return nil, err
		}
		if r.step.created != nil && root.version() > 1 {
			r.step.created.MinRoot = root.version()
		}
		exists := false
		if !p.apart() && root.version() == 1 {
			if exists, err = p.exists(ctx, name); err != nil {
				return nil, err
			}
		}
		if !exists {
			r.Compared.New = true
			return nil, nil
		}
		cur, err = p.read(ctx, name, r.step.anchor, nil)
		if tuf.IsRefusal(err) {
			return nil, fmt.Errorf("%s: %w at %s, and is not what is proposed (%v): %w", name, ErrExists, p.Server.URL, err, tuf.ErrConflict)
		}
	} else {
		if r.step.anchor, err = p.anchorFor(name); err != nil {
			return nil, err
		}
		cur, err = p.read(ctx, name, r.step.anchor, nil)
	}
	if err != nil {
		return nil, err
	}
	r.Compared.Versions, r.Compared.Fresh, r.Compared.Seen = cur.versions, cur.timestamp, cur.seen
	return cur, nil
}

// isFirst tells whether the proposal creates the repository: with the first root, or,
// where the name was retired, with one that starts above all that there were.
func (r *Review) isFirst(ctx context.Context) (bool, error) {
	root := r.draft(tuf.RoleRoot)
	if root == nil || root.version() == 1 || r.publisher.apart() {
		return root != nil && root.version() == 1, nil
	}
	floors, retired, err := r.publisher.serverFloors(ctx, r.Proposal.Repository)
	if err != nil || !retired || root.version() != floors[tuf.RoleRoot]+1 {
		return false, err
	}
	r.floors = floors
	return true, r.publisher.checkRestart(r.Proposal.Repository, floors)
}

// settleState tells whether the proposal can still be published on what is there.
func (r *Review) settleState(cur *current) error {
	r.State = StateOpen
	if cur == nil {
		return nil
	}
	published, stale, superseded := true, false, true
	for _, d := range r.drafts {
		is := max(cur.versions[d.role], cur.listed[d.role])
		here := is == d.version() && bytes.Equal(cur.payloadOf(d.role), d.payload)
		published = published && here
		superseded = superseded && (here || is > d.version())
		stale = stale || d.version() <= is
		if d.version() > is+1 {
			return r.refuse(d.role, d.version(), tuf.RuleVersion, "it is built on version %d, where this machine knows version %d: %s",
				d.version()-1, is, map[bool]string{true: "bring newer metadata here first", false: "nobody can publish it now"}[r.publisher.apart()])
		}
	}
	switch {
	case published:
		r.State = StatePublished
	case superseded && r.Proposal.State == StatePublished:
		r.State, r.Superseded = StatePublished, true
	case stale:
		r.State = StateStale
	}
	return nil
}

func (d *draft) signatures() []metadata.Signature {
	if d.root != nil {
		return d.root.Signatures
	}
	return d.targets.Signatures
}

func (d *draft) setSignatures(list []metadata.Signature) {
	if d.root != nil {
		d.root.Signatures = list
		return
	}
	d.targets.Signatures = list
}

// decode says what the bytes change.
func (r *Review) decode(cur *current) error {
	change := &Change{Repository: r.Proposal.Repository, New: cur == nil}
	if cur != nil {
		change.Expired, change.Warnings = cur.expired, slices.Clone(cur.warnings)
	}
	for _, d := range r.drafts {
		file, err := d.change()
		if err != nil {
			return err
		}
		if root := d.root; root != nil {
			change.Warnings = append(change.Warnings, loneRootKey(tuf.RoleKeysOf(root, tuf.RoleRoot))...)
		}
		change.Files = append(change.Files, file)
		change.Warnings = append(change.Warnings, d.warnings...)
		change.Warnings = (&Prepared{Repository: change.Repository, publisher: r.publisher, step: r.step}).hardwareWarnings(change.Warnings, d)
	}
	r.Change = change
	return nil
}
