package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/keystore/yubikey"
)

// keyList is what key list prints.
type keyList struct {
	Keys []keyInfo `json:"keys"`
}

func newKeyList(a *app) *cobra.Command {
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys in files and on YubiKeys, who attests them, and where they are trusted",
		Long: `List the keys in files and on connected YubiKeys, and those that are noted here to
be on YubiKeys elsewhere: whether each was made on its device or imported, who
attests that, and, below, in which repositories and roles this machine has seen it
trusted. No PIN, no touch and no server is asked.`,
		Args: cobra.NoArgs,
	}
	roots.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		list, trouble := ring.list(ctx, trusted)
		return errors.Join(a.print(list, list.write), trouble)
	})
	return cmd
}

func (l keyList) write(w io.Writer) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "KEY ID\tNAME\tROLE\tALGORITHM\tWHERE\tPIN\tTOUCH\tFIRMWARE\tMADE\tATTESTED BY")
		for _, k := range l.Keys {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(k.short()), dash(k.Name), dash(k.Role), k.Algorithm, k.place(),
				dash(k.PIN), dash(k.Touch), dash(k.Firmware), k.birth(), k.vouchedBy())
		}
	})
	var trusted bool
	for _, k := range l.Keys {
		trusted = trusted || len(k.Trusted) > 0
	}
	if !trusted {
		return
	}
	fmt.Fprintln(w)
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "KEY\tIS TRUSTED AS\tOF")
		for _, k := range l.Keys {
			for _, use := range k.Trusted {
				fmt.Fprintf(w, "%s\t%s\t%s\n", k.called(), use.Role, use.Repository)
			}
		}
	})
}

// list brings together what our files say, what YubiKeys say, and where this
// machine has seen the keys trusted.
func (r *keyring) list(ctx context.Context, roots *attestation.Roots) (keyList, error) {
	list := keyList{Keys: []keyInfo{}}
	entries, trouble := r.store.List()
	at := map[string]int{}
	for _, e := range entries {
		at[e.Key.ID()] = len(list.Keys)
		list.Keys = append(list.Keys, entryInfo(e))
	}
	slots, err := r.slots(ctx)
	if noSticks(err) {
		r.app.note("%v; keys on YubiKeys are listed as they are noted here", err) // no trouble for who has files only
		err = nil
	}
	trouble = errors.Join(trouble, err)
	seen := map[string]bool{}
	for _, slot := range slots {
		info := &keyInfo{}
		i, known := -1, false
		if slot.Key != nil {
			i, known = at[slot.Key.ID()]
		}
		// An imported key may be on several YubiKeys: each has its row.
		if again := known && seen[slot.Key.ID()]; known && !again {
			info = &list.Keys[i]
			seen[slot.Key.ID()] = true
		} else {
			if again {
				info.Name, info.Role, info.Origin = list.Keys[i].Name, list.Keys[i].Role, list.Keys[i].Origin
			}
			list.Keys = append(list.Keys, *info)
			info = &list.Keys[len(list.Keys)-1]
		}
		if err := r.row(ctx, info, slot); err != nil {
			trouble = errors.Join(trouble, err)
			break
		}
	}
	here := map[uint32]bool{}
	sticks, err := r.session.List(ctx)
	if !noSticks(err) {
		trouble = errors.Join(trouble, err)
	}
	for _, stick := range sticks {
		here[stick.Serial] = stick.Err == nil
	}
	uses, err := r.uses(ctx)
	trouble = errors.Join(trouble, err)
	now := r.app.now()
	for i := range list.Keys {
		k := &list.Keys[i]
		k.Gone = k.Where == "yubikey" && !k.Connected && here[k.Serial]
		k.vouch(roots, now)
		r.app.noteGarbled(*k)
		k.Trusted = uses[k.ID]
	}
	return list, trouble
}

// row fills in a key that is on a connected YubiKey. An attestation that is noted
// is not asked for again: it costs the stick a signature.
func (r *keyring) row(ctx context.Context, info *keyInfo, slot yubikey.SlotInfo) error {
	if info.Where == "file" { // and on a stick, too
		info.Path = ""
	}
	if len(info.chain) == 0 || info.Serial != slot.Serial || info.Slot != slot.Slot.String() {
		return r.fromStick(ctx, info, slot)
	}
	stick, err := r.session.Open(ctx, slot.Serial)
	if err == nil {
		info.connect(slot, stick.Info().Firmware)
	}
	return err
}

// noteGarbled says what a certificate that cannot be read means: nothing to us.
func (a *app) noteGarbled(k keyInfo) {
	if k.Garbled {
		a.note("note: the certificate in slot %s of YubiKey %d cannot be read; signet signs without it, other programs may not see the key", k.Slot, k.Serial)
	}
}
