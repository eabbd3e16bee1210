package yubikey

import (
	"cmp"
	"context"
	"crypto"
	"fmt"

	"github.com/signet-trust/signet/tuf"
)

// Import puts a private key into a slot, and a certificate beside it that says
// that it was imported: there may be copies, and no stick will ever attest it.
// The algorithm is the key's own. Whoever has the key overwrites it.
func (st *Stick) Import(ctx context.Context, r Request, private crypto.Signer) (Made, error) {
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		return Made{}, fmt.Errorf("%s: %w", st, err)
	}
	if r.Algorithm = cmp.Or(r.Algorithm, key.Algorithm()); r.Algorithm != key.Algorithm() {
		return Made{}, fmt.Errorf("%s: the key is of %s, not of %s", st, key.Algorithm(), r.Algorithm)
	}
	r.PIN, r.Touch = cmp.Or(r.PIN, Always), cmp.Or(r.Touch, Always)
	if err := r.check(st.info.Firmware); err != nil {
		return Made{}, fmt.Errorf("%s: %w", st, err)
	}
	return withTurn(ctx, st, func(t *talk) (Made, error) { return t.importKey(ctx, r, key, private) })
}

func (t *talk) importKey(ctx context.Context, r Request, key *tuf.Key, private crypto.Signer) (Made, error) {
	slot, err := t.freeSlot(ctx, r)
	if err != nil {
		return Made{}, err
	}
	managementKey, err := t.manage(ctx, r.ManagementKey, func(c card, managementKey []byte) error {
		return c.Import(managementKey, slot, r, private)
	})
	defer clear(managementKey)
	if err != nil {
		return Made{}, err
	}
	made := Made{}
	if err := t.describe(ctx, &made, slot, key, managementKey, r, Imported); err != nil {
		return Made{}, fmt.Errorf("key %s was imported into slot %s, but not finished: %w", key.ID(), slot, err)
	}
	made.PIN, made.Touch = cmp.Or(made.PIN, r.PIN), cmp.Or(made.Touch, r.Touch)
	t.asker().Notice(fmt.Sprintf("imported key %s (%s) into slot %s of %s: PIN %s, touch %s", key.ID(), key.Algorithm(), slot, t, r.PIN, r.Touch))
	return made, nil
}
