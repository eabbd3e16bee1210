package server

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// FuzzCheckPath checks that a path which is let through has one reading: decoding
// it gives the same, cleaning it changes nothing, and what stands where a
// repository and a file belong is a repository and a file.
func FuzzCheckPath(f *testing.F) {
	for _, seed := range []string{
		"/tuf/registry.example/team/app/timestamp.json", "/tuf/%5B::1%5D:5000/a/1.root.json", "/v1/publish/a.example/b",
		"/tuf/a.example/../b/1.root.json", "/tuf/a.example/b%2fc/1.root.json", "/v1/server", "//", "/%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		read, err := checkPath(raw)
		if err != nil {
			return
		}
		decoded, err := url.PathUnescape(raw)
		if err != nil || decoded != read {
			t.Fatalf("%q is read as %q, and decodes to %q, %v", raw, read, decoded, err)
		}
		if rest, ok := strings.CutPrefix(read, "/tuf/"); ok {
			repository, file := path.Split(rest)
			if _, _, err := tuf.ParseFileName(file); err != nil || tuf.CheckRepository(strings.TrimSuffix(repository, "/")) != nil || path.Clean(read) != read {
				t.Fatalf("%q was let through", raw)
			}
		}
	})
}

// Every time-out and limit of net/http that keeps a slow client from holding a
// connection for ever is set.
func TestHTTPServerIsBounded(t *testing.T) {
	s := HTTPServer(http.NotFoundHandler(), New(Config{}).log)
	if min(s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout) <= 0 || s.MaxHeaderBytes <= 0 {
		t.Fatalf("%+v", s)
	}
}
