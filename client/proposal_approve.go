package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// Lacks is how many signatures are yet to come.
func (n Need) Lacks() int { return max(0, n.Threshold-len(n.Signed)) }

// Lacks is how many signatures are yet to come on any of the files.
func (r *Review) Lacks() int {
	lacks := 0
	for _, file := range r.Files {
		for _, need := range file.Needs {
			lacks += need.Lacks()
		}
	}
	return lacks
}

// Missing says whose signatures are lacking.
func (r *Review) Missing() []*KeysError {
	var list []*KeysError
	for _, file := range r.Files {
		for _, need := range file.Needs {
			if need.Lacks() > 0 {
				list = append(list, &KeysError{Repository: r.Proposal.Repository, Role: need.By, Keys: need.Keys, Threshold: need.Threshold, Given: need.Signed})
			}
		}
	}
	return list
}

// put writes a draft, as it is signed by now, into the proposal.
func (r *Review) put(i int) (err error) {
	d := r.drafts[i]
	d.file, err = d.encode()
	r.Proposal.Files[i].Content = d.file
	return err
}

// Choose picks, of signers, those whose signatures the proposal lacks, and no more
// than it lacks: each may cost a touch. Change then says who signs what. It returns
// a *KeysError when none of them can sign anything that is lacking, and a
// *SignedError when another content was signed here for one of the versions.
func (r *Review) Choose(signers []tuf.Signer) error {
	if r.State != StateOpen {
		return fmt.Errorf("%s: the proposal is %s, and takes no signatures", r.Proposal.Repository, r.State)
	}
	any := false
	for i, d := range r.drafts {
		d.signers = nil
		for _, need := range r.Files[i].Needs {
			lacks := need.Lacks()
			for _, s := range d.signers {
				if slices.ContainsFunc(need.Keys, s.Key().Equal) {
					lacks--
				}
			}
			for _, s := range signers {
				if lacks > 0 && slices.ContainsFunc(need.Keys, s.Key().Equal) && !slices.ContainsFunc(need.Signed, s.Key().Equal) && !holds(d.signers, s.Key()) {
					d.signers = append(d.signers, s)
					lacks--
				}
			}
		}
		if len(d.signers) == 0 {
			continue
		}
		any = true
		warnings := len(d.warnings)
		if err := r.publisher.Client.journal().check(d, r.Proposal.Repository, r.publisher.SignAgain); err != nil {
			return err
		}
		r.Change.Warnings = append(r.Change.Warnings, d.warnings[warnings:]...)
		r.Change.Files[i].SignedBy = []string{}
		for _, s := range d.signers {
			r.Change.Files[i].SignedBy = append(r.Change.Files[i].SignedBy, s.Key().ID())
		}
	}
	if any {
		return nil
	}
	return r.Missing()[0]
}

// Approve signs what Change shows with the keys that Choose picked, after it has
// noted that in the journal, and puts the signatures into Proposal.
func (r *Review) Approve(ctx context.Context) error {
	p := r.publisher
	for _, d := range r.drafts {
		if _, err := d.sign(ctx, r.Proposal.Repository, p.WithReason); err != nil {
			return err
		}
	}
	if err := p.note(ctx, r.Proposal.Repository, ActApprove, r.drafts); err != nil {
		return err
	}
	for i, d := range r.drafts {
		if err := r.put(i); err != nil {
			return err
		}
		for n := range r.Files[i].Needs {
			need := &r.Files[i].Needs[n]
			for _, s := range d.signers {
				if slices.ContainsFunc(need.Keys, s.Key().Equal) {
					need.Signed = append(need.Signed, s.Key())
				}
			}
		}
		d.signers = nil
	}
	if r.Lacks() == 0 {
		r.State = StateComplete
	}
	r.Proposal.Updated = p.Client.config.Now().UTC()
	return nil
}

// Publish publishes a proposal that has all of its signatures, and reads back what
// the server then serves. It returns an error that wraps tuf.ErrConflict when the
// base moved: the proposal is stale then, and has to be built anew.
func (r *Review) Publish(ctx context.Context) (*Published, error) {
	p, name := r.publisher, r.Proposal.Repository
	if missing := r.Missing(); len(missing) > 0 {
		return nil, missing[0]
	}
	if r.State != StateComplete {
		return nil, fmt.Errorf("%s: the proposal is %s, and cannot be published", name, r.State)
	}
	if r.step.first && !r.step.anchor.accepts(r.draft(tuf.RoleRoot).file) {
		return nil, otherPins(name, r.step.anchor)
	}
	generation, err := p.send(ctx, name, r.Proposal.Metadata())
	if err != nil {
		return nil, err
	}
	r.State = StatePublished
	versions, err := p.readBack(ctx, r.step, r.drafts)
	if err != nil {
		return nil, err
	}
	return &Published{Repository: name, Generation: generation, Versions: versions, Change: r.Change, Anchor: r.step.created}, nil
}

// Rebase prepares anew, on what is there now, what a proposal was to bring about.
// The result is another proposal, of the next versions; Change is nil when nothing
// is left to do. It takes the proposal's intent for a wish, no more: what is to be
// signed is shown as ever. signers are the keys at hand.
func (p *Publisher) Rebase(ctx context.Context, proposal *api.Proposal, signers []tuf.Signer) (*Prepared, error) {
	intent, err := ReadIntent(proposal.Repository, proposal.Intent)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", proposal.Repository, err)
	}
	return p.prepareIntent(ctx, intent, signers)
}
