package card

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseCommand(t *testing.T) {
	long := strings.Repeat("AB", 300)
	for _, c := range []struct {
		name string
		in   string
		want *Command // nil: refused
	}{
		{"header only", "00FD0000", &Command{Instruction: 0xFD}},
		{"Le", "00FD000003", &Command{Instruction: 0xFD, Le: 3}},
		{"Le of zero means 256", "00F8000000", &Command{Instruction: 0xF8, Le: 256}},
		{"data", "0020008002 3132", &Command{Instruction: 0x20, P2: 0x80, Data: []byte("12")}},
		{"data and Le", "00A4040002 A000 00", &Command{Instruction: 0xA4, P1: 4, Data: []byte{0xA0, 0}, Le: 256}},
		{"extended Le", "00CB3FFF 000100", &Command{Instruction: 0xCB, P1: 0x3F, P2: 0xFF, Le: 256, Extended: true}},
		{"extended Le of zero means 65536", "00CB3FFF 000000", &Command{Instruction: 0xCB, P1: 0x3F, P2: 0xFF, Le: 65536, Extended: true}},
		{"extended data", "00DB3FFF 00012C" + long, &Command{Instruction: 0xDB, P1: 0x3F, P2: 0xFF, Data: unhex(t, long), Extended: true}},
		{"extended data and Le", "00DB3FFF 00012C" + long + "0000", &Command{Instruction: 0xDB, P1: 0x3F, P2: 0xFF, Data: unhex(t, long), Le: 65536, Extended: true}},
		{"nothing", "", nil},
		{"half a header", "00A404", nil},
		{"less data than Lc says", "0020008008 3132", nil},
		{"more data than Lc and Le say", "0020008001 313233", nil},
		{"less extended data than Lc says", "00DB3FFF 00012C AB", nil},
		{"extended Lc of zero with data", "00DB3FFF 000000 AB", nil},
		{"half an extended length", "00DB3FFF 0001", nil},
		{"half an extended Le", "00DB3FFF 000001 AB 00", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseCommand(unhex(t, c.in))
			if c.want == nil {
				if !errors.Is(err, StatusWrongLength) {
					t.Errorf("got %+v, %v; want 6700", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadTLV(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		tag  byte
		size int // -1: refused
		rest int
	}{
		{"short", "5C035FC105", 0x5C, 3, 0},
		{"empty", "5300", 0x53, 0, 0},
		{"something follows", "800111 AA0103", 0x80, 1, 3},
		{"two-byte length", "53 8180" + strings.Repeat("00", 128), 0x53, 128, 0},
		{"three-byte length", "53 820100" + strings.Repeat("00", 256), 0x53, 256, 0},
		{"longer length than needed", "53 820001 AA", 0x53, 1, 0},
		{"tag alone", "53", 0, -1, 0},
		{"value cut off", "530411", 0, -1, 0},
		{"length cut off", "5382", 0, -1, 0},
		{"endless form", "5380", 0, -1, 0},
		{"length of three bytes", "5383000001 AA", 0, -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tag, value, rest, err := readTLV(unhex(t, c.in))
			if c.size < 0 {
				if !errors.Is(err, StatusWrongData) {
					t.Errorf("got %v, want 6A80", err)
				}
				return
			}
			if err != nil || tag != c.tag || len(value) != c.size || len(rest) != c.rest {
				t.Errorf("got tag %x, %d bytes, %d left, %v", tag, len(value), len(rest), err)
			}
		})
	}
}

// FuzzParseCommand checks that each command has one form only: what the card takes
// for a command is exactly what was sent, with no byte left out or made up.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"00FD0000", "00FD000000", "00A4040005A000000308", "0087039B047C02800000",
		"00CB3FFF0000055C035FC1050000", "10DB3FFF01AA", "00CB3FFF000000",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		cmd, err := ParseCommand(in)
		if err != nil {
			return // refusing is fine
		}
		if again := cmd.Bytes(); !bytes.Equal(in, again) {
			t.Fatalf("took %x for %+v, which is %x", in, cmd, again)
		}
	})
}
