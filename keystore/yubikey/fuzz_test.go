package yubikey

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzReadTLV checks that an object lies within what the card said, and that no
// second reading of it differs.
func FuzzReadTLV(f *testing.F) {
	f.Add([]byte{0x53, 0})
	f.Add([]byte{0x7c, 3, 0x80, 1, 0xff})
	f.Add([]byte{0x70, 0x81, 2, 1, 2})
	f.Add([]byte{0x70, 0x82, 0, 2, 1, 2})
	f.Add([]byte{0x5f, 0xc1})
	f.Fuzz(func(t *testing.T, in []byte) {
		object, rest, err := readTLV(in)
		if err != nil {
			return
		}
		if used := len(in) - len(rest); used < 2+len(object.value) || !bytes.Equal(in[used-len(object.value):used], object.value) {
			t.Fatalf("%x: value %x, rest %x", in, object.value, rest)
		}
		again, rest, err := readTLV(appendTLV(nil, object.tag, object.value))
		if err != nil || len(rest) != 0 || again.tag != object.tag || !bytes.Equal(again.value, object.value) {
			t.Fatalf("%x: %x, again %x, %v", in, object, again, err)
		}
	})
}

// FuzzReadCertificate checks that a slot's object is a certificate or an error,
// and never more than we would keep.
func FuzzReadCertificate(f *testing.F) {
	f.Add([]byte{0x70, 1, 0x30, 0x71, 1, 0, 0xfe, 0})
	f.Add([]byte{0x70, 2, 0x1f, 0x8b, 0x71, 1, 1, 0xfe, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		cert, err := readCertificate(in)
		if (cert == nil) != (err != nil) {
			t.Fatalf("%v, %v", cert, err)
		}
		if cert != nil && len(cert.Raw) > maxCertificate {
			t.Fatalf("%d bytes", len(cert.Raw))
		}
		if err != nil && !errors.Is(err, errCertificate) {
			t.Fatal(err)
		}
	})
}

// FuzzHostileCard lets a card answer what it likes. It must not end the process
// or keep it for ever, and without the management key it must not pass for one
// that has it.
func FuzzHostileCard(f *testing.F) {
	f.Add(uint8(7), []byte{0x90, 0})
	f.Add(uint8(7), []byte{0x61, 0})
	f.Add(uint8(7), []byte{1, 1, 0x0a, 2, 2, 0, 1, 5, 1, 1, 0x90, 0})
	f.Add(uint8(2), append([]byte{0x7c, 10, 0x80, 8, 1, 2, 3, 4, 5, 6, 7, 8}, 0x90, 0))
	f.Add(uint8(7), append([]byte{0x7c, 18, 0x82, 16}, append(make([]byte, 16), 0x90, 0)...))
	for _, block := range []int{8, 16} { // a witness and a response, both made up
		answer := func(tag byte) []byte {
			b := append([]byte{0x7c, byte(block + 2), tag, byte(block)}, make([]byte, block)...)
			return append(b, 0x90, 0)
		}
		f.Add(uint8(block+6-1), append(answer(0x80), answer(0x82)...))
	}
	f.Fuzz(func(t *testing.T, minor uint8, script []byte) {
		firmware := Version{5, int(minor % 8), 0}
		commands := 0
		hostile := func() wire {
			left := script
			return func([]byte) ([]byte, error) {
				if commands++; commands > 10_000 {
					t.Fatal("it keeps us for ever")
				}
				if len(left) == 0 {
					left = script
				}
				n := min(len(left), 1+int(minor)%40)
				answer := left[:n]
				left = left[n:]
				return answer, nil
			}
		}
		var s Status
		hostile().fill(&s, firmware)
		hostile().formFactor()
		for algorithm := range managementAlgorithms {
			commands = 0
			key := factoryManagementKey()
			if want := map[byte]int{algAES128: 16, algAES256: 32}[algorithm]; want != 0 {
				key = make([]byte, want)
			}
			if err := hostile().prove(algorithm, key); err == nil {
				t.Fatal("it proved to have the management key")
			}
		}
		if err := hostile().replaceManagementKey(firmware); err == nil {
			t.Fatal("it proved to have the management key, and took another one")
		}
	})
}
