package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// keyHelp says what a KEY argument may be.
const keyHelp = `KEY is a key ID or the start of one (8 digits or more), the name of a key, the
path of a key file or of a public key in PEM, yubikey:SERIAL/SLOT, or plain
yubikey for the only key on the only YubiKey.`

// A keyring is where one command finds keys: files and YubiKeys. It holds every
// YubiKey that it opened until it is closed, so that one PIN serves the whole
// command.
type keyring struct {
	app     *app
	store   keystore.Store
	session *yubikey.Session
	asker   *asker
	phrases *prompter
	open    map[string]tuf.Signer // by key ID, of files
	known   map[string]foundKey   // by key ID, what this command has found
	closers []func() error

	coming     *client.ChangeKeysRequest // what --add turned out to be, once for all repositories
	comingKeys []foundKey
	warned     bool // of the keys that come

	vouchers *attestation.Roots // who is believed to vouch for YubiKeys; nil: Yubico
	vouched  map[string]string  // what keyLines says of attestations, by key ID and chain
}

// A foundKey is what a KEY argument turned out to be.
type foundKey struct {
	*tuf.Key
	entry *keystore.Entry   // what our files know of it, or nil
	slot  *yubikey.SlotInfo // where on a connected YubiKey it was seen, or nil
}

// keyring opens nothing yet, but reads the files that the secrets' flags name,
// so that a wrong path is told before anybody is asked to touch anything.
func (a *app) keyring() (*keyring, error) {
	asker, err := a.newAsker()
	if err != nil {
		return nil, err
	}
	phrases, err := a.secrets.passphrases.read(asker.open)
	if err != nil {
		asker.forget()
		return nil, err
	}
	return &keyring{
		app:     a,
		store:   a.keyStore(),
		session: yubikey.NewSession(yubikey.Config{Asker: asker, Wait: a.patienceWithHolder(), AllowFactoryPIN: a.secrets.allowFactoryPIN}),
		asker:   asker,
		phrases: &prompter{app: a, given: phrases},
		open:    map[string]tuf.Signer{},
		known:   map[string]foundKey{},
	}, nil
}

func (a *app) keyStore() keystore.Store {
	return keystore.Store{Dir: filepath.Join(a.dataDir, "keys")}
}

// Close forgets private keys and PINs, and lets go of YubiKeys.
func (r *keyring) Close() error {
	var err error
	for _, end := range r.closers {
		err = errors.Join(err, end())
	}
	for _, secret := range r.phrases.given {
		clear(secret)
	}
	r.asker.forget()
	return errors.Join(err, r.session.Close())
}

// find tells what KEY argument what means, without asking for any secret.
func (r *keyring) find(ctx context.Context, what string) (foundKey, error) {
	if rest, ok := strings.CutPrefix(what, "yubikey"); ok && (rest == "" || rest[0] == ':') {
		slot, err := r.onStick(ctx, strings.TrimPrefix(rest, ":"))
		if err != nil {
			return foundKey{}, fmt.Errorf("%s: %w", what, err)
		}
		return foundKey{Key: slot.Key, slot: &slot}, nil
	}
	if isHex(what) && len(what) < 8 {
		return foundKey{}, usagef("%q is too short for the start of a key ID: 8 digits or more", what)
	}
	entry, err := r.store.Find(what)
	if err == nil {
		return foundKey{Key: entry.Key, entry: &entry}, nil
	}
	if errors.Is(err, fs.ErrNotExist) { // a path
		return foundKey{}, noKeyFile(what)
	}
	// A public key's file may be open to others, and is no key file.
	if !errors.Is(err, keystore.ErrNotFound) && !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrPermissions) {
		return foundKey{}, err
	}
	if public, readErr := keystore.ReadPublic(what); readErr == nil {
		return foundKey{Key: public}, nil
	} else if !errors.Is(readErr, fs.ErrNotExist) {
		return foundKey{}, readErr
	}
	if isHex(what) {
		slot, stickErr := r.byID(ctx, strings.ToLower(what))
		if stickErr == nil && slot.Key != nil {
			return foundKey{Key: slot.Key, slot: &slot}, nil
		}
		if stickErr != nil && !noSticks(stickErr) {
			return foundKey{}, errors.Join(err, stickErr)
		}
	}
	return foundKey{}, err
}

func noKeyFile(path string) error {
	return advise(fmt.Errorf("%s: there is no such file (%w)", path, fs.ErrNotExist),
		"a KEY is a key ID, the name of a key, a file, or yubikey:SERIAL/SLOT; signet key list shows them")
}

// public returns the public key that what means.
func (r *keyring) public(ctx context.Context, what string) (*tuf.Key, error) {
	found, err := r.find(ctx, what)
	if err != nil {
		return nil, err
	}
	return found.Key, nil
}

// noted adds what our files know of a key.
func (r *keyring) noted(key foundKey) foundKey {
	if key.entry == nil {
		if entry, err := r.store.Find(key.ID()); err == nil {
			key.entry = &entry
		}
	}
	return key
}

// signer returns the key ready to sign: a file is unlocked now; for a YubiKey
// that is not plugged in it waits, and its PIN is asked for at the first
// signature.
func (r *keyring) signer(ctx context.Context, key foundKey) (tuf.Signer, error) {
	if signer := r.open[key.ID()]; signer != nil {
		return signer, nil
	}
	key = r.noted(key)
	if key.entry != nil && key.entry.HasPrivate() {
		return r.unlock(ctx, *key.entry)
	}
	signer := &stickSigner{ring: r, key: key}
	if _, err := signer.ready(ctx); err != nil {
		return nil, err
	}
	r.open[key.ID()] = signer
	return signer, nil
}

// unlock opens a key file. The passphrases that flags gave are tried in turn; a
// person gets three tries.
func (r *keyring) unlock(ctx context.Context, entry keystore.Entry) (tuf.Signer, error) {
	r.phrases.next = 0
	tries := max(len(r.phrases.given), 1)
	if len(r.phrases.given) == 0 && r.app.interactive() {
		tries = 3
	}
	for try := 1; ; try++ {
		key, err := entry.Unlock(ctx, r.phrases)
		if errors.Is(err, keystore.ErrPassphrase) && try < tries {
			if len(r.phrases.given) == 0 {
				r.app.note("%v; try again", err)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		r.closers = append(r.closers, key.Close)
		r.open[entry.Key.ID()] = key
		return key, nil
	}
}

// uses tells in which repositories and roles keys are trusted, as far as this
// machine has verified it.
func (r *keyring) uses(ctx context.Context) (map[string][]client.KeyUse, error) {
	return client.New(r.app.clientConfig(nil, client.Servers{})).KeyUses(ctx)
}

// lost adds to an error about a key that is gone, or may be, what puts another in
// its place: one command for each role that trusts it.
func (r *keyring) lost(ctx context.Context, key foundKey, err error) error {
	uses, _ := r.uses(ctx) // what cannot be read was told, or is, by others
	what := key.ID()[:12]
	if key.entry != nil && key.entry.Name != "" {
		what = key.entry.Name
	}
	var commands []string
	for _, use := range uses[key.ID()] {
		commands = append(commands, fmt.Sprintf("signet rotate %s %s --remove %s --add NEWKEY", use.Repository, word(use.Role), word(what)))
	}
	const most = 3
	if len(commands) > most {
		commands = append(commands[:most], fmt.Sprintf("and %d more, which signet key list shows", len(commands)-most))
	}
	instead := strings.Join(commands, "; ")
	if instead == "" {
		instead = fmt.Sprintf("signet rotate REPO ROLE --remove %s --add NEWKEY", word(what))
	}
	if elsewhere := r.app.elsewhere(); elsewhere != "" && key.entry == nil && errors.Is(err, yubikey.ErrAbsent) {
		return advise(err, "plug in the YubiKey that has it; where somebody else has the key: %s", elsewhere)
	}
	if errors.Is(err, yubikey.ErrAbsent) {
		return advise(err, "plug it in; if it is lost for good, another key takes its place: %s", instead)
	}
	return advise(err, "that key is gone for ever; another takes its place: %s", instead)
}

// notHere says of a key that nothing here knows on a YubiKey that its private half is
// not on this machine. Why no YubiKey could be asked counts only for who uses any.
func (r *keyring) notHere(key foundKey, why error) error {
	err := fmt.Errorf("%s: %w: only its public half is known", key.called(), keystore.ErrNotHere)
	advice := r.app.elsewhere()
	if advice == "" {
		advice = "sign on the machine that has it"
	}
	entries, _ := r.store.List() // what cannot be read was told, or is, by others
	if slices.ContainsFunc(entries, func(e keystore.Entry) bool { return e.Stick != nil }) {
		advice += fmt.Sprintf("; if it is on a YubiKey: %v: %s", why, hint(why))
	}
	return advise(err, "%s", advice)
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// describeKey says where a key is, for people.
func describeKey(k foundKey) string {
	switch {
	case k.slot != nil:
		return fmt.Sprintf("YubiKey %d, slot %s", k.slot.Serial, k.slot.Slot)
	case k.entry == nil:
		return "public key only"
	case k.entry.Stick != nil:
		return fmt.Sprintf("YubiKey %d, slot %s", k.entry.Stick.Serial, k.entry.Stick.Slot)
	case k.entry.HasPrivate():
		return "a file on this machine"
	}
	return "public key only"
}

// usable keeps the slots that signet can sign with.
func usable(slots []yubikey.SlotInfo) []yubikey.SlotInfo {
	return slices.DeleteFunc(slices.Clone(slots), func(s yubikey.SlotInfo) bool { return s.Key == nil || !s.Slot.Signs() })
}
