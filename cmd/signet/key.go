package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

func newKey(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "key",
		Short: "Make, import, list, attest and export keys, in files and on YubiKeys",
	}, a)
	cmd.AddCommand(newKeyGenerate(a), newKeyImport(a), newKeyList(a), newKeyAttest(a), newKeyExport(a))
	return cmd
}

// keyInfo is a key as commands print it.
type keyInfo struct {
	ID        string             `json:"keyid"`
	Algorithm string             `json:"algorithm"`
	Name      string             `json:"name,omitempty"`
	Role      string             `json:"role,omitempty"`
	Where     string             `json:"where"` // "file", "yubikey", "elsewhere"
	Path      string             `json:"path,omitempty"`
	Serial    uint32             `json:"serial,omitempty"`
	Firmware  string             `json:"firmware,omitempty"`
	Slot      string             `json:"slot,omitempty"`
	PIN       string             `json:"pin,omitempty"`
	Touch     string             `json:"touch,omitempty"`
	Origin    string             `json:"origin,omitempty"` // "generated": made on the YubiKey; "imported"
	Connected bool               `json:"connected,omitempty"`
	Gone      bool               `json:"gone,omitempty"`               // its YubiKey is connected, and has it no more
	Garbled   bool               `json:"garbledCertificate,omitempty"` // the slot's certificate cannot be read
	Attested  *attestation.Proof `json:"attested,omitempty"`           // what the stick's attestation proves
	Doubt     *doubt             `json:"notAttested,omitempty"`
	Weakness  string             `json:"weakness,omitempty"`
	Trusted   []client.KeyUse    `json:"trusted,omitempty"`
	Created   time.Time          `json:"created,omitzero"`

	key   *tuf.Key
	chain []string // of certificates, PEM, leaf first
}

// A doubt says why an attestation proves nothing.
type doubt struct {
	Rule   tuf.Rule `json:"rule"`
	Detail string   `json:"detail"`
}

func entryInfo(e keystore.Entry) keyInfo {
	info := keyInfo{
		ID: e.Key.ID(), Algorithm: e.Key.Algorithm(), Name: e.Name, Role: e.Role, Where: "elsewhere",
		Path: e.Path, Created: e.Created, key: e.Key,
	}
	switch {
	case e.HasPrivate():
		info.Where = "file"
	case e.Stick != nil:
		s := e.Stick
		info.Where, info.Serial, info.Slot, info.Firmware = "yubikey", s.Serial, s.Slot, s.Firmware
		info.PIN, info.Touch, info.chain = s.PIN, s.Touch, chainPEM(s.Attestation)
		if s.Imported {
			info.Origin = yubikey.Imported
		} else if len(s.Attestation) > 0 {
			info.Origin = yubikey.Generated
		}
	}
	return info
}

// connect adds what the stick itself says.
func (k *keyInfo) connect(slot yubikey.SlotInfo, firmware yubikey.Version) {
	k.Where, k.Serial, k.Slot, k.Firmware, k.Connected = "yubikey", slot.Serial, slot.Slot.String(), firmware.String(), true
	k.Algorithm, k.PIN, k.Touch, k.Garbled = slot.Algorithm, slot.PIN, slot.Touch, slot.Garbled
	if k.Origin != yubikey.Imported { // for ever
		k.Origin = slot.Origin
	}
	if slot.Key != nil {
		k.ID, k.key = slot.Key.ID(), slot.Key
	}
}

// vouch has the key's attestation checked.
func (k *keyInfo) vouch(roots *attestation.Roots, now time.Time) {
	if k.Where != "yubikey" || k.key == nil {
		return
	}
	proof, err := checkAttestation(roots, k.key, k.Origin, k.chain, now)
	if err != nil {
		k.Doubt = &doubt{tuf.RuleOf(err), plain(err).Error()}
		return
	}
	k.Attested, k.Weakness = proof, attestation.Weak(proof, k.key)
}

func (k keyInfo) place() string {
	switch k.Where {
	case "yubikey":
		place := fmt.Sprintf("YubiKey %d slot %s", k.Serial, k.Slot)
		switch {
		case k.Gone:
			place += " (gone: overwritten, or reset)"
		case !k.Connected:
			place += " (not connected)"
		}
		return place
	case "file":
		return "file"
	}
	return "elsewhere (public half only)"
}

// birth says how the key came to be where it is.
func (k keyInfo) birth() string {
	switch {
	case k.Origin == yubikey.Generated:
		return "on the device"
	case k.Origin == yubikey.Imported:
		return "imported"
	case k.Where == "file":
		return "in the file"
	}
	return "-"
}

// vouchedBy says who attests the key.
func (k keyInfo) vouchedBy() string {
	switch {
	case k.Attested != nil:
		return voucher(k.Attested)
	case k.Doubt != nil && k.Doubt.Rule != tuf.RuleNotAttested:
		return "nobody (" + string(k.Doubt.Rule) + ")"
	case k.Where == "yubikey" && k.key != nil:
		return "nobody"
	}
	return "-"
}

// voucher names who vouches for a stick.
func voucher(p *attestation.Proof) string {
	if p.Yubico && !strings.HasPrefix(p.Root, "Yubico") {
		return "Yubico, " + p.Root
	}
	return p.Root
}

// short is the start of the key's ID.
func (k keyInfo) short() string { return k.ID[:min(12, len(k.ID))] }

// called is the name of the key, or the start of its ID.
func (k keyInfo) called() string {
	if k.Name != "" {
		return k.Name
	}
	return k.short()
}

// roleOf checks what a --role flag says.
func roleOf(role string) error {
	if role != "" && !slices.Contains([]string{tuf.RoleRoot, tuf.RoleTargets, "signer"}, role) {
		return usagef("--role %s: expected root, targets or signer", role)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
