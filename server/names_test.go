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

// One address cannot take every place, and gives back what it had.
func TestCounts(t *testing.T) {
	var c counts
	free, ok := c.take("192.0.2.1", 1)
	if !ok {
		t.Fatal("the first is refused")
	}
	if _, ok := c.take("192.0.2.1", 1); ok {
		t.Error("the second is not refused")
	}
	if _, ok := c.take("192.0.2.2", 1); !ok {
		t.Error("another address is refused")
	}
	free()
	free() // once is enough
	if _, ok := c.take("192.0.2.1", 1); !ok {
		t.Error("its place is not free again")
	}
	if len(c.of) != 2 {
		t.Errorf("%d addresses are remembered", len(c.of))
	}
}

func TestClientAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"127.0.0.1:1":              "",
		"[::1]:1":                  "",
		"192.0.2.7:1":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s is %q, expected %q", remote, got, want)
		}
	}
}

// Memory for addresses is bounded, and those that ask often stay limited.
func TestBucketsAreBounded(t *testing.T) {
	s := newRates(Rates{}).tokens
	busy := s.bucket("busy")
	for i := range 3 * maxTracked {
		s.bucket(string(rune(i)) + "x")
		if i%1000 == 0 && s.bucket("busy") != busy {
			t.Fatal("who asks often was forgotten")
		}
	}
	if n := len(s.young) + len(s.old); n > 2*maxTracked {
		t.Fatalf("%d are remembered", n)
	}
}
