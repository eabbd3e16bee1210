package card

import (
	"context"
	"time"
)

// touchCache is how long a touch counts for a key with the policy "cached".
const touchCache = 15 * time.Second

// useKey is GENERAL AUTHENTICATE with a private key (3.2.4): a signature, or a
// shared secret.
func (c *Card) useKey(ctx context.Context, cmd Command, afterPIN bool) ([]byte, error) {
	if !isKeySlot(cmd.P2) {
		return nil, StatusWrongData // F9 attests and does nothing else
	}
	slot := c.state.keys[cmd.P2]
	template, err := readTemplate(cmd.Data)
	if err != nil {
		return nil, err
	}
	if slot == nil || slot.key.algorithm() != cmd.P1 {
		return nil, StatusWrongData
	}
	use := slot.key.sign
	input, ok := template[tagChallenge]
	if !ok {
		use = slot.key.agree
		input, ok = template[tagExponent]
	}
	if !ok {
		return nil, StatusWrongData
	}
	if err := c.allowed(ctx, cmd.P2, slot, afterPIN); err != nil {
		return nil, err
	}
	output, err := use(input)
	if err != nil {
		return nil, err
	}
	c.signatures++
	return tlv(tagTemplate, tlv(tagResponse, output...)...), nil
}

// allowed asks for the PIN and the touch that the key demands.
func (c *Card) allowed(ctx context.Context, number byte, slot *slotKey, afterPIN bool) error {
	switch {
	case slot.PIN == pinOnce && !c.session.pin:
		return StatusSecurity
	case slot.PIN == pinAlways && !afterPIN:
		return StatusSecurity
	}
	if !c.touched(ctx, number, slot.Touch) {
		return StatusSecurity
	}
	if c.delay > 0 {
		c.wait(ctx, c.delay)
	}
	return ctx.Err()
}

// touched waits for a touch if the policy wants one. The card's other methods go
// on working meanwhile.
func (c *Card) touched(ctx context.Context, slot, policy byte) bool {
	if policy == touchNever {
		return true
	}
	last, ok := c.session.touches[slot]
	if policy == touchCached && ok && c.time().Sub(last) < touchCache {
		return true
	}
	if c.touch != nil {
		c.mu.Unlock()
		given := c.touch(ctx, slot)
		c.mu.Lock()
		if !given || ctx.Err() != nil {
			return false
		}
	}
	if c.session.touches == nil {
		c.session.touches = make(map[byte]time.Time)
	}
	c.session.touches[slot] = c.time()
	return true
}

// wait lets time pass, or the card's power end.
func (c *Card) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
