package card

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
)

const (
	tagObjectName = 0x5C
	tagObject     = 0x53

	objectDiscovery   = "7e"
	objectAttestation = "5fff01"
)

// discovery says which PIN the application takes (3.3.2 of part 1). It comes
// without the wrapper of other objects.
const discovery = "\x7E\x12\x4F\x0B" + aidPIV + "\x5F\x2F\x02\x40\x00"

// pinGuarded objects are readable after the PIN only: printed information,
// fingerprints, face and iris.
func pinGuarded(name string) bool {
	switch name {
	case "5fc109", "5fc103", "5fc108", "5fc121":
		return true
	}
	return false
}

// getData is GET DATA (3.1.2).
func (c *Card) getData(cmd Command) ([]byte, error) {
	if cmd.P1 != 0x3F || cmd.P2 != 0xFF {
		return nil, StatusWrongParameters
	}
	tag, err := unwrap(tagObjectName, cmd.Data)
	if err != nil {
		return nil, err
	}
	name := hex.EncodeToString(tag)
	if name == objectDiscovery {
		return []byte(discovery), nil
	}
	if pinGuarded(name) && !c.session.pin {
		return nil, StatusSecurity
	}
	value, ok := c.state.Objects[name]
	if !ok {
		return nil, StatusFileNotFound
	}
	return tlv(tagObject, value...), nil
}

// putData is PUT DATA (3.3.1). An empty value deletes. What fits into a command
// fits into the card: 3063 bytes.
func (c *Card) putData(cmd Command) ([]byte, error) {
	if cmd.P1 != 0x3F || cmd.P2 != 0xFF {
		return nil, StatusWrongParameters
	}
	if !c.session.managed {
		return nil, StatusSecurity
	}
	kind, tag, rest, err := readTLV(cmd.Data)
	if err != nil || kind != tagObjectName || len(tag) != 3 || tag[0] != 0x5F {
		return nil, StatusWrongData
	}
	value, err := unwrap(tagObject, rest)
	if err != nil {
		return nil, err
	}
	c.changed = true
	c.setObject(hex.EncodeToString(tag), value)
	return nil, nil
}

func (c *Card) setObject(name string, value []byte) {
	if len(value) == 0 {
		delete(c.state.Objects, name)
	} else {
		c.state.Objects[name] = bytes.Clone(value)
	}
}

// certificateObject wraps a certificate as PIV stores it, not compressed.
func certificateObject(der []byte) []byte {
	b := appendTLV(nil, 0x70, der)
	b = appendTLV(b, 0x71, []byte{0})
	return appendTLV(b, 0xFE, nil)
}

// readCertificateObject takes the certificate out of its wrapper. One that says so
// is compressed by gzip (SP 800-73-4 part 1, 3.1.3).
func readCertificateObject(b []byte) ([]byte, error) {
	parts, err := readAll(b)
	if err != nil {
		return nil, err
	}
	der, ok := parts[0x70]
	if !ok {
		return nil, StatusWrongData
	}
	if !bytes.Equal(parts[0x71], []byte{1}) {
		return der, nil
	}
	from, err := gzip.NewReader(bytes.NewReader(der))
	if err != nil {
		return nil, StatusWrongData
	}
	const longest = 16 << 10
	if der, err = io.ReadAll(io.LimitReader(from, longest)); err != nil {
		return nil, StatusWrongData
	}
	return der, nil
}
