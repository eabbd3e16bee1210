package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/signet-trust/signet/server/api"
)

// A route is one path, the methods that it has and how it is handled.
type route struct {
	path    string        // as mux writes it; docs/openapi.yaml has the same, without patterns
	methods []string      // what it answers to
	body    int64         // the most bytes of a request's body
	wait    time.Duration // how long a request may take to arrive
	work    time.Duration // how long it may be worked on, beyond that
	handle  func(http.ResponseWriter, *http.Request) error
}

// table lists every route. A test holds docs/openapi.yaml to it, both ways.
func (s *Server) table() []route {
	get := []string{http.MethodGet, http.MethodHead}
	post := []string{http.MethodPost}
	const short = 10 * time.Second
	return []route{
		{"/tuf/{repository:.+}/{file:[^/]+}", get, 0, short, 0, s.getFile},
		{"/v1/server", get, 0, short, 0, s.getServer},
		{"/v1/token", get, 0, short, 0, s.getToken},
		{"/v1/publish/{repository:.+}", post, s.config.MaxBody, s.config.BodyWait, 2*publishQueue + publishWork + publishCommit, s.postPublish},
		{"/v1/online-keys/{repository:.+}", post, api.MaxSmallBody, short, short, s.postOnlineKeys},
		{"/v1/proposals/{repository:.+}", []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete}, s.config.MaxBody, s.config.BodyWait, 2*publishQueue + publishWork, s.proposals},
		{"/v1/history/{repository:.+}", get, 0, short, short, s.getHistory},
		{"/v1/expiring", get, 0, short, short, s.getExpiring},
		{"/v1/repositories", get, 0, short, 0, s.getRepositories},
		{"/v1/repositories/{repository:.+}", get, 0, short, 0, s.getRepository},
	}
}

// Routes returns every path with its methods, for documents to be checked against.
func (s *Server) Routes() map[string][]string {
	routes := map[string][]string{}
	for _, r := range s.routes {
		routes[r.name()] = slices.Clone(r.methods)
	}
	return routes
}

// name is the path without patterns: "/tuf/{repository}/{file}".
func (r route) name() string {
	return strings.NewReplacer(":.+}", "}", ":[^/]+}", "}").Replace(r.path)
}

// router dispatches. It neither redirects nor cleans: what arrives here was found
// to be a name by names already.
func (s *Server) router() http.Handler {
	router := mux.NewRouter().SkipClean(true)
	for _, r := range s.routes {
		router.Handle(r.path, s.handle(r)).Methods(r.methods...)
	}
	router.NotFoundHandler = s.handle(route{path: "other", handle: notFound})
	router.MethodNotAllowedHandler = s.handle(route{path: "other", handle: func(w http.ResponseWriter, r *http.Request) error {
		for _, known := range s.routes {
			var match mux.RouteMatch
			probe := mux.NewRouter().SkipClean(true)
			probe.Handle(known.path, http.NotFoundHandler())
			if probe.Match(r, &match) {
				w.Header().Set("Allow", strings.Join(known.methods, ", "))
				return fmt.Errorf("%w: %s takes %s", api.ErrMethodNotAllowed, known.name(), strings.Join(known.methods, " and "))
			}
		}
		return api.ErrMethodNotAllowed
	}})
	return router
}
