package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A proposalStore keeps proposals. What it says of them it was told here: nothing in
// it is signed but the files, and those are checked again when they are published.
type proposalStore interface {
	Proposal(ctx context.Context, repository, id string) (*Proposal, error)
	Proposals(ctx context.Context, repository string) ([]Proposal, error)
	PutProposal(ctx context.Context, p Proposal) error
	DropProposal(ctx context.Context, repository, id string, revision int64) error
	// Waiting lists what was proposed with a token for repositories that are not there. A
	// proposal that is put with the turn is refused when another one was, meanwhile.
	Waiting(ctx context.Context, token string) (turn int64, list []Proposal, err error)
	PruneProposals(ctx context.Context, before time.Time) (int64, error)
}

// A Proposal is a publish that waits for signatures, as it is stored.
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
	Outline    []byte    // what a list shows of it: JSON of []outlined
	Body       []byte    // JSON of api.ProposalRequest, without the note; Proposals leaves it out
	Size       int64     // bytes of Body, as they are stored
	Turn       int64     // of Token, as Waiting told it; 0: it is stored whatever else waits
}

// proposals answers on /v1/proposals/{repository}, with ?id= and without.
func (s *Server) proposals(w http.ResponseWriter, r *http.Request) error {
	repository := mux.Vars(r)["repository"]
	token, err := s.require(w, r, repository, api.ScopePublish, api.ScopeCreate)
	if err != nil {
		return err
	}
	id := ""
	if query := r.URL.Query(); query.Has("id") {
		if id = query.Get("id"); !isProposalID(id) {
			return fmt.Errorf("%w: id is 64 hex digits, as a proposal's ID", api.ErrBadRequest)
		}
	}
	if r.Method == http.MethodPost {
		return s.postProposal(w, r, token, repository, id)
	}
	// A proposal is as large as a publish, and whoever may publish has it read whole.
	leave, err := s.reading.enter(r.Context(), token.ID, s.config.MaxBody)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case r.Method == http.MethodDelete && id == "":
		return fmt.Errorf("%w: which proposal? Expected ?id=", api.ErrBadRequest)
	case r.Method == http.MethodDelete:
		err := s.withdraw(r.Context(), token, repository, id)
		s.metrics.proposal("withdraw", err)
		if err != nil {
			return err
		}
		s.log.Info("proposal withdrawn", "repository", repository, "proposal", id, "token", token.ID)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	// Who may not sign it is not shown it either.
	head, err := s.head(r.Context(), repository)
	if err != nil {
		return err
	}
	if err := errors.Join(mayCreate(token, repository, head), mayPublish(token, head)); err != nil {
		return err
	}
	if id != "" {
		proposal, err := s.proposal(r.Context(), repository, id)
		if err != nil {
			return err
		}
		return s.writeJSON(w, http.StatusOK, proposal)
	}
	list, err := s.listProposals(r.Context(), repository)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, api.ProposalsResponse{Proposals: list})
}

// isProposalID tells whether id has the form of tuf.ProposalID's.
func isProposalID(id string) bool {
	return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == ""
}

// postProposal takes a proposal, or more signatures for one.
func (s *Server) postProposal(w http.ResponseWriter, r *http.Request, token Token, repository, id string) error {
	var body api.ProposalRequest
	done, err := s.takeBody(w, r, token, &body)
	if err != nil {
		return err
	}
	defer done()
	if err := checkRequest(repository, &body); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishWork)
	defer cancel()
	action, status := "propose", http.StatusCreated
	if id != "" {
		action = "sign"
	}
	proposal, created, err := s.propose(ctx, token, repository, id, body)
	s.metrics.proposal(action, err)
	if err != nil {
		return err
	}
	if !created {
		status = http.StatusOK
	}
	s.log.Info("proposal", "repository", repository, "proposal", proposal.ID, "state", proposal.State, "created", created, "token", token.ID)
	return s.writeJSON(w, status, proposal)
}

// checkRequest bounds what of a proposal is not metadata.
func checkRequest(repository string, body *api.ProposalRequest) error {
	switch {
	case len(body.Files) > api.MaxFiles:
		return tooMany(repository, fmt.Sprintf("%d files in one proposal, of which at most %d are taken", len(body.Files), api.MaxFiles))
	case len(body.Note) > api.MaxNote:
		return tooMany(repository, fmt.Sprintf("a note of %d bytes, of which at most %d are taken", len(body.Note), api.MaxNote))
	case len(body.Intent) > api.MaxIntent:
		return tooMany(repository, fmt.Sprintf("an intent of %d bytes, of which at most %d are taken", len(body.Intent), api.MaxIntent))
	case strings.ContainsFunc(body.Note, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }):
		return fmt.Errorf("%w: note has characters that cannot be printed", api.ErrBadRequest)
	}
	if len(body.Intent) > 0 && body.Intent[0] != '{' {
		return fmt.Errorf("%w: intent is an object", api.ErrBadRequest)
	}
	return nil
}

func tooMany(repository, detail string) error {
	return &tuf.Refusal{Repository: repository, Rule: tuf.RuleLimit, Clause: "Signet limits", Detail: detail}
}

// An outlined file is what is known of a proposed file without reading it.
type outlined struct {
	Role       string   `json:"role"`
	Version    int64    `json:"version"`
	SHA256     string   `json:"sha256"` // of the signed bytes
	Expires    int64    `json:"expires"`
	Signatures []string `json:"signatures"` // IDs of the keys
}

// outline reads the files of a proposal.
func outline(files []tuf.File) ([]outlined, error) {
	var list []outlined
	for _, file := range files {
		o := outlined{Role: file.Role, Version: file.Version}
		var err error
		if o.SHA256, o.Expires, err = signedPart(file); err != nil {
			return nil, err
		}
		if o.Signatures, err = tuf.SignatureKeys(file.Role, file.Bytes); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// proposal returns one proposal as it is now.
func (s *Server) proposal(ctx context.Context, repository, id string) (*api.Proposal, error) {
	stored, err := s.storedProposal(ctx, repository, id)
	if err != nil {
		return nil, err
	}
	head, err := s.head(ctx, repository)
	if err != nil {
		return nil, err
	}
	return s.told(ctx, head, stored)
}

// storedProposal returns one that has not grown too old.
func (s *Server) storedProposal(ctx context.Context, repository, id string) (*Proposal, error) {
	stored, err := s.store.Proposal(ctx, repository, id)
	if err == nil && !s.now().Before(stored.Created.Add(api.ProposalLife)) {
		err = fmt.Errorf("proposal %s of %s is more than 30 days old: %w", id, repository, tuf.ErrNotFound)
	}
	return stored, err
}

// told makes of a stored proposal what is told of it.
func (s *Server) told(ctx context.Context, head *Head, stored *Proposal) (*api.Proposal, error) {
	var body api.ProposalRequest
	if err := json.Unmarshal(stored.Body, &body); err != nil {
		return nil, fmt.Errorf("proposal %s of %s as it is stored: %w", stored.ID, stored.Repository, err)
	}
	state, _, err := s.proposalState(ctx, head, stored)
	if err != nil {
		return nil, err
	}
	return &api.Proposal{
		ID: stored.ID, Repository: stored.Repository, State: state, Note: stored.Note, Token: stored.Token,
		Created: stored.Created, Updated: stored.Updated, Expires: stored.Created.Add(api.ProposalLife),
		Files: body.Files, Intent: body.Intent,
	}, nil
}

// listProposals returns those of a repository that have not grown too old.
func (s *Server) listProposals(ctx context.Context, repository string) ([]api.ProposalSummary, error) {
	list := []api.ProposalSummary{}
	stored, err := s.store.Proposals(ctx, repository)
	if err != nil || len(stored) == 0 {
		return list, err
	}
	head, err := s.head(ctx, repository)
	if err != nil {
		return nil, err
	}
	for _, p := range stored {
		if !s.now().Before(p.Created.Add(api.ProposalLife)) {
			continue
		}
		state, files, err := s.proposalState(ctx, head, &p)
		if err != nil {
			return nil, err
		}
		list = append(list, p.summary(state, files))
	}
	return list, nil
}

// summary is the line of a list.
func (p *Proposal) summary(state string, files []outlined) api.ProposalSummary {
	line := api.ProposalSummary{ID: p.ID, State: state, Note: p.Note, Token: p.Token,
		Created: p.Created, Updated: p.Updated, Expires: p.Created.Add(api.ProposalLife)}
	for _, f := range files {
		line.Files = append(line.Files, api.ProposedFile{Role: f.Role, Version: f.Version, Signatures: f.Signatures})
	}
	return line
}

// proposalLine is the most bytes of one line, so that clients read a list of as many as
// there may be.
const proposalLine = (api.MaxAnswer - 64<<10) / api.MaxProposals

// proposalState tells what became of a proposal. It is found out anew each time, from
// what is stored of the repository: so it holds however that changed, by a publish of
// these files, of others, or by a database that was restored.
func (s *Server) proposalState(ctx context.Context, head *Head, p *Proposal) (state string, files []outlined, err error) {
	if err := json.Unmarshal(p.Outline, &files); err != nil {
		return "", nil, fmt.Errorf("proposal %s of %s as it is stored: %w", p.ID, p.Repository, err)
	}
	published, open := true, true
	for _, f := range files {
		if next := head.next(f.Role); f.Version >= next {
			published = false
			open = open && f.Version == next && s.now().Unix() < f.Expires
			continue
		}
		open = false
		if published {
			if published, err = s.isStored(ctx, head, p.Repository, f); err != nil {
				return "", nil, err
			}
		}
	}
	switch {
	case published:
		return api.ProposalPublished, files, nil
	case !p.Withdrawn.IsZero():
		return api.ProposalWithdrawn, files, nil
	case open:
		return api.ProposalOpen, files, nil
	}
	return api.ProposalStale, files, nil
}

// next returns the version that the next file of role has to have.
func (h *Head) next(role string) int64 {
	var stored int64
	if h.Generation > 0 {
		stored = h.State.Versions()[role]
	}
	if floor := h.Floors[role]; floor > stored && (role != tuf.RoleRoot || h.Generation == 0) {
		stored = floor
	}
	return stored + 1
}

// isStored tells whether the stored file of a version has the signed bytes of f.
func (s *Server) isStored(ctx context.Context, head *Head, repository string, f outlined) (bool, error) {
	file := head.State.Roles[f.Role]
	if f.Role == tuf.RoleRoot {
		file = head.State.Root
	}
	if file.Version != f.Version {
		var err error
		file, err = s.store.File(ctx, repository, f.Role, f.Version)
		if errors.Is(err, tuf.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	sum, _, err := signedPart(file)
	return err == nil && sum == f.SHA256, err
}
