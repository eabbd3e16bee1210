package client

import (
	"math"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// Lives returns how long new files should live, for Publisher.Life, as a server
// advises. What it advises is bounded by what it says that it takes at most, and
// by tuf.DefaultMaxLife: a server that lies, or a mistake in its configuration,
// must not make people sign for ever. Advice of nothing, or less, is none.
func Lives(info *api.ServerInfo) map[string]time.Duration {
	lives := map[string]time.Duration{}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, anySigner} {
		advised, ok := seconds(info.Lives[role])
		if !ok {
			continue
		}
		if most, ok := seconds(info.MaxLives[role]); ok {
			advised = min(advised, most)
		}
		lives[role] = min(advised, tuf.DefaultMaxLife(role))
	}
	return lives
}

// anySigner stands for all delegated roles where lives are told by role.
const anySigner = "signer"

// seconds is a number of seconds as a duration, which stops at the largest; ok is
// false for none.
func seconds(n int64) (d time.Duration, ok bool) {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * time.Second, n > 0
}
