//go:build linux && cgo

package yubikey

// SwapWhileLent has another stick stand in the reader when ours hands the card
// from one connection to the other, and returns what is said to that.
func (st *Stick) SwapWhileLent(reader string) error {
	c := st.card.(*pivCard)
	return c.Raw(func(wire) error {
		c.reader = reader
		return nil
	})
}

// SwapBeforeLent has another stick stand in the reader when ours lets go of the
// card, and tells whether that one was talked to.
func (st *Stick) SwapBeforeLent(reader string) (used bool, err error) {
	c := st.card.(*pivCard)
	c.reader = reader
	err = c.Raw(func(wire) error {
		used = true
		return nil
	})
	return used, err
}

// Retained returns the session's memory of PINs, for who must see it overwritten.
func (s *Session) Retained() (secrets [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.memories {
		secrets = append(secrets, m.pin, m.wrong)
	}
	return secrets
}
