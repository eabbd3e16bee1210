package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

func TestTokens(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	expiring := h.ExpiringToken(t, h.Clock.Now().Add(time.Hour), []string{api.ScopePublish}, "**")
	revoked := h.Token(t, []string{api.ScopePublish}, "**")
	id, _ := server.TokenID(revoked)
	if err := h.Store.RevokeToken(t.Context(), id, h.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(2 * time.Hour)
	next := p.Next(t)
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"none", "", api.ErrUnauthorized},
		{"expired", expiring, api.ErrUnauthorized},
		{"revoked", revoked, api.ErrUnauthorized},
		{"not a token", "secret", api.ErrUnauthorized},
		{"unknown", "signet_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 52), api.ErrUnauthorized},
		{"the right ID with another secret", h.AdminToken[:24] + strings.Repeat("b", 52), api.ErrUnauthorized},
		{"of another name", h.Token(t, []string{api.ScopePublish}, "registry.example/other/*"), api.ErrForbidden},
		{"that may read only", h.Token(t, []string{api.ScopeRead}, "**"), api.ErrForbidden},
		{"that may create only", h.Token(t, []string{api.ScopeCreate}, "**"), api.ErrForbidden},
		{"that may publish", h.Token(t, []string{api.ScopePublish}, "registry.example/team/*"), nil},
	} {
		_, err := h.Client(c.token).Publish(t.Context(), app, next)
		if !errors.Is(err, c.want) {
			t.Errorf("a token %s: got %v, expected %v", c.name, err, c.want)
		}
		if c.want != nil && c.token != "" && err != nil && strings.Contains(err.Error(), c.token[max(0, len(c.token)-20):]) {
			t.Errorf("a token %s: the answer repeats the secret: %v", c.name, err)
		}
	}
}

func TestCreateTakesAScopeOfItsOwn(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	files := p.First(t)
	publisher := h.Client(h.Token(t, []string{api.ScopePublish}, "**"))
	if _, err := publisher.Publish(t.Context(), app, files...); !errors.Is(err, api.ErrForbidden) {
		t.Fatalf("publish creates: %v", err)
	}
	var keys api.OnlineKeysResponse
	if err := publisher.Call(t.Context(), http.MethodPost, api.OnlineKeysPath("registry.example/new"), nil, &keys); !errors.Is(err, api.ErrForbidden) {
		t.Fatalf("publish makes online keys of a new repository: %v", err)
	}
	creator := h.Client(h.Token(t, []string{api.ScopeCreate}, "registry.example/team/*"))
	for range 2 { // the answer may get lost
		if _, err := creator.Publish(t.Context(), app, files...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := creator.Publish(t.Context(), app, p.Next(t)); !errors.Is(err, api.ErrForbidden) {
		t.Fatalf("create publishes: %v", err)
	}
}

func TestWhoAmI(t *testing.T) {
	h := harness.Start(t)
	expires := h.Clock.Now().Add(time.Hour).UTC().Truncate(time.Second)
	token := h.ExpiringToken(t, expires, []string{api.ScopeRead, api.ScopePublish}, "registry.example/team/*")
	var info api.TokenInfo
	if err := h.Client(token).Call(t.Context(), http.MethodGet, api.TokenPath, nil, &info); err != nil {
		t.Fatal(err)
	}
	if len(info.Scopes) != 2 || info.Repositories[0] != "registry.example/team/*" || info.Expires == nil || !info.Expires.Equal(expires) {
		t.Fatalf("%+v", info)
	}
}

func TestListOfRepositories(t *testing.T) {
	h := harness.Start(t)
	for _, name := range []string{"registry.example/a/x", "registry.example/a/y", "registry.example/b/x"} {
		h.Publisher(t, name).Init(t)
	}
	list := func(token string) (names []string) {
		c := h.Client(token)
		for after := ""; ; {
			var page api.RepositoriesResponse
			if err := c.Call(t.Context(), http.MethodGet, api.PagePath(after, 1), nil, &page); err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Repositories {
				names = append(names, r.Repository)
			}
			if after = page.Next; after == "" {
				return names
			}
			if !slices.Contains(names, after) {
				t.Errorf("next is %s, which was not listed", after)
			}
		}
	}
	if got := list(h.AdminToken); len(got) != 3 {
		t.Errorf("the admin sees %v", got)
	}
	if got := list(h.Token(t, []string{api.ScopeRead}, "registry.example/b/*")); len(got) != 1 || got[0] != "registry.example/b/x" {
		t.Errorf("a token for b sees %v", got)
	}
}

// The signer's keys arrive with its word for them, in the client's form of it.
func TestOnlineKeysAreSigned(t *testing.T) {
	h := harness.Start(t)
	var info api.ServerInfo
	if err := h.Client("").Call(t.Context(), http.MethodGet, api.ServerPath, nil, &info); err != nil {
		t.Fatal(err)
	}
	var answer api.OnlineKeysResponse
	if err := h.Client(h.AdminToken).Call(t.Context(), http.MethodPost, api.OnlineKeysPath(app), nil, &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Keys) != 2 {
		t.Fatalf("%d keys", len(answer.Keys))
	}
	for _, k := range answer.Keys {
		if err := k.Verify(info.Identity, app, k.Role); err != nil {
			t.Error(err)
		}
		if err := k.Verify(info.Identity, "registry.example/team/other", k.Role); !errors.Is(err, tuf.RuleOnlineKey) {
			t.Errorf("a key for another repository: %v", err)
		}
		if err := k.Verify(harness.NewKey(t).Key(), app, k.Role); !errors.Is(err, tuf.RuleOnlineKey) {
			t.Errorf("by another identity: %v", err)
		}
	}
}

func TestBodies(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.MaxBody = 100_000 })
	h.Publisher(t, app).Init(t)
	path := api.PublishPath(app)
	for _, c := range []struct {
		name, media, body string
		want              error
	}{
		{"too large", api.TypeJSON, `{"files":[{"role":"` + strings.Repeat("x", 100_000) + `"}]}`, api.ErrTooLarge},
		{"not JSON", api.TypeJSON, "files", api.ErrBadRequest},
		{"empty", api.TypeJSON, "", api.ErrBadRequest},
		{"cut off", api.TypeJSON, `{"files":[`, api.ErrBadRequest},
		{"two documents", api.TypeJSON, `{"files":[]}{"files":[]}`, api.ErrBadRequest},
		{"an unknown member", api.TypeJSON, `{"files":[],"force":true}`, api.ErrBadRequest},
		{"not base64", api.TypeJSON, `{"files":[{"role":"targets","version":1,"content":"\u0000"}]}`, api.ErrBadRequest},
		{"a form", "application/x-www-form-urlencoded", "files=1", api.ErrMediaType},
		{"no media type", " ", "{}", api.ErrMediaType},
		{"too many files", api.TypeJSON, `{"files":[` + strings.Repeat(`{"role":"a","version":1,"content":""},`, api.MaxFiles) + `{"role":"a","version":1,"content":""}]}`, tuf.RuleLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := h.Client(h.AdminToken).Do(t.Context(), http.MethodPost, path, http.Header{"Content-Type": {c.media}}, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(a.Err(), c.want) {
				t.Errorf("got %v, expected %v", a.Err(), c.want)
			}
		})
	}
	a, err := h.Client(h.AdminToken).Do(t.Context(), http.MethodPost, path, http.Header{"Content-Encoding": {"gzip"}}, []byte("{}"))
	if err != nil || !errors.Is(a.Err(), api.ErrMediaType) {
		t.Errorf("a compressed body: %v %v", a.Err(), err)
	}
}

// Too many requests with one token, or with wrong ones, are told to wait.
func TestRates(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.Rates = server.Rates{Token: 0.1, Wrong: 0.1} // two at once, then one in ten seconds
	})
	limited := func(token string) bool {
		t.Helper()
		for range 5 {
			a, err := h.Client(token).Do(t.Context(), http.MethodGet, api.TokenPath, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if errors.Is(a.Err(), api.ErrTooManyRequests) {
				if a.Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				return true
			}
		}
		return false
	}
	other := h.Token(t, []string{api.ScopeRead}, "**")
	if !limited(h.AdminToken) {
		t.Error("one token has no limit")
	}
	if a, err := h.Client(other).Do(t.Context(), http.MethodGet, api.TokenPath, nil, nil); err != nil || a.Status != 200 {
		t.Errorf("another token shares its limit: %v %v", a, err)
	}
	if !limited("signet_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 52)) {
		t.Error("guessing has no limit")
	}
}

// What the server logs has no token in it, whatever happens.
func TestLogsHaveNoSecrets(t *testing.T) {
	log := &syncBuffer{}
	h := harness.Start(t, func(c *harness.Config) {
		c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	p := h.Publisher(t, app)
	p.Init(t)
	h.SignerFaults.Down(fmt.Errorf("broken"))
	_, err := p.Client.Publish(t.Context(), app, p.Next(t))
	if err == nil {
		t.Fatal("published without a signer")
	}
	wrong := "signet_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 52)
	if _, err := h.Client(wrong).Publish(t.Context(), app, p.Next(t)); err == nil {
		t.Fatal("published with a wrong token")
	}
	text := log.String()
	for _, secret := range []string{h.AdminToken[24:], strings.Repeat("b", 20), "BEGIN"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	if id, _ := server.TokenID(h.AdminToken); !strings.Contains(text, "token="+id) || !strings.Contains(text, "broken") {
		t.Errorf("the log does not tell who published, or what broke:\n%s", text)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestMetrics(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	a := get(t, http.DefaultClient, h.HealthURL+"/metrics")
	for _, line := range []string{
		`signet_http_requests_total{method="POST",route="/v1/publish/{repository}",status="200"} 1`,
		`signet_publishes_total{result="ok"} 1`,
		`signet_server_info{version="test"} 1`,
		"process_resident_memory_bytes",
	} {
		if !bytes.Contains(a.Body, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	if bytes.Contains(a.Body, []byte("registry.example")) {
		t.Error("a repository's name in a label: their number has no bound")
	}
}
