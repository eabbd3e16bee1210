package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

func get(t *testing.T, client *http.Client, url string) *harness.Answer {
	t.Helper()
	c := harness.Client{URL: url, HTTP: client}
	a, err := c.Do(t.Context(), http.MethodGet, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadHeaders(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	open := h.Client("")
	for _, c := range []struct {
		file   string
		status int
		cache  string
	}{
		{"1.root.json", 200, "public, max-age=31536000, immutable"},
		{"1.targets.json", 200, "public, max-age=31536000, immutable"},
		{"1.snapshot.json", 200, "public, max-age=31536000, immutable"},
		{"timestamp.json", 200, "public, max-age=5, must-revalidate"},
		{"2.root.json", 404, "public, max-age=30"},
		{"2.targets.json", 404, "no-store"},
		{"1.eve.json", 404, "no-store"},
	} {
		a, err := open.Do(t.Context(), http.MethodGet, api.FilePath(app, c.file), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != c.status || a.Header.Get("Cache-Control") != c.cache {
			t.Errorf("%s: %d, %q; expected %d, %q", c.file, a.Status, a.Header.Get("Cache-Control"), c.status, c.cache)
		}
		head, err := open.Do(t.Context(), http.MethodHead, api.FilePath(app, c.file), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if head.Status != a.Status || len(head.Body) != 0 || head.Header.Get("ETag") != a.Header.Get("ETag") ||
			head.Header.Get("Content-Length") != a.Header.Get("Content-Length") {
			t.Errorf("HEAD %s differs from GET: %d %v", c.file, head.Status, head.Header)
		}
		if c.status == 404 {
			if !errors.Is(a.Err(), tuf.ErrNotFound) || a.Header.Get("ETag") != "" {
				t.Errorf("%s: %v %v", c.file, a.Err(), a.Header)
			}
			continue
		}
		if etag := a.Header.Get("ETag"); etag != `"`+(tuf.File{Bytes: a.Body}).SHA256()+`"` {
			t.Errorf("%s: ETag %s is not strong, or not of these bytes", c.file, etag)
		}
	}
}

func TestConditionalRead(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	path := api.FilePath(app, "timestamp.json")
	ask := func(header, value string) *harness.Answer {
		t.Helper()
		a, err := p.Client.Do(t.Context(), http.MethodGet, path, http.Header{header: {value}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := ask("Accept", "*/*")
	etag := first.Header.Get("ETag")
	if first.Header.Get("Last-Modified") == "" {
		t.Error("no Last-Modified")
	}
	for _, value := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		if a := ask("If-None-Match", value); a.Status != http.StatusNotModified || len(a.Body) != 0 || a.Header.Get("ETag") != etag || a.Header.Get("Cache-Control") == "" {
			t.Errorf("If-None-Match %s: %d %v", value, a.Status, a.Header)
		}
	}
	if a := ask("If-None-Match", `"other"`); a.Status != 200 {
		t.Errorf("another ETag: %d", a.Status)
	}
	// Two timestamps can share a second, so this condition never hides one.
	if a := ask("If-Modified-Since", first.Header.Get("Last-Modified")); a.Status != 200 {
		t.Errorf("If-Modified-Since: %d", a.Status)
	}
	p.Publish(t)
	if a := ask("If-None-Match", etag); a.Status != 200 || a.Header.Get("ETag") == etag {
		t.Errorf("after a publish: %d", a.Status)
	}
}

// What is not a name gets 404, whatever a router would make of it: no redirect, no
// cleaning, and the store is not asked.
func TestNamesThatAreNotNames(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	for _, path := range []string{
		"/", "/tuf", "/tuf/", "/tuf//timestamp.json", "/tuf/timestamp.json",
		"/tuf/registry.example/team//app/timestamp.json",
		"//tuf/registry.example/team/app/timestamp.json",
		"/tuf/registry.example/team/app//timestamp.json",
		"/tuf/registry.example/team/x/../app/timestamp.json",
		"/tuf/registry.example/team/./app/timestamp.json",
		"/tuf/../tuf/registry.example/team/app/timestamp.json",
		"/tuf/registry.example/team%2fapp/timestamp.json",
		"/tuf/registry.example/team%2Fapp/timestamp.json",
		"/tuf/registry.example/team/app%2ftimestamp.json",
		"/tuf/registry.example/team/app/timestamp.json%00",
		"/tuf/registry.example/team/app%00/timestamp.json",
		"/tuf/registry.example/team/%61pp/timestamp.json",
		"/tuf/registry.example/team/app/timestamp%2ejson",
		"/tuf/registry.example/team/%2e%2e/timestamp.json",
		"/tuf/registry.example/team%5capp/timestamp.json",
		"/tuf/registry.example/Team/app/timestamp.json",
		"/tuf/Registry.example/team/app/timestamp.json",
		"/tuf/index.docker.io/library/alpine/timestamp.json",
		"/tuf/team/app/timestamp.json",
		"/tuf/registry.example/team/app/timestamp.json/",
		"/tuf/registry.example/team/app/1.timestamp.json",
		"/tuf/registry.example/team/app/root.json",
		"/tuf/registry.example/team/app/01.root.json",
		"/tuf/registry.example/team/app/0.root.json",
		"/tuf/registry.example/team/app/-1.root.json",
		"/tuf/registry.example/team/app/9999999999999999999.root.json",
		"/tuf/registry.example/team/app/1.2.json",
		"/tuf/registry.example/team/app/timestamp.json;x=1",
		"/tuf/registry.example/team/app/timestamp.json%3Fx",
		"/tuf/" + strings.Repeat("a", 300) + ".example/app/timestamp.json",
		"/v1/server/", "/v1//server", "/v1/%73erver", "/V1/server", "/v1/repositories/", "/v1/repositories/app",
		"/healthz", "/metrics", "/v1/publish/",
	} {
		a, err := raw(h, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if a.Status != http.StatusNotFound || !errors.Is(a.Err(), tuf.ErrNotFound) || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v, expected 404", path, a.Status, a.Header)
		}
	}
	for _, path := range []string{
		"/tuf/registry.example/team/app/timestamp.json",
		"/tuf/registry.example/team/app/timestamp.json?x=../..",
	} {
		if a, err := raw(h, path); err != nil || a.Status != 200 {
			t.Errorf("%s: %v %v, expected 200", path, a, err)
		}
	}
}

// Ports and IPv6 hosts stand in names, escaped or not.
func TestNamesWithPorts(t *testing.T) {
	h := harness.Start(t)
	for _, name := range []string{"localhost:5000/team/app", "[::1]:5000/app"} {
		p := h.Publisher(t, name)
		p.Init(t)
		verify(t, h, name)
		for _, path := range []string{
			"/tuf/" + strings.NewReplacer(":", "%3A", "[", "%5B", "]", "%5D").Replace(name) + "/timestamp.json",
			"/tuf/" + strings.NewReplacer(":", "%3a", "[", "%5b", "]", "%5d").Replace(name) + "/timestamp.json",
			"/tuf/" + name + "/timestamp.json",
		} {
			if a, err := raw(h, path); err != nil || a.Status != 200 {
				t.Errorf("%s: %v %v", path, a, err)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	h := harness.Start(t)
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodPost, api.FilePath(app, "timestamp.json"), "GET, HEAD"},
		{http.MethodDelete, api.RepositoryPath(app), "GET, HEAD"},
		{http.MethodGet, api.PublishPath(app), "POST"},
		{http.MethodPut, api.ServerPath, "GET, HEAD"},
		{"NONSENSE", api.ServerPath, "GET, HEAD"},
	} {
		a, err := h.Client("").Do(t.Context(), c.method, c.path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != c.allow || !errors.Is(a.Err(), api.ErrMethodNotAllowed) {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, a.Status, a.Header.Get("Allow"))
		}
	}
}

// A repository's files are not to be had through another's name.
func TestReadsAreScoped(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Publish(t)
	other := h.Publisher(t, "registry.example/team/other")
	other.Init(t)
	if _, err := p.Client.File(t.Context(), other.Repository, "2.targets.json"); !errors.Is(err, tuf.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestReadTokens(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.ReadTokens = true })
	p := h.Publisher(t, app)
	p.Init(t)
	path := api.FilePath(app, "timestamp.json")
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"none":            {"", api.ErrUnauthorized},
		"read":            {h.Token(t, []string{api.ScopeRead}, "registry.example/**"), nil},
		"publish":         {h.Token(t, []string{api.ScopePublish}, "registry.example/team/*"), nil},
		"of another name": {h.Token(t, []string{api.ScopeRead}, "registry.example/other/*"), api.ErrForbidden},
	} {
		a, err := h.Client(c.token).Do(t.Context(), http.MethodGet, path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(a.Err(), c.want) {
			t.Errorf("%s: %v, expected %v", name, a.Err(), c.want)
		}
		if c.want == nil && !strings.HasPrefix(a.Header.Get("Cache-Control"), "private, ") {
			t.Errorf("%s: Cache-Control %q lets a shared cache keep it", name, a.Header.Get("Cache-Control"))
		}
	}
}

func TestRefresh(t *testing.T) {
	h := harness.Start(t)
	for _, name := range []string{"registry.example/a", "registry.example/b", "registry.example/c"} {
		h.Publisher(t, name).Init(t)
	}
	if n := h.Server.RefreshDue(t.Context()); n != 0 {
		t.Fatalf("refreshed %d that were not due", n)
	}
	for range 20 { // ten days: the snapshot's life and more
		h.Clock.Advance(12 * time.Hour)
		if n := h.Server.RefreshDue(t.Context()); n != 3 {
			t.Fatalf("refreshed %d of 3", n)
		}
		verify(t, h, "registry.example/b")
	}
}

func TestRefreshWhileSignerIsDown(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.Clock.Advance(13 * time.Hour)
	h.SignerFaults.Down(errors.New("gone"))
	if n := h.Server.RefreshDue(t.Context()); n != 0 {
		t.Fatalf("refreshed %d without a signer", n)
	}
	if a := get(t, http.DefaultClient, h.HealthURL+"/metrics"); !bytes.Contains(a.Body, []byte("signet_refresh_failing 1")) {
		t.Errorf("the metrics do not tell")
	}
	h.SignerFaults.Down(nil)
	h.Clock.Advance(time.Minute)
	if n := h.Server.RefreshDue(t.Context()); n != 1 {
		t.Fatalf("refreshed %d after the signer came back", n)
	}
	verify(t, h, app)
}

// A repository whose root has expired waits for its publisher, who can mend it.
func TestRefreshOfExpiredRoot(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.First(t)
	p.Root.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).Add(36 * time.Hour)
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t), p.SignTargets(t)); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(40 * time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 0 {
		t.Fatalf("refreshed %d", n)
	}
	p.Root.Signed.Version++
	p.Root.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).AddDate(1, 0, 0)
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); err != nil {
		t.Fatal(err)
	}
	verify(t, h, app)
}

// The second net: a read that finds an expired timestamp has it refreshed, and
// serves the old one when that cannot be.
func TestReadOfExpiredTimestamp(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	old, err := p.Client.File(t.Context(), app, "timestamp.json")
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(25 * time.Hour)
	h.SignerFaults.Down(errors.New("gone"))
	stale, err := p.Client.File(t.Context(), app, "timestamp.json")
	if err != nil || !bytes.Equal(stale, old) {
		t.Fatalf("with the signer down: %v", err)
	}
	h.SignerFaults.Down(nil)
	h.Clock.Advance(11 * time.Second) // it does not ask at every read
	fresh, err := p.Client.File(t.Context(), app, "timestamp.json")
	if err != nil || bytes.Equal(fresh, old) {
		t.Fatalf("the expired timestamp is still served: %v", err)
	}
	verify(t, h, app)
}

func TestPrune(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	for range 3 {
		p.Publish(t)
	}
	h.Clock.Advance(8 * 24 * time.Hour)
	p.Publish(t)
	h.Clock.Advance(8 * 24 * time.Hour)
	h.Server.RefreshDue(t.Context())
	h.Server.Prune(t.Context())
	if _, err := p.Client.File(t.Context(), app, "1.snapshot.json"); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("the first snapshot is still there: %v", err)
	}
	if _, err := p.Client.File(t.Context(), app, "1.targets.json"); err != nil {
		t.Errorf("targets are evidence and stay: %v", err)
	}
	verify(t, h, app)
}
