package card

import (
	"crypto/elliptic"
	"testing"
)

// FuzzTransmit checks what a thief with the stick, but without PIN, PUK and
// management key, gets from it: never a signature by a key that wants the PIN,
// never one more try than the counters had, never another key in the slot. And
// whatever is sent, the answer has the form of an answer.
//
// A run is a row of commands, each with two bytes of length before it.
func FuzzTransmit(f *testing.F) {
	run := func(commands ...string) (b []byte) {
		for _, command := range commands {
			apdu := unhex(f, command)
			b = append(append(b, byte(len(apdu)>>8), byte(len(apdu))), apdu...)
		}
		return b
	}
	f.Add(run("00A4040005A000000308", verifyPIN, signWith9C))
	f.Add(run("00A4040005A000000308", wrongPIN, wrongPIN, wrongPIN, "00FB0000"))
	wrongPUK := "002C008010 3831323334353637 313131313131FFFF"
	f.Add(run("00A4040005A000000308", wrongPIN, wrongPIN, wrongPIN, wrongPUK, wrongPUK, wrongPUK, "00FB0000"))
	f.Add(run("00A4040005A000000308", "00870A9B047C028000", "00870A9B047C028100", generate9C))
	f.Add(run("00A4040005A000000308", "1020008004 31323334", "0020008004 3536FFFF", signWith9C))
	f.Add(run("00A4040005A000000308", "00CB3FFF05 5C035FFF0100", getResponse, "00F99C0000", getResponse))
	f.Add(run("00A4040008A000000527471117", "001D000000", "00A4040005A000000308", "00F7009B00"))
	f.Add(run("00A4040005A000000308", "0024008010 313233343536FFFF 3132333435363738", "002C008010 3132333435363738 313131313131FFFF"))

	maker, err := NewMaker()
	if err != nil {
		f.Fatal(err)
	}
	key, err := ecdsaAlgorithm(elliptic.P256()).generate()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := New(Config{Serial: 1, Firmware: Firmware{5, 7, 4}, Maker: maker})
		if err != nil {
			t.Fatal(err)
		}
		// Not the factory's, which anybody knows.
		c.state.PIN = newSecret("\x80\x91\xa2\xb3\xc4\xd5\xe6\xf7", 3)
		c.state.PUK = newSecret("\xf7\xe6\xd5\xc4\xb3\xa2\x91\x80", 3)
		c.state.Management.Key = []byte("a management key of 24 b")
		c.state.keys[slotSignature] = &slotKey{key: key, PIN: pinAlways, Touch: touchNever, Origin: originGenerated}

		pin, puk := c.Tries()
		for len(in) >= 2 {
			n := min(int(in[0])<<8|int(in[1]), len(in)-2)
			apdu := in[2 : 2+n]
			in = in[2+n:]
			answer := c.Transmit(t.Context(), apdu)
			if len(answer) < 2 || len(answer) > 65535 {
				t.Fatalf("%x: answer of %d bytes", apdu, len(answer))
			}
			if command, err := ParseCommand(apdu); err == nil && !command.Extended && len(answer) > orMax(command.Le, 256)+2 {
				t.Fatalf("%x: answer of %d bytes, more than asked for", apdu, len(answer))
			}
			newPIN, newPUK := c.Tries()
			if pin == 0 && puk == 0 && newPIN > 0 { // RESET, which is anybody's right
				if c.state.keys[slotSignature] != nil {
					t.Fatal("the key outlived a reset")
				}
				return
			}
			if newPIN > pin || newPUK > puk {
				t.Fatalf("%x: tries went from %d and %d to %d and %d", apdu, pin, puk, newPIN, newPUK)
			}
			pin, puk = newPIN, newPUK
		}
		if c.Signatures() > 0 {
			t.Fatal("signed without the PIN")
		}
		if slot := c.state.keys[slotSignature]; slot == nil || slot.key != key {
			t.Fatal("the key was replaced without the management key")
		}
	})
}
