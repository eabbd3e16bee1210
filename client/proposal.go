package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// States of a proposal.
const (
	StateOpen      = api.ProposalOpen      // it takes signatures
	StateComplete  = "complete"            // it has all signatures, and only has to be published
	StateStale     = api.ProposalStale     // the base moved: it can never be published
	StatePublished = api.ProposalPublished // what it proposed is there
	StateWithdrawn = api.ProposalWithdrawn // who sent it says that it was taken back
)

// ClauseProposals is the clause of refusals of what somebody sent as a proposal.
const ClauseProposals = "Signet proposals"

// maxProposal is how many bytes of a proposal are read, from a file or a server.
const maxProposal = api.MaxBody + api.MaxSmallBody

// ReadProposal reads the file form of a proposal, which is that of the server's
// answers: its content must be that which its ID stands for. What it says of itself
// beyond that (state, token, note, intent) is nobody's word. It returns a
// *tuf.Refusal with tuf.RuleHash for another content, and with tuf.RuleShape for
// what is no proposal.
func ReadProposal(data []byte) (*api.Proposal, error) {
	refuse := func(format string, args ...any) error {
		return &tuf.Refusal{Rule: tuf.RuleShape, Clause: ClauseProposals, Detail: fmt.Sprintf(format, args...)}
	}
	if len(data) > maxProposal {
		return nil, refuse("%d bytes are more than a proposal has", len(data))
	}
	var p api.Proposal
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, refuse("it is no proposal: %s", tidy(jsonTrouble(err), maxReason))
	}
	if err := tuf.CheckRepository(p.Repository); err != nil {
		return nil, refuse("it is no proposal: it names no repository")
	}
	return &p, checkProposal(&p, p.Repository, p.ID)
}

// checkProposal holds a proposal to its ID, which covers repository, roles, versions
// and every signed byte, but no signature.
func checkProposal(p *api.Proposal, repository, id string) error {
	refuse := func(rule tuf.Rule, format string, args ...any) error {
		return &tuf.Refusal{Repository: repository, Rule: rule, Clause: ClauseProposals, Detail: fmt.Sprintf(format, args...)}
	}
	if p.Repository != repository {
		return refuse(tuf.RuleRepository, "the proposal is for %q", tidy(p.Repository, maxName))
	}
	if n := len(p.Files); n == 0 || n > api.MaxFiles {
		return refuse(tuf.RuleShape, "the proposal has %d files", n)
	}
	is, err := tuf.ProposalID(repository, p.Metadata())
	if err != nil {
		return err
	}
	if is != id || is != p.ID {
		return refuse(tuf.RuleHash, "what came as proposal %s has the content of %.12s: somebody put other bytes in its place", tidy(id, 12), is)
	}
	return nil
}

// Propose signs what Change shows with the keys that were given, none at all
// included, notes that in the journal, and returns what the others are to sign.
// Nobody knows of it yet: hand it to SendProposal, or as JSON to those who sign. It
// returns nil when there is nothing to do. note is what the proposer says of it.
func (d *Prepared) Propose(ctx context.Context, note string) (*api.Proposal, error) {
	if d.Change == nil {
		return nil, nil
	}
	if len(note) > api.MaxNote {
		return nil, fmt.Errorf("a note of %d bytes; at most %d are taken", len(note), api.MaxNote)
	}
	var files []tuf.File
	for _, draft := range d.drafts {
		file, err := draft.sign(ctx, d.Repository, d.publisher.WithReason)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	intent, err := json.Marshal(d.settled())
	if err != nil {
		return nil, err
	}
	id, err := tuf.ProposalID(d.Repository, files)
	if err != nil {
		return nil, err
	}
	if err := d.publisher.note(ctx, d.Repository, ActPropose, d.drafts); err != nil {
		return nil, err
	}
	now := d.publisher.Client.config.Now().UTC()
	d.done = true
	return &api.Proposal{ID: id, Repository: d.Repository, State: StateOpen, Note: note, Created: now, Updated: now,
		Files: api.NewPublishRequest(files).Files, Intent: intent}, nil
}

// SendProposal puts a proposal on the server, or its signatures to those of the one
// that is there, and returns what the server has then. It returns a *ServerError
// when the server did not keep a signature that was sent.
func (p *Publisher) SendProposal(ctx context.Context, proposal *api.Proposal) (*api.Proposal, error) {
	body, err := json.Marshal(api.ProposalRequest{Files: proposal.Files, Intent: proposal.Intent, Note: proposal.Note})
	if err != nil {
		return nil, err
	}
	var kept api.Proposal
	if err := p.callUpTo(ctx, http.MethodPost, api.ProposalsPath(proposal.Repository), body, &kept, maxProposal); err != nil {
		return nil, err
	}
	if err := checkProposal(&kept, proposal.Repository, proposal.ID); err != nil {
		return nil, err
	}
	has := signaturesOf(&kept)
	for signature := range signaturesOf(proposal) {
		if !has[signature] {
			return nil, &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer,
				Detail: fmt.Sprintf("it did not keep the signature of key %.12s on %s of proposal %.12s; send it by file", signature.key, signature.role, proposal.ID)}
		}
	}
	return &kept, nil
}

type proposalSignature struct{ role, key string }

// signaturesOf lists who has signed what, without a look at whether it counts.
func signaturesOf(p *api.Proposal) map[proposalSignature]bool {
	list := map[proposalSignature]bool{}
	for _, file := range p.Files {
		ids, _ := tuf.SignatureKeys(file.Role, file.Content)
		for _, id := range ids {
			list[proposalSignature{file.Role, id}] = true
		}
	}
	return list
}

// Proposals lists what is proposed for repository, as the server tells it.
func (p *Publisher) Proposals(ctx context.Context, repository string) ([]api.ProposalSummary, error) {
	var response api.ProposalsResponse
	if err := p.call(ctx, http.MethodGet, api.ProposalsPath(repository), nil, &response); err != nil {
		return nil, err
	}
	return response.Proposals, nil
}

// Proposal asks the server for a proposal, by its whole ID. Another content than
// what the ID stands for is a *tuf.Refusal.
func (p *Publisher) Proposal(ctx context.Context, repository, id string) (*api.Proposal, error) {
	var proposal api.Proposal
	if err := p.callUpTo(ctx, http.MethodGet, api.ProposalPath(repository, id), nil, &proposal, maxProposal); err != nil {
		return nil, err
	}
	return &proposal, checkProposal(&proposal, repository, id)
}

// Withdraw has the server give up a proposal. The signatures on it stay valid:
// whoever kept a copy can complete it, until the version is taken by another file.
func (p *Publisher) Withdraw(ctx context.Context, repository, id string) error {
	return p.call(ctx, http.MethodDelete, api.ProposalPath(repository, id), nil, nil)
}

// MergeProposals puts the signatures of copies of one proposal together.
func MergeProposals(first *api.Proposal, copies ...*api.Proposal) (*api.Proposal, error) {
	merged := *first
	merged.Files = slices.Clone(first.Files)
	for _, other := range copies {
		if err := checkProposal(other, first.Repository, first.ID); err != nil {
			return nil, err
		}
		for i, file := range merged.Files {
			j := slices.IndexFunc(other.Files, func(f api.PublishFile) bool { return f.Role == file.Role })
			data, err := tuf.MergeSignatures(file.Role, file.Content, other.Files[j].Content)
			if err != nil {
				return nil, err
			}
			merged.Files[i].Content = data
		}
	}
	return &merged, nil
}
