package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/tuf"
)

// maxSeen bounds what is read of one file that somebody hands in, and maxSeenFiles how
// many there are.
const (
	maxSeen      = 17 << 20
	maxSeenFiles = 1_000_000
)

// readSeen reads what readers hold, by repository: single roots, and folders in which
// a repository's files stand together: a client's state folder (root.json, targets.json,
// .roots/2.json and so on) or an exported one (2.root.json, 7.targets.json). Whose they
// are, a root among them says. A reader may verify repositories of other makes, whose
// roots name none: these are passed over, and told to stderr.
func readSeen(roots, paths []string, stderr io.Writer) (map[string]server.Seen, error) {
	held := map[string]server.Seen{}
	for _, path := range roots {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
		name, err := ownerOf(data)
		if err != nil {
			return nil, fmt.Errorf("--root %s: %w", path, err)
		}
		seen := held[name]
		if err := sortSeen(&seen, tuf.RoleRoot, tuf.RoleRoot, data); err != nil {
			return nil, fmt.Errorf("--root %s: %w", path, err)
		}
		held[name] = seen
	}
	folders := map[string]*seenFolder{}
	for _, path := range paths {
		if err := walkSeen(path, folders); err != nil {
			return nil, fmt.Errorf("--seen: %w", err)
		}
	}
	if len(paths) > 0 && len(folders) == 0 {
		return nil, fmt.Errorf("--seen %s: no metadata is in it", strings.Join(paths, ", "))
	}
	for _, path := range slices.Sorted(maps.Keys(folders)) {
		folder := folders[path]
		if folder.nameless != "" && folder.repository == "" {
			fmt.Fprintf(stderr, "signet-server: --seen %s: its root names no repository, so it is none of this server's; passed over\n", folder.nameless)
			continue
		}
		if folder.repository == "" {
			return nil, fmt.Errorf("--seen %s: no root is beside the files, which would say whose they are", path)
		}
		seen := held[folder.repository]
		seen.Roots = append(seen.Roots, folder.seen.Roots...)
		seen.Roles = append(seen.Roles, folder.seen.Roles...)
		seen.Snapshots = append(seen.Snapshots, folder.seen.Snapshots...)
		seen.Timestamps = append(seen.Timestamps, folder.seen.Timestamps...)
		held[folder.repository] = seen
	}
	return held, nil
}

// A seenFolder holds one repository's files.
type seenFolder struct {
	repository string
	nameless   string // file of a root that names no repository
	seen       server.Seen
}

// errNameless is a root that names no repository.
var errNameless = errors.New("it does not say whose it is")

// ownerOf returns the repository that a root names.
func ownerOf(data []byte) (string, error) {
	root, err := tuf.ReadRoot(data)
	if err != nil {
		return "", err
	}
	name := tuf.RepositoryOf(root)
	if name == "" {
		return "", errNameless
	}
	if err := tuf.CheckRepository(name); err != nil {
		return "", fmt.Errorf("it does not say whose it is: %w", err)
	}
	return name, nil
}

// walkSeen reads all metadata below path into the folders that it stands in.
func walkSeen(path string, folders map[string]*seenFolder) error {
	n := 0
	return filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Ext(file) != ".json" {
			return err
		}
		if n++; n > maxSeenFiles {
			return fmt.Errorf("%s: more than %d files", path, maxSeenFiles)
		}
		if info, err := entry.Info(); err != nil || info.Size() > maxSeen {
			return errors.Join(err, fmt.Errorf("%s: larger than any metadata may be", file))
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var typed struct {
			Signed struct {
				Type string `json:"_type"`
			} `json:"signed"`
		}
		if err := json.Unmarshal(data, &typed); err != nil || typed.Signed.Type == "" {
			return nil // it is something else
		}
		folder := filepath.Dir(file)
		if filepath.Base(folder) == ".roots" {
			folder = filepath.Dir(folder)
		}
		if folders[folder] == nil {
			folders[folder] = &seenFolder{}
		}
		return folders[folder].add(file, typed.Signed.Type, data)
	})
}

// add puts one file into the folder.
func (f *seenFolder) add(file, kind string, data []byte) error {
	if kind == tuf.RoleRoot {
		name, err := ownerOf(data)
		if errors.Is(err, errNameless) {
			f.nameless = file
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if f.repository != "" && f.repository != name {
			return fmt.Errorf("%s: it is of %s, and another root beside it is of %s", file, name, f.repository)
		}
		f.repository = name
	}
	base := filepath.Base(file)
	role, _, err := tuf.ParseFileName(base)
	if err != nil {
		role = strings.TrimSuffix(base, ".json") // as clients keep the newest
	}
	if err := sortSeen(&f.seen, kind, role, data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
