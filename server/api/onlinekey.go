package api

import "github.com/signet-trust/signet/tuf"

// An OnlineKey is one of the signer's keys, as the signer vouches for it. A
// publisher puts no other into root: a server could otherwise slip in its own.
type OnlineKey = tuf.OnlineKey

// An OnlineKeysRequest is the body of a request for online keys, which may be absent.
type OnlineKeysRequest struct {
	// Rotate are the roles, "snapshot", "timestamp" or both, that fresh keys are to be
	// made for. The next root has to list them. Until it is published, whoever asks
	// again is given the same.
	Rotate []string `json:"rotate,omitempty"`
}
