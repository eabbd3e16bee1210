package card

import "fmt"

// A Status is the two status bytes that end every answer. The ones that report
// trouble travel inside the card as errors.
type Status uint16

// The status words that the card answers with.
const (
	StatusOK               Status = 0x9000
	StatusWrongLength      Status = 0x6700
	StatusSecurity         Status = 0x6982 // PIN, management key or touch is missing
	StatusBlocked          Status = 0x6983
	StatusConditions       Status = 0x6985
	StatusWrongData        Status = 0x6A80
	StatusFileNotFound     Status = 0x6A82
	StatusWrongParameters  Status = 0x6A86
	StatusReferenceMissing Status = 0x6A88
	StatusInstruction      Status = 0x6D00
	StatusClass            Status = 0x6E00
	StatusTrouble          Status = 0x6F00
)

// statusTries is what a wrong PIN or PUK is answered with: the tries left, as
// far as four bits can say.
func statusTries(left int) Status {
	return 0x63C0 | Status(min(left, 15))
}

// statusMore says that left more bytes wait for GET RESPONSE.
func statusMore(left int) Status {
	if left >= 256 {
		return 0x6100
	}
	return 0x6100 | Status(left)
}

// Error returns the status as the status words are written: status 6982.
func (s Status) Error() string {
	return fmt.Sprintf("status %04X", uint16(s))
}

// bytes is data followed by the status word.
func (s Status) bytes(data []byte) []byte {
	out := make([]byte, 0, len(data)+2)
	return append(append(out, data...), byte(s>>8), byte(s))
}
