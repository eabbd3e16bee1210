package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// inspection is what inspect prints: the view, what is known of where the keys
// are, and what this machine demands of them.
type inspection struct {
	*client.View
	// Keys are people's keys, by ID, as far as this machine's files or their
	// attestations say where they are.
	Keys   map[string]keyInfo  `json:"knownKeys"`
	Demand *attestation.Demand `json:"hardware,omitempty"`
	// Require are the voices that this machine requires, and MaxStale is how long ago
	// what it goes by without a network may have expired.
	Require  []client.Voice  `json:"require,omitempty"`
	MaxStale client.Duration `json:"maxStale,omitempty"`
}

func newInspect(a *app) *cobra.Command {
	var offline bool
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "inspect REPO",
		Short: "Show roles, keys, thresholds, versions and expiries, and where each key lives",
		Long: `Show roles, keys, thresholds, versions and expiries, and where each key lives: on
which YubiKey, with what firmware and policies, where an attestation that travels
with the signed metadata proves it, or else as this machine's files note it.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "answer from what was verified before")
	roots.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		result := inspection{View: view}
		if trusted, result.Demand, err = a.demanded(view.Repository, trusted); err != nil {
			return err
		}
		anchors, err := a.anchors()
		if err != nil {
			return err
		}
		if anchor, err := anchors.For(view.Repository); err == nil {
			result.Require, result.MaxStale = anchor.Require, anchor.MaxStale
		}
		result.Keys = a.peoplesKeys(view, trusted)
		return a.print(result, func(w io.Writer) { a.printInspection(w, result) })
	})
	return cmd
}

// demanded returns what the anchor for a repository demands of hardware, and roots
// with those that it believes besides.
func (a *app) demanded(repository string, roots *attestation.Roots) (*attestation.Roots, *attestation.Demand, error) {
	anchors, err := a.anchors()
	if err != nil {
		return nil, nil, err
	}
	anchor, err := anchors.For(repository)
	if err != nil || anchor.Hardware == nil {
		return roots, nil, nil
	}
	if anchor.Hardware.Roots != "" {
		roots, err = roots.With([]byte(anchor.Hardware.Roots))
	}
	return roots, anchor.Hardware, err
}

// peoplesKeys tells what is known of the keys of root, targets and signers.
func (a *app) peoplesKeys(view *client.View, roots *attestation.Roots) map[string]keyInfo {
	noted := map[string]keyInfo{}
	entries, err := a.keyStore().List()
	if err != nil {
		a.note("%v", err)
	}
	for _, e := range entries {
		noted[e.Key.ID()] = entryInfo(e)
	}
	keys := map[string]keyInfo{}
	for _, role := range view.Roles {
		if role.Name == tuf.RoleSnapshot || role.Name == tuf.RoleTimestamp {
			continue
		}
		for _, key := range role.Keys {
			info, ours := noted[key.ID]
			if !ours {
				info = keyInfo{ID: key.ID, Algorithm: key.Algorithm, Where: "elsewhere", key: key.Key}
			}
			// What is signed counts here, not what was noted when the key was made.
			info.chain = view.Attestations[key.ID]
			if proof, err := roots.Check(key.Key, info.chain, a.now()); err == nil {
				info.Attested, info.Weakness = proof, attestation.Weak(proof, key.Key)
			} else if len(info.chain) > 0 {
				info.Doubt = &doubt{tuf.RuleOf(err), plain(err).Error()}
			}
			if ours || len(info.chain) > 0 {
				keys[key.ID] = info
			}
		}
	}
	return keys
}

func (a *app) printInspection(w io.Writer, result inspection) {
	fmt.Fprintf(w, "%s\n", result.Repository)
	now := a.now()
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "\nROLE\tVERSION\tEXPIRES\tTHRESHOLD\tKEYS")
		for _, role := range result.Roles {
			fmt.Fprintf(w, "%s\t%d\t%s (%s)\t%d of %d\t", clip(role.Name, 100), role.Version, stamp(role.Expires), until(now, role.Expires), role.Threshold, len(role.Keys))
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
				fmt.Fprintf(w, "\t\t\t\tmay sign %s\n", signerInfo{}.of(result.Repository, role.Paths, role.Terminating).tags())
			}
		}
	})
	withdrawn, lacking := 0, 0
	for _, tag := range result.Tags {
		if tag.Digest == "" {
			withdrawn++
		}
		if len(tag.Lacking) > 0 {
			lacking++
		}
	}
	fmt.Fprintf(w, "\n%s signed", plural(len(result.Tags)-withdrawn, "tag"))
	if withdrawn > 0 {
		fmt.Fprintf(w, ", %d withdrawn with earlier digests still trusted", withdrawn)
	}
	if result.Stale > 0 {
		fmt.Fprintf(w, "; %s\n", stale(result.Stale))
	} else {
		fmt.Fprintf(w, "; all of it is good until %s (%s)\n", stamp(result.Expires), until(now, result.Expires))
	}
	if result.Demand != nil {
		fmt.Fprintf(w, "this machine demands of every key of root and targets: %s\n", demands(result.Demand))
	}
	if len(result.Require) > 0 {
		fmt.Fprintf(w, "this machine requires, for each tag, the word of %s\n", voiceKeys(result.Require))
	}
	switch {
	case lacking == 1:
		fmt.Fprintln(w, "not trusted here: 1 tag lacks a voice that this machine requires, see signet list")
	case lacking > 1:
		fmt.Fprintf(w, "not trusted here: %d tags lack a voice that this machine requires, see signet list\n", lacking)
	}
	if late := staleUpTo(client.Anchor{MaxStale: result.MaxStale}); late != "" {
		fmt.Fprintf(w, "without a network this machine goes by what expired %s ago\n", late)
	}
	for _, id := range sortedKeys(result.Keys) {
		if weakness := result.Keys[id].Weakness; weakness != "" {
			fmt.Fprintf(w, "warning: key %s: %s\n", id[:12], weakness)
		}
	}
}

// home says where a key lives, as far as is known, and what proves it.
func (r inspection) home(role, id string) string {
	if role == tuf.RoleSnapshot || role == tuf.RoleTimestamp {
		return "at the server's signer"
	}
	info, ok := r.Keys[id]
	if !ok {
		return "elsewhere, not attested"
	}
	home := keyHome(info)
	switch p := info.Attested; {
	case p != nil && info.Where == "elsewhere":
		return fmt.Sprintf("YubiKey %d slot %s, attested by %s: firmware %s, PIN %s, touch %s", p.Serial, p.Slot, clip(voucher(p), 60), p.Firmware, p.PIN, p.Touch)
	case p != nil:
		return fmt.Sprintf("%s, attested by %s: firmware %s, PIN %s, touch %s", home, clip(voucher(p), 60), p.Firmware, p.PIN, p.Touch)
	case info.Doubt != nil:
		return fmt.Sprintf("%s, attested by nobody who is trusted here (%s)", home, info.Doubt.Rule)
	}
	return home + ", not attested"
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
