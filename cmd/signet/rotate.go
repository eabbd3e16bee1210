package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// rotateFlags are rotate's own flags.
type rotateFlags struct {
	add, remove, keys []string
	threshold         int
	dryRun            bool
	expires           lifeFlag
	roots             attestationRoots
}

// rotation is what rotate and signer print.
type rotation struct {
	*client.Published
	Role   string `json:"role"`
	Done   bool   `json:"done"` // false: there was nothing to do, or it is a dry run
	DryRun bool   `json:"dryRun,omitempty"`
}

func newRotate(a *app) *cobra.Command {
	var f rotateFlags
	var in, out string
	cmd := &cobra.Command{
		Use:   "rotate REPO|PATTERN root|targets|SIGNER|snapshot|timestamp",
		Short: "Give a role other keys, or another threshold",
		Long: `Give root, targets or a signer other keys, or say how many of them must sign. A new
root is signed by the old keys and by the new ones, so that everybody who trusts
the old ones follows by themselves. What the role has signed is signed anew when
too few of the keys that stay have signed it.

snapshot and timestamp have keys of the server's signer, which makes fresh ones; both
may be named. The root keys sign a root that lists them, and in the same step they
take over: that undoes what a thief of the old ones did to versions.

What would change is shown first; --dry-run stops there. A rotation that is done
already does nothing when it is asked for again.

` + manyHelp + `

` + keyHelp + ` A key that is
lost is told by the start of its ID, which signet inspect shows.`,
		Example: `  signet rotate registry.example.com/team/app root --add yk3 --threshold 2
  signet rotate registry.example.com/team/app targets --remove 5f0c81d2 --add ci-2 --dry-run
  signet rotate registry.example.com/team/app snapshot timestamp
  signet rotate 'registry.example.com/team/*' root --add yk4 --remove yk1
  signet rotate 'registry.example.com/**' snapshot timestamp`,
		Args: cobra.RangeArgs(2, 3),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.add, "add", nil, "a `KEY` that comes (may be given several times)")
	flags.StringArrayVar(&f.remove, "remove", nil, "a `KEY` that goes (may be given several times)")
	flags.IntVar(&f.threshold, "threshold", 0, "how many of the keys must sign from now on (default: as many as before)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be signed, and by whom, and do nothing")
	flags.StringVar(&out, "old", "", "the same as --remove")
	flags.StringVar(&in, "new", "", "the same as --add")
	flags.Lookup("old").Hidden, flags.Lookup("new").Hidden = true, true
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY`, beside those that come (may be given several times; default: those at hand)")
	f.expires.add(cmd)
	f.roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		for _, old := range []struct {
			value string
			list  *[]string
		}{{in, &f.add}, {out, &f.remove}} {
			if old.value != "" {
				*old.list = append(*old.list, old.value)
			}
		}
		if slices.ContainsFunc(args[1:], func(role string) bool { return role == tuf.RoleSnapshot || role == tuf.RoleTimestamp }) {
			return a.rotateOnline(ctx, args[0], args[1:], f)
		}
		if len(args) > 2 {
			return usagef("one role at a time, but for snapshot and timestamp, which go together")
		}
		if len(f.add) == 0 && len(f.remove) == 0 && f.threshold == 0 {
			return usagef("say what is to change: --add KEY, --remove KEY or --threshold N")
		}
		if f.threshold < 0 {
			return usagef("--threshold %d: expected 1 or more", f.threshold)
		}
		if isPattern(args[0]) {
			return a.rotateMany(ctx, args[0], args[1], f)
		}
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		return a.rotate(ctx, name, args[1], f)
	})
	return cmd
}

// rotate changes the keys of one role.
func (a *app) rotate(ctx context.Context, name, role string, f rotateFlags) error {
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	trusted, err := f.roots.load()
	if err != nil {
		return err
	}
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	publisher, err := a.publisher(ctx, name, ring, life)
	if err != nil {
		return err
	}
	publisher.DryRun = f.dryRun
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return err
	}
	roles, err := publisher.Roles(ctx, name)
	if err != nil {
		return err
	}
	request := client.ChangeKeysRequest{Repository: name, Role: role, Threshold: f.threshold, Attestations: map[string][]string{}}
	now := client.SigningRole{Name: role}
	if i := slices.IndexFunc(roles, func(r client.SigningRole) bool { return r.Name == role }); i >= 0 {
		now = roles[i]
	}
	coming, err := ring.changes(ctx, now, f, &request)
	if err != nil {
		return err
	}
	if err := a.inHardware(publisher, name, role, request.Add, request.Attestations); err != nil {
		return err
	}
	if isDone(now, request) {
		return a.print(rotation{Published: &client.Published{Repository: name}, Role: role}, func(w io.Writer) {
			fmt.Fprintf(w, "nothing to do: %s of %s has these keys already, %d of %d must sign\n", role, name, now.Threshold, len(now.Keys))
		})
	}
	hand, err := ring.atHand(ctx, f.keys)
	if err != nil {
		return err
	}
	hand = unique(append(hand, coming...))
	request.Signers = ring.lazy(presentFirst(hand))
	step, err := publisher.PrepareChangeKeys(ctx, request)
	if err != nil {
		return lackOf(err, hand)
	}
	ring.warnOfKeys(trusted, role, request.Add, request.Attestations)
	if f.dryRun {
		return a.printDryRun(ring, step, role)
	}
	if len(request.Remove) > 0 && role != tuf.RoleRoot {
		a.note("what the keys that go have signed stays trusted; if one was stolen: signet compromised %.12s tells what to take back", request.Remove[0])
	}
	return a.publishRotation(ctx, ring, step, role)
}

// changes finds the keys that come and go. A key that goes may be lost, so the
// start of its ID is looked for in the role itself first.
func (r *keyring) changes(ctx context.Context, role client.SigningRole, f rotateFlags, request *client.ChangeKeysRequest) (coming []foundKey, err error) {
	for _, what := range f.add {
		key, err := r.find(ctx, what)
		if err != nil {
			return nil, fmt.Errorf("--add: %w", err)
		}
		r.known[key.ID()] = key
		coming = append(coming, key)
		request.Add = append(request.Add, key.Key)
		chain, err := r.attestation(ctx, key)
		if err != nil {
			return nil, err
		}
		if len(chain) > 0 {
			request.Attestations[key.ID()] = chain
		}
	}
	for _, what := range f.remove {
		id, err := r.oldKey(ctx, role, what)
		if err != nil {
			return nil, fmt.Errorf("--remove: %w", err)
		}
		request.Remove = append(request.Remove, id)
	}
	return coming, nil
}

// oldKey tells the ID of a key that goes.
func (r *keyring) oldKey(ctx context.Context, role client.SigningRole, what string) (string, error) {
	if isHex(what) && len(what) >= 8 {
		for _, key := range role.Keys {
			if strings.HasPrefix(key.ID(), strings.ToLower(what)) {
				return key.ID(), nil
			}
		}
		if len(what) == 64 {
			return strings.ToLower(what), nil
		}
	}
	key, err := r.find(ctx, what)
	if errors.Is(err, keystore.ErrNotFound) {
		return "", advise(err, "a key that is gone is named by its ID, or the first 8 digits of it, which signet inspect REPO shows, or by a file with its public half")
	}
	if err != nil {
		return "", err
	}
	return key.ID(), nil
}

// isDone tells whether a role is what a request would make of it, as after a
// rotation that was asked for twice. With attestations only who sees the role's own
// can tell.
func isDone(role client.SigningRole, request client.ChangeKeysRequest) bool {
	has := func(id string) bool {
		return slices.ContainsFunc(role.Keys, func(key *tuf.Key) bool { return key.ID() == id })
	}
	return role.Threshold > 0 && len(request.Attestations) == 0 && (request.Threshold == 0 || request.Threshold == role.Threshold) && !slices.ContainsFunc(request.Remove, has) &&
		!slices.ContainsFunc(request.Add, func(key *tuf.Key) bool { return !has(key.ID()) })
}

// lackOf adds to an error about keys that are lacking where those are, as far as
// this machine knows.
func lackOf(err error, hand []foundKey) error {
	lack, ok := errors.AsType[*client.KeysError](err)
	if !ok {
		return err
	}
	wanted := slices.DeleteFunc(slices.Clone(hand), func(key foundKey) bool { return !slices.ContainsFunc(lack.Keys, key.Equal) })
	if elsewhere := sticksElsewhere(wanted); elsewhere != "" {
		return advise(err, "%s: plug it in", elsewhere)
	}
	return err
}

// printDryRun shows what would be signed, and what it lacks, as a result.
func (a *app) printDryRun(ring *keyring, step *client.Prepared, role string) error {
	v := struct {
		rotation
		Missing []string `json:"missing,omitempty"` // signatures that nobody at hand can make
	}{rotation: rotation{Published: &client.Published{Repository: step.Repository, Change: step.Change}, Role: role, DryRun: true}}
	for _, lack := range step.Missing {
		v.Missing = append(v.Missing, lack.Error())
	}
	return a.print(v, func(w io.Writer) {
		if step.Change == nil {
			fmt.Fprintf(w, "nothing to do in %s\n", step.Repository)
			return
		}
		fmt.Fprintf(w, "this would be signed for %s:\n", step.Repository)
		for _, file := range step.Change.Files {
			a.printFile(w, step.Repository, file, ring)
		}
		for _, warning := range step.Change.Warnings {
			fmt.Fprintf(w, "warning: %s\n", clip(warning, maxSentence))
		}
		for _, missing := range v.Missing {
			fmt.Fprintf(w, "lacking: %s\n", missing)
		}
	})
}

// publishRotation publishes a change of keys or signers, and says what is now.
func (a *app) publishRotation(ctx context.Context, ring *keyring, step *client.Prepared, role string) error {
	b := &batch{ring: ring, steps: []*client.Prepared{step}}
	if err := b.agree(ctx); err != nil {
		return err
	}
	return b.publish(ctx, false, func(_ int, published *client.Published) error {
		return a.print(rotation{Published: published, Role: role, Done: published.Change != nil}, func(w io.Writer) {
			fmt.Fprintln(w, nowHas(published, role))
		})
	})
}

// nowHas says in one line what came of a change.
func nowHas(published *client.Published, role string) string {
	if published.Change == nil {
		return fmt.Sprintf("nothing to do: %s of %s has these keys already", role, published.Repository)
	}
	for _, file := range published.Change.Files {
		for _, now := range file.Roles {
			if now.Role == role {
				return fmt.Sprintf("%s of %s has %s now, %d must sign", role, published.Repository, plural(len(now.Keys), "key"), now.Threshold)
			}
		}
	}
	return fmt.Sprintf("%s is no signer of %s any more", role, published.Repository)
}
