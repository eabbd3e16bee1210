package server

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A historyStore tells who published what. Nothing here adds to it but a publish,
// and nothing changes it.
type historyStore interface {
	Published(ctx context.Context, repository string, after int64, limit int) ([]api.Publication, error)
	// RaiseFloors has the next file of each role be above a version, for history that
	// was lost with a database.
	RaiseFloors(ctx context.Context, repository string, versions map[string]int64) error
}

// Bounds on one page of history. Sizes are of the JSON, and leave room for one more
// publication of the most files.
const (
	historyBatch  = 100                     // publications that are read from the store at once
	historyBytes  = api.MaxAnswer - 512<<10 // of a page
	historyEntry  = 256                     // of a publication or file, without content and names
	contentFactor = 4                       // bytes of base64 for each 3
)

// getHistory tells what was published to one repository, and by which token, which
// always takes a token.
func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	repository := mux.Vars(r)["repository"]
	if _, err := s.require(w, r, repository, api.ScopeRead); err != nil {
		return err
	}
	query := r.URL.Query()
	limit, err := number(query, "limit", api.MaxHistoryPage, 1, api.MaxHistoryPage)
	if err != nil {
		return err
	}
	after, err := number(query, "after", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	content := false
	if text := query.Get("content"); text != "" {
		if content, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%w: content is true or false", api.ErrBadRequest)
		}
	}
	floors, err := s.store.Floors(r.Context(), repository)
	if err != nil {
		return err
	}
	if floors.Generation == 0 {
		return fmt.Errorf("repository %q: %w", repository, tuf.ErrNotFound)
	}
	page, err := s.historyPage(r.Context(), repository, after, content, int(limit))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, page)
}

// historyPage gathers publications until there are limit of them, or a client would
// not read more.
func (s *Server) historyPage(ctx context.Context, repository string, after int64, content bool, limit int) (*api.HistoryResponse, error) {
	page := &api.HistoryResponse{Repository: repository, Publications: []api.Publication{}}
	size := 0
	for {
		list, err := s.store.Published(ctx, repository, after, historyBatch)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			most := historyBytes
			if len(page.Publications) > 0 {
				most -= size
			}
			used, fits, err := s.fill(ctx, repository, &p, content, most)
			if err != nil {
				return nil, err
			}
			if len(page.Publications) > 0 && (!fits || len(page.Publications) == limit) {
				page.Next = after
				return page, nil
			}
			page.Publications = append(page.Publications, p)
			after, size = p.Generation, size+used
		}
		if len(list) < historyBatch {
			return page, nil
		}
	}
}

// fill puts the files' bytes into a publication, where they are wanted, as long as it
// is not more than most bytes. It tells whether all fitted.
func (s *Server) fill(ctx context.Context, repository string, p *api.Publication, content bool, most int) (used int, fits bool, err error) {
	used = historyEntry
	for _, f := range p.Files {
		used += historyEntry + len(f.Role)
	}
	fits = used <= most
	for i := range p.Files {
		f := &p.Files[i]
		need := int(f.Length/3+1) * contentFactor
		switch {
		case !content:
			continue
		case used+need > most:
			fits = false
			continue
		}
		file, err := s.store.File(ctx, repository, f.Role, f.Version)
		if err != nil {
			return 0, false, err
		}
		f.Content, used = file.Bytes, used+need
	}
	return used, fits, nil
}

// number reads a query's parameter, or returns absent where there is none.
func number(query url.Values, name string, absent, least, most int64) (int64, error) {
	text := query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%w: %s is a number from %d to %d", api.ErrBadRequest, name, least, most)
	}
	return n, nil
}
