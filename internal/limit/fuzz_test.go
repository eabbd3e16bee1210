package limit

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzAddress checks that every remote address is counted under one name, which is no
// longer than what the listener gave, and that only this machine goes uncounted.
func FuzzAddress(f *testing.F) {
	f.Add("127.0.0.1:1")
	f.Add("[fe80::1%eth0]:443")
	f.Add("[::ffff:127.0.0.1]:9")
	f.Add("@")
	f.Fuzz(func(t *testing.T, remote string) {
		got := Address(remote)
		at, err := netip.ParseAddrPort(remote)
		if local := err == nil && at.Addr().Unmap().IsLoopback(); (got == "") != (local || remote == "") {
			t.Fatalf("%q is counted as %q", remote, got)
		}
		if err == nil && strings.Contains(got, "%") {
			t.Fatalf("%q is counted as %q, and by another zone under another name", remote, got)
		}
	})
}
