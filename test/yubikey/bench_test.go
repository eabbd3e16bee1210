//go:build cgo && linux

package yubikey_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/yubikey"
)

func TestBenchesSideBySide(t *testing.T) {
	for _, serial := range []uint32{31, 32, 33} {
		t.Run(fmt.Sprint(serial), func(t *testing.T) {
			t.Parallel()
			bench, err := yubikey.Start(yubikey.Config{Sticks: []yubikey.StickConfig{{Serial: serial}}})
			if err != nil {
				t.Fatal(err)
			}
			defer bench.Close()
			cmd := exec.CommandContext(t.Context(), "yubico-piv-tool", "-a", "status")
			cmd.Env = append(os.Environ(), bench.Env()...)
			output, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if want := fmt.Sprintf("Serial Number:\t%d\n", serial); !strings.Contains(string(output), want) {
				t.Errorf("output lacks %q:\n%s", want, output)
			}
		})
	}
}
