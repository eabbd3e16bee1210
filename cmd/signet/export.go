package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func newExport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export REPO... DIR",
		Short: "Write repositories as plain files, for mirrors and machines without a network",
		Long: `Verify repositories and write all of their signed metadata as plain files into
DIR/REPO: any web server that has DIR as /tuf/ is a mirror, any TUF client can read
it, and signet verify --from DIR answers out of it. Run it again to bring the files
forward: the timestamp is replaced last, so that nobody reads half of it.`,
		Example: `  signet export registry.example.com/team/app /media/usb/metadata
  signet verify --from /media/usb/metadata registry.example.com/team/app:1.0`,
		Args: cobra.MinimumNArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			dir := args[len(args)-1]
			var names []string
			for _, arg := range args[:len(args)-1] {
				name, err := repository(arg)
				if err != nil {
					return err
				}
				names = append(names, name)
			}
			verifier, err := a.verifier()
			if err != nil {
				return err
			}
			var trouble error
			for _, name := range names {
				if err := a.export(ctx, verifier, name, dir); err != nil {
					trouble = errors.Join(trouble, err)
				}
				if err := ctx.Err(); err != nil {
					return errors.Join(trouble, err)
				}
			}
			return trouble
		}),
	}
}

// export writes one repository, and prints what.
func (a *app) export(ctx context.Context, verifier *client.Client, name, dir string) error {
	options, err := a.options(name, false)
	if err != nil {
		return err
	}
	out, err := verifier.Export(ctx, name, dir, options)
	if err != nil {
		return err
	}
	if len(out.Missing) > 0 {
		a.note("warning: %s: the server does not have root %v; a machine that knows no later one cannot follow", name, out.Missing)
	}
	return a.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s in %s (%s)\n", name, plural(out.Files, "file"), out.Folder, versions(out.Versions))
	})
}

// imported is what import prints for one repository.
type imported struct {
	Repository string           `json:"repository"`
	Versions   map[string]int64 `json:"versions"`
	Expires    string           `json:"expires"`
	Stale      client.Duration  `json:"stale,omitempty"`
}

func newImport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "import DIR [REPO...]",
		Short: "Verify what signet export wrote, and remember it for verify --offline",
		Long: `Verify what signet export wrote as what a server says is verified, by this
machine's trust anchors, and remember it: signet verify --offline answers from it
then. Without REPO, all repositories in the folder.`,
		Example: `  signet import /media/usb/metadata`,
		Args:    cobra.MinimumNArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			var names []string
			for _, arg := range args[1:] {
				name, err := repository(arg)
				if err != nil {
					return err
				}
				names = append(names, name)
			}
			if len(names) == 0 {
				var err error
				if names, err = exported(args[0]); err != nil {
					return err
				}
			}
			verifier, err := a.verifier()
			if err != nil {
				return err
			}
			var trouble error
			for _, name := range names { // one that somebody slipped in stands in no other's way
				if err := a.bringIn(ctx, verifier, name, args[0]); err != nil {
					trouble = errors.Join(trouble, err)
				}
				if err := ctx.Err(); err != nil {
					return errors.Join(trouble, err)
				}
			}
			return trouble
		}),
	}
}

// bringIn verifies one repository out of a folder, remembers it, and prints what.
func (a *app) bringIn(ctx context.Context, verifier *client.Client, name, dir string) error {
	view, err := verifier.View(ctx, name, client.Options{From: dir})
	if err != nil {
		return err
	}
	v := imported{Repository: name, Versions: map[string]int64{}, Expires: stamp(view.Expires), Stale: view.Stale}
	for _, role := range view.Roles {
		v.Versions[role.Name] = role.Version
	}
	return a.print(v, func(w io.Writer) {
		good := fmt.Sprintf("good until %s (%s)", stamp(view.Expires), until(a.now(), view.Expires))
		if view.Stale > 0 {
			good = stale(view.Stale)
		}
		fmt.Fprintf(w, "%s: verified and remembered (%s), %s\n", name, versions(v.Versions), good)
	})
}

// exported lists the repositories in a folder that export wrote.
func exported(dir string) ([]string, error) {
	const most = 100_000
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var names []string
	n := 0
	err = fs.WalkDir(root.FS(), ".", func(file string, entry fs.DirEntry, err error) error {
		if n++; n > most {
			return fmt.Errorf("%s holds more than %d files; say which repositories are meant", dir, most)
		}
		if err != nil || entry.IsDir() || path.Base(file) != "timestamp.json" {
			return err
		}
		if name := path.Dir(file); tuf.CheckRepository(name) == nil {
			names = append(names, name)
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = advise(fmt.Errorf("%s holds no repository", strings.TrimRight(dir, "/")), "signet export REPO %s writes one there", dir)
	}
	slices.Sort(names)
	return names, err
}
