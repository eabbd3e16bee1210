package api

import "github.com/signet-trust/signet/tuf"

// An OnlineKey is one of the signer's keys, as the signer vouches for it. A
// publisher puts no other into root: a server could otherwise slip in its own.
type OnlineKey = tuf.OnlineKey
