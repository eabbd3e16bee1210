package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

// newRecover is what an admin runs after a database was restored from a backup.
// It may run while servers do.
func newRecover(o *options) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "After a database was restored: have every repository brought up to what the signer signed last",
		Long: `Recover makes every repository due for a refresh. The running servers then find,
within --refresh-every, where the signer has signed more than the database holds,
and commit that: clients that have seen it refuse anything older. It works while
servers run, or before one starts. Nothing is made anew, and nothing is lost.

The signer keeps the newest root of a repository, not those before. Where the server's
log says that others are missing, --root gives them: clients that have verified the
repository have them in their state folder, as .roots/2.json and so on. A file says
itself whose it is; recover brings those repositories up by itself. One that was
created after the backup is made again, if its first root is among the files. What is
not signed by the keys of the root before is refused, so a wrong file does no harm.

docs/operating.md has the steps for a signer that was restored, too.`,
		Args: program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roots, err := readRoots(files)
			if err != nil {
				return err
			}
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			if len(roots) > 0 {
				if err := recoverRoots(cmd.Context(), o, db, roots, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			n, err := db.RefreshAll(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signet-server: %d due now; running servers bring them up within %s, and say so in their log\n", n, &o.refreshEvery)
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&files, "root", nil, "`file` of a root that is missing between the database's and the signer's; may be repeated")
	return cmd
}

// readRoots reads root files, by the repository that each names.
func readRoots(paths []string) (map[string][]tuf.File, error) {
	roots := map[string][]tuf.File{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
		root, err := tuf.ReadRoot(data)
		if err != nil {
			return nil, fmt.Errorf("--root %s: %w", path, err)
		}
		name := tuf.RepositoryOf(root)
		if err := tuf.CheckRepository(name); err != nil {
			return nil, fmt.Errorf("--root %s: it does not say whose it is: %w", path, err)
		}
		roots[name] = append(roots[name], tuf.File{Role: tuf.RoleRoot, Version: root.Signed.Version, Bytes: data})
	}
	return roots, nil
}

// recoverRoots brings up each repository that roots has files of.
func recoverRoots(ctx context.Context, o *options, db *store.DB, roots map[string][]tuf.File, stderr io.Writer) (err error) {
	if folder := filepath.Join(o.data, signerFolder); o.signer == "" {
		if _, err := os.Stat(filepath.Join(folder, signer.DatabaseName)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no signer in %s; say --data, or --signer for one elsewhere", folder)
		}
	}
	log := o.logger(stderr)
	keys, err := openSigner(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	s := server.New(o.server(serverStore{db}, keys, log))
	for _, repository := range slices.Sorted(maps.Keys(roots)) {
		moved, failed := s.Recover(ctx, repository, roots[repository])
		switch {
		case failed != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", repository, failed))
		case moved:
			fmt.Fprintf(stderr, "signet-server: %s: brought up to what the signer signed last\n", repository)
		default:
			fmt.Fprintf(stderr, "signet-server: %s: nothing is missing\n", repository)
		}
	}
	return err
}
