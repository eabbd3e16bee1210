package server_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const app = "registry.example/team/app"

// verify holds what is served to what a client without state would check.
func verify(t *testing.T, h *harness.Harness, repository string) *tuf.Trusted {
	t.Helper()
	state, err := h.Client(h.AdminToken).State(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := tuf.CheckState(repository, state, h.Clock.Now(), tuf.Limits{})
	if err != nil {
		t.Fatalf("what is served does not verify: %v", err)
	}
	return trusted
}

// tags returns what the tags of repository mean.
func tags(t *testing.T, h *harness.Harness, repository string) map[string]string {
	t.Helper()
	trusted := verify(t, h, repository)
	tags := map[string]string{}
	for _, e := range tuf.Entries(trusted.Role(tuf.RoleTargets)) {
		if e.Image.Digest == "" {
			tags[e.Image.Tag] = e.Target.Digest
		}
	}
	return tags
}

func TestPublish(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	done := p.Init(t)
	if done.Generation != 1 || done.Versions[tuf.RoleTimestamp] != 1 {
		t.Fatalf("first publish: %+v", done)
	}
	p.Tag(t, "1.0", harness.Digest("one"))
	done = p.Publish(t)
	if done.Versions[tuf.RoleTargets] != 2 || done.Generation != 2 {
		t.Fatalf("second publish: %+v", done)
	}
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %s", got)
	}
}

func TestPublishAgainIsAcknowledged(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	file := p.Next(t)
	first, err := p.Client.Publish(t.Context(), app, file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Client.Publish(t.Context(), app, file)
	if err != nil {
		t.Fatal(err)
	}
	if first.Generation != again.Generation {
		t.Fatalf("the same publish moved the head from %d to %d", first.Generation, again.Generation)
	}
}

// A loser is told what is there now, and can build on it.
func TestPublishConflictTellsVersions(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	p.Targets.Signed.Version = 1 // as somebody who saw version 1 only
	p.Tag(t, "1.0", harness.Digest("two"))
	_, err := p.Client.Publish(t.Context(), app, p.Next(t))
	if !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("got %v, expected tuf.ErrConflict", err)
	}
	problem, ok := errors.AsType[*api.ProblemError](err)
	if !ok || problem.Versions[tuf.RoleTargets] != 2 || problem.Status != http.StatusConflict {
		t.Fatalf("the conflict does not tell the version: %+v", problem)
	}
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %s after a publish that lost", got)
	}
}

// Twenty publishers at once: exactly one wins each round, nothing is lost, and
// every loser is told.
func TestPublishersAtOnce(t *testing.T) {
	h := harness.Start(t)
	first := h.Publisher(t, app)
	first.Init(t)
	const publishers, rounds = 20, 3
	for round := range rounds {
		var mu sync.Mutex
		won := ""
		var wg sync.WaitGroup
		for i := range publishers {
			p := *first
			p.Targets = tuf.NewTargets(int64(round+1), h.Clock.Now().AddDate(0, 0, 90))
			digest := harness.Digest("round %d publisher %d", round, i)
			p.Tag(t, "1.0", digest)
			file := p.Next(t)
			wg.Go(func() {
				_, err := p.Client.Publish(context.Background(), app, file)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && won == "":
					won = digest
				case err == nil:
					t.Errorf("round %d: two winners", round)
				case !errors.Is(err, tuf.ErrConflict):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if got := tags(t, h, app)["1.0"]; won == "" || got != won {
			t.Fatalf("round %d: %q won, and 1.0 means %q", round, won, got)
		}
	}
}

func TestPublishRefusals(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.MaxLife = map[string]time.Duration{tuf.RoleTargets: 200 * 24 * time.Hour}
	})
	p := h.Publisher(t, app)
	p.Init(t)
	stranger := harness.NewKey(t)
	edit := func(do func(q *harness.Publisher)) func() []tuf.File {
		return func() []tuf.File {
			q := *p
			q.Targets = tuf.NewTargets(1, h.Clock.Now().AddDate(0, 0, 90))
			do(&q)
			return []tuf.File{q.Next(t)}
		}
	}
	for name, c := range map[string]struct {
		files func() []tuf.File
		rule  tuf.Rule
	}{
		"a stranger's key": {edit(func(q *harness.Publisher) { q.TargetsKey = stranger }), tuf.RuleThreshold},
		"expired": {edit(func(q *harness.Publisher) {
			q.Targets.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).Add(-time.Hour)
		}), tuf.RuleExpired},
		"expires too late": {edit(func(q *harness.Publisher) {
			q.Targets.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).AddDate(0, 0, 300)
		}), tuf.RuleExpiry},
		"another repository's": {edit(func(q *harness.Publisher) {
			q.Repository = "registry.example/team/other"
			q.Tag(t, "1", harness.Digest("x"))
		}), tuf.RulePath},
		"the signer's own role": {func() []tuf.File { return []tuf.File{{Role: tuf.RoleTimestamp, Version: 2, Bytes: []byte("{}")}} }, tuf.RuleOnlineKey},
		"not JSON":              {func() []tuf.File { return []tuf.File{{Role: tuf.RoleTargets, Version: 2, Bytes: []byte("{")}} }, tuf.RuleShape},
		"null":                  {func() []tuf.File { return []tuf.File{{Role: tuf.RoleTargets, Version: 2, Bytes: []byte("null")}} }, tuf.RuleShape},
		"nothing":               {func() []tuf.File { return nil }, tuf.RuleShape},
		"a role nobody delegated": {func() []tuf.File {
			f := edit(func(*harness.Publisher) {})()[0]
			f.Role, f.Version = "eve", 1
			return []tuf.File{f}
		}, tuf.RuleVersion},
		"not the one form": {func() []tuf.File {
			f := edit(func(*harness.Publisher) {})()[0]
			f.Bytes = append([]byte(" "), f.Bytes...)
			return []tuf.File{f}
		}, tuf.RuleCanonical},
		"a flipped byte": {func() []tuf.File {
			f := edit(func(q *harness.Publisher) { q.Tag(t, "1.0", harness.Digest("x")) })()[0]
			f.Bytes = bytes.Replace(f.Bytes, []byte(`"length":500`), []byte(`"length":501`), 1)
			return []tuf.File{f}
		}, tuf.RuleThreshold},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Client.Publish(t.Context(), app, c.files()...)
			if !errors.Is(err, c.rule) || !errors.Is(err, api.ErrRefused) {
				t.Fatalf("got %v, expected a refusal by rule %s", err, c.rule)
			}
			problem, _ := errors.AsType[*api.ProblemError](err)
			if problem.Clause == "" || problem.Status != http.StatusUnprocessableEntity {
				t.Errorf("the refusal names no clause: %+v", problem)
			}
		})
	}
	if v := verify(t, h, app).Role(tuf.RoleTargets).Signed.Version; v != 1 {
		t.Fatalf("targets version %d after refusals only", v)
	}
}

// An online key that is not the signer's would let whoever has it freeze the
// repository.
func TestForeignOnlineKeyIsRefused(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.First(t)
	if err := tuf.SetRoleKeys(p.Root, tuf.RoleTimestamp, tuf.RoleKeys{Keys: []*tuf.Key{harness.NewKey(t).Key()}}); err != nil {
		t.Fatal(err)
	}
	_, err := p.Client.Publish(t.Context(), app, p.SignRoot(t), p.SignTargets(t))
	if !errors.Is(err, tuf.RuleOnlineKey) {
		t.Fatalf("got %v, expected rule %s", err, tuf.RuleOnlineKey)
	}
	if _, err := h.Store.Head(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
		t.Fatalf("the repository exists: %v", err)
	}
}

func TestRootKeysByRule(t *testing.T) {
	alice := harness.NewKey(t)
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.Rules = []server.Rule{{Pattern: "registry.example/team/*", RootKeys: []string{alice.Key().ID()}}}
	})
	eve := h.Publisher(t, app)
	if _, err := eve.Client.Publish(t.Context(), app, eve.First(t)...); !errors.Is(err, tuf.RuleAnchor) {
		t.Fatalf("eve's root key: got %v, expected rule %s", err, tuf.RuleAnchor)
	}
	p := h.Publisher(t, app)
	p.RootKey = alice
	p.Init(t)
	other := h.Publisher(t, "registry.example/other/app")
	other.Init(t) // no rule for this name
}

// A root rotation: signed by the old and the new key, in one publish.
func TestRotateRoot(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	old, next := p.RootKey, harness.NewKey(t)
	if err := tuf.SetRoleKeys(p.Root, tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{next.Key()}}); err != nil {
		t.Fatal(err)
	}
	p.Root.Signed.Version = 2
	p.RootKey = next
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); !errors.Is(err, tuf.RuleThreshold) {
		t.Fatalf("signed by the new key only: %v", err)
	}
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t, old)); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, h, app).Root().Signed.Version; v != 2 {
		t.Fatalf("root version %d", v)
	}
	// The chain stays: a client with version 1 walks it.
	if _, err := p.Client.File(t.Context(), app, "1.root.json"); err != nil {
		t.Fatal(err)
	}
}

func TestSignerDown(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.SignerFaults.Down(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("10.1.2.3:4444: connection refused")})
	p.Tag(t, "1.0", harness.Digest("one"))
	file := p.Next(t)
	_, err := p.Client.Publish(t.Context(), app, file)
	if !errors.Is(err, api.ErrSignerUnavailable) {
		t.Fatalf("got %v, expected api.ErrSignerUnavailable", err)
	}
	if strings.Contains(err.Error(), "10.1.2.3") || !strings.Contains(err.Error(), "signer") {
		t.Fatalf("it should say what is wrong, without addresses: %v", err)
	}
	verify(t, h, app) // reads go on
	a := get(t, http.DefaultClient, h.HealthURL+"/readyz")
	if a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte("degraded")) {
		t.Fatalf("readyz: %d %s", a.Status, a.Body)
	}
	h.SignerFaults.Down(nil)
	if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
		t.Fatalf("after the signer is back: %v", err)
	}
}

// broken is a database that does not work.
type broken struct{}

func (broken) Error() string { return "database unavailable" }
func (broken) Cause() string { return "dial tcp 10.1.2.3:5432: connection refused" }

func TestStoreDown(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.StoreFaults.Down(broken{})
	for _, path := range []string{api.FilePath(app, "timestamp.json"), api.TokenPath} {
		a, err := p.Client.Do(t.Context(), http.MethodGet, path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(a.Err(), api.ErrStoreUnavailable) || a.Status != http.StatusServiceUnavailable {
			t.Fatalf("%s: %v", path, a.Err())
		}
		if strings.Contains(string(a.Body), "10.1.2.3") {
			t.Fatalf("%s tells the database's address: %s", path, a.Body)
		}
	}
	if a := get(t, http.DefaultClient, h.HealthURL+"/readyz"); a.Status != http.StatusServiceUnavailable {
		t.Fatalf("readyz: %d", a.Status)
	}
	if a := get(t, http.DefaultClient, h.HealthURL+"/healthz"); a.Status != http.StatusOK {
		t.Fatalf("healthz: %d", a.Status)
	}
}

// The server dies after the signer has signed and before the store has it. The
// next publish finishes that one first, whoever makes it.
func TestRollForward(t *testing.T) {
	died := errors.New("the server died here")
	setup := func(t *testing.T) (*harness.Harness, *harness.Publisher, tuf.File) {
		h := harness.Start(t)
		p := h.Publisher(t, app)
		p.Init(t)
		h.StoreFaults.Before(func(_ context.Context, call string) error {
			if call == "Publish" {
				return died
			}
			return nil
		})
		p.Tag(t, "1.0", harness.Digest("alice"))
		lost := p.Next(t)
		if _, err := p.Client.Publish(t.Context(), app, lost); !errors.Is(err, api.ErrUncertain) {
			t.Fatalf("publish into a dying store: %v", err)
		}
		h.StoreFaults.Before(nil)
		return h, p, lost
	}
	t.Run("the same again", func(t *testing.T) {
		h, p, lost := setup(t)
		if _, err := p.Client.Publish(t.Context(), app, lost); err != nil {
			t.Fatal(err)
		}
		if got := tags(t, h, app)["1.0"]; got != harness.Digest("alice") {
			t.Fatalf("1.0 means %s", got)
		}
	})
	t.Run("another publish", func(t *testing.T) {
		h, p, _ := setup(t)
		p.Targets.Signed.Version--
		p.Tag(t, "1.0", harness.Digest("bob"))
		_, err := p.Client.Publish(t.Context(), app, p.Next(t))
		if !errors.Is(err, tuf.ErrConflict) {
			t.Fatalf("got %v, expected tuf.ErrConflict", err)
		}
		if got := tags(t, h, app)["1.0"]; got != harness.Digest("alice") {
			t.Fatalf("1.0 means %s", got)
		}
		p.Publish(t) // on what is there now
	})
	t.Run("a refresh", func(t *testing.T) {
		h, _, _ := setup(t)
		h.Clock.Advance(13 * time.Hour)
		if n := h.Server.RefreshDue(t.Context()); n != 1 {
			t.Fatalf("refreshed %d", n)
		}
		if got := tags(t, h, app)["1.0"]; got != harness.Digest("alice") {
			t.Fatalf("1.0 means %s", got)
		}
	})
}

// A refresh that moves the head while a publish is being signed costs a round, not
// the publish.
func TestRefreshDuringPublish(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.Clock.Advance(13 * time.Hour)
	once := true
	h.StoreFaults.Before(func(ctx context.Context, call string) error {
		if call == "Publish" && once {
			once = false
			h.Server.RefreshDue(ctx)
		}
		return nil
	})
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %s", got)
	}
}

// An answer that is lost on its way is no reason to lose the publish.
func TestCommitWithoutAnswer(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.StoreFaults.After(func(_ context.Context, call string) error {
		if call == "Publish" {
			return broken{}
		}
		return nil
	})
	p.Tag(t, "1.0", harness.Digest("one"))
	file := p.Next(t)
	if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
		t.Fatalf("it is there, and the server can see it: %v", err)
	}
	h.StoreFaults.After(nil)
	if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
		t.Fatal(err)
	}
}
