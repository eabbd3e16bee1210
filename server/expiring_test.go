package server_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// expiring reads all pages of what expires within a time from now.
func expiring(t *testing.T, h *harness.Harness, token string, within time.Duration, limit int) []string {
	t.Helper()
	var list []string
	for after, pages := "", 0; ; pages++ {
		var page api.ExpiringResponse
		path := api.ExpiringPath(h.Clock.Now().Add(within), after, limit)
		if err := h.Client(token).Call(t.Context(), http.MethodGet, path, nil, &page); err != nil {
			t.Fatal(err)
		}
		if limit > 0 && len(page.Roles) > limit {
			t.Fatalf("%d roles, asked for %d", len(page.Roles), limit)
		}
		for _, e := range page.Roles {
			list = append(list, strings.TrimPrefix(e.Repository, "registry.example/")+" "+e.Role)
		}
		if after = page.Next; after == "" {
			return list
		}
		if pages > 100 {
			t.Fatal("pages without an end")
		}
	}
}

const day = 24 * time.Hour

// What expires soon is told over all repositories that a token covers, and no others.
func TestExpiring(t *testing.T) {
	h := harness.Start(t)
	publishers := map[string]*harness.Publisher{}
	for _, name := range []string{"team/a", "team/b", "other/c"} {
		p := h.Publisher(t, "registry.example/"+name)
		p.Init(t) // root for a year, targets for 180 days
		publishers[name] = p
		h.Clock.Advance(time.Hour)
	}
	team := h.Token(t, []string{api.ScopeRead}, "registry.example/team/*")
	for _, limit := range []int{0, 1, 2} {
		for _, c := range []struct {
			token  string
			within time.Duration
			want   []string
		}{
			{h.AdminToken, 30 * day, nil},
			{h.AdminToken, 181 * day, []string{"team/a targets", "team/b targets", "other/c targets"}},
			{team, 181 * day, []string{"team/a targets", "team/b targets"}},
			{team, 366 * day, []string{"team/a targets", "team/b targets", "team/a root", "team/b root"}},
			{h.Token(t, []string{api.ScopeRead}, "registry.example/none/*"), 366 * day, nil},
		} {
			if got := expiring(t, h, c.token, c.within, limit); !slices.Equal(got, c.want) {
				t.Errorf("within %s, limit %d: %v, expected %v", c.within, limit, got, c.want)
			}
		}
	}
	// Renewing takes it off, and what has expired stays.
	h.Clock.Advance(170 * day)
	p := publishers["team/a"]
	p.Targets.Signed.Expires = h.Clock.Now().AddDate(0, 0, 180).UTC().Truncate(time.Second)
	p.Publish(t)
	if got := expiring(t, h, team, 30*day, 0); !slices.Equal(got, []string{"team/b targets"}) {
		t.Errorf("after renewing a: %v", got)
	}
	h.Clock.Advance(50 * day)
	if got := expiring(t, h, team, 0, 0); !slices.Equal(got, []string{"team/b targets"}) {
		t.Errorf("what has expired: %v", got)
	}
}

// A signer's file counts while somebody delegates to it, and not when it was removed:
// it stays in the snapshot for ever.
func TestExpiringFollowsTheTree(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	bob := harness.NewKey(t)
	file := tuf.NewTargets(1, h.Clock.Now().Add(20*day))
	if err := tuf.Sign(t.Context(), file, bob); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(file)
	if err != nil {
		t.Fatal(err)
	}
	id := bob.Key().ID()
	p.Targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{id: bob.Key().Metadata()}, Roles: []metadata.DelegatedRole{
		{Name: "bob", KeyIDs: []string{id}, Threshold: 1, Paths: []string{app + ":*", app + ":*@sha256:*"}},
	}}
	if _, err := p.Client.Publish(t.Context(), app, p.Next(t), tuf.File{Role: "bob", Version: 1, Bytes: data}); err != nil {
		t.Fatal(err)
	}
	if got := expiring(t, h, h.AdminToken, 30*day, 0); !slices.Equal(got, []string{"team/app bob"}) {
		t.Errorf("%v", got)
	}
	p.Publish(t) // tags, but the same signers
	if got := expiring(t, h, h.AdminToken, 30*day, 0); !slices.Equal(got, []string{"team/app bob"}) {
		t.Errorf("after another publish: %v", got)
	}
	p.Targets.Signed.Delegations = nil
	p.Publish(t)
	if got := expiring(t, h, h.AdminToken, 30*day, 0); len(got) > 0 {
		t.Errorf("after removing bob: %v", got)
	}
}

// A database of an earlier release says nothing of expiries; the answer is right all
// the same, and so is one after such a release published beside this one.
func TestExpiringOfWhatWasStoredBefore(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.RefreshEvery = time.Hour })
	for _, name := range []string{"a", "b"} {
		h.Publisher(t, "registry.example/"+name).Init(t)
	}
	forget(t, h, "registry.example/a", 1)
	if got := expiring(t, h, h.AdminToken, 181*day, 0); !slices.Equal(got, []string{"a targets", "b targets"}) && !slices.Equal(got, []string{"b targets", "a targets"}) {
		t.Errorf("%v", got)
	}
	unknown, err := h.Store.UnknownExpiries(t.Context(), "", 10)
	if err != nil || len(unknown) > 0 {
		t.Errorf("still unknown: %v %v", unknown, err)
	}
}

// forget has the store know no expiry of repository any more, as if another release
// had written it.
func forget(t *testing.T, h *harness.Harness, repository string, generation int64) {
	t.Helper()
	list := []api.ExpiringRole{{Role: tuf.RoleRoot, Version: 99}, {Role: tuf.RoleTargets, Version: 99}}
	if err := h.Store.SetExpiries(t.Context(), repository, generation, list); err != nil {
		t.Fatal(err)
	}
}

// While it is not known when all files expire, nobody is told that it is, and what was
// read so far is not read again.
func TestExpiringIsNeverHalf(t *testing.T) {
	h := harness.Start(t)
	h.Publisher(t, app).Init(t)
	forget(t, h, app, 1)
	h.StoreFaults.Before(func(_ context.Context, call string) error {
		if call == "Head" {
			return broken{}
		}
		return nil
	})
	a, err := h.Client(h.AdminToken).Do(t.Context(), http.MethodGet, api.ExpiringPath(time.Time{}, "", 0), nil, nil)
	if err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("answered %d %v while the database does not", a.Status, err)
	}
	h.StoreFaults.Before(nil)
	if got := expiring(t, h, h.AdminToken, 181*day, 0); !slices.Equal(got, []string{"team/app targets"}) {
		t.Errorf("%v", got)
	}
}

// The metrics count, without naming anybody.
func TestExpiringMetrics(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server = server.Config{RefreshEvery: time.Hour} })
	h.Publisher(t, app).Init(t)
	h.Clock.Advance(160 * day)
	h.Publisher(t, "registry.example/team/new").Init(t)
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { h.Server.Run(ctx) })
	defer run.Wait()
	defer stop()
	want := map[string]bool{
		`signet_expiring_roles{role="root",within="30d"} 0`:        true,
		`signet_expiring_roles{role="targets",within="30d"} 1`:     true,
		`signet_expiring_roles{role="targets",within="7d"} 0`:      true,
		`signet_expiring_roles{role="targets",within="expired"} 0`: true,
		`signet_expiring_roles{role="signer",within="30d"} 0`:      true,
	}
	got := map[string]bool{}
	for len(got) < len(want) && t.Context().Err() == nil {
		body := string(get(t, http.DefaultClient, h.HealthURL+"/metrics").Body)
		for line := range want {
			if strings.Contains(body, line+"\n") {
				got[line] = true
			}
		}
		if strings.Contains(body, "registry.example") {
			t.Fatal("a metric names a repository")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
