package client

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// nonblocking is nothing here: there are no pipes in folders.
const nonblocking = 0

// openToOthers is false: rights are not in the mode here, and the folder, in the
// user's own profile, is what keeps others out.
func openToOthers(fs.FileInfo) bool { return false }

// syncDir does nothing: folders cannot be synced here.
func syncDir(string) error { return nil }

// tryLock takes the exclusive lock of an open file, if nobody has it.
func tryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}
