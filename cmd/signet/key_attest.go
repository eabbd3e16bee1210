package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

// attestationRoots is --attestation-root: who beside Yubico is believed when
// it vouches for sticks.
type attestationRoots struct{ files []string }

func (f *attestationRoots) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "attestation-root", nil, "PEM `file` of a root (with its intermediates) that vouches for YubiKeys, beside Yubico's own (may be given several times)")
}

// pem returns what the files hold, one after the other.
func (f *attestationRoots) pem() (string, error) {
	var all strings.Builder
	for _, path := range f.files {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("--attestation-root %s: %w", path, reading(err))
		}
		if _, err := attestation.Yubico().With(data); err != nil {
			return "", fmt.Errorf("--attestation-root %s: %w", path, err)
		}
		all.Write(data)
		all.WriteByte('\n')
	}
	return all.String(), nil
}

// load returns Yubico's roots and those of the files.
func (f *attestationRoots) load() (*attestation.Roots, error) {
	data, err := f.pem()
	if err != nil || data == "" {
		return attestation.Yubico(), err
	}
	return attestation.Yubico().With([]byte(data))
}

// chainPEM turns certificates from DER into PEM.
func chainPEM(chain [][]byte) []string {
	var list []string
	for _, der := range chain {
		list = append(list, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	return list
}

// checkAttestation checks a chain, and says of a key without one why it has none.
func checkAttestation(roots *attestation.Roots, key *tuf.Key, origin string, chain []string, now time.Time) (*attestation.Proof, error) {
	if origin == yubikey.Imported {
		return nil, &tuf.Refusal{Rule: tuf.RuleNotAttested, Detail: "the key was imported: there may be copies, and no YubiKey ever attests it"}
	}
	return roots.Check(key, chain, now)
}

func newKeyAttest(a *app) *cobra.Command {
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "attest KEY",
		Short: "Prove that a key was made on a YubiKey",
		Long: `Prove that a key was made on a YubiKey, and never was anywhere else: check the
certificates by which the device vouches for it, up to Yubico's attestation roots,
and print what they prove, then the certificates in PEM, the key's own first. Keys
that were imported, and keys in files, have no such proof: exit status 3, with the
rule that was broken.

The chain comes from the YubiKey when it is plugged in, else from what was noted
when the key was made. No PIN and no touch are needed.

` + keyHelp,
		Example: `  signet key attest root-1
  signet key attest yubikey:12345678/9c --attestation-root our-ca.pem`,
		Args: cobra.ExactArgs(1),
	}
	roots.add(cmd)
	a.waitFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		info, err := ring.about(ctx, args[0])
		if err != nil {
			return err
		}
		proof, err := checkAttestation(trusted, info.key, info.Origin, info.chain, a.now())
		if err != nil {
			return hintAttestation(fmt.Errorf("key %s: %w", info.called(), err))
		}
		v := struct {
			ID string `json:"keyid"`
			*attestation.Proof
			Weakness string   `json:"weakness,omitempty"`
			Chain    []string `json:"chain"`
		}{info.ID, proof, attestation.Weak(proof, info.key), info.chain}
		if v.Weakness != "" {
			a.note("warning: %s", v.Weakness)
		}
		return a.print(v, func(w io.Writer) {
			fmt.Fprintf(w, "key %s (%s) was made on YubiKey %d\n", info.ID, info.key.Algorithm(), proof.Serial)
			fmt.Fprintf(w, "  slot %s, PIN %s, touch %s\n", proof.Slot, proof.PIN, proof.Touch)
			fmt.Fprintf(w, "  firmware %s%s\n", proof.Firmware, after(", ", proof.FormFactor))
			fmt.Fprintf(w, "  attested by %s\n", voucher(proof))
			fmt.Fprint(w, strings.Join(info.chain, ""))
		})
	})
	return cmd
}

func after(comma, s string) string {
	if s == "" {
		return ""
	}
	return comma + s
}

// about gathers what is known of a key: by our files, and by its YubiKey when
// that is plugged in.
func (r *keyring) about(ctx context.Context, what string) (keyInfo, error) {
	key, err := r.find(ctx, what)
	if err != nil {
		return keyInfo{}, err
	}
	key = r.noted(key)
	info := keyInfo{ID: key.ID(), Algorithm: key.Algorithm(), Where: "elsewhere", key: key.Key}
	if key.entry != nil {
		info = entryInfo(*key.entry)
	}
	if info.Where == "file" {
		return info, nil
	}
	found, err := r.locate(ctx, key)
	switch {
	case err == nil:
		err = r.fromStick(ctx, &info, found.Info())
	case len(info.chain) > 0: // what was noted will do
		r.app.debug("%v", err)
		err = nil
	case noSticks(err), errors.Is(err, yubikey.ErrAbsent), errors.Is(err, yubikey.ErrSlotEmpty):
		if _, _, noted := key.place(); !noted { // a public key: perhaps of somebody else
			err = nil
		}
	}
	return info, err
}

// fromStick adds what the stick says of a key, and its attestation.
func (r *keyring) fromStick(ctx context.Context, info *keyInfo, slot yubikey.SlotInfo) error {
	stick, err := r.session.Open(ctx, slot.Serial)
	if err != nil {
		return err
	}
	info.connect(slot, stick.Info().Firmware)
	if info.Origin == yubikey.Imported || slot.Key == nil {
		return nil
	}
	chain, err := stick.Attestation(ctx, slot.Slot)
	switch {
	case err == nil:
		info.chain = chainPEM(chain)
	case ctx.Err() != nil, errors.Is(err, yubikey.ErrRemoved), errors.Is(err, yubikey.ErrNoDaemon):
		return err
	default: // the stick cannot vouch for it, whatever was noted
		r.app.debug("%v", err)
		info.chain = nil
	}
	return nil
}

// hintAttestation adds to a refused attestation what can be done.
func hintAttestation(err error) error {
	switch tuf.RuleOf(err) {
	case tuf.RuleNotAttested:
		return advise(err, "only a key that was made on a YubiKey is attested: signet key generate --yubikey")
	case tuf.RuleAttestationChain:
		return advise(err, "if the device is vouched for by an authority of your own, name it: --attestation-root FILE; else it is no genuine YubiKey, or its attestation certificate was replaced")
	case tuf.RuleAttestationExpired:
		return advise(err, "check this machine's clock; if it is right, make a key on another YubiKey")
	case tuf.RuleAttestationKey:
		return advise(err, "the slot was given another key since; signet key list shows what is where")
	}
	return err
}
