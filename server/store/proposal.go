package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Proposal is a publish that waits for signatures. What its files are is the
// caller's to know: the store keeps bytes.
type Proposal struct {
	Repository string // which need not exist
	ID         string
	Slot       int64 // from 0 up; no two of a repository share one
	Revision   int64 // how often it was written; 0: it is not there yet
	Token      string
	Note       string
	Created    time.Time
	Updated    time.Time
	Withdrawn  time.Time // zero: it was not
	Outline    []byte    // what a list shows of it
	Body       []byte    // all of it; Proposals leaves it out
	Size       int64     // bytes of Body; not looked at when it is stored
	Turn       int64     // of Token, as Waiting told it; 0: it is stored whatever else waits. Never read
}

const proposalColumns = `repository, id, slot, revision, token, note, created_at, updated_at, withdrawn_at, outline`

// proposalRead are what is read of every proposal.
const proposalRead = proposalColumns + `, length(body)`

// Proposal returns one proposal, or tuf.ErrNotFound.
func (db *DB) Proposal(ctx context.Context, repository, id string) (*Proposal, error) {
	var found *Proposal
	if storable(repository) && storable(id) {
		err := db.read.rows(ctx, func(rows *sql.Rows) error {
			p := Proposal{}
			found = &p
			return scanProposal(rows, &p, &p.Body)
		}, `SELECT `+proposalRead+`, body FROM proposal WHERE repository = $1 AND id = $2`, repository, id)
		if err != nil {
			return nil, db.src.trouble(ctx, "read a proposal of "+repository, err)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("proposal %q of %q: %w", id, repository, tuf.ErrNotFound)
	}
	return found, nil
}

// Proposals lists the proposals of repository, oldest first, without their bodies.
func (db *DB) Proposals(ctx context.Context, repository string) ([]Proposal, error) {
	var list []Proposal
	if !storable(repository) {
		return nil, nil
	}
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var p Proposal
		err := scanProposal(rows, &p)
		list = append(list, p)
		return err
	}, `SELECT `+proposalRead+` FROM proposal WHERE repository = $1 ORDER BY created_at, id`, repository)
	if err != nil {
		return nil, db.src.trouble(ctx, "list proposals of "+repository, err)
	}
	return list, nil
}

// Waiting lists what was proposed with token for repositories that are not there, oldest
// first and without the bodies. PutProposal takes the turn.
func (db *DB) Waiting(ctx context.Context, token string) (turn int64, list []Proposal, err error) {
	op := "list what waits of token " + token
	// The turn first: whatever is stored after it is read makes it worthless.
	turn = 1
	err = db.read.rows(ctx, func(rows *sql.Rows) error { return rows.Scan(&turn) },
		`SELECT turn FROM proposer WHERE token = $1`, token)
	if err != nil {
		return 0, nil, db.src.trouble(ctx, op, err)
	}
	err = db.read.rows(ctx, func(rows *sql.Rows) error {
		var p Proposal
		err := scanProposal(rows, &p)
		list = append(list, p)
		return err
	}, `SELECT `+proposalRead+` FROM proposal WHERE token = $1
		AND NOT EXISTS (SELECT 1 FROM head WHERE head.repository = proposal.repository AND head.retired_at = 0)
		ORDER BY created_at, repository, id`, token)
	if err != nil {
		return 0, nil, db.src.trouble(ctx, op, err)
	}
	return turn, list, nil
}

func scanProposal(rows *sql.Rows, p *Proposal, more ...any) error {
	var created, updated, withdrawn int64
	err := rows.Scan(append([]any{&p.Repository, &p.ID, &p.Slot, &p.Revision, &p.Token, &p.Note, &created, &updated, &withdrawn, &p.Outline, &p.Size}, more...)...)
	p.Created, p.Updated, p.Withdrawn = moment(created), moment(updated), moment(withdrawn)
	return err
}

// PutProposal writes a proposal over revision p.Revision of it, or, with 0, as a new
// one in a slot that is free. It returns tuf.ErrConflict when it is at another
// revision, there already, or the slot taken: who lost reads again and merges.
//
// One with a turn is stored only if that is still its token's, and moves it, in the same
// transaction: so what the caller counted in Waiting still holds.
func (db *DB) PutProposal(ctx context.Context, p Proposal) error {
	op := "put a proposal of " + p.Repository
	if !storable(p.Repository) || !storable(p.ID) || p.Slot < 0 || p.Revision < 0 || p.Turn < 0 || len(p.Outline) == 0 || len(p.Body) == 0 || p.Created.IsZero() || p.Updated.IsZero() || (p.Note != "" && !storable(p.Note)) {
		return fmt.Errorf("%s: expected a name, an ID, a slot, a revision, times, text and bytes", op)
	}
	return db.tx(ctx, op, func(tx *tx) error {
		if p.Turn > 0 {
			n, err := tx.exec(ctx, `
				INSERT INTO proposer (token, turn) VALUES ($1, $2 + 1)
				ON CONFLICT (token) DO UPDATE SET turn = excluded.turn WHERE proposer.turn = $2`, p.Token, p.Turn)
			if err == nil && n == 0 {
				return fmt.Errorf("token %s proposed something else: %w", p.Token, tuf.ErrConflict)
			}
			if err != nil {
				return err
			}
		}
		var n int64
		var err error
		if p.Revision == 0 {
			n, err = tx.exec(ctx, `
				INSERT INTO proposal (`+proposalColumns+`, body)
				VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10)
				ON CONFLICT DO NOTHING`,
				p.Repository, p.ID, p.Slot, p.Token, p.Note, seconds(p.Created), seconds(p.Updated), seconds(p.Withdrawn), p.Outline, p.Body)
		} else {
			n, err = tx.exec(ctx, `
				UPDATE proposal SET revision = revision + 1, token = $4, note = $5, created_at = $6, updated_at = $7, withdrawn_at = $8, outline = $9, body = $10
				WHERE repository = $1 AND id = $2 AND revision = $3`,
				p.Repository, p.ID, p.Revision, p.Token, p.Note, seconds(p.Created), seconds(p.Updated), seconds(p.Withdrawn), p.Outline, p.Body)
		}
		if err == nil && n == 0 {
			return fmt.Errorf("somebody else was faster: %w", tuf.ErrConflict)
		}
		return err
	})
}

// DropProposal deletes a proposal, or returns tuf.ErrConflict when it is not at that
// revision.
func (db *DB) DropProposal(ctx context.Context, repository, id string, revision int64) error {
	return db.tx(ctx, "drop a proposal of "+repository, func(tx *tx) error {
		n, err := tx.exec(ctx, `DELETE FROM proposal WHERE repository = $1 AND id = $2 AND revision = $3`, repository, id, revision)
		if err == nil && n == 0 {
			return fmt.Errorf("somebody else was faster: %w", tuf.ErrConflict)
		}
		return err
	})
}

// PruneProposals deletes all proposals that were made before a time, and tells how
// many that was.
func (db *DB) PruneProposals(ctx context.Context, before time.Time) (n int64, err error) {
	err = db.tx(ctx, "prune proposals", func(tx *tx) (err error) {
		n, err = tx.exec(ctx, `DELETE FROM proposal WHERE created_at < $1`, seconds(before))
		return err
	})
	return n, err
}
