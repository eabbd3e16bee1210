package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

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
	pins    *prompter
	phrases *prompter
	open    map[string]tuf.Signer // by key ID
	known   map[string]foundKey   // by key ID, what this command has found
	closers []func() error
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
	pins, err := a.pins.read()
	if err != nil {
		return nil, err
	}
	phrases, err := a.passphrases.read()
	if err != nil {
		return nil, err
	}
	prompt := &prompter{app: a, source: &a.pins, given: pins}
	return &keyring{
		app:     a,
		store:   a.keyStore(),
		session: yubikey.NewSession(yubikey.Config{Asker: prompt, AllowFactoryPIN: true}),
		pins:    prompt,
		phrases: &prompter{app: a, source: &a.passphrases, given: phrases},
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
	for _, secret := range slices.Concat(r.phrases.given, r.pins.given) {
		clear(secret)
	}
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
	if !errors.Is(err, keystore.ErrNotFound) && !errors.Is(err, keystore.ErrDamaged) {
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
		if stickErr != nil && !errors.Is(stickErr, yubikey.ErrNoSupport) && !errors.Is(stickErr, yubikey.ErrNoDaemon) {
			return foundKey{}, errors.Join(err, stickErr)
		}
	}
	return foundKey{}, err
}

// onStick reads SERIAL/SLOT, SERIAL or nothing, and returns the key there.
func (r *keyring) onStick(ctx context.Context, where string) (yubikey.SlotInfo, error) {
	number, slotName, _ := strings.Cut(where, "/")
	var serial uint64
	var err error
	if number != "" {
		if serial, err = strconv.ParseUint(number, 10, 32); err != nil {
			return yubikey.SlotInfo{}, usagef("%q is no serial number: expected yubikey:SERIAL/SLOT, such as yubikey:12345678/9c", number)
		}
	}
	var slot yubikey.Slot
	if slotName != "" {
		if slot, err = yubikey.ParseSlot(slotName); err != nil {
			return yubikey.SlotInfo{}, &usageError{err}
		}
	}
	stick, err := r.session.Open(ctx, uint32(serial))
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	if slotName != "" {
		key, err := stick.Key(ctx, slot)
		if err != nil {
			return yubikey.SlotInfo{}, err
		}
		return key.Info(), nil
	}
	keys, err := stick.Keys(ctx)
	if err != nil {
		return yubikey.SlotInfo{}, err
	}
	var usable []yubikey.SlotInfo
	var names []string
	for _, key := range keys {
		if key.Slot.Signs() && key.Key != nil {
			usable = append(usable, key)
			names = append(names, fmt.Sprintf("yubikey:%d/%s", key.Serial, key.Slot))
		}
	}
	switch len(usable) {
	case 0:
		return yubikey.SlotInfo{}, fmt.Errorf("%s: %w that signet can sign with", stick, yubikey.ErrSlotEmpty)
	case 1:
		return usable[0], nil
	}
	return yubikey.SlotInfo{}, fmt.Errorf("%s: %w: %s", stick, keystore.ErrAmbiguous, strings.Join(names, ", "))
}

// byID looks on every connected YubiKey for the key whose ID starts with prefix.
// It returns a zero SlotInfo when there is none.
func (r *keyring) byID(ctx context.Context, prefix string) (found yubikey.SlotInfo, err error) {
	slots, err := r.slots(ctx)
	for _, slot := range slots {
		if slot.Key == nil || !slot.Slot.Signs() || !strings.HasPrefix(slot.Key.ID(), prefix) {
			continue
		}
		if found.Key != nil && !found.Key.Equal(slot.Key) {
			return yubikey.SlotInfo{}, fmt.Errorf("%q: %w on connected YubiKeys", prefix, keystore.ErrAmbiguous)
		}
		found = slot
	}
	if found.Key != nil {
		return found, nil
	}
	return found, err
}

// slots lists what is on all connected YubiKeys. Those that cannot be asked are
// told of in the error, beside the rest.
func (r *keyring) slots(ctx context.Context) ([]yubikey.SlotInfo, error) {
	sticks, err := r.session.List(ctx)
	if err != nil {
		return nil, err
	}
	var slots []yubikey.SlotInfo
	var bad error
	for _, info := range sticks {
		if info.Err != nil {
			bad = errors.Join(bad, info.Err)
			continue
		}
		stick, err := r.session.Open(ctx, info.Serial)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		keys, err := stick.Keys(ctx)
		bad = errors.Join(bad, err)
		slots = append(slots, keys...)
	}
	return slots, bad
}

// public returns the public key that what means.
func (r *keyring) public(ctx context.Context, what string) (*tuf.Key, error) {
	found, err := r.find(ctx, what)
	if err != nil {
		return nil, err
	}
	return found.Key, nil
}

// signer returns the key ready to sign: a file is unlocked now, a YubiKey asks
// for its PIN at the first signature.
func (r *keyring) signer(ctx context.Context, key foundKey) (tuf.Signer, error) {
	id := key.ID()
	if signer := r.open[id]; signer != nil {
		return signer, nil
	}
	if key.entry == nil {
		if entry, err := r.store.Find(id); err == nil {
			key.entry = &entry
		}
	}
	if key.entry != nil && key.entry.HasPrivate() {
		return r.unlock(ctx, *key.entry)
	}
	signer, err := r.session.Find(ctx, id)
	if err != nil {
		if key.entry != nil && key.entry.Stick != nil {
			return nil, fmt.Errorf("%s is on YubiKey %d, slot %s: %w", key.entry, key.entry.Stick.Serial, key.entry.Stick.Slot, err)
		}
		return nil, err
	}
	r.open[id] = signer
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

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// secretFlags adds the flags that say where PINs and passphrases come from.
func (a *app) secretFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&a.pins.files, "pin-file", nil, "read the YubiKey's PIN from this `file`")
	flags.IntVar(&a.pins.fd, "pin-fd", -1, "read the YubiKey's PIN from this file `descriptor`")
	flags.StringArrayVar(&a.passphrases.files, "passphrase-file", nil, "read the passphrase of key files from this `file` (may be given several times: each is tried)")
	flags.IntVar(&a.passphrases.fd, "passphrase-fd", -1, "read the passphrase of key files from this file `descriptor`")
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
