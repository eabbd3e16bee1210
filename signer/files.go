package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// makeDir creates a folder that only its owner may enter. One that is there is
// left as it is.
func makeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

// createPrivate creates an empty file that only its owner may read, or takes
// others' rights away from one that is there. It never opens a file that is
// there: closing it again would drop SQLite's locks of this whole process.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if openToOthers(info) {
		return os.Chmod(path, info.Mode().Perm()&0o700)
	}
	return nil
}

// readPrivate reads a file with a secret, and refuses one that others may open.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > 64<<10:
		return nil, fmt.Errorf("%s is not a small file", path)
	case openToOthers(info):
		return nil, fmt.Errorf("%s has mode %04o and so is open to others; expected 0600", path, info.Mode().Perm())
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// writeNew writes a file that only its owner may read, whole and durably, or not
// at all. It fails with fs.ErrExist when the name is taken, also by a race.
func writeNew(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return place(tmp.Name(), path)
}

// place gives the file at from the name to, which must be free, durably.
func place(from, to string) error {
	if err := os.Link(from, to); err != nil { // unlike a rename, never overwrites
		return err
	}
	return errors.Join(os.Remove(from), syncDir(filepath.Dir(to)))
}

func openToOthers(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}

// syncDir makes a new name in dir durable, where folders can be synced.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
