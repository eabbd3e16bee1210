package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// An errand is one change to be made in each of the repositories that a pattern
// stands for: all are read first, what would be signed is shown, one yes and one PIN
// for each YubiKey are asked for, and then each is published on its own. What fails
// is told and the rest goes on; what is done already is left alone, so that the same
// command again finishes what an earlier one could not.
type errand struct {
	what string // the command, for the report: "signer add"
	role string // the role that is changed
	life map[string]time.Duration
	keys []string // --key: keys to sign with; none: those at hand
	// dryRun shows what would be signed, and does nothing.
	dryRun bool
	// adds says that the role is new: elsewhere, a repository without it is done.
	adds bool
	// wanted says that a name that no repository knows is a mistake, and not what
	// was asked for.
	wanted bool
	// again says what the same command does again; "": it goes on with what is not done.
	again string
	// prepare builds the change of one repository. It returns the keys at hand, with
	// those that it found besides.
	prepare func(ctx context.Context, ring *keyring, p *client.Publisher, name string, hand []foundKey) (*client.Prepared, []foundKey, error)
}

// What became of one repository.
const (
	outcomeDone      = "done"
	outcomeUnchanged = "unchanged" // it is so already
	outcomeFailed    = "failed"
	outcomePlanned   = "planned" // it would be done, but for --dry-run
	outcomeLeft      = "left"    // it was not tried, or not to its end
)

// outcome is one line of a report.
type outcome struct {
	Repository string `json:"repository"`
	State      string `json:"state"`
	*problem
	Published *client.Published `json:"published,omitempty"`
}

// report is what an errand prints.
type report struct {
	Command      string         `json:"command"`
	Role         string         `json:"role"`
	Repositories []*outcome     `json:"repositories"`
	Counts       map[string]int `json:"counts"` // by state
	again        string         // what the same command does again
}

// one makes the change in one repository, and prints what came of it.
func (a *app) one(ctx context.Context, name string, e errand) error {
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	hand, err := ring.atHand(ctx, e.keys)
	if err != nil {
		return err
	}
	step, err := a.prepareErrand(ctx, ring, name, hand, e)
	if err != nil {
		return err
	}
	b := &batch{ring: ring, steps: []*client.Prepared{step}}
	if err := b.agree(ctx); err != nil {
		return err
	}
	return b.publish(ctx, false, func(_ int, published *client.Published) error {
		return a.print(rotation{Published: published, Role: e.role, Done: published.Change != nil}, func(w io.Writer) {
			fmt.Fprintln(w, signerNow(published, e.role))
		})
	})
}

// signerNow says in one line what came of a change of a signer.
func signerNow(published *client.Published, name string) string {
	if published.Change == nil {
		return fmt.Sprintf("nothing to do: %s of %s is so already", name, published.Repository)
	}
	for _, file := range published.Change.Files {
		goes := slices.ContainsFunc(file.Signers, func(s client.SignerChange) bool { return s.Name == name && s.New == nil })
		if goes || slices.ContainsFunc(file.Roles, func(now client.Holders) bool { return now.Role == name }) {
			return nowHas(published, name)
		}
	}
	return fmt.Sprintf("%s of %s is signed anew: %s", name, published.Repository, filesOf(published))
}

func (a *app) prepareErrand(ctx context.Context, ring *keyring, name string, hand []foundKey, e errand) (*client.Prepared, error) {
	publisher, err := a.publisher(ctx, name, ring, e.life)
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return nil, err
	}
	step, hand, err := e.prepare(ctx, ring, publisher, name, hand)
	if err != nil {
		return nil, lackOf(err, hand)
	}
	return step, nil
}

// run makes the change in the repository, or in all that fit the pattern.
func (a *app) run(ctx context.Context, arg string, e errand) error {
	if !isPattern(arg) {
		name, err := repository(arg)
		if err != nil {
			return err
		}
		return a.one(ctx, name, e)
	}
	pattern, err := patternArg(arg)
	if err != nil {
		return err
	}
	a.sharing = true
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	names, err := a.expand(ctx, []string{pattern})
	if err != nil {
		return err
	}
	hand, err := ring.atHand(ctx, e.keys)
	if err != nil {
		return err
	}
	progress, end := a.startProgress()
	defer end()
	r := &report{Command: e.what, Role: e.role, Counts: map[string]int{}, again: e.again}
	if r.again == "" {
		r.again = "the same command again is safe: it goes on with what is not done"
	}
	b := &batch{ring: ring}
	var trouble error
	absent := 0
	at := map[string]*outcome{}
	for i, name := range names {
		progress.step("reading", i+1, len(names), name)
		o := &outcome{Repository: name, State: outcomeLeft}
		r.Repositories, at[name] = append(r.Repositories, o), o
		if ctx.Err() != nil || stops(trouble) {
			continue
		}
		step, err := a.prepareErrand(ctx, ring, name, hand, e)
		if _, wrong := errors.AsType[*usageError](err); wrong {
			return err // it would be wrong everywhere
		}
		if !e.adds && errors.Is(err, tuf.ErrNotFound) && a.isAbsent(ctx, ring, name, e) {
			o.State, absent = outcomeUnchanged, absent+1
			continue
		}
		if err != nil {
			trouble = errors.Join(trouble, o.fail(err))
			continue
		}
		b.steps = append(b.steps, step)
	}
	if e.wanted && absent == len(names) {
		return fmt.Errorf("none of the %d repositories that fit %s has a signer %q: %w", len(names), pattern, clip(e.role, 100), tuf.ErrNotFound)
	}
	if stops(trouble) || ctx.Err() != nil {
		return errors.Join(trouble, ctx.Err(), a.printReport(r))
	}
	if e.dryRun {
		b.plan(at)
		return errors.Join(trouble, a.printReport(r))
	}
	if err := b.agree(ctx); err != nil {
		return errors.Join(trouble, err, a.printReport(r))
	}
	if a.propose != nil {
		return errors.Join(trouble, b.publish(ctx, true, nil))
	}
	for i, step := range b.steps {
		o := at[step.Repository]
		if step.Change == nil {
			o.State = outcomeUnchanged
			continue
		}
		if ctx.Err() != nil || stops(trouble) || isKeyTrouble(trouble) {
			continue
		}
		progress.step("publishing", i+1, len(b.steps), step.Repository)
		published, err := step.Publish(ctx)
		if err != nil {
			trouble = errors.Join(trouble, o.fail(err))
			continue
		}
		o.State, o.Published = outcomeDone, published
		if published.Change == nil { // somebody else was first
			o.State = outcomeUnchanged
		}
	}
	return errors.Join(trouble, ctx.Err(), a.printReport(r))
}

// isAbsent tells whether a repository, which can be read, has no such signer: there
// is nothing to be changed in it.
func (a *app) isAbsent(ctx context.Context, ring *keyring, name string, e errand) bool {
	publisher, err := a.publisher(ctx, name, ring, e.life)
	if err != nil {
		return false
	}
	roles, err := publisher.Roles(ctx, name)
	return err == nil && !slices.ContainsFunc(roles, func(role client.SigningRole) bool { return role.Name == e.role })
}

// plan shows what would be signed in each repository, and whose keys it lacks.
func (b *batch) plan(at map[string]*outcome) {
	var changes []*client.Change
	for _, step := range b.steps {
		o := at[step.Repository]
		if step.Change == nil {
			o.State = outcomeUnchanged
			continue
		}
		changes, o.State = append(changes, step.Change), outcomePlanned
		for _, lack := range step.Missing {
			o.problem = &problem{Error: lack.Error(), Hint: hint(lack), Exit: exitCode(lack)}
		}
	}
	b.ring.app.showChanges(changes, b.ring)
}

// fail notes what went wrong, and returns it with the repository's name.
func (o *outcome) fail(err error) error {
	o.State, o.problem = outcomeFailed, &problem{Error: sentence(err), Rule: tuf.RuleOf(err), Hint: hint(err), Exit: exitCode(err)}
	if strings.Contains(err.Error(), o.Repository) {
		return err
	}
	return fmt.Errorf("%s: %w", o.Repository, err)
}

// stops tells whether trouble would befall every other repository too: a server that
// cannot be reached, or a token that it does not take.
func stops(trouble error) bool {
	for _, err := range flatten(trouble) {
		server, ok := errors.AsType[*client.ServerError](err)
		if errors.Is(err, api.ErrUnauthorized) || ok && slices.Contains([]client.Trouble{client.TroubleAddress, client.TroubleNoRoute, client.TroubleCA,
			client.TroubleCertExpired, client.TroubleCertName, client.TroubleTLS, client.TroubleRedirect}, server.Trouble) {
			return true
		}
	}
	return false
}

// printReport prints what became of each repository.
func (a *app) printReport(r *report) error {
	states := []string{outcomeDone, outcomeUnchanged, outcomeFailed, outcomeLeft}
	for _, state := range states {
		r.Counts[state] = 0
	}
	for _, o := range r.Repositories {
		r.Counts[o.State]++
	}
	return a.print(r, func(w io.Writer) {
		for _, o := range r.Repositories {
			switch {
			case o.problem != nil:
				fmt.Fprintf(w, "%-9s %s: %s\n", o.State, o.Repository, strings.TrimLeft(strings.TrimPrefix(o.Error, o.Repository), ": "))
			case o.Published != nil && o.State == outcomeDone:
				fmt.Fprintf(w, "%-9s %s: %s\n", o.State, o.Repository, filesOf(o.Published))
			default:
				fmt.Fprintf(w, "%-9s %s\n", o.State, o.Repository)
			}
		}
		var counts []string
		for _, state := range append(states, outcomePlanned) {
			if n, ok := r.Counts[state]; ok {
				counts = append(counts, fmt.Sprintf("%d %s", n, state))
			}
		}
		fmt.Fprintf(w, "%s %s: %s\n", r.Command, r.Role, strings.Join(counts, ", "))
		if r.Counts[outcomeFailed]+r.Counts[outcomeLeft] > 0 {
			fmt.Fprintln(w, r.again)
		}
	})
}

// filesOf lists the files that were published, with their versions.
func filesOf(published *client.Published) string {
	var list []string
	for _, file := range published.Change.Files {
		list = append(list, fmt.Sprintf("%s version %d", file.Role, file.Version))
	}
	return strings.Join(list, ", ")
}
