package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/store"
)

func newToken(o *options) *cobra.Command {
	token := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens, on the database directly",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return program.UsageError{Err: fmt.Errorf("token what? create, list or revoke")}
		},
	}
	token.AddCommand(newTokenCreate(o), newTokenList(o), newTokenRevoke(o))
	return token
}

func newTokenCreate(o *options) *cobra.Command {
	var name, expires, out string
	var scopes, repositories []string
	cmd := &cobra.Command{
		Use:   "create --name NAME --scope SCOPE --repository PATTERN",
		Short: "Make a token and print it, once",
		Long: `Make a token and print it, once: the database keeps only its hash.

Scopes: read (where reads take a token), publish, create (new repositories; does
not include publish), admin (all). A pattern is a repository's name in which *
stands for characters other than /, and a last /** for everything below.`,
		Args: program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			until, err := parseExpiry(expires, now)
			if err != nil {
				return program.UsageError{Err: err}
			}
			secret, token, hash, err := server.NewToken(name, scopes, repositories, now, until)
			if err != nil {
				return program.UsageError{Err: err}
			}
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			if err := writeToken(cmd.OutOrStdout(), out, secret, func() error {
				return db.CreateToken(cmd.Context(), store.Token(token), hash)
			}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signet-server: token %s for %s, with %s on %s, %s\n",
				token.ID, orNobody(name), strings.Join(scopes, ", "), strings.Join(repositories, ", "), expiryText(token))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "whose it is, for the list")
	f.StringSliceVar(&scopes, "scope", nil, "read, publish, create or admin; may be repeated")
	f.StringSliceVar(&repositories, "repository", nil, "`pattern` of repositories that it is good for; may be repeated")
	f.StringVar(&expires, "expires", "90d", "90d, 12h, a date, or never")
	f.StringVar(&out, "out", "", "new `file` to write the token to, mode 0600, rather than stdout")
	return cmd
}

// writeToken stores a token and hands it over: to stdout, or to a file that must
// be new, and is made first, so that no token is made that nobody gets.
func writeToken(stdout io.Writer, out, secret string, store func() error) error {
	if out == "" {
		if err := store(); err != nil {
			return err
		}
		_, err := fmt.Fprintln(stdout, secret)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = fmt.Fprintln(f, secret)
	if syncErr := f.Sync(); err == nil {
		err = syncErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = store()
	}
	if err != nil {
		_ = os.Remove(out) // it is good for nothing
	}
	return err
}

func orNobody(name string) string {
	if name == "" {
		return "nobody in particular"
	}
	return name
}

// parseExpiry reads a duration from now, a date or a time; never is zero.
func parseExpiry(s string, now time.Time) (time.Time, error) {
	if s == "never" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	d, err := program.ParseDuration(s)
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("--expires %q: expected 90d, 12h, 2030-01-31 or never", s)
	}
	return now.Add(d), nil
}

func expiryText(t server.Token) string {
	if t.Expires.IsZero() {
		return "which never expires"
	}
	return "until " + t.Expires.UTC().Format(time.RFC3339)
}

func newTokenList(o *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens, revoked and expired ones too",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return program.UsageError{Err: fmt.Errorf("--output %q: expected text or json", output)}
			}
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			tokens, err := db.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return printTokens(cmd.OutOrStdout(), tokens, output == "json", time.Now())
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}

// tokenJSON is one token in the list. The times that are not there are absent.
type tokenJSON struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	State         string     `json:"state"` // valid, expired, revoked
	Scopes        []string   `json:"scopes"`
	Repositories  []string   `json:"repositories"`
	Created       time.Time  `json:"created"`
	Expires       *time.Time `json:"expires,omitempty"`
	Revoked       *time.Time `json:"revoked,omitempty"`
	LastPublished *time.Time `json:"lastPublished,omitempty"`
}

func printTokens(w io.Writer, tokens []store.Token, asJSON bool, now time.Time) error {
	list := make([]tokenJSON, 0, len(tokens))
	moment := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		return &at
	}
	for _, t := range tokens {
		state := "valid"
		switch {
		case !t.Revoked.IsZero():
			state = "revoked"
		case !t.Expires.IsZero() && !now.Before(t.Expires):
			state = "expired"
		}
		list = append(list, tokenJSON{t.ID, t.Name, state, t.Scopes, t.Repositories, t.Created, moment(t.Expires), moment(t.Revoked), moment(t.LastPublished)})
	}
	if asJSON {
		return json.NewEncoder(w).Encode(list)
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATE\tSCOPES\tREPOSITORIES\tEXPIRES\tLAST PUBLISHED")
	text := func(at *time.Time) string {
		if at == nil {
			return "never"
		}
		return at.UTC().Format(time.RFC3339)
	}
	for _, t := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.State,
			strings.Join(t.Scopes, ","), strings.Join(t.Repositories, ","), text(t.Expires), text(t.LastPublished))
	}
	return table.Flush()
}

func newTokenRevoke(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token useless from now on",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return program.UsageError{Err: fmt.Errorf("revoke takes one token's ID, as signet-server token list shows it")}
			}
			if _, ok := server.TokenID(args[0]); ok {
				return program.UsageError{Err: fmt.Errorf("that is a whole token; give its ID, the part between the underscores")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			if err := db.RevokeToken(cmd.Context(), args[0], time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signet-server: token %s is revoked\n", args[0])
			return nil
		},
	}
}
