package server_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
)

// Limits differ by name, and publishers are told those that they will be held to.
func TestServerTellsTheRule(t *testing.T) {
	const day = 24 * time.Hour
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.MaxLife = map[string]time.Duration{"root": 500 * day}
		c.Server.Rules = []server.Rule{{
			Pattern: "registry.example/team/*", MaxLife: map[string]time.Duration{"root": 90 * day, "targets": 365 * day},
			Hardware: &attestation.Demand{MinFirmware: attestation.Version{Major: 5, Minor: 7}, Touch: true},
		}}
	})
	ask := func(path string) (info api.ServerInfo, err error) {
		err = h.Client("").Call(t.Context(), http.MethodGet, path, nil, &info)
		return info, err
	}
	for _, c := range []struct {
		path                       string
		rootLife, maxRoot, maxRole time.Duration
		hardware                   *api.Hardware
	}{
		{api.ServerPath, 365 * day, 500 * day, 400 * day, nil},
		{api.ServerPathOf("registry.example/other/app"), 365 * day, 500 * day, 400 * day, nil},
		{api.ServerPathOf(app), 90 * day, 90 * day, 365 * day, &api.Hardware{MinFirmware: "5.7.0", Touch: true}},
	} {
		info, err := ask(c.path)
		if err != nil {
			t.Fatal(err)
		}
		in := func(s int64) time.Duration { return time.Duration(s) * time.Second }
		if in(info.Lives["root"]) != c.rootLife || in(info.MaxLives["root"]) != c.maxRoot || in(info.MaxLives["targets"]) != c.maxRole {
			t.Errorf("%s: lives %v, at most %v", c.path, info.Lives, info.MaxLives)
		}
		if diff := cmp.Diff(c.hardware, info.Hardware); diff != "" {
			t.Errorf("%s: hardware, expected -, told +:\n%s", c.path, diff)
		}
	}
	if _, err := ask(api.ServerPath + "?repository=App"); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("of what is no name: %v", err)
	}
}
