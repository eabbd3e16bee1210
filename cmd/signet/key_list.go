package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

// keyList is what key list prints.
type keyList struct {
	Keys []keyInfo `json:"keys"`
}

func newKeyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys in files and on connected YubiKeys",
		Args:  cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error {
			ring, err := a.keyring()
			if err != nil {
				return err
			}
			defer ring.Close()
			list, trouble := ring.list(ctx)
			err = a.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "KEY ID\tNAME\tROLE\tALGORITHM\tWHERE\tPIN\tTOUCH")
					for _, k := range list.Keys {
						id := k.ID
						if len(id) > 12 {
							id = id[:12]
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(id), dash(k.Name), dash(k.Role), k.Algorithm, k.place(), dash(k.PIN), dash(k.Touch))
					}
				})
			})
			return errors.Join(err, trouble)
		}),
	}
}

// list brings together what our files say and what YubiKeys say.
func (r *keyring) list(ctx context.Context) (keyList, error) {
	list := keyList{Keys: []keyInfo{}}
	entries, trouble := r.store.List()
	at := map[string]int{}
	for _, e := range entries {
		at[e.Key.ID()] = len(list.Keys)
		list.Keys = append(list.Keys, entryInfo(e))
	}
	slots, err := r.slots(ctx)
	if errors.Is(err, yubikey.ErrNoSupport) || errors.Is(err, yubikey.ErrNoDaemon) {
		r.app.note("%v; only key files are listed", err) // no trouble for who has files only
		err = nil
	}
	for _, slot := range slots {
		if slot.Key != nil {
			if i, known := at[slot.Key.ID()]; known {
				list.Keys[i].connect(slot)
				continue
			}
		}
		var info keyInfo
		info.connect(slot)
		list.Keys = append(list.Keys, info)
	}
	return list, errors.Join(trouble, err)
}

func newKeyExport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export KEY",
		Short: "Print the public half of a key, in PEM",
		Long:  "Print the public half of a key, in PEM, for those who are to trust it.\n\n" + keyHelp,
		Args:  cobra.ExactArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			ring, err := a.keyring()
			if err != nil {
				return err
			}
			defer ring.Close()
			key, err := ring.public(ctx, args[0])
			if err != nil {
				return err
			}
			v := struct {
				ID        string `json:"keyid"`
				Algorithm string `json:"algorithm"`
				PEM       string `json:"pem"`
			}{key.ID(), key.Algorithm(), string(key.PEM())}
			return a.print(v, func(w io.Writer) { w.Write(key.PEM()) })
		}),
	}
}

// readManagementKey reads hex, as ykman prints it.
func readManagementKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := readSecret(f)
	if err != nil {
		return nil, fmt.Errorf("management key in %s: %w", path, err)
	}
	defer clear(text)
	key := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(key, text); err != nil {
		return nil, fmt.Errorf("management key in %s: expected hex digits", path)
	}
	return key, nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

var _ keystore.Prompter = (*prompter)(nil)
