package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/tuf"
)

func testTokens(t *testing.T, db *store.DB) {
	hash := func(secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(sum[:])
	}
	alice := store.Token{ID: "a1", Name: "Alice's laptop, büro", Scopes: []string{"read", "publish"},
		Repositories: []string{"registry.example/team/*", "docker.io/library/alpine"},
		Created:      start(), Expires: start().Add(time.Hour)}
	admin := store.Token{ID: "b2", Scopes: []string{"admin"}, Created: start().Add(time.Second)}
	is(t, db.CreateToken(t.Context(), alice, hash("alice")), nil)
	is(t, db.CreateToken(t.Context(), admin, hash("admin")), nil)
	is(t, db.CreateToken(t.Context(), alice, hash("another secret, same ID")), tuf.ErrConflict)
	eve := admin
	eve.ID = "e3"
	is(t, db.CreateToken(t.Context(), eve, hash("alice")), tuf.ErrConflict)

	got, err := db.TokenByHash(t.Context(), hash("alice"), start())
	is(t, err, nil)
	same(t, got, alice)
	_, err = db.TokenByHash(t.Context(), hash("alice"), alice.Expires.Add(-time.Second))
	is(t, err, nil)
	_, err = db.TokenByHash(t.Context(), hash("alice"), alice.Expires)
	is(t, err, tuf.ErrNotFound)
	for _, unknown := range []string{hash("mallory"), "", "alice", hash("alice")[:63], "\x00", "%"} {
		_, err = db.TokenByHash(t.Context(), unknown, start())
		is(t, err, tuf.ErrNotFound)
	}

	p := first(app)
	p.By = "a1"
	publish(t, db, p)
	list, err := db.Tokens(t.Context())
	is(t, err, nil)
	alice.LastPublished = p.At
	same(t, len(list), 2)
	same(t, list[0], alice)
	got, err = db.TokenByHash(t.Context(), hash("admin"), start().Add(1000*time.Hour))
	is(t, err, nil)
	same(t, got.ID, "b2")

	is(t, db.RevokeToken(t.Context(), "a1", start().Add(time.Minute)), nil)
	is(t, db.RevokeToken(t.Context(), "a1", start().Add(time.Hour)), nil)
	is(t, db.RevokeToken(t.Context(), "nobody", start()), tuf.ErrNotFound)
	_, err = db.TokenByHash(t.Context(), hash("alice"), start())
	is(t, err, tuf.ErrNotFound)
	list, err = db.Tokens(t.Context())
	is(t, err, nil)
	same(t, list[0].Revoked, start().Add(time.Minute))

	for name, bad := range map[string]store.Token{
		"no ID":                   {Scopes: admin.Scopes, Created: start()},
		"no scopes":               {ID: "x", Created: start()},
		"no time":                 {ID: "x", Scopes: admin.Scopes},
		"two scopes in one":       {ID: "x", Scopes: []string{"read admin"}, Created: start()},
		"two patterns in one":     {ID: "x", Scopes: admin.Scopes, Repositories: []string{"a\nb"}, Created: start()},
		"an empty pattern":        {ID: "x", Scopes: admin.Scopes, Repositories: []string{""}, Created: start()},
		"a name with a NUL in it": {ID: "x", Scopes: admin.Scopes, Name: "\x00", Created: start()},
	} {
		if err := db.CreateToken(t.Context(), bad, hash("bad")); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
}
