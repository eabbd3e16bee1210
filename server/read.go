package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// Caching of what is read. A version has one content for ever. The timestamp is
// asked for again after seconds, and costs nothing while it is the same. A next
// root that is not there yet may be there soon.
const (
	cacheForever   = "max-age=31536000, immutable"
	cacheTimestamp = "max-age=5, must-revalidate"
	cacheNoRoot    = "max-age=30"
)

// getFile serves one file, exactly as it was published.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request) error {
	repository, name := mux.Vars(r)["repository"], mux.Vars(r)["file"]
	visibility := "public, "
	if s.config.ReadTokens {
		visibility = "private, "
		if _, err := s.require(w, r, repository, api.ScopeRead); err != nil {
			return err
		}
	}
	role, version, err := tuf.ParseFileName(name)
	if err != nil {
		return err
	}
	file, err := s.store.File(r.Context(), repository, role, version)
	if errors.Is(err, tuf.ErrNotFound) && role == tuf.RoleRoot {
		w.Header().Set("Cache-Control", visibility+cacheNoRoot)
	}
	if err != nil {
		return err
	}
	cache := cacheForever
	if role == tuf.RoleTimestamp {
		cache = cacheTimestamp
		var info *timestampInfo
		if file, info, err = s.freshTimestamp(r.Context(), repository, file); err != nil {
			return err
		}
		// For people and mirrors. Conditions on it are not answered, since two
		// timestamps can share a second; those on the ETag are.
		w.Header().Set("Last-Modified", info.seen.UTC().Format(http.TimeFormat))
	}
	etag := `"` + file.SHA256() + `"`
	h := w.Header()
	h.Set("Cache-Control", visibility+cache)
	h.Set("ETag", etag)
	if noneMatch(r.Header.Values("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", api.TypeJSON)
	s.write(w, http.StatusOK, file.Bytes)
	return nil
}

// noneMatch tells whether If-None-Match lists etag (RFC 9110, 13.1.2: weak
// comparison). Our ETags have no comma.
func noneMatch(headers []string, etag string) bool {
	for _, header := range headers {
		for candidate := range strings.SplitSeq(header, ",") {
			candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
			if candidate == etag || candidate == "*" {
				return true
			}
		}
	}
	return false
}

// freshness is the second net under the refresh in the background: what is known
// of timestamps that were read, and how many reads may ask for a refresh at once.
type freshness struct {
	mu     sync.Mutex
	known  map[string]*timestampInfo // by repository
	asking chan struct{}
}

// A timestampInfo is what is known of a repository's newest timestamp.
type timestampInfo struct {
	version int64
	expires time.Time
	seen    time.Time // when this server first had it
	asked   time.Time // when a read last asked for a refresh
}

// maxKnown bounds the memory for timestamps; one that is forgotten is parsed again.
const maxKnown = 20_000

// askAgain is how long reads of a repository wait before they ask again, and
// askFor how long one waits for the answer.
const (
	askAgain = 10 * time.Second
	askFor   = 3 * time.Second
)

// freshTimestamp returns file, or a fresher one if file has expired or is about
// to, which happens only where the refresh in the background could not do its
// work. It asks for a refresh at most now and then and waits only so long:
// whatever comes of it, there is something to serve, and the client judges it.
func (s *Server) freshTimestamp(ctx context.Context, repository string, file tuf.File) (tuf.File, *timestampInfo, error) {
	info, err := s.fresh.info(repository, file, s.now())
	if err != nil {
		return tuf.File{}, nil, fmt.Errorf("stored timestamp of %s: %w: %v", repository, api.ErrInternal, err)
	}
	if !s.fresh.shouldAsk(info, s.now()) {
		return file, info, nil
	}
	select {
	case s.fresh.asking <- struct{}{}:
		defer func() { <-s.fresh.asking }()
	default:
		return file, info, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if err := s.refresh(ctx, repository); err != nil {
		s.log.Warn("a timestamp that is read expires soon, and was not refreshed",
			"repository", repository, "expires", info.expires, "error", err)
		return file, info, nil
	}
	fresher, err := s.store.File(ctx, repository, tuf.RoleTimestamp, 0)
	if err != nil {
		return file, info, nil
	}
	if info, err = s.fresh.info(repository, fresher, s.now()); err != nil {
		return tuf.File{}, nil, fmt.Errorf("stored timestamp of %s: %w: %v", repository, api.ErrInternal, err)
	}
	return fresher, info, nil
}

// info returns what is known of file, which is parsed once for each version.
func (f *freshness) info(repository string, file tuf.File, now time.Time) (*timestampInfo, error) {
	f.mu.Lock()
	known := f.known[repository]
	f.mu.Unlock()
	if known != nil && known.version == file.Version {
		return known, nil
	}
	timestamp, err := tuf.ReadTimestamp(file.Bytes)
	if err != nil {
		return nil, err
	}
	info := &timestampInfo{version: file.Version, expires: timestamp.Signed.Expires, seen: now}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxKnown {
		for other := range f.known { // any one
			delete(f.known, other)
			break
		}
	}
	if known != nil {
		info.asked = known.asked
	}
	f.known[repository] = info
	return info, nil
}

// shouldAsk tells whether the timestamp is in the last eighth of its life, as far
// as this server saw it, and nobody asked just now. Who is told yes has asked.
func (f *freshness) shouldAsk(info *timestampInfo, now time.Time) bool {
	margin := min(info.expires.Sub(info.seen)/8, time.Hour)
	if now.Before(info.expires.Add(-max(margin, 0))) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(info.asked) < askAgain {
		return false
	}
	info.asked = now
	return true
}
