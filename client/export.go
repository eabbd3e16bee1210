package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/signet-trust/signet/tuf"
)

// An Exported is what Export wrote.
type Exported struct {
	Repository string           `json:"repository"`
	Folder     string           `json:"folder"` // where the files are
	Files      int              `json:"files"`
	Versions   map[string]int64 `json:"versions"`
	// Missing are root versions that the server does not have: a client that starts
	// from one of them cannot follow.
	Missing []int64 `json:"missing,omitempty"`
}

// Export verifies a repository as a client and writes all of it into dir/REPOSITORY:
// timestamp.json, N.snapshot.json, every N.root.json, and N.ROLE.json of targets and
// signers, byte for byte as they are served. Any web server that has dir as /tuf/ is a
// mirror, and any TUF client can read it. The timestamp is replaced last, and nothing
// is removed: whoever reads in the middle sees the state before or the one after, or,
// where a new root changed the keys of a role, refuses until the rest is there.
func (c *Client) Export(ctx context.Context, repository, dir string, options Options) (*Exported, error) {
	if options.Offline {
		return nil, errors.New("an export needs a server: the state on this machine has the newest root only")
	}
	var out *Exported
	var files []tuf.File
	err := c.ask(ctx, repository, options, func(ctx context.Context, x *Update) (err error) {
		out = &Exported{Repository: repository, Versions: map[string]int64{}}
		files, err = out.collect(ctx, x)
		return err
	})
	if err != nil {
		return nil, err
	}
	if out.Folder, err = filepath.Abs(filepath.Join(dir, filepath.FromSlash(repository))); err != nil {
		return nil, err
	}
	root, err := exportFolder(dir, filepath.FromSlash(repository))
	if err != nil {
		return nil, fmt.Errorf("export into %s: %w", out.Folder, err)
	}
	defer root.Close()
	lock, err := root.OpenFile(".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export into %s: %w", out.Folder, err)
	}
	unlock, err := lockOpen(ctx, lock, filepath.Join(out.Folder, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, file := range files {
		if err := writeIn(root, file.Name(), file.Bytes, 0o644); err != nil {
			return nil, fmt.Errorf("export into %s: %w", out.Folder, err)
		}
		out.Files++
	}
	return out, syncDir(out.Folder)
}

// exportFolder makes and opens dir/name. dir is where the user says; below it no name
// leads out by a link, since somebody else may have prepared the folder.
func exportFolder(dir, name string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	top, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := top.MkdirAll(name, 0o755); err != nil {
		return nil, errors.Join(err, top.Close())
	}
	root, err := top.OpenRoot(name)
	return root, errors.Join(err, top.Close())
}

// collect lists the files in the order in which they are written.
func (e *Exported) collect(ctx context.Context, x *Update) ([]tuf.File, error) {
	newest := x.trusted.Root().Signed.Version
	var files []tuf.File
	for version := int64(1); version < newest; version++ {
		file := tuf.File{Role: tuf.RoleRoot, Version: version}
		fetched, err := x.u.Fetch(ctx, file.Name(), x.u.Limits.WithDefaults().Bytes, "")
		if errors.Is(err, tuf.ErrNotFound) {
			e.Missing = append(e.Missing, version)
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := isRoot(x.u.Repository, fetched.Bytes, version); err != nil {
			return nil, err
		}
		file.Bytes = fetched.Bytes
		files = append(files, file)
	}
	err := x.Walk(ctx, func(role, _ string, targets *tuf.Targets) error {
		files = append(files, tuf.File{Role: role, Version: targets.Signed.Version, Bytes: x.trusted.Bytes(role)})
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	t := x.trusted
	files = append(files,
		tuf.File{Role: tuf.RoleRoot, Version: newest, Bytes: t.Bytes(tuf.RoleRoot)},
		tuf.File{Role: tuf.RoleSnapshot, Version: t.Snapshot().Signed.Version, Bytes: t.Bytes(tuf.RoleSnapshot)},
		tuf.File{Role: tuf.RoleTimestamp, Version: t.Timestamp().Signed.Version, Bytes: t.Bytes(tuf.RoleTimestamp)})
	for _, file := range files {
		if len(bytes.TrimSpace(file.Bytes)) == 0 {
			return nil, fmt.Errorf("%s: %s version %d was verified, and its bytes are not there", x.u.Repository, file.Role, file.Version)
		}
		e.Versions[file.Role] = max(e.Versions[file.Role], file.Version)
	}
	return files, nil
}
