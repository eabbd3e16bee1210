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
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// compromisedFlags are compromised's own flags.
type compromisedFlags struct {
	since        string
	repositories []string
	html         string
	guided       bool
	with         string
	keys         []string
	keepOnline   bool
	keepSigners  bool
	expires      lifeFlag
}

// compromisedResult is what compromised prints. Its JSON is stable.
type compromisedResult struct {
	KeyID        string               `json:"keyid"`
	Name         string               `json:"name,omitempty"` // what this machine calls the key
	Time         time.Time            `json:"time"`
	Since        *time.Time           `json:"since,omitempty"`
	Searched     int                  `json:"searched"` // repositories whose past was read
	Repositories []*client.Compromise `json:"repositories"`
	Failed       []*outcome           `json:"failed"` // those whose past could not be read
	Plan         []planned            `json:"plan"`
}

// A planned is one command of the plan.
type planned struct {
	Repository string `json:"repository"`
	Command    string `json:"command"`
	Why        string `json:"why"`
}

func newCompromised(a *app) *cobra.Command {
	var f compromisedFlags
	cmd := &cobra.Command{
		Use:   "compromised KEY",
		Short: "A key is in the wrong hands: what it can do, what it did, and what to do",
		Long: `A key is in the wrong hands. Tell where it is trusted, what it can forge now,
everything it ever signed, what it alone brought in, what changed since --since and
what that was before; and the plan: commands to run, or, with --guided, one run
that goes through them, asks before each step, and in the end confirms with a
verifier that has seen nothing yet. A guided run that was interrupted is started
again: it goes on with what is left.

The past is read from the servers that this machine is logged in to, and every
signature is verified here; what a server leaves out is told as a gap. Without
--repository all repositories are read that the tokens cover.

` + keyHelp + ` A key
that is gone is told by its ID.`,
		Example: `  signet compromised 5f0c81d2 --since 3d --html report.html
  signet compromised ci-key --since 2026-11-20T08:00:00Z --guided --with ci-key-2`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "when the key may have been stolen: a `time` as 2026-11-20T08:00:00Z, a date, or how long ago, such as 3d (default: all that it ever signed is in doubt)")
	flags.StringArrayVar(&f.repositories, "repository", nil, "look at this `REPO` or pattern only (may be given several times)")
	flags.StringVar(&f.html, "html", "", "write the report as a page into this `file`, too")
	flags.BoolVar(&f.guided, "guided", false, "go through the plan, and ask before each step")
	flags.StringVar(&f.with, "with", "", "the `KEY` that comes in place of the compromised one, for --guided (not for an online key: the server's signer makes these)")
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY` in a guided run (may be given several times; default: those at hand)")
	flags.BoolVar(&f.keepOnline, "keep-online-keys", false, "leave the server's online keys as they are in a guided run, which then takes no root key")
	flags.BoolVar(&f.keepSigners, "keep-signers", false, "confirm a guided run although signers that were there before are as the key alone made them: you have looked at them")
	f.expires.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		since, err := parseSince(f.since, a.now())
		if err != nil {
			return err
		}
		if !f.guided && f.with != "" {
			return usagef("--with is for --guided")
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		result, err := a.compromised(ctx, ring, args[0], since, f)
		if err != nil {
			return err
		}
		if f.guided && f.with == "" && result.takesKey() {
			return advise(usagef("--guided puts another key in place of the compromised one: say which, --with KEY"), "signet key generate makes one")
		}
		var trouble error
		if f.html != "" {
			if trouble = writeCompromisedPage(f.html, result); trouble == nil {
				a.note("the report is in %s", f.html)
			}
		}
		if !f.guided || a.output != outputJSON {
			if err := a.print(result, func(w io.Writer) { a.printCompromised(w, result, f.guided) }); err != nil {
				return errors.Join(trouble, err)
			}
		}
		for _, failed := range result.Failed {
			trouble = errors.Join(trouble, advise(fmt.Errorf("%s could not be looked at: %s", failed.Repository, afterName(failed)), "%s", failed.Hint))
		}
		if f.guided {
			return errors.Join(a.guide(ctx, ring, result, f), trouble)
		}
		return trouble
	})
	return cmd
}

// parseSince reads --since.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			if at.After(now) {
				return at, usagef("--since %s is yet to come", text)
			}
			return at.UTC(), nil
		}
	}
	ago, err := parseLife(text)
	if err != nil {
		return time.Time{}, usagef("--since %q: expected a time as 2026-11-20T08:00:00Z, a date as 2026-11-20, or how long ago, such as 3d", text)
	}
	return now.Add(-ago).UTC().Truncate(time.Second), nil
}

// compromised reads the past of all repositories in question.
func (a *app) compromised(ctx context.Context, ring *keyring, what string, since time.Time, f compromisedFlags) (*compromisedResult, error) {
	names, err := a.inQuestion(ctx, f.repositories)
	if err != nil {
		return nil, err
	}
	id, err := ring.stolenKey(ctx, what)
	if err != nil {
		return nil, err
	}
	result := &compromisedResult{KeyID: id, Time: a.now().UTC().Truncate(time.Second), Repositories: []*client.Compromise{}, Failed: []*outcome{}, Plan: []planned{}}
	if entry, err := ring.store.Find(id); err == nil {
		result.Name = entry.Name
	}
	if !since.IsZero() {
		result.Since = &since
	}
	progress, end := a.startProgress()
	defer end()
	for i, name := range names {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		progress.step("reading", i+1, len(names), name)
		found, err := a.compromisedIn(ctx, ring, name, client.CompromiseRequest{Repository: name, KeyID: id, Since: since,
			Progress: func(files int) {
				if files%1000 == 0 {
					progress.step("reading", i+1, len(names), fmt.Sprintf("%s, %d files", name, files))
				}
			}})
		switch {
		case errors.Is(err, tuf.ErrNotFound) && len(f.repositories) != 1:
			result.Searched++ // it was never trusted there
		case err != nil && len(names) == 1:
			return nil, err
		case err != nil:
			failed := &outcome{Repository: name}
			_ = failed.fail(err)
			result.Failed = append(result.Failed, failed)
		default:
			result.Searched++
			result.Repositories = append(result.Repositories, found)
			result.Plan = append(result.Plan, planFor(found)...)
		}
	}
	return result, nil
}

func (a *app) compromisedIn(ctx context.Context, ring *keyring, name string, request client.CompromiseRequest) (*client.Compromise, error) {
	publisher, err := a.publisher(ctx, name, ring, nil)
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, publisher, name, api.ScopeRead); err != nil && !errors.Is(err, api.ErrForbidden) {
		return nil, err
	}
	return publisher.Compromised(ctx, request)
}

// inQuestion lists the repositories to look at: those that were named, or all that
// the servers' tokens cover.
func (a *app) inQuestion(ctx context.Context, given []string) ([]string, error) {
	patterns := given
	if len(given) == 0 {
		patterns = []string{""}
	}
	var names []string
	for _, pattern := range patterns {
		if pattern != "" && !isPattern(pattern) {
			name, err := repository(pattern)
			if err != nil {
				return nil, err
			}
			names = append(names, name)
			continue
		}
		found, err := a.allRepositories(ctx, pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, advise(fmt.Errorf("no repository is there to look at: %w", tuf.ErrNotFound), "signet login SERVER with a token that covers them, or --repository REPO")
	}
	return names, nil
}

// allRepositories asks every server for its repositories that fit the pattern.
func (a *app) allRepositories(ctx context.Context, pattern string) ([]string, error) {
	if pattern != "" {
		if err := tuf.CheckPattern(pattern); err != nil {
			return nil, &usageError{plain(err)}
		}
	}
	servers, err := client.LoadServers(a.serversFile())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, server := range servers {
		if server.Token == "" || a.server != "" && strings.TrimRight(a.server, "/") != server.URL {
			continue
		}
		publisher := client.Publisher{Client: client.New(a.clientConfig(nil, servers)), Server: server}
		list, err := publisher.Repositories(ctx)
		if err != nil {
			return nil, err
		}
		for _, summary := range list {
			if pattern == "" || tuf.MatchName(pattern, summary.Repository) {
				names = append(names, summary.Repository)
			}
		}
	}
	return names, nil
}

// stolenKey tells the ID of the key in question, which may be anywhere by now.
func (r *keyring) stolenKey(ctx context.Context, what string) (string, error) {
	if isHex(what) && len(what) == 64 {
		return strings.ToLower(what), nil
	}
	key, err := r.find(ctx, what)
	if err == nil {
		return key.ID(), nil
	}
	if isHex(what) && len(what) >= 8 {
		uses, usesErr := r.uses(ctx)
		var ids []string
		for id := range uses {
			if strings.HasPrefix(id, strings.ToLower(what)) {
				ids = append(ids, id)
			}
		}
		switch {
		case usesErr == nil && len(ids) == 1:
			return ids[0], nil
		case len(ids) > 1:
			return "", usagef("%q is the start of %d key IDs that are trusted somewhere; give more of it", what, len(ids))
		}
		return "", advise(err, "signet inspect REPO shows the keys that a repository trusts, by the starts of their IDs; the whole ID is in its --output json")
	}
	if errors.Is(err, keystore.ErrNotFound) {
		return "", advise(err, "a key that is on no machine of yours is named by its ID, which signet inspect REPO shows, or by a file with its public half")
	}
	return "", err
}
