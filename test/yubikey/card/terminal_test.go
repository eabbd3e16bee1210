package card

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"
)

// A terminal sends commands to a card and knows what it should hear.
type terminal struct {
	t    *testing.T
	card *Card
}

// insert makes a card with PIV selected. Changes may be made to its configuration.
func insert(t *testing.T, firmware string, changes ...func(*Config)) *terminal {
	t.Helper()
	version, err := ParseFirmware(firmware)
	if err != nil {
		t.Fatal(err)
	}
	maker, err := NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Serial: 12345678, Firmware: version, Maker: maker}
	for _, change := range changes {
		change(&config)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t, c}
	term.want("00A4040005A000000308", "*9000")
	return term
}

// send gives the answer's data and status word.
func (term *terminal) send(apdu string) ([]byte, Status) {
	term.t.Helper()
	answer := term.card.Transmit(term.t.Context(), unhex(term.t, apdu))
	if len(answer) < 2 {
		term.t.Fatalf("%s: answer %x has no status", apdu, answer)
	}
	n := len(answer) - 2
	return answer[:n], Status(answer[n])<<8 | Status(answer[n+1])
}

// want sends a command and compares the whole answer, in hex. A star stands for
// any data. It gives the data back.
func (term *terminal) want(apdu, want string) []byte {
	term.t.Helper()
	data, status := term.send(apdu)
	got := strings.ToUpper(hex.EncodeToString(status.bytes(data)))
	want = strings.ToUpper(strings.ReplaceAll(want, " ", ""))
	if strings.HasPrefix(want, "*") {
		got, want = got[len(got)-4:], want[1:]
	}
	if want == "61XX" { // more to fetch
		got = got[:2] + "XX"
	}
	if got != want {
		term.t.Fatalf("%s: answer %s, want %s", apdu, got, want)
	}
	return data
}

// command is a short APDU with data.
func command(ins, p1, p2 byte, data []byte) string {
	return hex.EncodeToString(Command{Instruction: ins, P1: p1, P2: p2, Data: data, Le: 256}.Bytes())
}

// manage proves the management key, the mutual way.
func (term *terminal) manage(key managementKey) {
	term.t.Helper()
	block, err := key.block()
	if err != nil {
		term.t.Fatal(err)
	}
	n := block.BlockSize()
	answer := term.want(command(insAuthenticate, key.Algorithm, slotManagement, unhex(term.t, "7C028000")), "*9000")
	witness := answer[4:]
	block.Decrypt(witness, witness)
	challenge := bytes.Repeat([]byte{0x5A}, n)
	data := tlv(tagTemplate, append(tlv(tagWitness, witness...), tlv(tagChallenge, challenge...)...)...)
	answer = term.want(command(insAuthenticate, key.Algorithm, slotManagement, data), "*9000")
	proof := make([]byte, n)
	block.Encrypt(proof, challenge)
	if want := tlv(tagTemplate, tlv(tagResponse, proof...)...); !bytes.Equal(answer, want) {
		term.t.Fatalf("card proved %x, want %x", answer, want)
	}
}

func (term *terminal) manageDefault() {
	term.t.Helper()
	term.manage(managementKey{Algorithm: term.card.firmware.managementAlgorithm(), Key: []byte(factoryManagementKey)})
}

// singly proves the management key the other way: the host encrypts a challenge.
// It gives back the proof that was taken.
func (term *terminal) singly(key managementKey) string {
	term.t.Helper()
	block, err := key.block()
	if err != nil {
		term.t.Fatal(err)
	}
	ask := command(insAuthenticate, key.Algorithm, slotManagement, tlv(tagTemplate, tlv(tagChallenge)...))
	proof := term.want(ask, "*9000")[4:]
	block.Encrypt(proof, proof)
	answer := command(insAuthenticate, key.Algorithm, slotManagement, tlv(tagTemplate, tlv(tagResponse, proof...)...))
	term.want(answer, "9000")
	return answer
}

// counter gives every touch and counts them.
func counter(n *int) func(context.Context, byte) bool {
	return func(context.Context, byte) bool {
		*n++
		return true
	}
}
