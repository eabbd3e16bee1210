//go:build cgo && linux

package programs_test

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/signet-trust/signet/test/yubikey"
)

// several has three sticks in at once. ykman makes the keys, one stick after the
// other; yubico-piv-tool uses them, all at the same time.
func several() group {
	return group{
		program: program{"ykman, yubico-piv-tool", func(s *stage) string {
			return ykman().program.version(s) + ", " + yubicoPIVTool().program.version(s)
		}},
		sticks: []yubikey.StickConfig{
			{Serial: 1001, Firmware: "5.2.7"}, {Serial: 1002, Firmware: "5.4.3"}, {Serial: 1003, Firmware: "5.7.4"},
		},
		checks: []check{{what: "three sticks at once, each on its reader, told apart by serial; all three sign at the same time", run: func(s *stage) {
			for _, stick := range s.bench.Sticks() {
				serial := strconv.Itoa(int(stick.Serial()))
				s.says(s.run("ykman", "--device", serial, "info"), "Serial number: "+serial, "Firmware version: "+stick.Firmware())
				s.run("ykman", "--device", serial, "piv", "keys", "generate", "-m", management, "-a", "ECCP256", "9c", serial+".public.pem")
				s.run("ykman", "--device", serial, "piv", "keys", "attest", "9c", serial+".pem")
				s.sameKey(serial+".pem", serial+".public.pem")
			}
			var all sync.WaitGroup
			for _, stick := range s.bench.Sticks() {
				all.Go(func() {
					const rounds = 5
					before := stick.Signatures()
					for range rounds {
						output, err := s.command("yubico-piv-tool", "-r", stick.Reader(), "-a", "status", "-a", "verify-pin", "-P", pin,
							"-a", "test-signature", "-s", "9c", "-i", fmt.Sprintf("%d.pem", stick.Serial())).CombinedOutput()
						if err != nil {
							s.Errorf("stick %d: %v\n%s", stick.Serial(), err, output)
						}
						s.says(string(output), fmt.Sprintf("Serial Number:\t%d\n", stick.Serial()), "Successful ECDSA verification")
					}
					if n := stick.Signatures() - before; n != rounds {
						s.Errorf("stick %d signed %d times, want %d", stick.Serial(), n, rounds)
					}
				})
			}
			all.Wait()
		}}},
	}
}
