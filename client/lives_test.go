package client

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestLives bounds what a server advises.
func TestLives(t *testing.T) {
	const year = 365 * 24 * 3600
	for name, c := range map[string]struct {
		lives, most map[string]int64
		want        map[string]time.Duration
	}{
		"what is sensible": {map[string]int64{"root": year, "targets": 3600, "signer": 60, "snapshot": 7, "nonsense": 5}, nil,
			map[string]time.Duration{"root": year * time.Second, "targets": time.Hour, "signer": time.Minute}},
		"nothing":                   {nil, nil, map[string]time.Duration{}},
		"zero and less":             {map[string]int64{"root": 0, "targets": -1, "signer": math.MinInt64}, nil, map[string]time.Duration{}},
		"for ever":                  {map[string]int64{"root": 100 * year, "targets": 100 * year}, nil, map[string]time.Duration{"root": tuf.DefaultMaxLife("root"), "targets": tuf.DefaultMaxLife("targets")}},
		"more than a duration has":  {map[string]int64{"root": math.MaxInt64, "signer": math.MaxInt64/1_000_000_000 + 1}, nil, map[string]time.Duration{"root": tuf.DefaultMaxLife("root"), "signer": tuf.DefaultMaxLife("ci")}},
		"above what it takes":       {map[string]int64{"root": year}, map[string]int64{"root": 60, "targets": 5}, map[string]time.Duration{"root": time.Minute}},
		"what it takes is nonsense": {map[string]int64{"root": 60}, map[string]int64{"root": -5}, map[string]time.Duration{"root": time.Minute}},
	} {
		if diff := cmp.Diff(c.want, Lives(&api.ServerInfo{Lives: c.lives, MaxLives: c.most})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
