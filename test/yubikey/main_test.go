//go:build cgo && linux

package yubikey_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/test/yubikey"
)

// TestMain settles the socket of all benches of this process: libpcsclite asks for
// it once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "yubikey-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(dir, "pcscd.comm"))
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func socket() string { return os.Getenv("PCSCLITE_CSOCK_NAME") }

// start plugs in the sticks for one test.
func start(t *testing.T, config yubikey.Config) *yubikey.Bench {
	t.Helper()
	config.Socket, config.Dir = socket(), t.TempDir()
	bench, err := yubikey.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	return bench
}

// startOne plugs in one stick.
func startOne(t *testing.T, firmware string) *yubikey.Stick {
	t.Helper()
	bench := start(t, yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: 12345678, Firmware: firmware}}})
	return bench.Sticks()[0]
}

// open connects piv-go to a stick.
func open(t *testing.T, stick *yubikey.Stick) *piv.YubiKey {
	t.Helper()
	key, err := piv.Open(stick.Reader())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	return key
}
