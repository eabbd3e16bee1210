package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/drill"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

// drillResult is what drill prints.
type drillResult struct {
	*drill.Report
	Hand   []string `json:"hand"`             // IDs of the repository's keys that are here
	Proved []string `json:"proved,omitempty"` // those of them that have just signed a proof
	Advice []string `json:"advice,omitempty"` // what to do while nothing has happened yet
}

func newDrill(a *app) *cobra.Command {
	var keys []string
	var prove, steps, offline bool
	cmd := &cobra.Command{
		Use:   "drill REPO",
		Short: "Rehearse lost and stolen keys on a copy: would today's keys be enough?",
		Long: `Rehearse bad days on a copy of a repository, without touching the repository: each
root key is lost, the keys of targets and of each signer are stolen, and the
online keys are. A thief forges what can be forged, the owner puts other keys in
place, and verifiers tell what they see. Other keys stand for the real ones, so no
PIN is asked for, and nothing that is signed is of use to anybody.

Counted as here are the keys in files and on connected YubiKeys, or those that
--key names. With --prove each of them signs a proof that is good for nothing
else: a passphrase that was forgotten, or a YubiKey that is broken, is better
found today. Exit status 1 when the keys would not be enough.

` + keyHelp,
		Example: `  signet drill registry.example.com/team/app
  signet drill registry.example.com/team/app --prove --steps`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&keys, "key", nil, "count this `KEY` as here (may be given several times; default: all that are)")
	flags.BoolVar(&prove, "prove", false, "have each key that is here sign a proof that is good for nothing else")
	flags.BoolVar(&steps, "steps", false, "show what thief, owner and verifiers do")
	flags.BoolVar(&offline, "offline", false, "copy what was verified before")
	a.secretFlags(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		hand, err := ring.atHand(ctx, keys)
		if err != nil {
			return err
		}
		result := drillResult{Hand: []string{}}
		hand = slices.DeleteFunc(presentFirst(hand), func(key foundKey) bool { return !key.present() || !listed(view, key.ID()) })
		for _, key := range hand {
			result.Hand = append(result.Hand, key.ID())
			ring.known[key.ID()] = key
		}
		if prove {
			if result.Proved, err = ring.prove(ctx, view.Repository, hand); err != nil {
				return err
			}
		}
		if result.Report, err = drill.Run(ctx, drill.Request{View: view, Hand: result.Hand, Now: a.now}); err != nil {
			return err
		}
		result.Advice = drillAdvice(result.Report)
		if err := a.print(result, func(w io.Writer) { printDrill(w, result, ring, steps) }); err != nil {
			return err
		}
		few := 0
		for _, scene := range result.Scenes {
			if !scene.Enough {
				few++
			}
		}
		if few > 0 {
			return fmt.Errorf("today's keys would not be enough on %d of the %d bad days", few, len(result.Scenes))
		}
		return nil
	})
	return cmd
}

// listed tells whether a repository trusts a key in any role.
func listed(view *client.View, id string) bool {
	return slices.ContainsFunc(view.Roles, func(role client.RoleView) bool {
		return slices.ContainsFunc(role.Keys, func(key client.KeyView) bool { return key.ID == id })
	})
}

// prove has each key sign what nobody takes for metadata: it says so itself, and has
// none of the members that a signed file has.
func (r *keyring) prove(ctx context.Context, repository string, hand []foundKey) (proved []string, err error) {
	for i, key := range hand {
		proof, err := json.Marshal(map[string]string{
			"_type": "signet-drill", "keyid": key.ID(), "repository": repository, "time": r.app.now().UTC().Format(time.RFC3339),
		})
		if err != nil {
			return nil, err
		}
		signer, err := r.signer(ctx, key)
		if err != nil {
			return nil, err
		}
		why := fmt.Sprintf("a proof for the drill of %s, %d of %d", repository, i+1, len(hand))
		if _, err := tuf.SignPayload(keystore.WithReason(ctx, why), proof, signer); err != nil {
			return nil, fmt.Errorf("%s: %w", key.called(), err)
		}
		proved = append(proved, key.ID())
	}
	return proved, nil
}

func printDrill(w io.Writer, result drillResult, ring *keyring, steps bool) {
	fmt.Fprintf(w, "%s: %s here", result.Repository, plural(len(result.Hand), "key"))
	if len(result.Proved) > 0 {
		fmt.Fprint(w, ", each of which has just signed a proof")
	}
	fmt.Fprint(w, "\n\n")
	for _, scene := range result.Scenes {
		verdict := "enough"
		if !scene.Enough {
			verdict = "NOT ENOUGH"
		}
		fmt.Fprintf(w, "%-11s %s\n", verdict, sceneTitle(scene, ring))
		if steps {
			for _, step := range scene.Steps {
				fmt.Fprintf(w, "              %s %s: %s\n", step.Who, clip(step.What, maxSentence), step.Saw)
			}
		}
		if !scene.Enough {
			fmt.Fprintf(w, "              %s\n", clip(scene.Detail, maxSentence))
			if len(scene.Needed) > 0 {
				fmt.Fprintf(w, "              lacking: %s\n", ring.names(scene.Needed))
			}
		}
	}
	if len(result.NotRehearsed) > 0 {
		fmt.Fprintf(w, "\nnot rehearsed: %s\n", clip(strings.Join(result.NotRehearsed, ", "), maxSentence))
	}
	for i, advice := range result.Advice {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "do now: %s\n", advice)
	}
}

// sceneTitle says what happens.
func sceneTitle(scene drill.Scene, ring *keyring) string {
	switch scene.Kind {
	case drill.RootKeyLost:
		return fmt.Sprintf("the root key %s is lost", ring.names(scene.Keys))
	case drill.KeysStolen:
		title := fmt.Sprintf("the keys of %s are stolen: %s", clip(scene.Role, 100), ring.names(scene.Keys))
		if len(scene.Keys) == 1 {
			title = fmt.Sprintf("the key of %s is stolen: %s", clip(scene.Role, 100), ring.names(scene.Keys))
		}
		return title
	}
	return "the server's online keys are stolen, and versions run to the largest there are"
}

// names calls keys as people know them.
func (r *keyring) names(ids []string) string {
	var names []string
	for _, id := range ids {
		name := id[:min(12, len(id))]
		if key, ok := r.known[id]; ok {
			name = r.noted(key).called()
		} else if entry, err := r.store.Find(id); err == nil {
			name = entry.String()
			if entry.Stick != nil {
				name += fmt.Sprintf(", on YubiKey %d", entry.Stick.Serial)
			}
		}
		names = append(names, strings.TrimPrefix(name, "key "))
	}
	return strings.Join(names, "; ")
}

// drillAdvice says what would have made the keys enough, while there is time.
func drillAdvice(report *drill.Report) []string {
	var advice []string
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(advice, text) {
			advice = append(advice, text)
		}
	}
	for _, scene := range report.Scenes {
		switch {
		case scene.Enough:
		case scene.Lack == drill.LackElsewhere:
			add("know where the other keys are that %s needs, and who brings them", word(scene.Signer))
		case scene.Kind == drill.RootKeyLost:
			add("signet rotate %s root --add NEWKEY   (a root key to spare; or a lower --threshold)", report.Repository)
		default:
			add("signet rotate %s %s --add NEWKEY --remove %.12s   (a key of its own: %s needs it, too)", report.Repository, word(scene.Role), strings.Join(scene.Keys[:1], ""), word(scene.Signer))
		}
	}
	return advice
}
