package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/tuf"
)

// newRetire ends the use of a repository's name. It may run while servers do.
func newRetire(o *options) *cobra.Command {
	var yes bool
	var output string
	cmd := &cobra.Command{
		Use:   "retire REPOSITORY",
		Short: "End the use of a repository's name, which may start again above all its versions",
		Long: `Retire ends a repository: nothing of it is current any more, and verifiers find no
timestamp. What was published stays as history, and is served under its numbers. The
name keeps its version floor: signet init at the same name starts every role, root too,
above what clients have seen, and the new root need not be signed by the old one.

Who pinned the old root keys goes on refusing, whatever the new owner signs; who is given
the new keys (signet trust add ... --min-root, which signet init prints) finds the new
root. Retiring cannot be taken back.

With the signer in the same process its half is done, too; with --signer, it is asked what
it has signed last, and the line to run on its machine is printed. The command may run
while the servers do, and run again.`,
		Args: program.OneArg("the repository's full name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repository := args[0]
			if err := tuf.CheckRepository(repository); err != nil {
				return program.UsageError{Err: err}
			}
			if output != "text" && output != "json" {
				return program.UsageError{Err: fmt.Errorf("--output %q: expected text or json", output)}
			}
			db, err := openExisting(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer db.Close()
			floors, err := db.Floors(cmd.Context(), repository)
			if err != nil {
				return err
			}
			if floors.Generation == 0 {
				return fmt.Errorf("%s: %w", repository, tuf.ErrNotFound)
			}
			if floors.Retired.IsZero() && !yes {
				if err := confirmRetire(cmd, repository); err != nil {
					return err
				}
			}
			retired, err := retire(cmd.Context(), o, db, repository, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(retired)
			}
			retired.write(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}

// A retired says what retire did, and what is left to do.
type retired struct {
	Repository string           `json:"repository"`
	Floors     map[string]int64 `json:"floors"`           // by role; the name starts again above
	Signer     string           `json:"signer,omitempty"` // the command to run on the signer's machine; absent: done
}

func (r *retired) write(w io.Writer) {
	fmt.Fprintf(w, "%s: retired; the name starts again above %s\n", r.Repository, versionsText(r.Floors))
	if r.Signer != "" {
		fmt.Fprintf(w, "on the signer's machine, run: %s\n", r.Signer)
	}
}

// retire ends the repository in the database, if that was not done, and then in the
// signer, which may know of higher versions: the name's floors are the higher ones.
func retire(ctx context.Context, o *options, db *store.DB, repository string, stderr io.Writer) (_ *retired, err error) {
	signed := map[string]int64{}
	if o.signer != "" {
		if signed, err = signedElsewhere(ctx, o, repository); err != nil {
			return nil, fmt.Errorf("ask the signer what it has signed last, which may be more than is stored: %w; nothing was retired", err)
		}
	}
	if err := db.Retire(ctx, repository, time.Now()); err != nil && !errors.Is(err, tuf.ErrNotFound) {
		return nil, err
	}
	if len(signed) > 0 {
		if err := db.RaiseFloors(ctx, repository, signed); err != nil {
			return nil, err
		}
	}
	floors, err := db.Floors(ctx, repository)
	if err != nil {
		return nil, err
	}
	r := &retired{Repository: repository, Floors: floors.Versions}
	if o.signer != "" {
		r.Signer = signerCommand("retire", repository, floors.Versions)
		return r, nil
	}
	local, err := openLocalSigner(ctx, o, stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	done, err := local.Retire(ctx, repository, floors.Versions)
	if err != nil {
		return nil, err
	}
	r.Floors = done.Floors
	return r, db.RaiseFloors(ctx, repository, done.Floors)
}

// signedElsewhere returns the versions that a signer on another machine signed last. The
// name has to start above them here and there, or it could start nowhere.
func signedElsewhere(ctx context.Context, o *options, repository string) (_ map[string]int64, err error) {
	remote, err := openSigner(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remote.Close()) }()
	last, err := remote.Last(ctx, repository)
	if errors.Is(err, tuf.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := tuf.ReadRoot(last.Root)
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{tuf.RoleRoot: root.Signed.Version}
	for _, file := range append(last.Roles, last.Snapshot, last.Timestamp) {
		if file.Version > 0 {
			versions[file.Role] = file.Version
		}
	}
	return versions, nil
}

// openLocalSigner opens the signer that works in the server's process.
func openLocalSigner(ctx context.Context, o *options, stderr io.Writer) (*signer.Service, error) {
	folder := filepath.Join(o.data, signerFolder)
	if _, err := os.Stat(filepath.Join(folder, signer.DatabaseName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no signer in %s; say --data, or --signer for one elsewhere", folder)
	}
	return signer.Open(ctx, signer.Config{Dir: folder, Log: o.logger(stderr)})
}

// signerCommand is what an operator types on the signer's machine.
func signerCommand(command, repository string, versions map[string]int64) string {
	words := []string{"signet-signer", command, repository}
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		words = append(words, fmt.Sprintf("%s=%d", role, versions[role]))
	}
	return strings.Join(words, " ")
}

func versionsText(versions map[string]int64) string {
	var list []string
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		list = append(list, fmt.Sprintf("%s %d", role, versions[role]))
	}
	return strings.Join(list, ", ")
}

// confirmRetire has the person write the repository's name once more.
func confirmRetire(cmd *cobra.Command, repository string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "Verifiers of %s will find nothing from now on, and this cannot be taken back.\n"+
		"To go on, type the repository's name: ", repository)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != repository {
		return errors.New("that is not the name; nothing was retired (--yes does not ask)")
	}
	return nil
}
