package card

// appendTLV adds one object with its length in the fewest bytes, as DER demands:
// clients read the card's answers with strict DER parsers.
func appendTLV(b []byte, tag byte, value []byte) []byte {
	b = append(b, tag)
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}

// tlv is one object on its own.
func tlv(tag byte, value ...byte) []byte {
	return appendTLV(nil, tag, value)
}

// readTLV takes the first object off b. All tags in commands are one byte long;
// lengths may be longer than they need to be, as BER allows.
func readTLV(b []byte) (tag byte, value, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, nil, StatusWrongData
	}
	tag, n, b := b[0], int(b[1]), b[2:]
	if n >= 0x80 {
		size := n & 0x7F
		if size < 1 || size > 2 || len(b) < size {
			return 0, nil, nil, StatusWrongData
		}
		n = 0
		for _, digit := range b[:size] {
			n = n<<8 | int(digit)
		}
		b = b[size:]
	}
	if n > len(b) {
		return 0, nil, nil, StatusWrongData
	}
	return tag, b[:n:n], b[n:], nil
}

// readAll reads b as a row of objects. The last object of a tag wins.
func readAll(b []byte) (map[byte][]byte, error) {
	objects := make(map[byte][]byte)
	for len(b) > 0 {
		tag, value, rest, err := readTLV(b)
		if err != nil {
			return nil, err
		}
		objects[tag], b = value, rest
	}
	return objects, nil
}

// unwrap reads b as exactly one object of the given tag.
func unwrap(tag byte, b []byte) ([]byte, error) {
	got, value, rest, err := readTLV(b)
	if err != nil {
		return nil, err
	}
	if got != tag || len(rest) > 0 {
		return nil, StatusWrongData
	}
	return value, nil
}
