package signer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// roleIdentity is the role of the identity key, which belongs to no repository.
const roleIdentity = "identity"

// A storedKey is one key as it lies in the database.
type storedKey struct {
	repository string
	role       string // roleIdentity, tuf.RoleSnapshot or tuf.RoleTimestamp
	public     *tuf.Key
	sealed     []byte // the Ed25519 seed, by KeyWrapper
	createdAt  int64
}

// newKey makes a key. Ed25519 throughout: a signature needs no random number
// that could fail or repeat, and every TUF client verifies it.
func newKey(ctx context.Context, wrapper KeyWrapper, repository, role string, at int64) (*storedKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	seed := private.Seed()
	defer clear(seed)
	key, err := tuf.NewKey(public)
	if err != nil {
		return nil, err
	}
	k := &storedKey{repository: repository, role: role, public: key, createdAt: at}
	k.sealed, err = wrapper.Wrap(ctx, seed, k.associated())
	if err != nil {
		return nil, fmt.Errorf("seal key %s: %w", key.ID(), err)
	}
	return k, nil
}

// associated binds the envelope to what the key is for. None of the parts can
// hold a line end.
func (k *storedKey) associated() []byte {
	return []byte(strings.Join([]string{"signet-signer-key", k.repository, k.role, k.public.ID()}, "\n"))
}

// use opens the key, hands it to do, and wipes it.
func (k *storedKey) use(ctx context.Context, wrapper KeyWrapper, do func(tuf.Signer) error) error {
	seed, err := wrapper.Unwrap(ctx, k.sealed, k.associated())
	if err != nil {
		return fmt.Errorf("key %s (%s of %q): %w", k.public.ID(), k.role, k.repository, err)
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return fmt.Errorf("key %s (%s of %q): a seed of %d bytes", k.public.ID(), k.role, k.repository, len(seed))
	}
	private := ed25519.NewKeyFromSeed(seed)
	defer clear(private)
	signer, err := tuf.NewSigner(private)
	if err != nil {
		return err
	}
	if signer.Key().ID() != k.public.ID() {
		return fmt.Errorf("key %s (%s of %q): the stored private key is another one", k.public.ID(), k.role, k.repository)
	}
	return do(signer)
}

// signFile signs md with key and returns the file's bytes.
func signFile[T metadata.Roles](ctx context.Context, wrapper KeyWrapper, key *storedKey, md *metadata.Metadata[T]) ([]byte, error) {
	err := key.use(ctx, wrapper, func(signer tuf.Signer) error { return tuf.Sign(ctx, md, signer) })
	if err != nil {
		return nil, unavailable("sign", err)
	}
	return tuf.Encode(md)
}
