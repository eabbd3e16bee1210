package card

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Firmware is a YubiKey's firmware version. It decides which commands and
// algorithms the card knows.
type Firmware struct{ Major, Minor, Patch byte }

// ParseFirmware reads a version such as "5.7.4". "5.2", "5.4" and "5.7" mean the
// versions of those that people have most. Versions before 5 answer in ways that
// this card does not know.
func ParseFirmware(s string) (Firmware, error) {
	if patch, ok := map[string]byte{"5.2": 7, "5.4": 3, "5.7": 4}[s]; ok {
		s = fmt.Sprintf("%s.%d", s, patch)
	}
	parts := strings.Split(s, ".")
	var numbers [3]byte
	if len(parts) != len(numbers) {
		return Firmware{}, fmt.Errorf("firmware version %q: want three numbers, such as 5.7.4", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return Firmware{}, fmt.Errorf("firmware version %q: want three numbers, such as 5.7.4", s)
		}
		numbers[i] = byte(n)
	}
	if numbers[0] != 5 {
		return Firmware{}, fmt.Errorf("firmware version %q: only YubiKey 5 is known", s)
	}
	return Firmware{numbers[0], numbers[1], numbers[2]}, nil
}

// String returns the version as people write it: 5.7.4.
func (f Firmware) String() string {
	return fmt.Sprintf("%d.%d.%d", f.Major, f.Minor, f.Patch)
}

func (f Firmware) bytes() []byte {
	return []byte{f.Major, f.Minor, f.Patch}
}

func (f Firmware) atLeast(major, minor, patch byte) bool {
	return cmp.Or(cmp.Compare(f.Major, major), cmp.Compare(f.Minor, minor), cmp.Compare(f.Patch, patch)) >= 0
}

func (f Firmware) hasMetadata() bool { return f.atLeast(5, 3, 0) }
func (f Firmware) hasAESKeys() bool  { return f.atLeast(5, 4, 2) }
func (f Firmware) has57() bool       { return f.atLeast(5, 7, 0) }

// managementAlgorithm is that of the factory's management key.
func (f Firmware) managementAlgorithm() byte {
	if f.has57() {
		return algorithmAES192
	}
	return algorithm3DES
}
