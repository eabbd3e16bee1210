package tuf

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// An OnlineKey is a snapshot or timestamp key of the signer, signed by the
// signer's identity key together with its repository and role. A publisher puts
// no other online key into root: a server could otherwise slip in its own.
type OnlineKey struct {
	Repository string `json:"repository"`
	Role       string `json:"role"` // "snapshot" or "timestamp"
	Key        *Key   `json:"key"`
	Signature  []byte `json:"signature"` // by the identity key over Payload, base64
}

// Payload returns the bytes that the identity key signs: the canonical JSON of
//
//	{"_type":"signet-online-key","key":{TUF key object},"repository":"...","role":"..."}
func (k OnlineKey) Payload() ([]byte, error) {
	if k.Key == nil {
		return nil, errors.New("online key without a key")
	}
	key, err := json.Marshal(k.Key)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(key, &object); err != nil {
		return nil, err
	}
	return cjson.EncodeCanonical(map[string]any{
		"_type": "signet-online-key", "key": object, "repository": k.Repository, "role": k.Role,
	})
}

// Verify refuses, with RuleOnlineKey, a key that the signer with this
// identity did not hand out for just this repository and role.
func (k OnlineKey) Verify(identity *Key, repository, role string) error {
	refuse := func(format string, args ...any) error {
		return &Refusal{Repository: repository, Role: role, Rule: RuleOnlineKey, Clause: "Signet profile: the signer", Detail: fmt.Sprintf(format, args...)}
	}
	if k.Repository != repository || k.Role != role {
		return refuse("the server handed out an online key for %q, role %q", k.Repository, k.Role)
	}
	payload, err := k.Payload()
	if err != nil {
		return refuse("%v", err)
	}
	if identity == nil {
		return refuse("the signer's identity is not known; log in again")
	}
	if _, ok := identity.Public().(ed25519.PublicKey); !ok {
		return refuse("the signer's identity is an %s key, expected ed25519", identity.Algorithm())
	}
	if err := identity.Verify(payload, k.Signature); err != nil {
		return refuse("online key %s is not signed by the signer's identity %s", k.Key.ID(), identity.ID())
	}
	return nil
}
