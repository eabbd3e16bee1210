package yubikey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A wire carries one command APDU to the card, and its answer with the two
// status bytes back. What the card library does not ask a card goes this way.
type wire func(command []byte) (answer []byte, err error)

// The instructions that we send, by SP 800-73-4 part 2 and Yubico's PIV
// extensions (F7 on).
const (
	insVerify     = 0x20
	insChange     = 0x24
	insUnblock    = 0x2c
	insProve      = 0x87
	insSelect     = 0xa4
	insMore       = 0xc0
	insGetData    = 0xcb
	insPutData    = 0xdb
	insMetadata   = 0xf7
	insSerial     = 0xf8
	insSerialOTP  = 0x01 // of the OTP application
	insSetManage  = 0xff
	insDeviceInfo = 0x1d // of the management application

	refPIN    = 0x80
	refPUK    = 0x81
	refManage = 0x9b
)

// swError is a status word other than success.
type swError uint16

// Status returns the word, as the card library's errors do.
func (sw swError) Status() uint16 { return uint16(sw) }

func (sw swError) Error() string { return fmt.Sprintf("the card answered %04x", uint16(sw)) }

// maxParts bounds what a card can make us keep, and how long it can keep us: it
// answers in parts of 256 bytes.
const maxParts = 64

// send sends a command and returns the whole answer without its status word.
func (w wire) send(ins, p1, p2 byte, data ...byte) ([]byte, error) {
	if len(data) > 255 {
		return nil, fmt.Errorf("command of %d bytes: at most 255", len(data))
	}
	command := append([]byte{0, ins, p1, p2, byte(len(data))}, data...)
	defer clear(command)
	var whole []byte
	for range maxParts {
		answer, err := w(command)
		if err != nil {
			return nil, err
		}
		if len(answer) < 2 {
			return nil, fmt.Errorf("%w: %d bytes", ErrRemoved, len(answer))
		}
		n := len(answer) - 2
		whole = append(whole, answer[:n]...)
		sw := uint16(answer[n])<<8 | uint16(answer[n+1])
		switch {
		case sw == 0x9000:
			return whole, nil
		case sw>>8 != 0x61:
			return nil, swError(sw)
		}
		command = []byte{0, insMore, 0, 0, 0}
	}
	return nil, fmt.Errorf("%w: an answer of more than %d parts", ErrCard, maxParts)
}

var (
	aidPIV        = []byte{0xa0, 0x00, 0x00, 0x03, 0x08}
	aidManagement = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17}
	aidOTP        = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01, 0x01}
)

// serial returns the stick's serial number. It chooses an application of its own.
func (w wire) serial(firmware Version) (uint32, error) {
	application, ins, p1 := aidPIV, byte(insSerial), byte(0)
	if !firmware.AtLeast(5, 0) { // only another application tells it there
		application, ins, p1 = aidOTP, insSerialOTP, 0x10
	}
	if err := w.choose(application); err != nil {
		return 0, err
	}
	answer, err := w.send(ins, p1, 0)
	if err != nil {
		return 0, err
	}
	if len(answer) != 4 {
		return 0, fmt.Errorf("%w: a serial number of %d bytes", ErrCard, len(answer))
	}
	return binary.BigEndian.Uint32(answer), nil
}

func (w wire) choose(application []byte) error {
	_, err := w.send(insSelect, 0x04, 0x00, application...)
	return err
}

// object returns the value of a data object; isAbsent when there is none.
func (w wire) object(tag [3]byte) ([]byte, error) {
	answer, err := w.send(insGetData, 0x3f, 0xff, append([]byte{0x5c, 3}, tag[:]...)...)
	if err != nil {
		return nil, err
	}
	object, _, err := readTLV(answer)
	if err != nil || object.tag != 0x53 {
		return nil, errors.Join(fmt.Errorf("%w: object %x has no wrapper", ErrCard, tag), err)
	}
	if len(object.value) == 0 {
		return nil, errNothing
	}
	return object.value, nil
}

// setObject writes a data object. The management key must have been proven.
func (w wire) setObject(tag [3]byte, value []byte) error {
	data := append([]byte{0x5c, 3}, tag[:]...)
	data = appendTLV(data, 0x53, value)
	defer clear(data)
	_, err := w.send(insPutData, 0x3f, 0xff, data...)
	return err
}

// A tlv is one object of a card's answer: tag of one byte, length, value.
type tlv struct {
	tag   byte
	value []byte
}

var errTLV = errors.New("the card's answer is cut off or garbled")

// readTLV takes the first object off b.
func readTLV(b []byte) (object tlv, rest []byte, err error) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return tlv{}, nil, errTLV
	}
	tag, n, b := b[0], int(b[1]), b[2:]
	if n >= 0x80 {
		size := n & 0x7f
		if size < 1 || size > 2 || len(b) < size {
			return tlv{}, nil, errTLV
		}
		n = 0
		for _, digit := range b[:size] {
			n = n<<8 | int(digit)
		}
		b = b[size:]
	}
	if len(b) < n {
		return tlv{}, nil, errTLV
	}
	return tlv{tag, b[:n]}, b[n:], nil
}

// readTLVs reads b to its end. Of a tag that is there twice the first counts.
func readTLVs(b []byte) (map[byte][]byte, error) {
	objects := map[byte][]byte{}
	for len(b) > 0 {
		object, rest, err := readTLV(b)
		if err != nil {
			return nil, err
		}
		if _, again := objects[object.tag]; !again {
			objects[object.tag] = object.value
		}
		b = rest
	}
	return objects, nil
}

// appendTLV appends an object with the shortest form of its length.
func appendTLV(b []byte, tag byte, value []byte) []byte {
	b = append(b, tag)
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n <= 0xff:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}

// sideBySide pads two secrets to eight bytes each, as the card takes them.
func sideBySide(old, next []byte) []byte {
	field := bytes.Repeat([]byte{0xff}, 16)
	copy(field[:8], old)
	copy(field[8:], next)
	return field
}
