package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// getServer says what this server is, and what holds for one repository if it is
// asked for that. It takes no token, and answers without the signer too.
func (s *Server) getServer(w http.ResponseWriter, r *http.Request) error {
	reads := "open"
	if s.config.ReadTokens {
		reads = "token"
	}
	var rule Rule
	if query := r.URL.Query(); query.Has("repository") {
		repository := query.Get("repository")
		if err := tuf.CheckRepository(repository); err != nil {
			return fmt.Errorf("%w: repository: %v", api.ErrBadRequest, err)
		}
		rule = s.rule(repository)
	}
	l := s.config.Limits
	info := api.ServerInfo{
		Version: s.config.Version, Time: s.now().UTC().Truncate(time.Second), Reads: reads,
		Limits: api.Limits{
			Body: s.config.MaxBody, Files: api.MaxFiles, FileBytes: l.Bytes,
			Keys: l.Keys, Signatures: l.Signatures, Delegations: l.Delegations, Targets: l.Targets,
		},
		Lives:    seconds(s.config.Lives),
		MaxLives: seconds(s.maxLife(rule)),
		Hardware: hardware(rule.Hardware),
	}
	for role, most := range info.MaxLives {
		info.Lives[role] = min(info.Lives[role], most)
	}
	identity, err := s.known.of(r.Context(), s.signer)
	if err == nil {
		info.Identity = identity.Key
		info.Lives[tuf.RoleSnapshot] = int64(identity.SnapshotLife / time.Second)
		info.Lives[tuf.RoleTimestamp] = int64(identity.TimestampLife / time.Second)
	} else {
		s.log.Warn("ask the signer for its identity", "error", err)
	}
	return s.writeJSON(w, http.StatusOK, info)
}

// identity remembers who the signer is, or that it did not answer, for a while:
// anybody may ask, and the signer need not be asked each time.
type identity struct {
	mu    sync.Mutex
	is    *signerapi.Identity
	err   error
	until time.Time
}

func (i *identity) of(ctx context.Context, signer Signer) (*signerapi.Identity, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Now().Before(i.until) {
		return i.is, i.err
	}
	// The answer is for others too, so that this caller's leaving is no answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	i.is, i.err = signer.Identity(ctx)
	i.until = time.Now().Add(10 * time.Second)
	if i.err != nil {
		i.until = time.Now().Add(2 * time.Second)
	}
	return i.is, i.err
}

// seconds returns lives in seconds. Lives that nobody set are the profile's
// (DESIGN §4): root 1 year, targets and signers 180 days.
func seconds(lives map[string]time.Duration) map[string]int64 {
	const day = 24 * time.Hour
	all := map[string]time.Duration{tuf.RoleRoot: 365 * day, tuf.RoleTargets: 180 * day, "signer": 180 * day}
	maps.Copy(all, lives)
	in := map[string]int64{}
	for role, life := range all {
		in[role] = int64(life / time.Second)
	}
	return in
}

// hardware returns what clients are told of a demand.
func hardware(d *attestation.Demand) *api.Hardware {
	if d == nil {
		return nil
	}
	told := &api.Hardware{Touch: d.Touch, PIN: d.PIN, Signers: d.Signers}
	if d.MinFirmware != (attestation.Version{}) {
		told.MinFirmware = d.MinFirmware.String()
	}
	return told
}

// getToken says what the caller's token may do.
func (s *Server) getToken(w http.ResponseWriter, r *http.Request) error {
	token, err := s.token(w, r)
	if err != nil {
		return err
	}
	info := api.TokenInfo{
		ID: token.ID, Name: token.Name, Scopes: token.Scopes, Repositories: token.Repositories, Created: token.Created,
	}
	if !token.Expires.IsZero() {
		info.Expires = &token.Expires
	}
	return s.writeJSON(w, http.StatusOK, info)
}

// postOnlineKeys returns the signer's keys for a repository, for its root to
// list. Keys of a new repository are made, so that takes the scope create.
func (s *Server) postOnlineKeys(w http.ResponseWriter, r *http.Request) error {
	repository := mux.Vars(r)["repository"]
	token, err := s.require(w, r, repository, api.ScopePublish, api.ScopeCreate)
	if err != nil {
		return err
	}
	head, err := s.head(r.Context(), repository)
	if err != nil {
		return err
	}
	if err := mayCreate(token, repository, head); err != nil {
		return err
	}
	var request api.OnlineKeysRequest
	if r.ContentLength != 0 {
		if err := readBody(r, &request); err != nil {
			return err
		}
	}
	var keys []api.OnlineKey
	if len(request.Rotate) == 0 {
		keys, err = s.signer.OnlineKeys(r.Context(), repository)
	} else {
		// Keys that nobody puts into a root are of no use and do no harm, but they stay:
		// who may publish only gets no more of them made than one of each role.
		if err := mayPublish(token, head); err != nil {
			return err
		}
		if head.Generation == 0 {
			return fmt.Errorf("repository %q, whose online keys are to be replaced: %w", repository, tuf.ErrNotFound)
		}
		if keys, err = s.signer.FreshOnlineKeys(r.Context(), repository, request.Rotate); err == nil {
			s.log.Info("fresh online keys", "repository", repository, "roles", request.Rotate, "token", token.ID)
		}
	}
	if errors.Is(err, tuf.ErrNotFound) {
		return &signerDown{why: "it has signed nothing for this repository since it was restored, which the next refresh mends", cause: err}
	}
	if err != nil {
		return signerError(err)
	}
	return s.writeJSON(w, http.StatusOK, api.OnlineKeysResponse{Keys: append([]api.OnlineKey{}, keys...)})
}

// getRepositories lists the repositories that the token covers, a page at a time.
// Names that it does not cover are passed over, and told nowhere.
func (s *Server) getRepositories(w http.ResponseWriter, r *http.Request) error {
	token, err := s.token(w, r)
	if err != nil {
		return err
	}
	if !hasScope(token, api.ScopeRead) {
		return fmt.Errorf("%w: token %s may not read", api.ErrForbidden, token.ID)
	}
	query := r.URL.Query()
	limit := 100
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > api.MaxPage {
			return fmt.Errorf("%w: limit is a number from 1 to %d", api.ErrBadRequest, api.MaxPage)
		}
	}
	after := query.Get("after")
	if after != "" && tuf.CheckRepository(after) != nil {
		return fmt.Errorf("%w: after is the name of a repository", api.ErrBadRequest)
	}
	page := api.RepositoriesResponse{Repositories: []api.RepositorySummary{}}
	for {
		list, err := s.store.Repositories(r.Context(), after, api.MaxPage)
		if err != nil {
			return err
		}
		for _, summary := range list {
			after = summary.Repository
			if !covers(token, summary.Repository) {
				continue
			}
			if len(page.Repositories) == limit {
				page.Next = page.Repositories[limit-1].Repository
				return s.writeJSON(w, http.StatusOK, page)
			}
			page.Repositories = append(page.Repositories, api.RepositorySummary{
				Repository: summary.Repository, Generation: summary.Generation,
				Created: summary.Created, Updated: summary.Updated, RefreshDue: summary.RefreshAt,
			})
		}
		if len(list) < api.MaxPage {
			break
		}
	}
	return s.writeJSON(w, http.StatusOK, page)
}

// getRepository says what the server has of one repository. It is as open as the
// files are, of which it tells nothing more.
func (s *Server) getRepository(w http.ResponseWriter, r *http.Request) error {
	repository := mux.Vars(r)["repository"]
	if s.config.ReadTokens {
		if _, err := s.require(w, r, repository, api.ScopeRead); err != nil {
			return err
		}
	}
	floors, err := s.store.Floors(r.Context(), repository)
	if err != nil {
		return err
	}
	answer := api.RepositoryResponse{Repository: repository, Generation: floors.Generation, Versions: map[string]int64{}, Files: []api.FileInfo{}}
	if floors.Retired.IsZero() {
		if answer.Generation, answer.Files, err = s.store.Files(r.Context(), repository); err != nil {
			return err
		}
	} else {
		answer.Retired = &floors.Retired
	}
	for _, f := range answer.Files {
		answer.Versions[f.Role] = f.Version
	}
	answer.Floors = floors.Versions
	return s.writeJSON(w, http.StatusOK, answer)
}
