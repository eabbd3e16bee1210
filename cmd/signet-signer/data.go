package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// withSigner calls do with the signer in the data folder, whether or not another
// process serves it. Only init and serve make one.
func (o *options) withSigner(cmd *cobra.Command, create bool, do func(context.Context, *signer.Service) error) (err error) {
	if !create {
		if _, err := os.Stat(filepath.Join(o.data, signer.DatabaseName)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no signer in %s; signet-signer init makes one, --data names another folder", o.data)
		}
	}
	service, err := signer.Open(cmd.Context(), o.signer(o.logger(cmd.ErrOrStderr())))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, service.Close()) }()
	return do(cmd.Context(), service)
}

func (o *options) printIdentity(cmd *cobra.Command, service *signer.Service) error {
	identity, err := service.Identity(cmd.Context())
	if err != nil {
		return err
	}
	return o.print(cmd.OutOrStdout(), map[string]any{"keyid": identity.Key.ID(), "key": identity.Key}, identity.Key.ID()+"\n"+string(identity.Key.PEM()))
}

func newInit(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the data folder, the keys and the database, and print the identity",
		Long:  "Init makes what serve would make at its first start, and prints the identity key. Where a signer is, it stays as it is.",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withSigner(cmd, true, func(_ context.Context, s *signer.Service) error { return o.printIdentity(cmd, s) })
		},
	}
}

func newIdentity(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "identity",
		Short: "Print the identity key: its ID, and the public key",
		Args:  program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withSigner(cmd, false, func(_ context.Context, s *signer.Service) error { return o.printIdentity(cmd, s) })
		},
	}
}

func newKeys(o *options) *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Online keys of a repository",
		Args:  program.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return program.UsageError{Err: errors.New("keys needs a command: rotate")}
		},
	}
	keys.AddCommand(&cobra.Command{
		Use:   "rotate REPOSITORY",
		Short: "Make fresh online keys, for the repository's next root to list",
		Long: `Rotate makes fresh snapshot and timestamp keys. The next root that a publisher
makes lists them; until then the signer goes on with the keys that root lists.`,
		Args: program.OneArg("the repository's full name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := tuf.CheckRepository(args[0]); err != nil {
				return program.UsageError{Err: err}
			}
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				fresh, err := s.RotateOnlineKeys(ctx, args[0])
				if err != nil {
					return err
				}
				var text strings.Builder
				for _, key := range fresh {
					fmt.Fprintf(&text, "%-9s  %s\n", key.Role, key.Key.ID())
				}
				return o.print(cmd.OutOrStdout(), struct {
					Keys []api.OnlineKey `json:"keys"`
				}{fresh}, text.String())
			})
		},
	})
	return keys
}

func newLog(o *options) *cobra.Command {
	log := &cobra.Command{
		Use:   "log",
		Short: "The log of everything that was signed",
		Args:  program.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return program.UsageError{Err: errors.New("log needs a command: verify")}
		},
	}
	log.AddCommand(&cobra.Command{
		Use:   "verify",
		Short: "Check that the log is whole and unchanged, and print where it ends",
		Long: `Verify walks the whole log: every entry has its own hash and names that of the one
before; what was signed last is in it, and no version mark is below it. It prints the
number of entries and the hash of the last one. The service's own log (log_seq,
log_hash at every signature), kept elsewhere, says whether the end was cut off.`,
		Args: program.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				report, err := s.VerifyLog(ctx)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), report, fmt.Sprintf("%s, the last one %s\n", count(int(report.Entries), "entry", "entries"), report.Hash))
			})
		},
	})
	return log
}

func newBackup(o *options) *cobra.Command {
	var withKey bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the signer's database to a new file, while the signer may go on",
		Long: `Backup writes the database as of one moment to FILE, which must not exist. Private
keys in it are sealed: it is of use only together with the key-encryption key. Keep
that in another place, once; it does not change. With --with-key-encryption-key it is
in FILE too, and whoever has FILE is the signer.`,
		Args: program.OneArg("the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withSigner(cmd, false, func(ctx context.Context, s *signer.Service) error {
				report, err := s.Backup(ctx, args[0], withKey)
				if err != nil {
					return err
				}
				holds := fmt.Sprintf("%s: %s, %s", report.File, count(report.Repositories, "repository", "repositories"), count(int(report.Entries), "log entry", "log entries"))
				if withKey {
					return o.print(cmd.OutOrStdout(), report, holds+", and the key-encryption key: keep it secret\n")
				}
				return o.print(cmd.OutOrStdout(), report, holds+"; the key-encryption key is not in it\n")
			})
		},
	}
	cmd.Flags().BoolVar(&withKey, "with-key-encryption-key", false, "put the key-encryption key into FILE, too")
	return cmd
}

func newRestore(o *options) *cobra.Command {
	var gap int64
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a signer in an empty data folder from a backup",
		Long: `Restore makes a signer from the backup in FILE. It never overwrites a signer that is
there. The key-encryption key comes from its file where that is, else from FILE.

A backup does not know which versions were signed after it. So that none is signed
twice, the version marks of every repository move up by --version-gap: choose it
larger than the number of signatures for any one repository since the backup. What
was signed last is forgotten, and the server shows its state anew at its next
publish or refresh. Stop the old signer for good first. Keys made after the backup
are lost: repositories created since need new online keys in root, and are taken by
serve --adopt-existing only.`,
		Args: program.OneArg("the backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := signer.Restore(cmd.Context(), o.signer(o.logger(cmd.ErrOrStderr())), args[0], gap)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), report, fmt.Sprintf("%s: restored %s, identity %s\n", o.data, count(report.Repositories, "repository", "repositories"), report.Identity))
		},
	}
	cmd.Flags().Int64Var(&gap, "version-gap", signer.DefaultVersionGap, "how far version marks move up")
	return cmd
}

// count writes a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
