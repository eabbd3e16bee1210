package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Dir is a Store in one folder: root.json, timestamp.json, snapshot.json,
// targets.json and so on, under unversioned names, each replaced in one durable
// step. Beside them stand
//
//	.roots/N.json   every root that was verified, to heal a damaged root.json from
//	.marks          what else may not step back: the latest time that was seen
//	.lock           the lock among processes
//
// No lock is held while servers are asked. Instead Save refuses, with errMoved,
// when another process has saved since the folder was opened; what was verified
// is then verified again on top of that. Whoever loses time and again holds the
// lock throughout.
type Dir struct {
	path   string
	marks  marks
	locked bool // the lock is held for all that is done with the folder
}

// marks are what is remembered beside the files.
type marks struct {
	Generation int64     `json:"generation"`       // counts the saves
	Time       time.Time `json:"time"`             // the latest time that was seen
	Anchor     string    `json:"anchor,omitempty"` // fingerprint of the anchor that the root follows from
	ETag       string    `json:"etag,omitempty"`   // of the timestamp, from Server
	Server     string    `json:"server,omitempty"`
	ETagFor    string    `json:"etagFor,omitempty"` // SHA-256 of the timestamp that ETag stands for
	Stale      stale     `json:"stale,omitzero"`
	// Checked is when a server last confirmed that nothing newer is known than the
	// root and timestamp of which CheckedFor is the fingerprint.
	Checked    time.Time `json:"checked,omitzero"`
	CheckedFor string    `json:"checkedFor,omitempty"`
	// MinRoot and MinTargets are the lowest versions that are accepted, where root keys
	// were replaced that had signed what is below them.
	MinRoot    int64 `json:"minRoot,omitempty"`
	MinTargets int64 `json:"minTargets,omitempty"`
}

// stale notes, before a root is written that takes online keys away, the files
// that count no more from that root on (§5.3.11). Should this process die before
// they are removed, they are not read again; nor are they given up before the
// root is there.
type stale struct {
	Root      int64  `json:"root"`      // version
	Timestamp string `json:"timestamp"` // SHA-256 of timestamp.json
	Snapshot  string `json:"snapshot"`  // SHA-256 of snapshot.json
}

// errMoved says that another process saved first.
var errMoved = errors.New("another process updated the state meanwhile")

// OpenDir opens a folder, which need not exist yet. Open it anew for each update.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	if err := d.readMarks(&d.marks); err != nil {
		return nil, err
	}
	return d, nil
}

// lockDir takes the lock of a folder, which it creates if need be.
func lockDir(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return lockFile(ctx, filepath.Join(path, ".lock"))
}

// readMarks reads .marks. A damaged file counts as none: the files are what
// protects against older metadata, and the time is marked again.
func (d *Dir) readMarks(m *marks) error {
	data, err := os.ReadFile(filepath.Join(d.path, ".marks"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if json.Unmarshal(data, m) != nil {
		*m = marks{}
	}
	return nil
}

// fileOf returns the name of role's file. On a file system that takes upper and
// lower case for the same, a signer named Timestamp would else write over
// timestamp.json, and with it the protection against an older one: so upper-case
// letters are escaped here, besides what quote escapes. Names too long for a file
// system, and those that Windows keeps for devices, are replaced by their hash.
func fileOf(role string) string {
	var b strings.Builder
	for _, c := range []byte(role) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	stem, _, _ := strings.Cut(name, ".")
	if len(name) > 200 || isDevice(stem) {
		name = digestHex([]byte(role))
	}
	return name + ".json"
}

// isDevice tells whether Windows opens a device under this name, whatever follows
// after a dot.
func isDevice(name string) bool {
	switch name {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(name) == 4 && (name[:3] == "com" || name[:3] == "lpt") && name[3] >= '0' && name[3] <= '9'
}

// Load returns the file of role, or nil when there is none that counts.
func (d *Dir) Load(role string) ([]byte, error) {
	data, err := d.read(role)
	if err != nil || data == nil || !d.isStale(role, data) {
		return data, err
	}
	return nil, nil
}

func (d *Dir) read(role string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(d.path, fileOf(role)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// isStale tells whether a newer root than the one that role's file was verified
// by makes it forgotten.
func (d *Dir) isStale(role string, data []byte) bool {
	note := d.marks.Stale
	if note.Root == 0 || (role != tuf.RoleTimestamp && role != tuf.RoleSnapshot) {
		return false
	}
	digest := digestHex(data)
	return (role == tuf.RoleTimestamp && digest == note.Timestamp || role == tuf.RoleSnapshot && digest == note.Snapshot) && d.rootVersion() >= note.Root
}

// rootVersion is the version of the root that is remembered, 0 for none.
func (d *Dir) rootVersion() int64 {
	data, err := d.read(tuf.RoleRoot)
	if err == nil && data != nil {
		if root, err := tuf.ReadRoot(data); err == nil {
			return root.Signed.Version
		}
	}
	if versions := d.roots(); len(versions) > 0 { // where a damaged one is healed from
		return versions[0]
	}
	return 0
}

// noteStale notes what the root of a version is about to make forgotten.
func (d *Dir) noteStale(version int64) error {
	note := stale{Root: version}
	for role, digest := range map[string]*string{tuf.RoleTimestamp: &note.Timestamp, tuf.RoleSnapshot: &note.Snapshot} {
		data, err := d.read(role)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		*digest = digestHex(data)
		if d.isStale(role, data) {
			note.Root = min(note.Root, d.marks.Stale.Root) // they are stale already
		}
	}
	d.marks.Stale = note
	return nil
}

// dropStale removes what the note names, if its root is there, and then the note.
func (d *Dir) dropStale() error {
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot} {
		data, err := d.read(role)
		if err != nil {
			return err
		}
		if data == nil || !d.isStale(role, data) {
			continue
		}
		if err := d.save(tuf.File{Role: role}); err != nil {
			return err
		}
	}
	if err := syncDir(d.path); err != nil {
		return err
	}
	d.marks.Stale = stale{}
	return d.writeMarks()
}

// Save writes files, and forgets those without Bytes.
func (d *Dir) Save(ctx context.Context, files []tuf.File) (err error) {
	if !d.locked {
		unlock, err := lockDir(ctx, d.path)
		if err != nil {
			return err
		}
		defer unlock()
	}
	var now marks
	if err := d.readMarks(&now); err != nil {
		return err
	}
	if now.Generation != d.marks.Generation {
		return errMoved
	}
	// The generation moves first: should this process die in the middle, the next
	// one to save notices that it read something else.
	d.marks.Generation++
	var roots, gone, rest []tuf.File
	for _, file := range files {
		switch {
		case file.Bytes == nil:
			gone = append(gone, file)
		case file.Role == tuf.RoleRoot:
			roots = append(roots, file)
		default:
			rest = append(rest, file)
		}
	}
	if len(gone) > 0 {
		if err := d.noteStale(gone[0].Version); err != nil {
			return err
		}
	}
	if err := d.writeMarks(); err != nil {
		return err
	}
	if err := d.saveAll(roots); err != nil {
		return err
	}
	// The files that tell a step back go only when the new root is there to stay.
	if d.marks.Stale != (stale{}) {
		if err := d.dropStale(); err != nil {
			return err
		}
	}
	return d.saveAll(rest)
}

// saveAll writes files. Of several roots, as after a long sleep, each is kept, and the
// last alone is the newest.
func (d *Dir) saveAll(files []tuf.File) error {
	newest, err := d.keepRoots(files)
	if err != nil {
		return err
	}
	for i, file := range files {
		if file.Role == tuf.RoleRoot && file.Bytes != nil && i != newest {
			continue
		}
		if err := d.save(file); err != nil {
			return err
		}
	}
	return syncDir(d.path)
}

// keepRoots writes the roots among files into .roots, and returns which is the last.
func (d *Dir) keepRoots(files []tuf.File) (newest int, err error) {
	newest = -1
	for i, file := range files {
		if file.Role != tuf.RoleRoot || file.Bytes == nil {
			continue
		}
		newest = i
		kept := d.rootPath(file.Version)
		if err := makeParent(kept); err != nil {
			return 0, err
		}
		if err := writeFile(kept, file.Bytes, 0o600); err != nil {
			return 0, err
		}
	}
	if newest < 0 {
		return newest, nil
	}
	return newest, syncDir(filepath.Join(d.path, rootsFolder))
}

func (d *Dir) writeMarks() error {
	data, err := json.Marshal(d.marks)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(d.path, ".marks"), data, 0o600)
}

func (d *Dir) save(file tuf.File) error {
	path := filepath.Join(d.path, fileOf(file.Role))
	if file.Bytes == nil {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return writeFile(path, file.Bytes, 0o600)
}

// rootsFolder is the folder of all roots that were verified.
const rootsFolder = ".roots"

func (d *Dir) rootPath(version int64) string {
	return filepath.Join(d.path, rootsFolder, strconv.FormatInt(version, 10)+".json")
}

// roots returns the versions of all roots that were verified, newest first.
func (d *Dir) roots() []int64 {
	entries, err := os.ReadDir(filepath.Join(d.path, rootsFolder))
	if err != nil {
		return nil
	}
	var versions []int64
	for _, entry := range entries {
		number, _ := strings.CutSuffix(entry.Name(), ".json")
		if version, err := strconv.ParseInt(number, 10, 64); err == nil {
			versions = append(versions, version)
		}
	}
	slices.Sort(versions)
	slices.Reverse(versions)
	return versions
}

// newestRoot begins to trust at the newest root that was verified; it returns nil
// when there is none. When root.json is damaged, that is the newest one of .roots
// that is not.
func (d *Dir) newestRoot(u *Updater) (*tuf.Trusted, error) {
	data, err := d.Load(tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if t, err := u.trust(data); err == nil {
			return t, nil
		}
	}
	for _, version := range d.roots() {
		data, err := os.ReadFile(d.rootPath(version))
		if err != nil {
			return nil, err
		}
		if t, err := u.trust(data); err == nil {
			return t, nil
		}
	}
	return nil, nil
}

// moved tells whether another process has saved since the folder was opened.
func (d *Dir) moved() bool {
	var now marks
	return d.readMarks(&now) == nil && now.Generation != d.marks.Generation
}

// etag returns what to ask server with, if timestamp is what it last served.
func (d *Dir) etag(server string) string {
	if d.marks.ETag == "" || d.marks.Server != server {
		return ""
	}
	timestamp, err := d.Load(tuf.RoleTimestamp)
	if err != nil || digestHex(timestamp) != d.marks.ETagFor {
		return ""
	}
	return d.marks.ETag
}

// forget removes all that is remembered, and notes what may not come back, if kept says
// so. The lock stays, for those who wait on it.
func (d *Dir) forget(ctx context.Context, kept *Replacement) error {
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockFile(ctx, filepath.Join(d.path, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// Folders are other repositories below this one's name.
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(d.path, entry.Name())))
	}
	err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, rootsFolder)))
	before := d.marks
	if readErr := d.readMarks(&d.marks); readErr == nil {
		before = d.marks
	}
	d.marks = marks{Generation: before.Generation + 1}
	if kept != nil {
		d.marks.MinRoot, d.marks.MinTargets = max(before.MinRoot, above(kept.Root)), max(before.MinTargets, above(kept.Targets))
	}
	return errors.Join(err, d.writeMarks())
}

// stateDir returns the folder of a repository below a state folder: the host,
// with '_' for ':', then the path.
func stateDir(state, repository string) (string, error) {
	if state == "" {
		return "", errors.New("no state folder is set, and without one older metadata could not be told from newer")
	}
	if err := tuf.CheckRepository(repository); err != nil {
		return "", err
	}
	host, rest, _ := strings.Cut(repository, "/")
	host = strings.NewReplacer(":", "_", "[", "_", "]", "_").Replace(host)
	return filepath.Join(state, host, filepath.FromSlash(rest)), nil
}

// remembering wraps what went wrong while state was saved.
func remembering(path string, err error) error {
	if err == nil || errors.Is(err, errMoved) {
		return err
	}
	return fmt.Errorf("what was verified could not be remembered in %s, so that a later step back would go unnoticed: %w", path, err)
}
