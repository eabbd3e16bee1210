//go:build !linux

package yubikey

// findHolders cannot look at other processes here.
func findHolders() []Holder { return nil }

// whyNoDaemon cannot tell more here.
func whyNoDaemon(err error) error { return err }
