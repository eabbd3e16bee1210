package card

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"testing"
)

// chain sends a command in links of 255 bytes, as piv-go does, and gives the answer
// to the last.
func (term *terminal) chain(ins, p1, p2 byte, data []byte) ([]byte, Status) {
	term.t.Helper()
	for len(data) > 255 {
		link := Command{Class: 0x10, Instruction: ins, P1: p1, P2: p2, Data: data[:255]}
		if answer, status := term.send(hex.EncodeToString(link.Bytes())); status != StatusOK {
			return answer, status
		}
		data = data[255:]
	}
	return term.send(hex.EncodeToString(Command{Instruction: ins, P1: p1, P2: p2, Data: data}.Bytes()))
}

// whole sends a short command and fetches all parts of its answer.
func (term *terminal) whole(apdu string) (all []byte, fetches int) {
	term.t.Helper()
	data, status := term.send(apdu)
	for all = data; status&0xFF00 == 0x6100; fetches++ {
		data, status = term.send(getResponse)
		all = append(all, data...)
	}
	if status != StatusOK {
		term.t.Fatalf("%s: %v", apdu, status)
	}
	return all, fetches
}

func object(value []byte) []byte {
	return append(unhexed("5C035FC10A"), tlv(tagObject, value...)...)
}

func unhexed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of these tests
	}
	return b
}

func TestLargestObject(t *testing.T) {
	const largest = maxCommand - 9 // its name and its own tag and length
	term := insert(t, "5.7.4")
	term.manageDefault()
	value := bytes.Repeat([]byte("0123456789abcdef"), 200)[:largest]
	if _, status := term.chain(insPutData, 0x3F, 0xFF, object(value)); status != StatusOK {
		t.Fatalf("%d bytes: %v", len(value), status)
	}
	got, fetches := term.whole("00CB3FFF05 5C035FC10A 00")
	if !bytes.Equal(got, tlv(tagObject, value...)) {
		t.Error("another object came back")
	}
	if want := (largest + 4) / 256; fetches != want { // the first part comes unasked
		t.Errorf("fetched %d parts, want %d", fetches, want)
	}

	more := bytes.Repeat([]byte{1}, largest+1)
	if _, status := term.chain(insPutData, 0x3F, 0xFF, object(more)); status != StatusWrongLength {
		t.Errorf("%d bytes: %v, want 6700", len(more), status)
	}
	extended := Command{Instruction: insPutData, P1: 0x3F, P2: 0xFF, Data: object(more), Extended: true}
	term.want(hex.EncodeToString(extended.Bytes()), "6700")
	if got, _ := term.whole("00CB3FFF05 5C035FC10A 00"); !bytes.Equal(got, tlv(tagObject, value...)) {
		t.Error("an object that was refused replaced the one that was there")
	}
}

func TestEveryObjectOfYubico(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	term.want(verifyPIN, "9000")
	names := []string{"5FC102", "5FC107", "5FC106", "5FC103", "5FC108", "5FC109", "5FC121", "5FC10C", "5FC101", "5FC105", "5FC10A", "5FC10B", "5FFF00", "5FFF01"}
	for n := 0x0D; n <= 0x20; n++ { // certificates of the retired slots
		names = append(names, "5FC1"+hex.EncodeToString([]byte{byte(n)}))
	}
	for i, name := range names {
		term.want("00DB3FFF08 5C03"+name+"5301"+hex.EncodeToString([]byte{byte(i)}), "9000")
	}
	for i, name := range names {
		term.want("00CB3FFF05 5C03"+name, "5301"+hex.EncodeToString([]byte{byte(i)})+"9000")
	}
	term.want("00DB3FFF06 5C017E 530100", "6A80") // discovery cannot be written
	term.want("00CB3FFE05 5C035FC102", "6A86")
	term.want("00CB3FFF02 5300", "6A80")
	term.want("00CB3FFF00", "6A80")
}

// TestCompressedCertificate stores one as a card with little room does. The card
// keeps what it is given, and reads its own attestation certificate either way.
func TestCompressedCertificate(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	der, err := readCertificateObject(term.card.Object(0x5FFF01))
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	w := gzip.NewWriter(&small)
	w.Write(der)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	value := append(tlv(0x70, small.Bytes()...), unhexed("710101FE00")...)
	for _, name := range []string{"5FC10A", "5FFF01"} {
		data := append(unhexed("5C03"+name), tlv(tagObject, value...)...)
		if _, status := term.chain(insPutData, 0x3F, 0xFF, data); status != StatusOK {
			t.Fatalf("%s: %v", name, status)
		}
		if got, _ := term.whole("00CB3FFF05 5C03" + name + "00"); !bytes.Equal(got, tlv(tagObject, value...)) {
			t.Errorf("%s came back changed", name)
		}
	}
	term.want("0047009E05 AC03800111", "*9000")
	term.attested()

	for _, wrong := range [][]byte{
		append(tlv(0x70, 1, 2, 3), unhexed("710101")...),                      // says that it is compressed
		append(tlv(0x70, small.Bytes()[:small.Len()/2]...), 0x71, 0x01, 0x01), // cut off
		tlv(0x70, small.Bytes()...),                                           // does not say it
		{0x70, 0x05, 1},
	} {
		if err := term.card.SetObject(0x5FFF01, wrong); err != nil {
			t.Fatal(err)
		}
		term.want("00F99E00 000000", "6A80")
	}
}

func TestLongestChain(t *testing.T) {
	term := insert(t, "5.7.4")
	term.manageDefault()
	term.want("0047009E0B AC098001E0AA0101AB0101", "*9000")
	for _, c := range []struct {
		message int
		want    Status
	}{
		{3000, StatusOK},
		{maxCommand - 10, StatusOK}, // 7C L 82 00 81 L
		{maxCommand - 9, StatusWrongLength},
	} {
		data := tlv(tagTemplate, append(tlv(tagResponse), tlv(tagChallenge, make([]byte, c.message)...)...)...)
		if _, status := term.chain(insAuthenticate, algorithmEd25519, slotCardAuth, data); status != c.want {
			t.Errorf("message of %d bytes: %v, want %v", c.message, status, c.want)
		}
	}
	term.want("1020008004 31323334", "9000")
	term.want("1020FF8004 31323334", "9000") // another command, whose chain begins here
	term.want("0020008004 3536FFFF", "6A80")
	term.want("1024008010 313233343536FFFF 3132333435363738", "9000")
	term.want("A024008010 313233343536FFFF 3132333435363738", "6E00")
}
