package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// proposing is how a change is proposed rather than published.
type proposing struct {
	out, note string
	instead   *api.Proposal // what it takes the place of
}

func newPropose(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "propose",
		Short: "Leave a change for others to sign",
		Long: `Leave a change for others to sign, on the server or in a file, when the keys that
it takes are not in one room. Whoever proposes signs with the keys at hand, if any;
each of the others runs signet approve, is shown what the bytes would change, and
signs; the last signature publishes.

A proposal is for the very next versions. When somebody publishes other ones first
it goes stale, and signet propose rebase builds it anew.`,
	}, a)
	signer := parent(&cobra.Command{Use: "signer", Short: "Propose who else may sign which tags"}, a)
	signer.AddCommand(a.proposes(newSignerAdd(a)), a.proposes(newSignerRemove(a)), a.proposes(newSignerUpdate(a)))
	cmd.AddCommand(
		a.proposes(newInit(a)), a.proposes(newSign(a)), a.proposes(newRevoke(a)), a.proposes(newRenew(a)), a.proposes(newRotate(a)), signer,
		newProposeList(a), newProposeShow(a), newProposeWithdraw(a), newProposeRebase(a), newProposePublish(a), newProposeSend(a), newProposeJournal(a),
	)
	return cmd
}

// proposable are the commands that propose has as well.
var proposable = []string{"init", "sign", "revoke", "renew", "rotate", "signer add", "signer remove", "signer update"}

// elsewhere says how people in other rooms sign what the command is for; "" where
// nothing proposes it, or this does.
func (a *app) elsewhere() string {
	if a.propose != nil || a.twin == "" {
		return ""
	}
	return a.twin + ", with the same flags, gathers the signatures of people who are elsewhere"
}

// proposes makes a command propose what it does otherwise.
func (a *app) proposes(cmd *cobra.Command) *cobra.Command {
	p := &proposing{}
	p.flags(cmd)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.propose = p
		return run(cmd, args)
	}
	plain := "signet " + cmd.Name()
	if slices.Contains([]string{"add", "remove", "update"}, cmd.Name()) {
		plain = "signet signer " + cmd.Name()
	}
	cmd.Short = "Propose: " + strings.ToLower(cmd.Short[:1]) + cmd.Short[1:]
	cmd.Long = fmt.Sprintf(`Propose what %s would do: the same is built and shown, signed with
the keys at hand, if any, and left for others to sign. %s --help
says more of what it does.`, plain, plain)
	cmd.Example = ""
	return cmd
}

func (p *proposing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.out, "out", "", "leave the proposal in this `file`, in place of the server")
	cmd.Flags().StringVar(&p.note, "note", "", "tell those who are to sign, in a `text` that nobody has to believe")
}

// question is asked before anything is signed or sent.
func (p *proposing) question(changes []*client.Change) string {
	for _, change := range changes {
		for _, file := range change.Files {
			if len(file.SignedBy) > 0 {
				return "Sign and propose this?"
			}
		}
	}
	return "Propose this?"
}

// pick chooses keys for a role; what is to be proposed takes those that are at hand.
func (a *app) pick(keys []foundKey, role client.SigningRole) (chosen []foundKey, ok bool) {
	chosen, ok = pick(keys, role)
	if a.propose == nil {
		return chosen, ok
	}
	return slices.DeleteFunc(chosen, func(key foundKey) bool { return !key.present() }), true
}

// proposedRole is the role that a proposal to sign is for, when none was named: the
// first that a key at hand may sign, or else targets.
func proposedRole(roles []client.SigningRole, hand []foundKey) string {
	for _, role := range roles {
		if role.Name != tuf.RoleRoot && slices.ContainsFunc(hand, func(key foundKey) bool {
			return key.present() && slices.ContainsFunc(role.Keys, key.Equal)
		}) {
			return role.Name
		}
	}
	return tuf.RoleTargets
}

// proposed is what propose prints for each repository.
type proposed struct {
	Repository string         `json:"repository"`
	ID         string         `json:"id"` // "": there is nothing to propose
	File       string         `json:"file,omitempty"`
	Change     *client.Change `json:"change,omitempty"`
	Missing    []string       `json:"missing,omitempty"` // signatures that are yet to come
}

// leave proposes the steps, one after the other, and tells how they are approved.
func (b *batch) leave(ctx context.Context) error {
	a := b.ring.app
	for _, step := range b.steps {
		proposal, err := step.Propose(ctx, a.propose.note)
		if err != nil {
			return err
		}
		result := proposed{Repository: step.Repository, Change: step.Change, File: a.propose.out}
		switch {
		case proposal == nil:
			result.File = ""
		case a.propose.out != "":
			err = writeProposal(a.propose.out, proposal, false)
		default:
			err = a.sendNew(ctx, b.ring, proposal)
		}
		if err != nil {
			return err
		}
		if proposal != nil {
			result.ID = proposal.ID
		}
		for _, lack := range step.Missing {
			result.Missing = append(result.Missing, lacks(lack))
		}
		if err := a.print(result, func(w io.Writer) { result.text(w) }); err != nil {
			return err
		}
	}
	return nil
}

func (r proposed) text(w io.Writer) {
	if r.ID == "" {
		fmt.Fprintf(w, "nothing to propose for %s\n", r.Repository)
		return
	}
	fmt.Fprintf(w, "proposed %s %s\n", r.Repository, r.ID)
	for _, missing := range r.Missing {
		fmt.Fprintf(w, "  %s\n", missing)
	}
	what, then := r.Repository+" "+r.ID[:idDigits], "approve"
	if r.File != "" {
		what = r.File
	}
	if len(r.Missing) == 0 {
		then = "propose publish"
	}
	fmt.Fprintf(w, "next: signet %s %s\n", then, what)
}

// lacks says in words whose signatures are yet to come.
func lacks(e *client.KeysError) string {
	var ids []string
	for _, key := range e.Keys {
		if !slices.ContainsFunc(e.Given, key.Equal) {
			ids = append(ids, key.ID()[:12])
		}
	}
	return fmt.Sprintf("%s lacks %s of %s", clip(e.Role, 100), plural(e.Threshold-len(e.Given), "signature"), clip(strings.Join(ids, ", "), 300))
}

// sendNew puts a proposal on the server, in place of another where it was rebased.
func (a *app) sendNew(ctx context.Context, ring *keyring, proposal *api.Proposal) error {
	publisher, err := a.publisher(ctx, proposal.Repository, ring, nil)
	if err != nil {
		return err
	}
	if _, err := publisher.SendProposal(ctx, proposal); err != nil {
		return err
	}
	if old := a.propose.instead; old != nil && old.ID != proposal.ID {
		if err := publisher.Withdraw(ctx, old.Repository, old.ID); err != nil && !errors.Is(err, tuf.ErrNotFound) {
			a.note("the old proposal could not be withdrawn: %s", sentence(err))
		}
	}
	return nil
}

// writeProposal writes the file form of a proposal in one step. Unless again, it
// writes over nothing.
func writeProposal(path string, proposal *api.Proposal, again bool) error {
	data, err := json.MarshalIndent(proposal, "", "  ")
	if err != nil {
		return err
	}
	if !again {
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
	}
	return program.WriteFile(path, append(data, '\n'), 0o644)
}
