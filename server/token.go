package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// tokenPattern is "signet_<id>_<secret>": 80 random bits to name it in logs and
// lists, 256 to prove it.
var tokenPattern = regexp.MustCompile(`^signet_([a-z2-7]{16})_([a-z2-7]{52})$`)

// NewToken makes a token: what its bearer shows, which is kept nowhere, and what
// the store keeps. expires may be zero.
func NewToken(name string, scopes, repositories []string, now, expires time.Time) (secret string, token Token, hash string, err error) {
	secret = "signet_" + randomWord(10) + "_" + randomWord(32)
	token, hash, err = TokenOf(secret, name, scopes, repositories, now, expires)
	return secret, token, hash, err
}

// TokenOf returns what the store keeps of a token that was made before.
func TokenOf(secret, name string, scopes, repositories []string, now, expires time.Time) (token Token, hash string, err error) {
	id, ok := TokenID(secret)
	if !ok {
		return Token{}, "", errors.New("not a token; expected signet_<id>_<secret>")
	}
	for _, scope := range scopes {
		if !slices.Contains([]string{api.ScopeRead, api.ScopePublish, api.ScopeCreate, api.ScopeAdmin}, scope) {
			return Token{}, "", fmt.Errorf("scope %q: expected read, publish, create or admin", scope)
		}
	}
	if len(scopes) == 0 || len(repositories) == 0 {
		return Token{}, "", errors.New("a token needs at least one scope and one pattern of repositories")
	}
	for _, pattern := range repositories {
		if err := tuf.CheckPattern(pattern); err != nil {
			return Token{}, "", err
		}
	}
	if !expires.IsZero() && !expires.After(now) {
		return Token{}, "", fmt.Errorf("expiry %s is not in the future", expires.Format(time.RFC3339))
	}
	token = Token{ID: id, Name: name, Scopes: scopes, Repositories: repositories, Created: now, Expires: expires}
	return token, hashToken(secret), nil
}

// TokenID returns the ID in a token, and whether it has a token's form at all.
func TokenID(secret string) (id string, ok bool) {
	parts := tokenPattern.FindStringSubmatch(secret)
	if parts == nil {
		return "", false
	}
	return parts[1], true
}

func randomWord(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// hashToken is what the store has of a token. A plain hash is enough for a random
// secret of 256 bits.
func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
