package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// renewal is what renew prints for each repository.
type renewal struct {
	Repository string            `json:"repository"`
	Renewed    []string          `json:"renewed"` // roles; none: nothing is due
	Published  *client.Published `json:"published,omitempty"`
}

func newRenew(a *app) *cobra.Command {
	var keys, roles []string
	var within string
	var expires lifeFlag
	cmd := &cobra.Command{
		Use:   "renew REPO|PATTERN...",
		Short: "Sign anew what expires soon",
		Long: `Sign anew what expires soon, with nothing else changed. Of each repository, the
roles are renewed whose keys are at hand; a pattern stands for all repositories of
the server whose names fit it. All is shown before one question, and one PIN is
enough for all.

` + keyHelp,
		Example: `  signet renew registry.example.com/team/app
  signet renew 'registry.example.com/team/*' --within 90d`,
		Args: cobra.MinimumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&within, "within", "60d", "renew what expires within this `time`; all renews everything")
	flags.StringSliceVar(&roles, "role", nil, "renew this `role` only: root, targets or a signer's name")
	flags.StringArrayVar(&keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand)")
	expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		request := client.RenewRequest{Roles: roles}
		var err error
		if within != "all" {
			if request.Within, err = parseLife(within); err != nil {
				return usagef("--within: %v", err)
			}
		}
		for i, arg := range args {
			if args[i], err = patternArg(arg); err != nil {
				return err
			}
		}
		life, err := expires.life()
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		names, err := a.expand(ctx, args)
		if err != nil {
			return err
		}
		hand, err := ring.atHand(ctx, keys)
		if err != nil {
			return err
		}
		var trouble error
		b := &batch{ring: ring}
		for _, name := range names { // one that fails does not keep the others from being renewed
			step, err := a.prepareRenew(ctx, ring, name, hand, request, life)
			if err == nil {
				b.steps = append(b.steps, step)
				continue
			}
			trouble = errors.Join(trouble, err)
			if ctx.Err() != nil {
				return trouble
			}
		}
		if err := b.agree(ctx); err != nil {
			return errors.Join(trouble, err)
		}
		return errors.Join(trouble, b.publish(ctx, true, func(_ int, published *client.Published) error {
			return a.printRenewal(published)
		}))
	})
	return cmd
}

func (a *app) printRenewal(published *client.Published) error {
	name := published.Repository
	result := renewal{Repository: name, Renewed: []string{}}
	if published.Change != nil {
		result.Published = published
		for _, file := range published.Change.Files {
			result.Renewed = append(result.Renewed, file.Role)
		}
	}
	return a.print(result, func(w io.Writer) {
		if len(result.Renewed) == 0 {
			fmt.Fprintf(w, "%s: nothing is due\n", name)
			return
		}
		fmt.Fprintf(w, "renewed %s: %s\n", name, strings.Join(result.Renewed, ", "))
	})
}

// prepareRenew prepares what is due in one repository, of the roles whose keys are
// at hand. That others are due is said, since somebody has to do it.
func (a *app) prepareRenew(ctx context.Context, ring *keyring, name string, hand []foundKey, request client.RenewRequest, life map[string]time.Duration) (*client.Prepared, error) {
	publisher, err := a.publisher(ctx, name, ring, life)
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return nil, err
	}
	roles, err := publisher.Roles(ctx, name)
	if err != nil {
		return nil, err
	}
	due := func(r client.SigningRole) bool {
		named := len(request.Roles) == 0 || slices.Contains(request.Roles, r.Name)
		return named && (request.Within == 0 || r.Expires.Sub(a.now()) <= request.Within)
	}
	names, chosen, err := a.choose(name, roles, hand, len(request.Roles) > 0, due)
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		if due(role) && !slices.Contains(names, role.Name) {
			a.note("warning: %s of %s expires %s, and its keys are not at hand", role.Name, name, until(a.now(), role.Expires))
		}
	}
	request.Repository, request.Roles, request.Signers = name, names, ring.lazy(chosen)
	if len(names) == 0 {
		return &client.Prepared{Repository: name}, nil
	}
	return publisher.PrepareRenew(ctx, request)
}

// expand turns patterns into the names of the server's repositories.
func (a *app) expand(ctx context.Context, args []string) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, arg := range args {
		if !isPattern(arg) {
			add(arg)
			continue
		}
		publisher, err := a.publisher(ctx, anyName(arg), nil, nil)
		if err != nil {
			return nil, err
		}
		before := len(names)
		repositories, err := publisher.Repositories(ctx)
		if err != nil {
			return nil, err
		}
		for _, repository := range repositories {
			if tuf.MatchName(arg, repository.Repository) {
				add(repository.Repository)
			}
		}
		if len(names) == before {
			return nil, fmt.Errorf("%s has no repository that fits %s and that the token covers", publisher.Server.URL, arg)
		}
	}
	return names, nil
}

// isPattern tells a pattern from a name.
func isPattern(arg string) bool { return strings.ContainsAny(arg, "*?") }

// anyName is a name that fits pattern, to find the server that it is for.
func anyName(pattern string) string {
	return strings.NewReplacer("**", "x", "*", "x", "?", "x").Replace(pattern)
}
