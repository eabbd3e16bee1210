package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

// newRecover is what an admin runs after a database, or the signer too, was restored
// from a backup. It may run while servers do.
func newRecover(o *options) *cobra.Command {
	var roots, seen []string
	var raise bool
	var output string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "After a restore: bring every repository up to what clients have seen, and list what publishers must sign again",
		Long: `Recover makes every repository due for a refresh. The running servers then find,
within --refresh-every, where the signer has signed more than the database holds,
and commit that: clients that have seen it refuse anything older. It works while
servers run, or before one starts. Nothing is made anew, and nothing is lost.

What the signer does not have either, readers may: --seen names a folder of theirs, the
state folder of a machine that has verified since (or one repository's part of it), or
an exported folder. Recover checks all of it, puts back the roots, targets and signers'
files that the database lacks, and raises what the online keys hold above what was seen.
What nobody has any more it lists: targets that readers have seen in a later version
need a publisher's signature above that version, which is the next one that the server
takes; or a root that rotates the online keys (signet rotate REPO snapshot
timestamp). Nothing else can help, and nothing is to be done on readers.

Where the signer's own folder was put back as it was, with the machine say, it would sign
versions a second time: --raise-signer moves all of them above a gap first. (A backup
that signet-signer restore has put back was raised.) For a signer elsewhere (--signer)
the lines to run on its machine are printed.

--root gives single roots: clients keep them as .roots/2.json and so on. A file says
itself whose it is. A repository that was created after the backup is made again, if its
first root is among the files. What is not signed by the right keys is refused, so a
wrong file does no harm. docs/operating.md has the steps.`,
		Args: program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return program.UsageError{Err: fmt.Errorf("--output %q: expected text or json", output)}
			}
			if raise && o.signer != "" {
				return program.UsageError{Err: errors.New("--raise-signer is for a signer in the server's process; on the signer's machine, run: signet-signer raise")}
			}
			held, err := readSeen(roots, seen, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			report := &recovered{Repositories: []*server.Recovery{}}
			if len(held) > 0 || raise {
				if err := report.restore(cmd.Context(), o, db, held, raise, cmd.ErrOrStderr()); err != nil {
					return errors.Join(err, report.print(cmd.OutOrStdout(), output))
				}
			}
			if report.waits() {
				return errors.Join(report.print(cmd.OutOrStdout(), output), errors.New("the signer comes first: run on its machine what is printed, then recover again"))
			}
			if report.Due, err = db.RefreshAll(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signet-server: %d due now; running servers bring them up within %s, and say so in their log\n", report.Due, &o.refreshEvery)
			return report.print(cmd.OutOrStdout(), output)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&roots, "root", nil, "`file` of a root that is missing between the database's and the signer's; may be repeated")
	f.StringArrayVar(&seen, "seen", nil, "`folder` (or file) of what a reader has seen: a state folder, or an exported one; may be repeated")
	f.BoolVar(&raise, "raise-signer", false, "the signer's folder was put back as it was: move all its versions above a gap")
	f.StringVar(&output, "output", "text", "text or json")
	return cmd
}

// recovered says what was done.
type recovered struct {
	Repositories []*server.Recovery `json:"repositories"` // those that --seen or --root told of
	Raised       int                `json:"raised"`       // repositories that --raise-signer moved
	Due          int64              `json:"due"`          // repositories that running servers refresh now
}

// waits tells whether the signer's operator has something to do first.
func (r *recovered) waits() bool {
	return slices.ContainsFunc(r.Repositories, func(d *server.Recovery) bool { return d.Raise != nil })
}

func (r *recovered) print(w io.Writer, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	for _, d := range r.Repositories {
		if d.Raise != nil {
			fmt.Fprintf(w, "%s: on the signer's machine, run: %s\n", d.Repository, signerCommand("raise", d.Repository, d.Raise))
			continue
		}
		if d.Moved {
			fmt.Fprintf(w, "%s: brought up to what the signer signed last\n", d.Repository)
		}
		for _, name := range d.PutBack {
			fmt.Fprintf(w, "%s: put back %s\n", d.Repository, name)
		}
		for _, a := range d.Again {
			fmt.Fprintf(w, "%s: a publisher must sign %s again, above version %d, which readers have seen (version %d is stored); or root rotates the online keys (signet rotate %s snapshot timestamp); nothing else can help\n",
				d.Repository, a.Role, a.Seen, a.Stored, d.Repository)
		}
		if !d.Moved && len(d.PutBack) == 0 && len(d.Again) == 0 {
			fmt.Fprintf(w, "%s: nothing is missing\n", d.Repository)
		}
	}
	return nil
}

// restore does what a refresh cannot: it raises the signer, and restores each
// repository that somebody holds something of.
func (r *recovered) restore(ctx context.Context, o *options, db *store.DB, held map[string]server.Seen, raiseAll bool, stderr io.Writer) (err error) {
	log := o.logger(stderr)
	keys, local, err := openSignerToRaise(ctx, o, log, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	s := server.New(o.server(serverStore{db}, keys, log))
	for _, repository := range slices.Sorted(maps.Keys(held)) {
		var raise func(context.Context, map[string]int64) error
		if local != nil {
			raise = func(ctx context.Context, seen map[string]int64) error { return local.Raise(ctx, repository, seen) }
		}
		done, failed := s.Restore(ctx, repository, held[repository], raise)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", repository, failed))
			continue
		}
		r.Repositories = append(r.Repositories, done)
	}
	if raiseAll && err == nil {
		r.Raised, err = local.RaiseAll(ctx, 0)
	}
	return err
}

// openSignerToRaise opens the signer; local is nil for one elsewhere.
func openSignerToRaise(ctx context.Context, o *options, log *slog.Logger, stderr io.Writer) (keys closingSigner, local *signer.Service, err error) {
	if o.signer == "" {
		probe, err := openLocalSigner(ctx, o, stderr) // it makes none, as openSigner would
		if err != nil {
			return nil, nil, err
		}
		if err := probe.Close(); err != nil {
			return nil, nil, err
		}
	}
	if keys, err = openSigner(ctx, o, log); err != nil {
		return nil, nil, err
	}
	local, _ = keys.(*signer.Service)
	return keys, local, nil
}

// sortSeen puts a file where it belongs.
func sortSeen(seen *server.Seen, kind, role string, data []byte) error {
	switch kind {
	case tuf.RoleRoot:
		root, err := tuf.ReadRoot(data)
		if err != nil {
			return err
		}
		seen.Roots = append(seen.Roots, tuf.File{Role: tuf.RoleRoot, Version: root.Signed.Version, Bytes: data})
	case tuf.RoleTargets:
		targets, err := tuf.ReadTargets(data)
		if err != nil {
			return err
		}
		seen.Roles = append(seen.Roles, tuf.File{Role: role, Version: targets.Signed.Version, Bytes: data})
	case tuf.RoleSnapshot:
		seen.Snapshots = append(seen.Snapshots, tuf.File{Role: kind, Bytes: data})
	case tuf.RoleTimestamp:
		seen.Timestamps = append(seen.Timestamps, tuf.File{Role: kind, Bytes: data})
	}
	return nil
}
