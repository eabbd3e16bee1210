package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

func newKey(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "key",
		Short: "Make, list and export keys, in files and on YubiKeys",
	}, a)
	cmd.AddCommand(newKeyGenerate(a), newKeyList(a), newKeyExport(a))
	return cmd
}

// keyInfo is a key as commands print it.
type keyInfo struct {
	ID        string    `json:"keyid"`
	Algorithm string    `json:"algorithm"`
	Name      string    `json:"name,omitempty"`
	Role      string    `json:"role,omitempty"`
	Where     string    `json:"where"` // "file", "yubikey", "elsewhere"
	Path      string    `json:"path,omitempty"`
	Serial    uint32    `json:"serial,omitempty"`
	Slot      string    `json:"slot,omitempty"`
	PIN       string    `json:"pin,omitempty"`
	Touch     string    `json:"touch,omitempty"`
	Origin    string    `json:"origin,omitempty"`
	Attested  bool      `json:"attested,omitempty"` // an attestation is at hand; nobody asked Yubico
	Connected bool      `json:"connected,omitempty"`
	Created   time.Time `json:"created,omitzero"`
}

func entryInfo(e keystore.Entry) keyInfo {
	info := keyInfo{
		ID: e.Key.ID(), Algorithm: e.Key.Algorithm(), Name: e.Name, Role: e.Role, Where: "elsewhere",
		Path: e.Path, Created: e.Created,
	}
	switch {
	case e.HasPrivate():
		info.Where = "file"
	case e.Stick != nil:
		info.Where, info.Serial, info.Slot = "yubikey", e.Stick.Serial, e.Stick.Slot
		info.Attested = len(e.Stick.Attestation) > 0
	}
	return info
}

// connect adds what the stick itself says.
func (k *keyInfo) connect(slot yubikey.SlotInfo) {
	k.Where, k.Serial, k.Slot, k.Connected = "yubikey", slot.Serial, slot.Slot.String(), true
	k.Algorithm, k.PIN, k.Touch, k.Origin = slot.Algorithm, slot.PIN, slot.Touch, slot.Origin
	if slot.Key != nil {
		k.ID = slot.Key.ID()
	}
}

func (k keyInfo) place() string {
	switch k.Where {
	case "yubikey":
		place := fmt.Sprintf("YubiKey %d slot %s", k.Serial, k.Slot)
		if !k.Connected {
			place += " (not connected)"
		}
		return place
	case "file":
		return "file"
	}
	return "elsewhere (public half only)"
}

func newKeyGenerate(a *app) *cobra.Command {
	var onStick, inFile bool
	var role, name, algorithm, slot, touch, pinPolicy, force, managementKey string
	var serial uint32
	cmd := &cobra.Command{
		Use:   "generate --yubikey|--file",
		Short: "Make a key on a YubiKey, or in an encrypted file",
		Long: `Make a key. On a YubiKey the private key is made on the device and never leaves
it; a signature needs the PIN and a touch. In a file it is encrypted with a
passphrase. The key's ID is printed.`,
		Example: `  signet key generate --yubikey --role root --name root-1
  signet key generate --file --role targets --name ci --passphrase-file /run/secrets/ci`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.BoolVar(&onStick, "yubikey", false, "make it on a YubiKey")
	flags.BoolVar(&inFile, "file", false, "make it in a file")
	flags.StringVar(&role, "role", "", "what the key is for: root, targets or signer")
	flags.StringVar(&name, "name", "", "a name to call it by")
	flags.StringVar(&algorithm, "algorithm", keystore.P256, "p256, p384 or ed25519 (on a YubiKey from firmware 5.7)")
	flags.StringVar(&slot, "slot", "", "YubiKey slot: 9c, or 82 to 95 (default: the first free one)")
	flags.Uint32Var(&serial, "serial", 0, "serial number of the YubiKey, when several are plugged in")
	flags.StringVar(&touch, "touch", yubikey.Always, "when the YubiKey wants a touch: always, cached or never")
	flags.StringVar(&pinPolicy, "pin-policy", yubikey.Always, "when the YubiKey wants its PIN: always, once or never")
	flags.StringVar(&force, "force", "", `overwrite what is in the slot; to be said in the words "destroy SERIAL/SLOT"`)
	flags.StringVar(&managementKey, "management-key-file", "", "file with the YubiKey's management key in hex, when it is neither the factory's nor kept under the PIN")
	a.secretFlags(cmd)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		if onStick == inFile {
			return advise(usagef("say where the key is to be made"), "--yubikey for a YubiKey, --file for an encrypted file")
		}
		if role != "" && role != tuf.RoleRoot && role != tuf.RoleTargets && role != "signer" {
			return usagef("--role %s: expected root, targets or signer", role)
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		var entry keystore.Entry
		var made *yubikey.Made
		if inFile {
			if len(ring.phrases.given) > 1 {
				return usagef("a new key has one passphrase: --passphrase-file is given several times")
			}
			entry, err = ring.store.Generate(ctx, keystore.Spec{Algorithm: algorithm, Name: name, Role: role}, ring.phrases)
		} else {
			request := yubikey.Request{Role: role, Algorithm: algorithm, PIN: pinPolicy, Touch: touch}
			entry, made, err = ring.makeOnStick(ctx, request, stickChoice{serial, slot, name, force, managementKey})
		}
		if err != nil {
			return err
		}
		info := entryInfo(entry)
		if made != nil {
			info.connect(made.SlotInfo)
		}
		return a.print(info, func(w io.Writer) { fmt.Fprintln(w, info.ID) })
	})
	return cmd
}

// stickChoice is what generate's flags say of the stick.
type stickChoice struct {
	serial            uint32
	slot, name, force string
	managementKeyFile string
}

// makeOnStick makes a key on a YubiKey and notes it among our files, so that it
// has its name there and is known when the stick is not plugged in.
func (r *keyring) makeOnStick(ctx context.Context, request yubikey.Request, choice stickChoice) (keystore.Entry, *yubikey.Made, error) {
	var err error
	if choice.slot != "" {
		if request.Slot, err = yubikey.ParseSlot(choice.slot); err != nil {
			return keystore.Entry{}, nil, &usageError{err}
		}
	}
	if choice.managementKeyFile != "" {
		if request.ManagementKey, err = readManagementKey(choice.managementKeyFile); err != nil {
			return keystore.Entry{}, nil, err
		}
		defer clear(request.ManagementKey)
	}
	if choice.name != "" { // told before a slot is taken, not after
		if _, err := r.store.Find(choice.name); !errors.Is(err, keystore.ErrNotFound) {
			return keystore.Entry{}, nil, fmt.Errorf("a key named %s: %w", choice.name, keystore.ErrExists)
		}
	}
	stick, err := r.session.Open(ctx, choice.serial)
	if err != nil {
		return keystore.Entry{}, nil, err
	}
	if choice.force != "" {
		words := fmt.Sprintf("destroy %d/%s", stick.Info().Serial, request.Slot)
		if request.Slot == 0 || choice.force != words {
			return keystore.Entry{}, nil, usagef("--force %q: to overwrite a key, give its --slot, and --force in the words \"destroy SERIAL/SLOT\", here %q", choice.force, words)
		}
		request.Overwrite = true
	}
	r.app.note("making a key on %s", stick)
	made, err := stick.Generate(ctx, request)
	if err != nil {
		return keystore.Entry{}, nil, err
	}
	entry, err := r.store.Add(keystore.Entry{
		Key: made.Key, Name: choice.name, Role: request.Role,
		Stick: &keystore.OnStick{Serial: made.Serial, Slot: made.Slot.String(), Attestation: made.Attestation},
	})
	if err != nil {
		return keystore.Entry{}, nil, fmt.Errorf("key %s is on %s, slot %s, but could not be noted here: %w", made.Key.ID(), stick, made.Slot, err)
	}
	return entry, &made, nil
}
