package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// stickChoice is what the flags of generate and import say of the YubiKey, the
// slot, and the key that is to be there.
type stickChoice struct {
	serial                                                            uint32
	role, name, slot, touch, pin, force, managementKeyFile, algorithm string
	roots                                                             attestationRoots
}

func (c *stickChoice) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.role, "role", "", "what the key is for, a `ROLE`: root, targets or signer; root keys go to slot 9c first, others to 82 to 95")
	flags.StringVar(&c.name, "name", "", "a `NAME` to call it by")
	flags.Uint32Var(&c.serial, "serial", 0, "serial `number` of the YubiKey, which is printed on it, when several are plugged in")
	flags.StringVar(&c.slot, "slot", "", "YubiKey `SLOT`: 9c, or 82 to 95 (default: the first free one)")
	flags.StringVar(&c.touch, "touch", yubikey.Always, "`WHEN` the YubiKey wants a touch: always, cached (not again for 15 seconds) or never")
	flags.StringVar(&c.pin, "pin", yubikey.Always, "`WHEN` the YubiKey wants its PIN: always, once (after it was plugged in) or never; you type it once a command all the same")
	flags.StringVar(&c.pin, "pin-policy", yubikey.Always, "the same as --pin")
	flags.Lookup("pin-policy").Hidden = true
	flags.StringVar(&c.force, "force", "", "overwrite what is in the slot; to be said in the `WORDS` \"destroy SERIAL/SLOT\"")
	flags.StringVar(&c.managementKeyFile, "management-key-file", "", "`FILE` with the YubiKey's management key in hex, when it is neither the factory's nor kept under the PIN")
}

// request checks the flags and makes a request of them.
func (c *stickChoice) request() (r yubikey.Request, err error) {
	if err := roleOf(c.role); err != nil {
		return r, err
	}
	if c.pin != yubikey.Always && c.pin != yubikey.Once && c.pin != yubikey.Never { // what was typed may be a PIN
		return r, advise(usagef("--pin: expected always, once or never: it says when the PIN is wanted"), "the PIN itself is never an argument: --pin-file, --pin-fd, --pinentry, or the prompt")
	}
	if c.touch != yubikey.Always && c.touch != yubikey.Cached && c.touch != yubikey.Never {
		return r, usagef("--touch %s: expected always, cached or never", c.touch)
	}
	r = yubikey.Request{Role: c.role, Algorithm: c.algorithm, PIN: c.pin, Touch: c.touch}
	if c.slot != "" {
		if r.Slot, err = yubikey.ParseSlot(c.slot); err != nil {
			return r, &usageError{err}
		}
	}
	if c.managementKeyFile != "" {
		r.ManagementKey, err = readManagementKey(c.managementKeyFile)
	}
	return r, err
}

// allow notes in the request that a slot may be overwritten, if the words are
// right, and says what is lost.
func (c *stickChoice) allow(ctx context.Context, ring *keyring, r *yubikey.Request, stick *yubikey.Stick) error {
	if c.force == "" {
		return nil
	}
	words := fmt.Sprintf("destroy %d/%s", stick.Info().Serial, r.Slot)
	if r.Slot == 0 || c.force != words {
		return usagef("--force %q: to overwrite a key, give its --slot, and --force in the words \"destroy SERIAL/SLOT\", here %q", c.force, words)
	}
	r.Overwrite = true
	old, err := stick.Key(ctx, r.Slot)
	if err != nil { // nothing there that signet could sign with
		return ctx.Err()
	}
	info := old.Info()
	key := ring.noted(foundKey{Key: old.Key(), slot: &info})
	ring.app.note("overwriting %s", key.called())
	uses, _ := ring.uses(ctx)
	for _, use := range uses[key.ID()] {
		ring.app.note("warning: that key is trusted as %s of %s; unless others can sign there, nobody can any more", use.Role, use.Repository)
	}
	return nil
}

func newKeyGenerate(a *app) *cobra.Command {
	var onStick, inFile bool
	var choice stickChoice
	cmd := &cobra.Command{
		Use:   "generate --yubikey|--file",
		Short: "Make a key on a YubiKey, or in an encrypted file",
		Long: `Make a key. On a YubiKey the private key is made on the device and never leaves
it. Unless told otherwise a signature by it needs the PIN and a touch, always,
whatever its role; a root key goes to slot 9c, others to the first free one of 82
to 95. The device's attestation, which proves all this to others, is checked and
noted, and travels with the repositories that the key is given to. A new YubiKey is
set up first: signet yubikey setup.

In a file the key is encrypted with a passphrase.

The key's ID is printed. Write it down beside the number that is printed on the
YubiKey: it is what verifiers pin, and how to tell later which key is meant. Make
two root keys, on two YubiKeys, and keep them apart.`,
		Example: `  signet key generate --yubikey --role root --name root-1
  signet key generate --yubikey --serial 12345678 --slot 83 --role targets --algorithm p384
  signet key generate --file --role targets --name ci --passphrase-file /run/secrets/ci`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.BoolVar(&onStick, "yubikey", false, "make it on a YubiKey")
	flags.BoolVar(&inFile, "file", false, "make it in a file")
	flags.StringVar(&choice.algorithm, "algorithm", keystore.P256, "p256, p384 or ed25519 (on a YubiKey from firmware 5.7)")
	choice.add(cmd)
	choice.roots.add(cmd)
	a.unlockFlags(cmd)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		if onStick == inFile {
			return advise(usagef("say where the key is to be made"), "--yubikey for a YubiKey, --file for an encrypted file")
		}
		request, err := choice.request()
		if err != nil {
			return err
		}
		defer clear(request.ManagementKey)
		roots, err := choice.roots.load()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		if inFile {
			return a.generateFile(ctx, ring, choice)
		}
		if err := ring.nameIsFree(choice.name); err != nil { // told before a slot is taken, not after
			return err
		}
		stick, err := ring.stick(ctx, choice.serial)
		if err != nil {
			return err
		}
		if err := choice.allow(ctx, ring, &request, stick); err != nil {
			return err
		}
		if err := ring.warnFactory(ctx, stick); err != nil {
			return err
		}
		a.note("making a key on %s", stick)
		var made yubikey.Made
		err = ring.retry(func() (err error) {
			made, err = stick.Generate(ctx, request)
			return err
		})
		if err != nil {
			return err
		}
		info, err := ring.note(made, stick, choice)
		if err != nil {
			return err
		}
		info.vouch(roots, a.now())
		a.noteMade(info)
		return a.print(info, func(w io.Writer) { fmt.Fprintln(w, info.ID) })
	})
	return cmd
}

// generateFile makes a key in a file.
func (a *app) generateFile(ctx context.Context, ring *keyring, choice stickChoice) error {
	if len(ring.phrases.given) > 1 {
		return usagef("a new key has one passphrase: --passphrase-file is given several times")
	}
	var entry keystore.Entry
	for try := 1; ; try++ { // a person gets three tries
		var err error
		entry, err = ring.store.Generate(ctx, keystore.Spec{Algorithm: choice.algorithm, Name: choice.name, Role: choice.role}, ring.phrases)
		if err == nil {
			break
		}
		if len(ring.phrases.given) > 0 || try == 3 || !errors.Is(err, keystore.ErrWeak) && !errors.Is(err, keystore.ErrDiffer) {
			return err
		}
		a.note("%v; try again", err)
	}
	info := entryInfo(entry)
	return a.print(info, func(w io.Writer) { fmt.Fprintln(w, info.ID) })
}

// noteMade says who attests a new key, and what to write down.
func (a *app) noteMade(k keyInfo) {
	switch {
	case k.Attested != nil:
		a.note("attested by %s: it was made on YubiKey %d (firmware %s), slot %s, with PIN %s and touch %s",
			voucher(k.Attested), k.Attested.Serial, k.Attested.Firmware, k.Attested.Slot, k.Attested.PIN, k.Attested.Touch)
	case k.Doubt != nil:
		a.note("warning: nobody that is trusted here attests that it was made on a YubiKey: %s; repositories that demand hardware refuse it (--attestation-root FILE names an authority of your own)", k.Doubt.Detail)
	}
	if k.Weakness != "" {
		a.note("warning: %s; an Ed25519 key, or a stick with firmware 5.7 or newer, has no such weakness", k.Weakness)
	}
	a.note("write down: key ID %s is in slot %s of YubiKey %d%s", k.ID, k.Slot, k.Serial, after(", role ", k.Role))
}

// nameIsFree refuses a name that another key has.
func (r *keyring) nameIsFree(name string) error {
	if name == "" {
		return nil
	}
	if _, err := r.store.Find(name); !errors.Is(err, keystore.ErrNotFound) {
		return fmt.Errorf("a key named %s: %w", name, keystore.ErrExists)
	}
	return nil
}

// note notes a key on a YubiKey among our files, so that it has its name there
// and is known when the stick is not plugged in.
func (r *keyring) note(made yubikey.Made, stick *yubikey.Stick, choice stickChoice) (keyInfo, error) {
	imported := made.Origin == yubikey.Imported
	var info keyInfo
	if entry, err := r.store.Find(made.Key.ID()); err == nil && imported { // it is in a file, or on another stick
		r.app.note("%s is known here already: %s", entry, describeKey(foundKey{Key: entry.Key, entry: &entry}))
		info = entryInfo(entry)
	} else {
		entry, err := r.store.Add(keystore.Entry{Key: made.Key, Name: choice.name, Role: choice.role, Stick: &keystore.OnStick{
			Serial: made.Serial, Slot: made.Slot.String(), PIN: made.PIN, Touch: made.Touch,
			Firmware: stick.Info().Firmware.String(), Imported: imported, Attestation: made.Attestation,
		}})
		if err != nil {
			return info, fmt.Errorf("key %s is in slot %s of YubiKey %d, but could not be noted here: %w", made.Key.ID(), made.Slot, made.Serial, err)
		}
		info = entryInfo(entry)
	}
	info.connect(made.SlotInfo, stick.Info().Firmware)
	info.chain = chainPEM(made.Attestation)
	return info, nil
}

// warnFactory warns of a YubiKey that was not set up: whoever finds it signs.
func (r *keyring) warnFactory(ctx context.Context, stick *yubikey.Stick) error {
	status, err := stick.Status(ctx)
	if err != nil {
		return err
	}
	if still := factoryList(status); still != "" {
		r.app.note("warning: %s still has the %s that all are sold with: whoever finds it can use it; run: signet yubikey setup --serial %d", stick, still, status.Serial)
	}
	return nil
}

// readManagementKey reads hex, as ykman prints it.
func readManagementKey(path string) ([]byte, error) {
	text, err := readSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("--management-key-file %s: %w", path, err)
	}
	defer clear(text)
	key := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(key, text); err != nil {
		return nil, fmt.Errorf("--management-key-file %s: expected hex digits", path)
	}
	return key, nil
}

var (
	_ keystore.Prompter = (*prompter)(nil)
	_ yubikey.Asker     = (*asker)(nil)
	_ tuf.Signer        = (*stickSigner)(nil)
)
