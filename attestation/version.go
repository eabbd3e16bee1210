package attestation

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A Version is a YubiKey's firmware version. Each part is 0 to 255.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads "5.7" or "5.7.4".
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(s, ".")
	fields := []*int{&v.Major, &v.Minor, &v.Patch}
	if len(parts) < 2 || len(parts) > 3 {
		return Version{}, fmt.Errorf("firmware %.20q: expected 5.7 or 5.7.4", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return Version{}, fmt.Errorf("firmware %.20q: expected 5.7 or 5.7.4", s)
		}
		*fields[i] = int(n)
	}
	return v, nil
}

// String returns the version as in "5.7.4".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Compare returns a number below zero when v is older than other, 0 when both are
// the same, and one above zero when v is newer.
func (v Version) Compare(other Version) int {
	return cmp.Or(cmp.Compare(v.Major, other.Major), cmp.Compare(v.Minor, other.Minor), cmp.Compare(v.Patch, other.Patch))
}

// AtLeast tells whether v is major.minor or newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Compare(Version{Major: major, Minor: minor}) >= 0
}

// MarshalText returns what String returns.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what ParseVersion reads.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
