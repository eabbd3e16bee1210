package yubikey

import (
	"fmt"
	"time"
)

// PullAfter has the session's sticks stop answering after so many commands of
// our own that change something, as if they had been pulled out in between. It
// returns what was sent, by instruction.
func (s *Session) PullAfter(commands int) (sent *[]byte) {
	sent = new([]byte)
	open := s.driver.open
	s.driver.open = func(reader string) (card, error) {
		c, err := open(reader)
		if err != nil {
			return nil, err
		}
		return &failing{c, commands, sent}, nil
	}
	return sent
}

type failing struct {
	card
	left int
	sent *[]byte
}

func (f *failing) Raw(do func(wire) error) error {
	return f.card.Raw(func(w wire) error {
		return do(func(command []byte) ([]byte, error) {
			switch command[1] {
			case insChange, insUnblock, insPutData, insSetManage:
				if f.left--; f.left < 0 {
					return nil, fmt.Errorf("%w (says the test)", ErrRemoved)
				}
				*f.sent = append(*f.sent, command[1])
			}
			return w(command)
		})
	})
}

// Waits tells how long the session waits for a stick that another program holds.
func (s *Session) Waits() time.Duration { return s.config.Wait }
