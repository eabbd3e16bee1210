package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// allowedEscapes are the only escapes that a path may have: of characters that
// stand in a registry's host (an IPv6 address, a port) and that some clients
// escape. All others are not names, however they decode.
var allowedEscapes = strings.NewReplacer("%5B", "[", "%5b", "[", "%5D", "]", "%5d", "]", "%3A", ":", "%3a", ":")

// names lets through only paths that the grammar allows, judged on the raw path,
// before any routing: no redirects, no cleaning, 404 for what is not a name.
// Routers decode, clean and redirect, each in its own way, so what they are given
// must have one reading only.
func (s *Server) names(next http.Handler) http.Handler {
	other := s.handle(route{path: "other", handle: notFound})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, err := checkPath(r.URL.EscapedPath())
		if err != nil || r.URL.Host != "" || r.URL.Opaque != "" || r.Method == http.MethodConnect {
			// The reason goes along to be told, not the path.
			other.ServeHTTP(w, r.WithContext(withRefusedName(r, err)))
			return
		}
		plain := *r
		plain.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
		next.ServeHTTP(w, &plain)
	})
}

// checkPath returns the one reading of a raw path, or an error that is
// tuf.ErrNotFound.
func checkPath(raw string) (string, error) {
	path := allowedEscapes.Replace(raw)
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("/.-_:[]", c) >= 0:
		default:
			return "", fmt.Errorf("%w: byte %d of the path may not stand in a name", tuf.ErrNotFound, i)
		}
	}
	if rest, ok := strings.CutPrefix(path, "/tuf/"); ok {
		slash := strings.LastIndexByte(rest, '/')
		if slash < 0 {
			return "", fmt.Errorf("%w: expected /tuf/{repository}/{file}", tuf.ErrNotFound)
		}
		if _, _, err := tuf.ParseFileName(rest[slash+1:]); err != nil {
			return "", err
		}
		return path, checkName(rest[:slash])
	}
	for _, prefix := range []string{"/v1/publish/", "/v1/online-keys/", "/v1/repositories/", "/v1/history/", "/v1/proposals/"} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return path, checkName(name)
		}
	}
	return path, nil
}

func checkName(name string) error {
	if err := tuf.CheckRepository(name); err != nil {
		return fmt.Errorf("%w: %v", tuf.ErrNotFound, err)
	}
	return nil
}

type refusedName struct{}

func withRefusedName(r *http.Request, err error) context.Context {
	return context.WithValue(r.Context(), refusedName{}, err)
}

// notFound answers what no route does.
func notFound(_ http.ResponseWriter, r *http.Request) error {
	if err, ok := r.Context().Value(refusedName{}).(error); ok {
		return err
	}
	return fmt.Errorf("%w: no such path", tuf.ErrNotFound)
}
