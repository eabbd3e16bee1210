package signer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// A Service is the signer. It is safe for concurrent use; requests for one
// repository take turns. Several processes may share a database: one that loses
// a race is told tuf.ErrConflict.
type Service struct {
	config   Config
	wrapper  KeyWrapper
	db       *database
	identity *storedKey

	mu    sync.Mutex
	turns map[string]*turn // by repository, while somebody works or waits
}

// Open opens the signer in c.Dir, and makes one there when there is none: a
// database, a key-encryption key and an identity key.
func Open(ctx context.Context, c Config) (*Service, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open signer: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*Service, error) {
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	// The key-encryption key is made first: a crash in between leaves a key
	// without a database, never a database whose key is lost.
	_, err := os.Stat(c.database())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	wrapper, err := c.wrapper(err != nil)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, c.database(), true)
	if err != nil {
		return nil, err
	}
	s := &Service{config: c, wrapper: wrapper, db: db, turns: map[string]*turn{}}
	if s.identity, err = s.openIdentity(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// openIdentity returns the identity key, makes it when there is none, and checks
// that the wrapper opens it: a wrong key-encryption key is told at once.
func (s *Service) openIdentity(ctx context.Context) (*storedKey, error) {
	keys, err := s.db.keys(ctx, "", roleIdentity)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		if _, err := s.makeKey(ctx, "", roleIdentity, 0); err != nil && !errors.Is(err, tuf.ErrConflict) {
			return nil, err
		}
		if keys, err = s.db.keys(ctx, "", roleIdentity); err != nil {
			return nil, err
		}
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("the database has %d identity keys, expected one", len(keys))
	}
	return keys[0], keys[0].use(ctx, s.wrapper, func(tuf.Signer) error { return nil })
}

// Close ends the service, after what it is doing.
func (s *Service) Close() error { return s.db.Close() }

// Ready returns nil when the signer can sign: its keys open, its database takes
// writes.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.identity.use(ctx, s.wrapper, func(tuf.Signer) error { return nil }); err != nil {
		return unavailable("open the identity key", err)
	}
	return s.db.tx(ctx, "write", func(tx *sql.Tx) error {
		_, err := readLogHead(ctx, tx) // inside an immediate transaction, which needs the right to write
		return err
	})
}

// Identity returns who the signer is and how long its signatures live.
func (s *Service) Identity(context.Context) (*api.Identity, error) {
	return &api.Identity{Key: s.identity.public, SnapshotLife: s.config.SnapshotLife, TimestampLife: s.config.TimestampLife}, nil
}

// OnlineKeys returns the keys that the next root of repository is to list: one
// for snapshot and one for timestamp, each with the identity's signature. They
// are made when there are none. After RotateOnlineKeys they are others than the
// current root lists; the signer goes on with those until root changes.
func (s *Service) OnlineKeys(ctx context.Context, repository string) ([]api.OnlineKey, error) {
	if err := tuf.CheckRepository(repository); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.handOut(ctx, repository, func(string, []*storedKey) bool { return false })
}

// RotateOnlineKeys makes fresh online keys for repository and returns them, as
// OnlineKeys does from now on. The next root is to list them; until then the old
// ones sign.
func (s *Service) RotateOnlineKeys(ctx context.Context, repository string) ([]api.OnlineKey, error) {
	if err := tuf.CheckRepository(repository); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.handOut(ctx, repository, func(string, []*storedKey) bool { return true })
}

// FreshOnlineKeys makes fresh keys for the roles that are named, snapshot, timestamp or
// both, unless it made some before that no root lists yet: whoever asks again, or at
// the same time, is given the same. It returns the newest key of either role, as
// OnlineKeys does from now on; until a root lists them the old ones sign. It is
// tuf.ErrNotFound where nothing was ever signed for: there OnlineKeys makes the first.
func (s *Service) FreshOnlineKeys(ctx context.Context, repository string, roles []string) ([]api.OnlineKey, error) {
	if err := api.CheckFresh(repository, roles); err != nil {
		return nil, err
	}
	done, err := s.turn(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer done()
	known, err := s.db.record(ctx, repository)
	if err != nil {
		return nil, err
	}
	if known.root == nil {
		return nil, fmt.Errorf("%s: nothing was signed for it yet, so there are no keys to put fresh ones in place of: %w", repository, tuf.ErrNotFound)
	}
	root, err := tuf.ReadRoot(known.root)
	if err != nil {
		return nil, err
	}
	return s.handOut(ctx, repository, func(role string, keys []*storedKey) bool {
		listed := root.Signed.Roles[role]
		return slices.Contains(roles, role) && listed != nil && slices.Contains(listed.KeyIDs, keys[0].public.ID())
	})
}

// handOut returns the newest online keys, signed, and makes them when there are
// none or fresh ones are wanted.
func (s *Service) handOut(ctx context.Context, repository string, fresh func(role string, keys []*storedKey) bool) ([]api.OnlineKey, error) {
	var list []api.OnlineKey
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		keys, err := s.db.keys(ctx, repository, role)
		if err != nil {
			return nil, err
		}
		wanted := len(keys) > 0 && fresh(role, keys)
		if wanted || len(keys) == 0 {
			_, err := s.makeKey(ctx, repository, role, len(keys))
			if err != nil && (wanted || !errors.Is(err, tuf.ErrConflict)) {
				return nil, err
			}
			if keys, err = s.db.keys(ctx, repository, role); err != nil {
				return nil, err
			}
		}
		handed := api.OnlineKey{Repository: repository, Role: role, Key: keys[0].public}
		payload, err := handed.Payload()
		if err != nil {
			return nil, err
		}
		err = s.identity.use(ctx, s.wrapper, func(identity tuf.Signer) error {
			handed.Signature, err = identity.Sign(ctx, payload)
			return err
		})
		if err != nil {
			return nil, unavailable("sign an online key", err)
		}
		list = append(list, handed)
	}
	return list, nil
}

// makeKey makes a key beside the number that are there.
func (s *Service) makeKey(ctx context.Context, repository, role string, there int) (*storedKey, error) {
	key, err := newKey(ctx, s.wrapper, repository, role, s.now().Unix())
	if err != nil {
		return nil, unavailable("make a key", err)
	}
	if err := s.db.addKey(ctx, key, there, s.config.MaxRepositories); err != nil {
		return nil, err
	}
	s.config.Log.InfoContext(ctx, "made a key", "repository", repository, "role", role, "key", key.public.ID())
	return key, nil
}

// VerifyLog checks the whole log and returns where it ends.
func (s *Service) VerifyLog(ctx context.Context) (*LogReport, error) { return s.db.verifyLog(ctx, nil) }

func (s *Service) now() time.Time { return s.config.Now() }

// unavailable marks trouble of the signer's own.
func unavailable(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, api.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", api.ErrUnavailable, what, err)
}

// A turn is the right to work on one repository: whoever gets its token.
type turn struct {
	token chan struct{}
	users int // who has it or waits for it
}

// turn waits for the right to work on repository. done gives it back.
func (s *Service) turn(ctx context.Context, repository string) (done func(), err error) {
	s.mu.Lock()
	t := s.turns[repository]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		s.turns[repository] = t
	}
	t.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.turns, repository)
		}
	}
	select {
	case t.token <- struct{}{}:
		return func() { <-t.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
