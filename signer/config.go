package signer

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Defaults of Config.
const (
	DefaultSnapshotLife    = 7 * 24 * time.Hour
	DefaultTimestampLife   = 24 * time.Hour
	DefaultMaxRepositories = 100_000

	// DatabaseName and KeyFileName are the files in Config.Dir.
	DatabaseName = "signer.db"
	KeyFileName  = "key-encryption-key.pem"

	minLife = time.Second

	// maxAdopted is how far the versions of files that the signer has not seen may
	// be above what it knows, where there may be such files: more publishes than
	// any repository has had, and far from the largest version.
	maxAdopted = 1_000_000_000
)

// Config says where a signer keeps its state and how far it goes. Only Dir must
// be given.
type Config struct {
	// Dir holds the database. It is created, for its owner only, when absent.
	Dir string
	// KeyFile is the file of the key-encryption key; "" means KeyFileName in Dir.
	// It is made together with a new database, and never for one that is there.
	// Keep it, and its backup, apart from the database where you can.
	KeyFile string
	// Wrapper seals private keys in place of KeyFile: a KMS, say.
	Wrapper KeyWrapper

	SnapshotLife  time.Duration // how long a snapshot lives; 0 means 7 days, at most 31
	TimestampLife time.Duration // how long a timestamp lives; 0 means 24 hours, at most 8 days
	// MaxLife is the furthest expiry that new root, targets and signers' files
	// may have, by role, with "signer" for delegated ones. What is absent is
	// tuf.DefaultMaxLife.
	MaxLife map[string]time.Duration
	// MaxRepositories bounds how many repositories get keys; 0 means 100,000.
	MaxRepositories int
	// AdoptExisting takes repositories that another signer has signed for: the
	// first request for a repository may have any versions up to 1,000,000,000.
	// Without it they are all 1.
	AdoptExisting bool
	Limits        tuf.Limits // of one file; zero fields are tuf's defaults

	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil means no log
}

// withDefaults fills what was left zero and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("the signer needs a folder for its data")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, err
	}
	c.Dir = dir
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Dir, KeyFileName)
	}
	for _, life := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{{tuf.RoleSnapshot, &c.SnapshotLife, DefaultSnapshotLife}, {tuf.RoleTimestamp, &c.TimestampLife, DefaultTimestampLife}} {
		if *life.value == 0 {
			*life.value = life.def
		}
		if most := tuf.DefaultMaxLife(life.name); *life.value < minLife || *life.value > most {
			return c, fmt.Errorf("%s life %s: expected %s to %s", life.name, *life.value, minLife, most)
		}
	}
	if c.SnapshotLife < c.TimestampLife {
		return c, fmt.Errorf("snapshot life %s is shorter than timestamp life %s", c.SnapshotLife, c.TimestampLife)
	}
	if c.MaxRepositories == 0 {
		c.MaxRepositories = DefaultMaxRepositories
	}
	c.Limits = c.Limits.WithDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// database returns the path of the database file.
func (c Config) database() string { return filepath.Join(c.Dir, DatabaseName) }

// maxLife returns the furthest that a new file of role may expire from now.
func (c Config) maxLife(role string) time.Duration {
	if !tuf.IsTopLevel(role) {
		if life, ok := c.MaxLife["signer"]; ok {
			return life
		}
	}
	if life, ok := c.MaxLife[role]; ok {
		return life
	}
	return tuf.DefaultMaxLife(role)
}
