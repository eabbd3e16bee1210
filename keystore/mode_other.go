//go:build !unix

package keystore

import "io/fs"

// openToOthers is false where rights are not in the mode: there the folder,
// in the user's own profile, is what keeps others out.
func openToOthers(fs.FileInfo) bool { return false }

// syncDir does nothing where folders cannot be synced.
func syncDir(string) error { return nil }
