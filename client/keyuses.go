package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// A KeyUse is a role in which a key is trusted.
type KeyUse struct {
	Repository string `json:"repository"`
	Role       string `json:"role"` // "root", "targets" or a signer's name
}

// KeyUses tells, by key ID, where keys of people are trusted, as far as this
// machine has verified it: from its state alone, without asking a server, whether
// that has expired or not. What cannot be read is told in the error, beside the
// uses that can.
func (c *Client) KeyUses(ctx context.Context) (map[string][]KeyUse, error) {
	uses := map[string][]KeyUse{}
	var damaged []error
	err := filepath.WalkDir(c.config.StateDir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return ctx.Err()
		case strings.HasPrefix(entry.Name(), ".") && path != c.config.StateDir:
			return fs.SkipDir // .roots
		}
		if err := c.keyUsesIn(path, uses); err != nil {
			damaged = append(damaged, err)
		}
		return ctx.Err()
	})
	for _, list := range uses {
		slices.SortFunc(list, func(a, b KeyUse) int {
			return strings.Compare(a.Repository+"\x00"+order(a.Role), b.Repository+"\x00"+order(b.Role))
		})
	}
	return uses, errors.Join(err, errors.Join(damaged...))
}

// order puts root before targets, and targets before signers.
func order(role string) string {
	switch role {
	case tuf.RoleRoot:
		return "1"
	case tuf.RoleTargets:
		return "2"
	}
	return "3" + role
}

// keyUsesIn adds the uses of keys in the repository whose state is in a folder.
func (c *Client) keyUsesIn(path string, uses map[string][]KeyUse) error {
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	if d.rootVersion() == 0 {
		return nil // a folder on the way to others
	}
	name := c.repositoryIn(path)
	t, err := d.newestRoot(&Updater{Repository: name, Now: c.config.Now, Limits: c.config.Limits})
	if err == nil && t == nil {
		err = errors.New("root.json is damaged, and no earlier root is remembered")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	root := t.Root()
	if signed := tuf.RepositoryOf(root); signed != "" {
		name = signed
	}
	add := func(role string, keys tuf.RoleKeys) {
		for _, key := range keys.Keys {
			uses[key.ID()] = append(uses[key.ID()], KeyUse{Repository: name, Role: role})
		}
	}
	add(tuf.RoleRoot, tuf.RoleKeysOf(root, tuf.RoleRoot))
	add(tuf.RoleTargets, tuf.RoleKeysOf(root, tuf.RoleTargets))
	queue, seen := []string{tuf.RoleTargets}, map[string]bool{tuf.RoleTargets: true}
	for len(queue) > 0 {
		role := queue[0]
		queue = queue[1:]
		data, err := d.Load(role)
		if err != nil {
			return err
		}
		targets, err := tuf.ReadTargets(data)
		if data == nil || err != nil || targets.Signed.Delegations == nil {
			continue // not asked for yet, or damaged and fetched again when it is
		}
		for _, signer := range targets.Signed.Delegations.Roles {
			if seen[signer.Name] || len(seen) > tuf.MaxRoles {
				continue
			}
			seen[signer.Name] = true
			queue = append(queue, signer.Name)
			keys, _ := tuf.SignerKeysOf(targets, signer.Name)
			add(signer.Name, keys)
		}
	}
	return nil
}

// repositoryIn returns the repository whose state is in a folder, for a root that
// does not name it: the reverse of stateDir, or the folder's name where it has none.
func (c *Client) repositoryIn(path string) string {
	relative, err := filepath.Rel(c.config.StateDir, path)
	if err != nil {
		return path
	}
	host, rest, _ := strings.Cut(filepath.ToSlash(relative), "/")
	for _, host := range []string{host, strings.Replace(host, "_", ":", 1)} {
		name := host + "/" + rest
		if back, err := stateDir(c.config.StateDir, name); err == nil && back == path {
			return name
		}
	}
	return filepath.ToSlash(relative)
}
