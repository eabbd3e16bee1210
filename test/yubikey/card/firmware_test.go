package card

import (
	"slices"
	"strings"
	"testing"
)

// TestWhatEachFirmwareKnows is the table of differences between the firmware
// versions that people have.
func TestWhatEachFirmwareKnows(t *testing.T) {
	const (
		from52 = "5.2.7 5.4.3 5.7.4"
		from54 = "5.4.3 5.7.4"
		from57 = "5.7.4"
		to54   = "5.2.7 5.4.3"
	)
	for _, c := range []struct{ name, versions, apdu, known, unknown string }{
		{"serial number", from52, "00F8000000", "*9000", ""},
		{"metadata", from54, metadata9C, "6A88", "6D00"}, // 5.3: nothing in the slot, no such command
		{"metadata of the PIN", from54, "00F7008000", "*9000", "6D00"},
		{"attestation", from52, "00F99C0000", "6A80", ""},
		{"P-256", from52, "0047009C05 AC03800111", "*9000", ""},
		{"P-384", from52, "0047009C05 AC03800114", "*9000", ""},
		{"RSA 1024", from52, "0047009C05 AC03800106", "*9000", ""},
		{"RSA 2048", from52, "0047009C 000005 AC03800107 0000", "*9000", ""},
		{"RSA 3072", from57, "0047009C 000005 AC03800105 0000", "*9000", "6A80"},
		{"Ed25519", from57, "0047009C05 AC038001E0", "*9000", "6A80"},
		{"X25519", from57, "0047009C05 AC038001E1", "*9000", "6A80"},
		{"import of Ed25519", from57, "00FEE09C22 0720 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "9000", "6A80"},
		{"import of X25519", from57, "00FEE19C22 0820 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "9000", "6A80"},
		{"moving a key", from57, "00F6829C", "6A88", "6D00"},
		{"deleting a key", from57, "00F6FF9C", "6A88", "6D00"},
		{"AES management key", from54, "00FFFFFF13 089B10 0102030405060708090A0B0C0D0E0F10", "9000", "6A80"}, // 5.4.2
		{"3DES management key", from52, "00FFFFFF1B 039B18 010203040506070801020304050607080102030405060709", "9000", ""},
		{"3DES as the factory's management key", to54, "0087039B04 7C028000", "*9000", "6A80"},
		{"AES-192 as the factory's management key", from57, "00870A9B04 7C028000", "*9000", "6A80"},
		{"PUK that is not ASCII", to54, "0024008110 3132333435363738 C13233343536FFFF", "9000", "6985"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, version := range strings.Fields(from52) {
				term := insert(t, version)
				term.manageDefault()
				want := c.unknown
				if slices.Contains(strings.Fields(c.versions), version) {
					want = c.known
				}
				term.want(c.apdu, want)
			}
		})
	}
}
