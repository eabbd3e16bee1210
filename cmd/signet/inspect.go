package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

// inspection is what inspect prints: the view, and what this machine knows of
// where the keys are.
type inspection struct {
	*client.View
	Keys map[string]keyInfo `json:"knownKeys"` // by key ID, those that this machine's files know
}

func newInspect(a *app) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "inspect REPO",
		Short: "Show roles, keys, thresholds, versions and expiries, and where each key lives",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "answer from what was verified before")
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		known := map[string]keyInfo{}
		entries, err := a.keyStore().List()
		if err != nil {
			a.note("%v", err)
		}
		for _, e := range entries {
			known[e.Key.ID()] = entryInfo(e)
		}
		result := inspection{View: view, Keys: map[string]keyInfo{}}
		for _, role := range view.Roles {
			for _, key := range role.Keys {
				if info, ok := known[key.ID]; ok {
					result.Keys[key.ID] = info
				}
			}
		}
		return a.print(result, func(w io.Writer) { a.printInspection(w, result) })
	})
	return cmd
}

func (a *app) printInspection(w io.Writer, result inspection) {
	fmt.Fprintf(w, "%s\n", result.Repository)
	now := a.now()
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "\nROLE\tVERSION\tEXPIRES\tTHRESHOLD\tKEYS")
		for _, role := range result.Roles {
			fmt.Fprintf(w, "%s\t%d\t%s (%s)\t%d of %d\t", role.Name, role.Version, stamp(role.Expires), until(now, role.Expires), role.Threshold, len(role.Keys))
			for i, key := range role.Keys {
				if i > 0 {
					fmt.Fprint(w, "\t\t\t\t")
				}
				fmt.Fprintf(w, "%s %s, %s\n", key.ID[:min(12, len(key.ID))], key.Algorithm, result.home(role.Name, key.ID))
			}
			if len(role.Keys) == 0 {
				fmt.Fprintln(w, "-")
			}
			if len(role.Paths) > 0 {
				fmt.Fprintf(w, "\t\t\t\tmay sign %s\n", strings.Join(role.Paths, " "))
			}
		}
	})
	withdrawn := 0
	for _, tag := range result.Tags {
		if tag.Digest == "" {
			withdrawn++
		}
	}
	fmt.Fprintf(w, "\n%s signed", plural(len(result.Tags)-withdrawn, "tag"))
	if withdrawn > 0 {
		fmt.Fprintf(w, ", %d withdrawn with earlier digests still trusted", withdrawn)
	}
	fmt.Fprintf(w, "; all of it is good until %s (%s)\n", stamp(result.Expires), until(now, result.Expires))
}

// home says where a key lives, as far as this machine knows.
func (r inspection) home(role, id string) string {
	if role == "snapshot" || role == "timestamp" {
		return "at the server's signer"
	}
	info, ok := r.Keys[id]
	home := "elsewhere"
	if ok {
		home = keyHome(info)
	}
	if len(r.Attestations[id]) > 0 {
		home += ", attested"
	}
	return home
}

func keyHome(info keyInfo) string {
	home := ""
	switch info.Where {
	case "file":
		home = "a file on this machine"
	case "yubikey":
		home = fmt.Sprintf("YubiKey %d slot %s", info.Serial, info.Slot)
	default:
		home = "elsewhere"
	}
	if info.Name != "" {
		home = info.Name + ": " + home
	}
	return home
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
