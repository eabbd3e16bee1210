package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/signet-trust/signet/test/yubikey"
)

// A hand touches the sticks, as the flag --touch says, and tells of it.
type hand struct {
	mode  yubikey.TouchMode
	delay time.Duration

	mu      sync.Mutex
	out     io.Writer
	bench   *yubikey.Bench
	waiting map[uint32]*request // by serial
}

// A request is a touch that a stick waits for.
type request struct {
	ctx context.Context
	end context.CancelFunc
}

func newHand(how string, out io.Writer) (*hand, error) {
	h := &hand{out: out, waiting: make(map[uint32]*request)}
	switch how {
	case "auto":
		h.mode = yubikey.Auto
	case "refuse":
		h.mode = yubikey.Refuse
	case "manual":
		h.mode = yubikey.Manual
	default:
		delay, err := time.ParseDuration(how)
		if err != nil || delay <= 0 {
			return nil, fmt.Errorf("--touch %q: want auto, refuse, manual or a time such as 2s", how)
		}
		h.mode, h.delay = yubikey.Manual, delay
	}
	return h, nil
}

// takes gives the hand the sticks that it can touch.
func (h *hand) takes(bench *yubikey.Bench) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bench = bench
}

// told hears of every touch request and of its end.
func (h *hand) told(touch yubikey.Touch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if touch.Ended {
		if r := h.waiting[touch.Serial]; r != nil {
			r.end()
			delete(h.waiting, touch.Serial)
		}
		answer := "refused"
		if touch.Given {
			answer = "given"
		}
		fmt.Fprintf(h.out, "touch asked by %d slot %x: %s\n", touch.Serial, touch.Slot, answer)
		return
	}
	if h.mode != yubikey.Manual || h.bench == nil {
		return
	}
	r := &request{}
	r.ctx, r.end = context.WithCancel(context.Background())
	h.waiting[touch.Serial] = r
	if h.delay == 0 {
		fmt.Fprintf(h.out, "touch asked by %d slot %x: press enter to give it\n", touch.Serial, touch.Slot)
		return
	}
	stick := h.bench.Stick(touch.Serial)
	timer := time.AfterFunc(h.delay, func() { stick.Release(r.ctx) })
	context.AfterFunc(r.ctx, func() { timer.Stop() })
}

// follow touches whatever stick waits, at each line of in.
func (h *hand) follow(in *bufio.Scanner) {
	for in.Scan() {
		h.mu.Lock()
		for serial, r := range h.waiting {
			go h.bench.Stick(serial).Release(r.ctx)
		}
		h.mu.Unlock()
	}
}
