package card

import "encoding/binary"

// A Command is one command APDU (ISO 7816-4, 5.1), in its short or extended form.
type Command struct {
	Class, Instruction, P1, P2 byte
	Data                       []byte
	// Le is how many bytes of answer the sender has room for, 0 when it did not say.
	Le       int
	Extended bool
}

// ParseCommand reads one command APDU. Every accepted command has one form only:
// Bytes gives back what was read.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, StatusWrongLength
	}
	cmd := Command{Class: b[0], Instruction: b[1], P1: b[2], P2: b[3]}
	body := b[4:]
	switch {
	case len(body) == 0: // case 1
		return cmd, nil
	case len(body) == 1: // case 2: Le alone; piv-go's empty commands look like this too
		cmd.Le = orMax(int(body[0]), 256)
		return cmd, nil
	case body[0] != 0:
		return cmd.parseBody(body[1:], int(body[0]), 1)
	case len(body) < 3:
		return Command{}, StatusWrongLength
	}
	cmd.Extended = true
	n := int(binary.BigEndian.Uint16(body[1:]))
	if len(body) == 3 { // case 2, extended
		cmd.Le = orMax(n, 65536)
		return cmd, nil
	}
	if n == 0 {
		return Command{}, StatusWrongLength
	}
	return cmd.parseBody(body[3:], n, 2)
}

// parseBody reads cases 3 and 4: n bytes of data, then perhaps Le.
func (cmd Command) parseBody(rest []byte, n, leSize int) (Command, error) {
	switch len(rest) {
	case n:
	case n + leSize:
		le := rest[n:]
		if leSize == 1 {
			cmd.Le = orMax(int(le[0]), 256)
		} else {
			cmd.Le = orMax(int(binary.BigEndian.Uint16(le)), 65536)
		}
	default:
		return Command{}, StatusWrongLength
	}
	cmd.Data = rest[:n:n]
	return cmd, nil
}

// Bytes is the command as it goes over the wire.
func (cmd Command) Bytes() []byte {
	b := []byte{cmd.Class, cmd.Instruction, cmd.P1, cmd.P2}
	if cmd.Extended && (len(cmd.Data) > 0 || cmd.Le > 0) {
		b = append(b, 0)
	}
	number := func(n int) {
		if cmd.Extended {
			b = append(b, byte(n>>8))
		}
		b = append(b, byte(n)) // 256 and 65536 are written as zero
	}
	if len(cmd.Data) > 0 {
		number(len(cmd.Data))
		b = append(b, cmd.Data...)
	}
	if cmd.Le > 0 {
		number(cmd.Le)
	}
	return b
}

func orMax(n, most int) int {
	if n == 0 {
		return most
	}
	return n
}
