package yubikey

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/signet-trust/signet/test/yubikey/card"
)

func TestTalk(t *testing.T) {
	const (
		atr     = "0017 3bfd130000813 1fe158073c021c057597562694b657940"
		selects = "000a 00a4040005a000000308"
		chosen  = "0015 61114f0600001000010079074f05a000000308 9000"
		version = "0005 00fd000000"
	)
	for _, c := range []struct{ name, in, want string }{
		{"two messages in one segment", "0001 02 0001 04", atr},
		{"a command", selects, chosen},
		{"the ATR leaves the session alone", selects + "0001 04" + version, chosen + atr + "0005 050704 9000"},
		{"power off ends the session", selects + "0001 00" + version, chosen + "0002 6d00"},
		{"no such control code", "0001 03 0001 04", ""},
		{"an empty message", "0000 0001 04", ""},
		{"a message cut off", "0001 04 0005 00fd", atr},
	} {
		t.Run(c.name, func(t *testing.T) {
			stick, err := card.New(card.Config{Serial: 1, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 4}})
			if err != nil {
				t.Fatal(err)
			}
			in, err := hex.DecodeString(strings.ReplaceAll(c.in, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			talk(t.Context(), bytes.NewReader(in), &out, stick)
			if got, want := hex.EncodeToString(out.Bytes()), strings.ReplaceAll(c.want, " ", ""); got != want {
				t.Errorf("answered %s, want %s", got, want)
			}
		})
	}
}
