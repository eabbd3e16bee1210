package card

import (
	"strings"
	"testing"
)

const (
	verifyPIN   = "0020008008 313233343536FFFF"
	wrongPIN    = "0020008008 363534333231FFFF"
	askPIN      = "00200080"
	digestOf32  = "7C24 8200 8120 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
	signWith9C  = "0087119C26" + digestOf32
	signWith9A  = "0087119A26" + digestOf32
	generate9C  = "0047009C05 AC03800111"
	metadata9C  = "00F7009C00"
	getResponse = "00C0000000"
)

func TestSessions(t *testing.T) {
	for _, c := range []struct {
		name     string
		firmware string
		steps    string // command > answer; "manage" proves the management key
	}{
		{"select PIV by its full name", "5.7.4", `
			00A404000BA000000308000010000100 > 61114F0600001000010079074F05A0000003089000`},
		{"select PIV by half its name", "5.7.4", `
			00A4040009A00000030800001000 > *9000`},
		{"select nothing known", "5.7.4", `
			00A4040006D27600012401 > 6A82`},
		{"four bytes are no name", "5.7.4", `
			00A4040004A0000003 > 6A82`},
		{"version and serial", "5.4.3", `
			00FD000000 > 0504039000
			00F8000000 > 00BC614E9000`},
		{"management applet", "5.7.4", `
			00A4040008A000000527471117 > 5669727475616C206D6772202D2046572076657273696F6E20352E372E349000
			001D000000 > 1901020010020400BC614E0302001004010105030507040A01009000
			00FD000000 > 6D00`},
		{"unknown instruction, unknown class", "5.7.4", `
			0001000000 > 6D00
			80FD000000 > 6E00`},
		{"garbled command", "5.7.4", `
			00A4 > 6700
			002000800831 > 6700`},
		{"PIN is counted, blocked and unblocked", "5.7.4", `
			` + askPIN + ` > 63C3
			` + wrongPIN + ` > 63C2
			` + wrongPIN + ` > 63C1
			` + askPIN + ` > 63C1
			` + verifyPIN + ` > 9000
			` + askPIN + ` > 9000
			` + wrongPIN + ` > 63C2
			` + askPIN + ` > 63C2
			` + wrongPIN + ` > 63C1
			` + wrongPIN + ` > 63C0
			` + verifyPIN + ` > 6983
			` + askPIN + ` > 6983
			002C008010 3132333435363738 313131313131FFFF > 9000
			0020008008 313131313131FFFF > 9000`},
		{"PIN is forgotten on request", "5.7.4", `
			` + verifyPIN + ` > 9000
			0020FF80 > 9000
			` + askPIN + ` > 63C3`},
		{"PIN of a wrong length is not counted", "5.7.4", `
			0020008006313233343536 > 6A80
			` + askPIN + ` > 63C3`},
		{"fingerprint", "5.7.4", `
			00200096020300 > 6A88`},
		{"PIN changes", "5.7.4", `
			0024008010 313233343536FFFF 3132333435363738 > 9000
			` + verifyPIN + ` > 63C2
			0020008008 3132333435363738 > 9000`},
		{"wrong old PIN counts", "5.7.4", `
			0024008010 363534333231FFFF 3132333435363738 > 63C2
			` + askPIN + ` > 63C2`},
		{"new PIN is too short", "5.7.4", `
			0024008010 313233343536FFFF 3132333435FFFFFF > 6985
			` + verifyPIN + ` > 9000`},
		{"new PIN goes on after its padding", "5.7.4", `
			0024008010 313233343536FFFF 31323334353637FF > 9000
			0024008010 31323334353637FF 313233343536FF37 > 6985`},
		{"half of a PIN change", "5.7.4", `
			0024008008 313233343536FFFF > 6A80`},
		{"change of something else", "5.7.4", `
			0024008210 313233343536FFFF 3132333435363738 > 6A88`},
		{"new PUK is ASCII from 5.7 on", "5.7.4", `
			0024008110 3132333435363738 C13233343536FFFF > 6985`},
		{"new PUK is any bytes before 5.7", "5.4.3", `
			0024008110 3132333435363738 C13233343536FFFF > 9000`},
		{"wrong PUK is counted and blocked", "5.7.4", `
			002C008010 3831323334353637 313131313131FFFF > 63C2
			002C008010 3831323334353637 313131313131FFFF > 63C1
			002C008010 3831323334353637 313131313131FFFF > 63C0
			002C008010 3132333435363738 313131313131FFFF > 6983
			00F7008100 > 0101FF050101060203009000`},
		{"a PUK changes", "5.7.4", `
			0024008110 3132333435363738 3837363534333231 > 9000
			00F7008100 > 0101FF050100060203039000
			002C008010 3132333435363738 313131313131FFFF > 63C2
			002C008010 3837363534333231 313131313131FFFF > 9000
			00F7008100 > 0101FF050100060203039000
			00F7008000 > 0101FF050100060203039000`},
		{"wrong PUKs of a change and of an unblocking count together", "5.7.4", `
			0024008110 3831323334353637 3837363534333231 > 63C2
			002C008010 3831323334353637 313131313131FFFF > 63C1
			0024008110 3831323334353637 3837363534333231 > 63C0
			0024008110 3132333435363738 3837363534333231 > 6983
			002C008010 3132333435363738 313131313131FFFF > 6983
			` + verifyPIN + ` > 9000`},
		{"a new PIN that is refused costs no try of the PUK, a wrong PUK does", "5.7.4", `
			002C008010 3132333435363738 3131313131FFFFFF > 6985
			00F7008100 > 0101FF050101060203039000
			002C008010 FFFFFFFFFFFFFFFF FFFFFFFFFFFFFFFF > 63C2
			0024008110 3132333435363738 3131313131FFFFFF > 6985
			00F7008100 > 0101FF050101060203039000`},
		{"a right PUK gives its tries back", "5.7.4", `
			002C008010 3831323334353637 313131313131FFFF > 63C2
			002C008010 3132333435363738 313131313131FFFF > 9000
			00F7008100 > 0101FF050101060203039000`},
		{"PIN and PUK blocked for good end in a reset", "5.7.4", `
			manage
			` + generate9C + ` > *9000
			` + wrongPIN + ` > 63C2
			` + wrongPIN + ` > 63C1
			` + wrongPIN + ` > 63C0
			00FB0000 > 6985
			002C008010 3831323334353637 313131313131FFFF > 63C2
			002C008010 3831323334353637 313131313131FFFF > 63C1
			002C008010 3831323334353637 313131313131FFFF > 63C0
			002C008010 3132333435363738 313131313131FFFF > 6983
			` + verifyPIN + ` > 6983
			00FB0000 > 9000
			` + metadata9C + ` > 6A88
			00F7008000 > 0101FF050101060203039000
			00F7008100 > 0101FF050101060203039000`},
		{"what changes the card needs the management key", "5.7.4", `
			` + generate9C + ` > 6982
			00FE119C23 0620 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F AA > 6982
			00DB3FFF07 5C035FC105 5300 > 6982
			00FFFFFF1B 039B18 010203040506070801020304050607080102030405060708 > 6982
			00FA0505 > 6982
			00F68200 > 6982`},
		{"retries are set with PIN and management key", "5.7.4", `
			manage
			00FA0504 > 6982
			` + verifyPIN + ` > 9000
			00FA0504 > 9000
			` + askPIN + ` > 63C5
			00F7008000 > 0101FF05010106020505 9000
			00F7008100 > 0101FF050101060204049000`},
		{"reset wants PIN and PUK blocked", "5.7.4", `
			00FB0000 > 6985`},
		{"metadata of PIN and management key", "5.7.4", `
			00F7008000 > 0101FF050101060203039000
			00F7009B00 > 01010A020200010501019000`},
		{"metadata of another management key", "5.7.4", `
			manage
			00FFFFFD13 089B10 0102030405060708090A0B0C0D0E0F10 > 9000
			00F7009B00 > 010108020200030501009000`},
		{"metadata of an empty slot", "5.7.4", `
			` + metadata9C + ` > 6A88`},
		{"nonsense in GENERATE", "5.7.4", `
			manage
			0047009C00 > 6A80
			0047009C02 AC00 > 6A80
			0047009C05 AC03800199 > 6A80
			0047009C08 AC06800111AA0109 > 6A80
			0047009C08 AC06800111AB0104 > 6A80
			0047008005 AC03800111 > 6A86`},
		{"slot is empty", "5.7.4", `
			` + verifyPIN + ` > 9000
			` + signWith9C + ` > 6A80
			00F99C0000 > 6A80`},
		{"PIN policy of 9c is always", "5.7.4", `
			manage
			` + generate9C + ` > *9000
			` + signWith9C + ` > 6982
			` + verifyPIN + ` > 9000
			` + signWith9C + ` > *9000
			` + signWith9C + ` > 6982
			` + verifyPIN + ` > 9000
			00FD000000 > *9000
			` + signWith9C + ` > 6982`},
		{"PIN policy once", "5.7.4", `
			manage
			0047009A05 AC03800111 > *9000
			` + signWith9A + ` > 6982
			` + verifyPIN + ` > 9000
			` + signWith9A + ` > *9000
			` + signWith9A + ` > *9000
			` + wrongPIN + ` > 63C2
			` + signWith9A + ` > 6982`},
		{"PIN policy never", "5.7.4", `
			manage
			0047009E05 AC03800111 > *9000
			0087119E26` + digestOf32 + ` > *9000`},
		{"another application in between forgets PIN and management key", "5.7.4", `
			manage
			0047009A05 AC03800111 > *9000
			` + verifyPIN + ` > 9000
			00A4040005A000000308 > *9000
			` + signWith9A + ` > *9000
			00A4040008A000000527471117 > *9000
			00A4040005A000000308 > *9000
			` + signWith9A + ` > 6982
			` + generate9C + ` > 6982`},
		{"signature of another algorithm", "5.7.4", `
			manage
			0047009E05 AC03800111 > *9000
			0087149E26` + digestOf32 + ` > 6A80`},
		{"digest is too long", "5.7.4", `
			manage
			0047009E05 AC03800111 > *9000
			0087119E27 7C258200 8121 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20 > 6A80`},
		{"attestation key signs nothing else", "5.7.4", `
			008711F926` + digestOf32 + ` > 6A80`},
		{"objects come and go", "5.7.4", `
			00CB3FFF05 5C035FC10200 > 6A82
			manage
			00DB3FFF09 5C035FC102 5302CAFE > 9000
			00CB3FFF05 5C035FC10200 > 5302CAFE9000
			00DB3FFF07 5C035FC102 5300 > 9000
			00CB3FFF05 5C035FC10200 > 6A82`},
		{"discovery object", "5.7.4", `
			00CB3FFF03 5C017E00 > 7E124F0BA0000003080000100001005F2F0240009000`},
		{"printed information is behind the PIN", "5.7.4", `
			manage
			00DB3FFF09 5C035FC109 5302CAFE > 9000
			00CB3FFF05 5C035FC109 > 6982
			` + verifyPIN + ` > 9000
			00CB3FFF05 5C035FC109 > 5302CAFE9000`},
		{"nothing is left to fetch", "5.7.4", `
			` + getResponse + ` > 6A80`},
		{"a long answer comes in parts, a new command drops the rest", "5.7.4", `
			00CB3FFF05 5C035FFF0100 > *61xx
			` + getResponse + ` > *9000
			` + getResponse + ` > 6A80
			00CB3FFF05 5C035FFF0100 > *61xx
			00FD000000 > 0507049000
			` + getResponse + ` > 6A80`},
		{"an extended command is answered at once", "5.7.4", `
			00CB3FFF 000005 5C035FFF01 0000 > *9000`},
		{"a command in two links", "5.7.4", `
			1020008004 31323334 > 9000
			0020008004 3536FFFF > 9000
			` + askPIN + ` > 9000`},
		{"what was half said is no part of another command", "5.7.4", `
			1020008008 313233343536FFFF > 9000
			0024008008 3132333435363738 > 6A80
			` + verifyPIN + ` > 9000`},
		{"a half-done chain ends with another command", "5.7.4", `
			1020008004 31323334 > 9000
			00FD000000 > 0507049000
			0020008004 3536FFFF > 6A80`},
		{"key moves and is deleted", "5.7.4", `
			manage
			` + generate9C + ` > *9000
			00F6829C > 9000
			` + metadata9C + ` > 6A88
			00F7008200 > *9000
			00F6839C > 6A88
			` + generate9C + ` > *9000
			00F6829C > 6985
			00F6FF82 > 9000
			00F7008200 > 6A88
			00F6FF82 > 6A88
			00F69CF9 > 6A86
			00F6F99C > 6A86`},
		{"a moved key is attested in its new slot, an imported one in none", "5.7.4", `
			manage
			` + generate9C + ` > *9000
			00F6829C > 9000
			00F98200 000000 > *9000
			00F99C0000 > 6A80
			00FE119C22 0620 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F > 9000
			00F6839C > 9000
			00F9830000 > 6A80`},
		{"management key of a wrong length", "5.7.4", `
			manage
			00FFFFFF1B 089B18 010203040506070801020304050607080102030405060708 > 6A80
			00FFFFFF05 089B100102 > 6A80`},
		{"other algorithm than the management key's", "5.7.4", `
			0087039B04 7C028000 > 6A80`},
		{"single authentication with a wrong answer", "5.7.4", `
			00870A9B04 7C028100 > *9000
			00870A9B14 7C12 8210 00000000000000000000000000000000 > 6982
			` + generate9C + ` > 6982`},
		{"answer without a challenge", "5.7.4", `
			00870A9B14 7C12 8210 00000000000000000000000000000000 > 6982
			00870A9B26 7C24 8010 00000000000000000000000000000000 8110 00000000000000000000000000000000 > 6982`},
	} {
		t.Run(c.name, func(t *testing.T) {
			term := insert(t, c.firmware)
			for line := range strings.Lines(strings.TrimSpace(c.steps)) {
				apdu, answer, ok := strings.Cut(strings.TrimSpace(line), ">")
				if !ok {
					term.manageDefault()
					continue
				}
				term.want(strings.TrimSpace(apdu), strings.TrimSpace(answer))
			}
		})
	}
}
