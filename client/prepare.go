package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Prepared is a publish that was built and can be shown, while nothing is signed
// yet. Several of them, for several repositories, can be shown before the one
// question whether to sign.
type Prepared struct {
	Repository string
	// Change is what Publish will sign; nil when there is nothing to do.
	Change *Change
	// Missing says which keys have yet to be given. It is set with
	// Publisher.DryRun and Publisher.Partial only; without, there would be an error
	// in place of this.
	Missing []*KeysError

	publisher *Publisher
	step      step
	drafts    []*draft
	intent    Intent
	versions  map[string]int64 // of every role, as they were read
	rebased   bool
	done      bool
}

// A step is one publish, built anew on every state that it finds.
type step struct {
	repository string
	anchor     *Anchor
	// build makes the next files from what is there; none means nothing to do.
	build func(ctx context.Context, cur *current) ([]*draft, error)
	// after looks at what is served once it is published. It may be nil.
	after question
	// first says that there is nothing yet to build on: cur is nil.
	first bool
	// created is the anchor of the repository that the step creates, or nil.
	created *Anchor
}

// prepare reads, builds, and decodes what would be signed.
func (p *Publisher) prepare(ctx context.Context, s step) (*Prepared, error) {
	d := &Prepared{Repository: s.repository, publisher: p, step: s}
	if err := d.patiently(ctx, d.build); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Prepared) build(ctx context.Context) error {
	d.Change, d.Missing, d.drafts = nil, nil, nil
	change := &Change{Repository: d.Repository, New: d.step.first, Rebased: d.rebased}
	var cur *current
	if !d.step.first {
		var err error
		if !d.rebased {
			cur = d.publisher.readLately(d.Repository)
		}
		if cur == nil {
			if cur, err = d.publisher.read(ctx, d.Repository, d.step.anchor, nil); err != nil {
				return err
			}
		}
		d.versions, change.Expired, change.Warnings = cur.versions, cur.expired, cur.warnings
	}
	drafts, err := d.step.build(ctx, cur)
	if err != nil || len(drafts) == 0 {
		return err
	}
	for _, draft := range drafts {
		if err := d.settle(draft); err != nil {
			return err
		}
		file, err := draft.change()
		if err != nil {
			return err
		}
		change.Files = append(change.Files, file)
		change.Warnings = append(change.Warnings, draft.warnings...)
		change.Warnings = d.hardwareWarnings(change.Warnings, draft)
		d.Missing = append(d.Missing, draft.missing...)
	}
	d.Change, d.drafts = change, drafts
	return nil
}

// Publish signs what Change shows, sends it, and reads back what the server then
// serves. Publisher.Confirm is not asked, since whoever prepared has seen the
// change. When somebody else published in between, the change is built anew on
// what is there now, Change is that, and then Confirm is asked. Publish works once.
func (d *Prepared) Publish(ctx context.Context) (*Published, error) {
	if d.done {
		return nil, fmt.Errorf("%s: what was prepared is published already", d.Repository)
	}
	var missing error
	for _, lack := range d.Missing {
		missing = errors.Join(missing, lack)
	}
	if missing != nil {
		return nil, missing
	}
	for try := 1; d.Change != nil; try++ {
		files, err := d.sign(ctx)
		if err != nil {
			return nil, err
		}
		err = d.publisher.note(ctx, d.Repository, ActPublish, d.drafts)
		if errors.Is(err, ErrSigned) && try < rebaseTries { // by another process of this user, since this was built
			if err := d.patiently(ctx, d.rebase); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		generation, err := d.publisher.send(ctx, d.Repository, files)
		if err != nil {
			if err := d.turnedDown(ctx, err); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, tuf.ErrConflict) && !d.step.first && try < rebaseTries {
			if err := d.rebase(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if errors.Is(err, tuf.ErrConflict) && d.step.first {
			err = fmt.Errorf("%s: %w: %w", d.Repository, ErrExists, err)
		}
		if err != nil {
			return nil, err
		}
		d.done = true
		versions, err := d.publisher.readBack(ctx, d.step, d.drafts)
		if err != nil {
			return nil, err
		}
		return &Published{Repository: d.Repository, Generation: generation, Versions: versions, Change: d.Change, Anchor: d.step.created}, nil
	}
	d.done = true
	return &Published{Repository: d.Repository, Versions: d.versions, Anchor: d.step.created}, nil
}

// patiently builds. What another process of this user has signed just now, to be
// published at once, is waited for: it will be there to build on in a moment.
func (d *Prepared) patiently(ctx context.Context, build func(context.Context) error) error {
	for try := 1; ; try++ {
		err := build(ctx)
		signed, ok := errors.AsType[*SignedError](err)
		if !ok || try == rebaseTries || signed.Before.Act != ActPublish || d.publisher.Client.config.Now().Sub(signed.Before.Time).Abs() > justNow {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond << (try - 1)):
		}
	}
}

// justNow is how long ago somebody may have signed who has yet to publish.
const justNow = 10 * time.Second

// rebase builds anew after a lost race, and asks again.
func (d *Prepared) rebase(ctx context.Context) error {
	d.rebased = true
	if err := d.build(ctx); err != nil {
		return err
	}
	return d.publisher.confirm(ctx, d.Change)
}

// sign signs the bytes that were shown.
func (d *Prepared) sign(ctx context.Context) ([]tuf.File, error) {
	var files []tuf.File
	for _, draft := range d.drafts {
		file, err := draft.sign(ctx, d.Repository, d.publisher.WithReason)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if d.step.first && !d.step.anchor.accepts(files[0].Bytes) {
		return nil, otherPins(d.Repository, d.step.anchor)
	}
	return files, nil
}

// settle compares a draft with the journal. A dry run signs nothing, so that it
// only tells.
func (d *Prepared) settle(draft *draft) error {
	if len(draft.signers) == 0 {
		return nil
	}
	p := d.publisher
	err := p.Client.journal().settle(draft, d.Repository, p.SignAgain)
	if errors.Is(err, ErrSigned) && p.DryRun {
		draft.warnings, err = append(draft.warnings, err.Error()), nil
	}
	return err
}

// confirm shows a change to whoever has to agree.
func (p *Publisher) confirm(ctx context.Context, change *Change) error {
	if change == nil || p.Confirm == nil {
		return nil
	}
	return p.Confirm(ctx, change)
}

// run confirms and publishes what was prepared.
func (p *Publisher) run(ctx context.Context, d *Prepared, err error) (*Published, error) {
	if err != nil {
		return nil, err
	}
	if err := p.confirm(ctx, d.Change); err != nil {
		return nil, err
	}
	return d.Publish(ctx)
}
