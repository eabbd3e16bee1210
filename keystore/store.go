package keystore

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/adrg/xdg"

	"github.com/signet-trust/signet/tuf"
)

// A Store is a folder of key files.
type Store struct {
	Dir string // made, mode 0700, when the first key is written
}

// DefaultDir is where a person's keys are: $XDG_DATA_HOME/signet/keys.
func DefaultDir() string { return filepath.Join(xdg.DataHome, "signet", "keys") }

// Generate makes a key and writes its file. It asks twice for the passphrase.
func (s Store) Generate(ctx context.Context, spec Spec, prompter Prompter) (Entry, error) {
	private, err := newPrivate(spec.Algorithm)
	if err != nil {
		return Entry{}, err
	}
	defer wipeKey(private)
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Key: key, Name: spec.Name, Role: spec.Role}
	if err := s.checkNew(e); err != nil { // before the person types anything
		return Entry{}, err
	}
	passphrase, err := newPassphrase(ctx, e, prompter)
	if err != nil {
		return Entry{}, err
	}
	defer clear(passphrase)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Entry{}, err
	}
	defer clear(der)
	if e.sealed, err = seal(der, passphrase); err != nil {
		return Entry{}, err
	}
	return s.add(e)
}

// Add notes a key whose private half is elsewhere: on the YubiKey that e.Stick
// names, or with somebody else.
func (s Store) Add(e Entry) (Entry, error) {
	e.sealed = nil
	if err := s.checkNew(e); err != nil {
		return Entry{}, err
	}
	return s.add(e)
}

func newPassphrase(ctx context.Context, e Entry, prompter Prompter) ([]byte, error) {
	passphrase, err := prompter.Secret(ctx, fmt.Sprintf("New passphrase for %s, at least %d characters: ", e, MinPassphrase))
	if err != nil {
		return nil, err
	}
	if n := utf8.RuneCount(passphrase); n < MinPassphrase {
		clear(passphrase)
		return nil, fmt.Errorf("%w: %d characters, at least %d are needed", ErrWeak, n, MinPassphrase)
	}
	again, err := prompter.Secret(ctx, fmt.Sprintf("The same passphrase again for %s: ", e))
	if err != nil {
		clear(passphrase)
		return nil, err
	}
	defer clear(again)
	if !bytes.Equal(passphrase, again) {
		clear(passphrase)
		return nil, ErrDiffer
	}
	return passphrase, nil
}

// checkNew refuses an entry that add would refuse.
func (s Store) checkNew(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.path(e)); err == nil {
		return fmt.Errorf("%s: %w", s.path(e), ErrExists)
	}
	if e.Name == "" {
		return nil
	}
	entries, _ := s.List() // what cannot be read has no name either
	for _, other := range entries {
		if other.Name == e.Name {
			return fmt.Errorf("a key named %s (%s): %w", other.Name, short(other.Key), ErrExists)
		}
	}
	return nil
}

func (s Store) add(e Entry) (Entry, error) {
	e.Created = time.Now().UTC().Truncate(time.Second)
	raw, err := encodeEntry(e)
	if err != nil {
		return Entry{}, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return Entry{}, err
	}
	e.Path = s.path(e)
	return e, writeNew(e.Path, raw, 0o600)
}

func (s Store) path(e Entry) string { return filepath.Join(s.Dir, e.Key.ID()+".json") }

// writeNew writes a file whole or not at all, and never over another.
func writeNew(path string, raw []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // 0600 from the start
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(raw)
	if err == nil && mode != 0o600 {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// A link, unlike a rename, fails if the name is taken.
	err = os.Link(f.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) { // no links on this file system
		if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) {
			err = os.Rename(f.Name(), path)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// List returns what the folder holds, oldest first. Files that cannot be read
// are told of in the error, beside those that can.
func (s Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	var bad error
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") || filepath.Ext(file.Name()) != ".json" {
			continue
		}
		e, err := readEntry(filepath.Join(s.Dir, file.Name()))
		if err == nil && e.Path != s.path(e) {
			err = fmt.Errorf("%w %s: it holds key %s", ErrDamaged, e.Path, e.Key.ID())
		}
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Created.Compare(b.Created) })
	return entries, bad
}

// Find returns the one key that what means: a key ID, the start of one (six
// digits or more), a name, or the path of a key file (one with a separator in
// it, or that ends in .json).
func (s Store) Find(what string) (Entry, error) {
	if strings.ContainsFunc(what, isSeparator) || filepath.Ext(what) == ".json" {
		return readEntry(what)
	}
	entries, bad := s.List()
	var fit []Entry
	for _, e := range entries {
		if e.Name != "" && e.Name == what || hexOnly.MatchString(what) && strings.HasPrefix(e.Key.ID(), strings.ToLower(what)) {
			fit = append(fit, e)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) > 1:
		names := make([]string, len(fit))
		for i, e := range fit {
			names[i] = e.String()
		}
		return Entry{}, fmt.Errorf("%q: %w: %s", what, ErrAmbiguous, strings.Join(names, ", "))
	}
	err := fmt.Errorf("%w: %q in %s", ErrNotFound, what, s.Dir)
	return Entry{}, errors.Join(err, bad)
}

func isSeparator(r rune) bool { return r < utf8.RuneSelf && os.IsPathSeparator(uint8(r)) }
