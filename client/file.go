package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

func digestHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// makeParent creates the folder that path is in, for the user's own eyes.
func makeParent(path string) error { return os.MkdirAll(filepath.Dir(path), 0o700) }

// writeFile puts data at path in one step: whoever reads sees the old content or
// the new, also after a crash. Callers hold a lock, so that one fixed temporary
// name does. They sync the folder.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	dir, name := filepath.Split(path)
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return err
	}
	if err := errors.Join(writeIn(root, name, data, mode), root.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// writeIn is writeFile in a folder that may have come by hand: what a crash, or
// somebody else, left under the temporary name is removed first, and never followed.
func writeIn(root *os.Root, name string, data []byte, mode fs.FileMode) (err error) {
	temporary := "." + name + ".new"
	if info, err := root.Lstat(temporary); err == nil && !info.IsDir() {
		if err := root.Remove(temporary); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(temporary))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}

// lockFile takes the lock that path stands for, among processes and within this
// one, and returns what releases it. It waits for at most a minute: locks are
// held for writes, and seldom while a server is asked.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return lockOpen(ctx, f, path)
}

// lockOpen is lockFile of a file that is open.
func lockOpen(ctx context.Context, f *os.File, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	wait := 2 * time.Millisecond
	for {
		locked, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if locked {
			return func() { f.Close() }, nil // closing releases it
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: another process holds it: %w", path, ctx.Err()), f.Close())
		case <-time.After(wait):
			wait = min(2*wait, 50*time.Millisecond)
		}
	}
}
